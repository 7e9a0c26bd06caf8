/* exp, expm1, log(1 + u), sigmoid and tanh for a vector: IEEE operations and FMA polynomials only, no branches, no tables.
 *
 * exp:   x = q ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + r + r^2 P(r); scaled by 2^q in two steps, so that overflow and
 *        denormal results come out right (Cody and Waite, 1980).
 * log1p: 1 + u = 2^q f, sqrt(1/2) <= f < sqrt(2); s = (f - 1)/(f + 1); log f = 2 s + s^3 P(s^2).
 * The polynomials interpolate at Chebyshev nodes; their own error is below 0.06 ulp.
 */
#ifndef FUSEDELTA_ELEMENTARY_H
#define FUSEDELTA_ELEMENTARY_H

#include "simd.h"

#if REAL_BITS == 32
#define ROUNDER 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, which is then in the low bits */
#define MANTISSA_BITS 23
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440054690582e-4f
#define EXP_LOWEST -105.0f
#define EXP_HIGHEST 90.0f
static const real EXP_P[] = {0.5f, 1.66666666816232314e-1f, 4.16664649252859054e-2f, 8.33331092548090083e-3f,
                             1.39336499963092504e-3f, 1.98909908237046737e-4f};
static const real LOG_P[] = {0.66666685095429068746f, 0.39988757716604847003f, 0.29580985929974422621f};
#else
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52 */
#define MANTISSA_BITS 52
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 1.908214929270587816144e-10
#define EXP_LOWEST -746.0
#define EXP_HIGHEST 710.0
static const real EXP_P[] = {0.5, 1.6666666666666670991e-1, 4.1666666666666669755e-2, 8.3333333333261351258e-3,
                             1.3888888888883748305e-3, 1.9841269874820625271e-4, 2.4801587325547741216e-5,
                             2.755725540020642443e-6, 2.7557273643110295328e-7, 2.5105217004720745164e-8,
                             2.0914686968086877233e-9};
static const real LOG_P[] = {0.66666666666666697077, 0.39999999999898890514, 0.28571428626253837606,
                             0.22222211089379496214, 0.18182892432536871201, 0.15331611722055007885,
                             0.14617807153417324965};
#endif
#define COUNT(array) ((int)(sizeof(array) / sizeof(array[0])))
#define EXPONENT_BIAS (((bits)1 << (REAL_BITS - MANTISSA_BITS - 2)) - 1)

/* Functions with a plural take `count` vectors, at most SIDE, step by step side by side. One vector is a chain of some 20
 * dependent operations, and a processor looks only about 100 ahead: two at a time take 0.85 of the time. */
enum { SIDE = 2 };
#define EVERY(i) UNROLL for (int i = 0; i < count; i++)

/* c[0] + c[1] x + ... by pairs (Estrin, 1960): a short chain of dependent operations, which is what the time goes by. */
INLINE void polynomials(const int count, const real *c, int terms, const vec *x, vec *y)
{
    vec term[16][SIDE], power[SIDE];
    UNROLL for (int i = 0; i < terms / 2; i++)
        EVERY(s) term[i][s] = v_fma(splat(c[2 * i + 1]), x[s], splat(c[2 * i]));
    if (terms % 2) EVERY(s) term[terms / 2][s] = splat(c[terms - 1]);
    EVERY(s) power[s] = x[s];
    UNROLL for (int left = (terms + 1) / 2; left > 1; left = (left + 1) / 2) {
        EVERY(s) power[s] *= power[s];
        UNROLL for (int i = 0; i < left / 2; i++)
            EVERY(s) term[i][s] = v_fma(term[2 * i + 1][s], power[s], term[2 * i][s]);
        if (left % 2) EVERY(s) term[left / 2][s] = term[left - 1][s];
    }
    EVERY(s) y[s] = term[0][s];
}

INLINE vec polynomial(const real *c, int terms, vec x)
{
    vec y;
    polynomials(1, c, terms, &x, &y);
    return y;
}

INLINE vec power_of_two(mask q) { return (vec)((q + EXPONENT_BIAS) << MANTISSA_BITS); }

