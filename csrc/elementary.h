/* exp, expm1, log(1 + u), roots, sigmoid and tanh for a vector: IEEE operations and FMA polynomials, no branches.
 *
 * exp:      x = q ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + r (1 + r P(r)); scaled by 2^q in two steps, so that overflow
 *           and denormal results come out right (Cody and Waite, 1980).
 * log:      x = 2^q (1 + f), 3/4 <= 1 + f < 3/2; s = f/(2 + f); log(1 + f) = f - s (f - s^2 P(s^2)): what s is
 *           wrong by counts times f (as in Sun's fdlibm, 1993).
 * tanh:     |x| = r - q ln 2 / 2, |r| <= ln 2 / 4, t = tanh r = r + r^3 P(r^2), w = 2^q: tanh |x| = n/d with
 *           n = (1 - w) + (1 + w) t and d = (1 + w) + (1 - w) t. As n and d are rounded, it is taken as a near value
 *           and a small quotient: T + (n - T d)/d, T = (1 - w)^2. For q = 0, T = 0 and d = 2: t, to the last digit.
 * sigmoid:  |x|/2 likewise, but without the cut at the largest |x|, for which all would wait: w and the quotient
 *           are zero beyond; sigmoid(-|x|) = w (1 - v), v = (w + (2 - w) t)/d, and 1 minus that for x >= 0: one
 *           operation after the quotient, and the only one that sees how small w is.
 * root:     y near 1/sqrt(x) from half its exponent (Lomont, 2003), to 2.1e-5 by a minimax polynomial of x y^2, in
 *           double precision to 1e-9 by Newton's iteration; s = x y and y then correct each other (Goldschmidt, 1964).
 *
 * Largest errors in ulp, over every float32 (python -m benchmarks.accuracy) and, in double precision, large samples:
 *
 *                     exp           log1p         root          sigmoid       tanh
 *   with FMA          0.95, 0.94    0.97, 1.05    0.76, 0.76    1.67, 1.50    1.83, 1.83
 *   base              1.24, 1.23    0.97, 1.05    1.20, 1.19    1.75, 1.62    1.83, 1.83
 *
 * A tanh right to 1 ulp, which carries the roundings of n and d through the division, takes 1.3 times as long. The
 * polynomials are minimax, their coefficients rounded one after the other; their own error is below 0.2 ulp.
 */
#ifndef FUSEDELTA_ELEMENTARY_H
#define FUSEDELTA_ELEMENTARY_H

#include "simd.h"

#if REAL_BITS == 32
#define ROUNDER 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, which is then in the low bits */
#define MANTISSA_BITS 23
#define LN2_HIGH 0.693359375f /* times q without a rounding; the whole ln 2 with LN2_LOW */
#define LN2_LOW -2.12194440054690582e-4f
#define HALF_LN2 0x1.62e43p-2f /* rounded, and the rest */
#define HALF_LN2_REST -9.52327149978883939e-10f
#define EXP_LOWEST -105.0f
#define EXP_HIGHEST 90.0f
#define EXPM1_LOWEST -20.0f /* -1 from here on */
#define TANH_HIGHEST 10.0f  /* 1 */
#define SIGMOID_LOWEST 104.0f
static const real EXP_P[] = {0.5f, 1.66665434837341309e-1f, 4.16664369404315948e-2f, 8.36654100567102432e-3f,
                             1.39375775952474976e-3f};
static const real TANH_P[] = {-3.33333224058151245e-1f, 1.33311524987220764e-1f, -5.27198687195777893e-2f};
static const real LOG_P[] = {6.66669487953186035e-1f, 3.99577170610427856e-1f, 3.03624689579010010e-1f};
#else
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52 */
#define MANTISSA_BITS 52
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 1.908214929270587816144e-10
#define HALF_LN2 0x1.62e42fefa39efp-2
#define HALF_LN2_REST 1.1595234069231498077e-17
#define EXP_LOWEST -746.0
#define EXP_HIGHEST 710.0
#define EXPM1_LOWEST -42.0
#define TANH_HIGHEST 20.0
#define SIGMOID_LOWEST 745.4
static const real EXP_P[] = {0.5, 1.6666666666666679625e-1, 4.1666666666619806e-2, 8.333333333318622763e-3,
                             1.388888892058487206e-3, 1.984126989469979052e-4, 2.480151624436276441e-5,
                             2.755723497390521723e-6, 2.762227154902111825e-7, 2.511238349862724907e-8};
