/* As many fused multiply-adds as the machine can do: CHAINS independent vectors, no memory. Compiled for each
 * instruction set with BYTES, the width of its vectors, and REAL; see peak.py. */

#define CHAINS 12

typedef REAL vec __attribute__((vector_size(BYTES)));

double multiply_add(long times, double factor, double term)
{
    vec chain[CHAINS], sum = {0}, x = (REAL)factor - sum, y = (REAL)term - sum;
    for (int i = 0; i < CHAINS; i++)
        chain[i] = y;
    for (long t = 0; t < times; t++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            chain[i] = chain[i] * x + y;
    }
    for (int i = 0; i < CHAINS; i++)
        sum += chain[i];
    return sum[0];
}

long flops_per_time(void)
{
    return 2 * CHAINS * (long)(BYTES / sizeof(REAL));
}
