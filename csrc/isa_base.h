/* What every machine has, without FMA: product and sum, two roundings. SSE2 on x86-64, what the compiler makes of 16
 * bytes elsewhere, with the same bits. */
#define ISA base
#define VECTOR_BYTES 16
#define ACCUMULATORS 12
#define FMA(a, b, c) ((a) * (b) + (c))
#define ROUNDED_PRODUCTS

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#if REAL_BITS == 32
#define INTRINSIC(op) _mm_##op##_ps
#else
#define INTRINSIC(op) _mm_##op##_pd
#endif
#define LANE_BITS(m) INTRINSIC(movemask)((vec)(m))
#endif