static const real TANH_P[] = {-3.333333333333248216e-1, 1.333333333278243493e-1, -5.396825277989249214e-2,
                              2.186937056119332701e-2, -8.857303694405927255e-3, 3.444775347466609919e-3};
static const real LOG_P[] = {6.666666666667272478e-1, 3.9999999996156127e-1, 2.857142939614951693e-1,
                             2.222213843558794033e-1, 1.818635871478163635e-1, 1.525013571898901632e-1,
                             1.53686054520550841e-1};
#endif
#define COUNT(array) ((int)(sizeof(array) / sizeof(array[0])))
#define EXPONENT_BIAS (((bits)1 << (REAL_BITS - MANTISSA_BITS - 2)) - 1)

/* c[0] + c[1] x + ... by pairs (Estrin, 1960): a short chain of dependent operations. */
INLINE vec polynomial(const real *c, int terms, vec x)
{
    vec term[16], power = x;
    UNROLL for (int i = 0; i < terms / 2; i++) term[i] = v_fma(splat(c[2 * i + 1]), x, splat(c[2 * i]));
    if (terms % 2) term[terms / 2] = splat(c[terms - 1]);
    UNROLL for (int left = (terms + 1) / 2; left > 1; left = (left + 1) / 2) {
        power *= power;
        UNROLL for (int i = 0; i < left / 2; i++) term[i] = v_fma(term[2 * i + 1], power, term[2 * i]);
        if (left % 2) term[left / 2] = term[left - 1];
    }
    return term[0];
}

/* x = q ln 2 + r: r, and q + ROUNDER, whose low bits are q. */
INLINE vec reduced(vec x, vec *shifted)
{
    *shifted = v_fma(x, splat((real)1.44269504088896340736), splat(ROUNDER));
    const vec q = *shifted - ROUNDER;
    return v_fma(q, splat(-LN2_LOW), v_fma(q, splat(-LN2_HIGH), x));
}

INLINE vec power_of_two(mask q) { return (vec)((q + EXPONENT_BIAS) << MANTISSA_BITS); }
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

/* e^x for x <= 0. */
INLINE vec v_exp_down(vec x)
{
    vec shifted;
    const vec r = reduced(v_max(splat(EXP_LOWEST), x), &shifted);
    const vec slope = v_fma(r, polynomial(EXP_P, COUNT(EXP_P), r), splat(1));
    return scale(v_fma(r, slope, splat(1)), shifted);
}

INLINE vec v_exp(vec x) { return v_exp_down(v_min(splat(EXP_HIGHEST), x)); }

/* e^x = 2^q (1 + p): p, exact to an ulp where x is small too, and q + ROUNDER. */
INLINE vec reduced_expm1(vec x, vec *shifted)
{
    const vec r = reduced(x, shifted);
    return v_fma(r * r, polynomial(EXP_P, COUNT(EXP_P), r), r);
}

/* e^x - 1 for x <= 0: 2^q p + (2^q - 1). */
INLINE vec v_expm1(vec x)
{
    vec shifted;
    const vec p = reduced_expm1(v_max(splat(EXPM1_LOWEST), x), &shifted), power = power_of_two(low_bits(shifted));
    return v_fma(power, p, power - (real)1);
}

/* q 2^MANTISSA_BITS, as in the exponent of a number: what is added to scale it. For 1 + u < 1.5, q = 0 and f = u; from
 * there on u / 2 - 1 / 2 is exact. */
INLINE mask exponent_of(vec x)
{
    return ((mask)x - (mask)splat((real)0.75)) & splat_bits(-((bits)1 << MANTISSA_BITS));
}