/* e^x - 1 = 2^q (1 + p) - 1: p, and q + ROUNDER, whose low bits are q. */
INLINE void reduced_expm1s(const int count, const vec *x, vec *p, vec *shifted)
{
    vec q[SIDE], r[SIDE], tail[SIDE];
    EVERY(s) shifted[s] = v_fma(x[s], splat((real)1.44269504088896340736), splat(ROUNDER));
    EVERY(s) q[s] = shifted[s] - ROUNDER;
    EVERY(s) r[s] = v_fma(q[s], splat(-LN2_HIGH), x[s]);
    EVERY(s) r[s] = v_fma(q[s], splat(-LN2_LOW), r[s]);
    polynomials(count, EXP_P, COUNT(EXP_P), r, tail);
    EVERY(s) p[s] = v_fma(r[s] * r[s], tail[s], r[s]);
}

INLINE vec reduced_expm1(vec x, vec *shifted)
{
    vec p;
    reduced_expm1s(1, &x, &p, shifted);
    return p;
}

INLINE mask low_bits(vec shifted) { return (mask)shifted - (mask)splat(ROUNDER); }

/* p 2^q, rounded once: two factors, as 2^q alone may be out of range. */
INLINE vec scale(vec p, vec shifted)
{
#ifdef SCALE
    return SCALE(p, shifted - ROUNDER);
#else
    mask q = low_bits(shifted), half = q >> 1;
    return p * power_of_two(half) * power_of_two(q - half);
#endif
}

INLINE vec v_exp(vec x)
{
    vec shifted;
    x = v_min(splat(EXP_HIGHEST), v_max(splat(EXP_LOWEST), x));
    vec p = (real)1 + reduced_expm1(x, &shifted);
    return scale(p, shifted);
}

/* log x with x = 1 + u, from both: exact to a few ulp where u is small, too. Infinity and NaN stay. */
INLINE vec log_of(vec x, vec u)
{
    mask q = ((mask)(x * (real)1.41421356237309504880) >> MANTISSA_BITS) - EXPONENT_BIAS;
    vec f = (vec)((mask)x - (q << MANTISSA_BITS));
    vec numerator = v_select(q == 0, u, f - (real)1);
    vec s = numerator / (numerator + (real)2);
    vec t = s * s;
    vec tail = s * t * polynomial(LOG_P, COUNT(LOG_P), t);
    vec log_f = v_fma(splat(2), s, tail);
    vec whole = (vec)((mask)splat(ROUNDER) + q) - ROUNDER;
    vec log_x = v_fma(whole, splat(LN2_HIGH), v_fma(whole, splat(LN2_LOW), log_f));
    return v_select(x <= splat((real)(REAL_BITS == 32 ? 3.4028234663852886e38 : 1.7976931348623157e308)), log_x, x);
}

/* log(1 + u) for u >= 0. */
INLINE vec v_log1p(vec u) { return log_of((real)1 + u, u); }

/* log x for normal x > 0; below them -88, or -709 in double precision. */
INLINE vec v_log(vec x) { return log_of(x, x - (real)1); }

/* e / (1 + e) or 1 / (1 + e) with e = exp(-|x|): nothing overflows, and small values keep all their digits. */
INLINE vec v_sigmoid(vec x)
{
    vec e = v_exp((vec)((mask)x | sign_bits()));
    return v_select(x < 0, e, splat(1)) / ((real)1 + e);
}

/* e^x - 1 for x <= 0: 2^q p + (2^q - 1), exact to a few ulp near zero too. */
INLINE void v_expm1s(const int count, const vec *x, vec *y)
{
    vec near[SIDE], p[SIDE], shifted[SIDE], power[SIDE];
    EVERY(s) near[s] = v_max(splat((real)(REAL_BITS == 32 ? -20 : -42)), x[s]);
    reduced_expm1s(count, near, p, shifted);
    EVERY(s) power[s] = power_of_two(low_bits(shifted[s]));
    EVERY(s) y[s] = v_fma(power[s], p[s], power[s] - (real)1);
}

INLINE vec v_expm1(vec x)
{
    vec y;
    v_expm1s(1, &x, &y);
    return y;
}

/* (e - 1)/(e + 1) with e - 1 = expm1(-2|x|), the sign of x in the place of its own: odd, and exact near zero. */
INLINE void v_tanhs(const int count, const vec *x, vec *y)
{
    vec twice[SIDE], em1[SIDE], size[SIDE];
    EVERY(s) twice[s] = (real)-2 * v_abs(x[s]);
    v_expm1s(count, twice, em1);
    EVERY(s) size[s] = em1[s] / (em1[s] + (real)2);
    EVERY(s) y[s] = v_select(sign_bits(), x[s], size[s]);
}

INLINE vec v_tanh(vec x)
{
    vec y;
    v_tanhs(1, &x, &y);
    return y;
}
#undef EVERY

#endif