/* log(1 + f) + high + low. */
INLINE vec log_near_1(vec f, vec high, vec low)
{
    const vec s = f / (f + (real)2), t = s * s;
    const vec rest = v_fma(-t, polynomial(LOG_P, COUNT(LOG_P), t), f);
    return high + (f + v_fma(-s, rest, low));
}

/* log(2^q (1 + f)), from q as exponent_of gives it. Where x, the argument, is infinite or NaN it stays. */
INLINE vec log_of(mask q, vec f, vec x)
{
    const vec largest = splat((real)(REAL_BITS == 32 ? 3.4028234663852886e38 : 1.7976931348623157e308));
    const vec whole = (vec)((mask)splat(ROUNDER) + (q >> MANTISSA_BITS)) - ROUNDER;
    return v_select(x <= largest, log_near_1(f, whole * LN2_HIGH, whole * LN2_LOW), x);
}

/* log(1 + u) for u >= 0: f = 2^-q u + (2^-q - 1), without the digits that 1 + u loses. 2^-128 is as good as 0. */
INLINE vec v_log1p(vec u)
{
    const vec x = (real)1 + u;
    const mask q = exponent_of(x);
    const vec factor = (vec)((mask)splat(1) - q);
    return log_of(q, (vec)((mask)u - q) + v_max(splat(-1), factor - (real)1), x);
}

/* The same for u <= 1: q is 0 or 1. */
INLINE vec v_log1p_unit(vec u)
{
    const mask beyond = (real)1 + u >= (real)1.5;
    const vec f = v_select(beyond, v_fma(splat((real)0.5), u, splat((real)-0.5)), u);
    return log_near_1(f, v_and(beyond, splat(LN2_HIGH)), v_and(beyond, splat(LN2_LOW)));
}

/* log x for normal x > 0; below them -88, or -709 in double precision. */
INLINE vec v_log(vec x)
{
    const mask q = exponent_of(x);
    return log_of(q, (vec)((mask)x - q) - (real)1, x);
}

/* The square root of x >= 0, which is no denormal number, for where the divider, which takes 10 to 20 cycles for 16
 * roots or quotients, has something else to do: these operations run beside it. */
INLINE vec v_root(vec x)
{
    const bits start = REAL_BITS == 32 ? 0x5f330000 : (bits)0x5fe6600000000000;
    const vec infinity = splat((real)__builtin_inf());
    const vec near = (vec)(splat_bits(start) - ((mask)x >> 1)), t = x * near, z = t * near;
    const vec q = v_fma(v_fma(splat((real)0.41626598), z, splat((real)-1.33183842)), z, splat((real)1.91555459));
    vec y = near * q, s = x * y;
    if (REAL_BITS == 64) {
        y = v_fma(y * (real)0.5, v_fma(-y, s, splat(1)), y);
        s = x * y;
    }
    return v_select(x < infinity, v_fma(s * (real)0.5, v_fma(-y, s, splat(1)), s), x);
}

/* Functions with a plural take `count` vectors, at most SIDE, step by step side by side: one vector is a chain of some
 * 15 dependent operations, and a processor looks only about 100 ahead. These counts were the fastest. */
enum { SIDE = VECTOR_BYTES == 64 ? 3 : 4 };
#define EVERY(i) UNROLL for (int i = 0; i < count; i++)

/* ln 2 / 2 = high + low. Where products are exact, high may have all the digits there are; low is then so little, for
 * the q of tanh and in single precision for any, that only the first term of the series has to see it: late, while the
 * others come together. */
struct half_ln2 {
    real high, low;
    int late;
};
static const struct half_ln2 NEAR_LN2 = {HALF_LN2, REAL_BITS == 32 ? 0 : HALF_LN2_REST, 1};
#if REAL_BITS == 32 && !defined(ROUNDED_PRODUCTS)
static const struct half_ln2 FAR_LN2 = {HALF_LN2, HALF_LN2_REST, 1};
#else
static const struct half_ln2 FAR_LN2 = {LN2_HIGH / 2, LN2_LOW / 2, 0};
#endif

/* a = r - q ln 2 / (2 unit), a >= 0: t = tanh(unit r), the unit being 1 or 1/2, and q + rounder, which is ROUNDER and
 * what is wanted on top of q in the low bits. */
INLINE void reduced_tanhs(const int count, const real unit, const struct half_ln2 ln2, real rounder, const vec *a,
                          vec *shifted, vec *t)
{
    enum { TERMS = COUNT(TANH_P) };
    vec q[SIDE], r[SIDE], power[SIDE], rest[SIDE];
    real p[TERMS], factor = unit;
    UNROLL for (int i = 0; i < TERMS; i++) p[i] = TANH_P[i] * (factor *= unit * unit);
    EVERY(s) shifted[s] = v_fma(a[s], splat((real)-2.88539008177792681472 * unit), splat(rounder));
    EVERY(s) q[s] = shifted[s] - rounder;
    EVERY(s) r[s] = v_fma(q[s], splat(ln2.high / unit), a[s]);
    if (!ln2.late) EVERY(s) r[s] = v_fma(q[s], splat(ln2.low / unit), r[s]);
    EVERY(s) power[s] = r[s] * r[s];
    EVERY(s) rest[s] = splat(p[TERMS - 1]);
    UNROLL for (int i = TERMS - 2; i >= 0; i--) EVERY(s) rest[s] = v_fma(rest[s], power[s], splat(p[i]));
    EVERY(s) power[s] *= r[s];
    if (ln2.late && ln2.low != 0) EVERY(s) r[s] = v_fma(q[s], splat(ln2.low / unit), r[s]);
    if (unit != 1) EVERY(s) r[s] *= unit;
    EVERY(s) t[s] = v_fma(power[s], rest[s], r[s]);
}

INLINE void v_tanhs(const int count, const vec *x, vec *y)
{
    vec a[SIDE], shifted[SIDE], t[SIDE], w[SIDE], minus[SIDE], plus[SIDE], T[SIDE], n[SIDE], d[SIDE];
    EVERY(s) a[s] = v_min(splat(TANH_HIGHEST), v_abs(x[s]));
    reduced_tanhs(count, 1, NEAR_LN2, ROUNDER + EXPONENT_BIAS, a, shifted, t);
    EVERY(s) w[s] = (vec)((mask)shifted[s] << MANTISSA_BITS);
    EVERY(s) minus[s] = w[s] - (real)1;
    EVERY(s) plus[s] = w[s] + (real)1;
    EVERY(s) T[s] = minus[s] * minus[s];
    EVERY(s) n[s] = v_fma(v_fma(T[s], minus[s], plus[s]), t[s], -v_fma(T[s], plus[s], minus[s]));
    EVERY(s) d[s] = v_fma(-minus[s], t[s], plus[s]);
    EVERY(s) y[s] = v_signed(T[s] + n[s] / d[s], x[s]);
}

INLINE void v_sigmoids(const int count, const vec *x, vec *y)
{
    enum { LIFT = MANTISSA_BITS + 1 }; /* 2^(q + LIFT) is a normal number, 2^q perhaps not */
    vec a[SIDE], shifted[SIDE], t[SIDE], w[SIDE], minus[SIDE], n[SIDE], d[SIDE];
    mask near[SIDE];
    EVERY(s) a[s] = v_abs(x[s]);
    EVERY(s) near[s] = ~(a[s] > (real)SIGMOID_LOWEST); /* NaN, too */
    reduced_tanhs(count, (real)0.5, FAR_LN2, ROUNDER + EXPONENT_BIAS + LIFT, a, shifted, t);
    EVERY(s) w[s] = v_and(near[s], (vec)((mask)shifted[s] << MANTISSA_BITS)) * ((real)1 / ((bits)1 << LIFT));
    EVERY(s) minus[s] = (real)1 - w[s];
    EVERY(s) n[s] = v_fma((real)2 - w[s], t[s], w[s]);
    EVERY(s) d[s] = v_fma(minus[s], t[s], (real)1 + w[s]);
    EVERY(s) {
        const vec nearest = v_select((mask)x[s] < 0, w[s], minus[s]); /* by its sign, also of -0 */
        y[s] = v_fma(v_signed(w[s], x[s]), v_and(near[s], n[s] / d[s]), nearest);
    }
}
#undef EVERY

#endif
