/* The activations and their derivatives.
 *
 * Four of them are short enough for a tile's registers or so frequent that every kernel knows them: `activate` and
 * `derive`. All others run over the stored values in a pass of their own, the late ones (from ELU on) also on the way
 * back. Where act'(z) does not follow from y = act(z), or would cost another exponential, the forward pass of a
 * training step writes it beside y: the slopes s (from SOFTPLUS on).
 *
 * What underflows is multiplied before it is scaled, so that it is rounded once, and |z| is cut where nothing is left
 * of e^-|z|, so that no infinity meets a zero. Largest errors of y in ulp, denormal results included: elu 1.5,
 * softplus 2, selu and silu 3, mish 4, gelu 7 (tests/test_activations.py); gelu by tanh has 4 + 3 |w|, see there.
 */
#ifndef FUSEDELTA_ACTIVATIONS_H
#define FUSEDELTA_ACTIVATIONS_H

#include "elementary.h"

INLINE vec activate(int kind, real slope, vec z)
{
    switch (kind) {
    case RELU: return v_max(splat(0), z);
    case LEAKY_RELU: return v_select(z <= 0, slope * z, z);
    default: return z;
    }
}

/* Up to SIDE vectors side by side, with any activation that is not late. */
INLINE void activate_side(const int count, int kind, real slope, vec *z)
{
    if (kind == SIGMOID) v_sigmoids(count, z, z);
    else if (kind == TANH) v_tanhs(count, z, z);
    else UNROLL for (int s = 0; s < count; s++) z[s] = activate(kind, slope, z[s]);
}

/* d * act'(z), from y = act(z) alone. */
INLINE vec derive(int kind, real slope, vec y, vec d)
{
    switch (kind) {
    case RELU: return v_and(y > 0, d);
    case LEAKY_RELU: return v_select(y > 0, d, slope * d);
    case SIGMOID: return d * (y * ((real)1 - y));
    case TANH: return d * ((real)1 - y * y);
    default: return d;
    }
}

/* Whether an activation is too long for a tile's registers, and whether its derivative is, too. */
INLINE int is_late(int kind) { return kind > SOFTMAX; }
INLINE int is_long(int kind) { return kind == SIGMOID || kind == TANH || is_late(kind); }

/* z e^-|z| and all that is like it is zero from here on, on the left. */
#define FAR (real)(REAL_BITS == 32 ? 110 : 760)
/* The same for the normal distribution: M(a) is fitted up to here ... */
#define FAR_NORMAL (real)(REAL_BITS == 32 ? 14.5 : 38.7)
/* ... and for gelu by tanh, whose w reaches FAR at 11.5 and 22. */
#define FAR_TANH (real)(REAL_BITS == 32 ? 20 : 40)

#define SELU_SCALE (real)1.0507009873554804934193349852946
#define SELU_ALPHA (real)1.6732632423543772848170429916717

/* |z| and z, no farther than `far` from zero. NaN stays. */
INLINE vec distance(vec z, real far) { return v_min(splat(far), v_abs(z)); }
INLINE vec within(vec z, real far) { return v_signed(distance(z, far), z); }

/* e^x = (1 + p) 2^q, not yet put together. */
struct power {
    vec p, shifted;
};

INLINE struct power reduced_exp(vec x)
{
    struct power e;
    e.p = reduced_expm1(x, &e.shifted);
    return e;
}

/* x e^.., rounded once at its own size, however small. */
INLINE vec times(vec x, struct power e) { return scale(v_fma(x, e.p, x), e.shifted); }

INLINE vec v_elu(real alpha, vec z) { return v_select(z > 0, z, alpha * v_expm1(v_min(splat(0), z))); }

INLINE vec v_selu(vec z)
{
    return v_select(z > 0, SELU_SCALE * z, SELU_SCALE * SELU_ALPHA * v_expm1(v_min(splat(0), z)));
}

INLINE vec v_hard_sigmoid(vec z) { return v_min(splat(6), v_max(splat(0), z + (real)3)) / (real)6; }
INLINE vec v_hard_tanh(vec z) { return v_min(splat(1), v_max(splat(-1), z)); }

/* max(z, 0) + log(1 + e), e = e^-|z|; s = sigmoid(z). */
INLINE vec v_softplus(vec z, vec *s)
{
    const vec e = times(splat(1), reduced_exp(-distance(z, FAR)));
    *s = v_select(z < 0, e, splat(1)) / ((real)1 + e);
    return v_max(splat(0), z) + v_log1p_unit(e);
}

/* z sigmoid(z); s = sigmoid(z) + z e / (1 + e)^2. */
INLINE vec v_silu(vec z, vec *s)
{
    const vec near = within(z, FAR);
    const struct power power = reduced_exp(-v_abs(near));
    const vec e = times(splat(1), power), below = times(near, power), total = (real)1 + e;
    *s = (v_select(z < 0, e, splat(1)) + below / total) / total;
    return v_select(z < 0, below, z) / total;
}

/* z tanh(softplus(z)) = z n / d: n = e (e + 2) and d = n + 2 for z < 0, n = 1 + 2 e and d = n + 2 e^2 else;
 * s = n / d + 4 z e (1 + e) / d^2, with another e for z >= 0. */
INLINE vec v_mish(vec z, vec *s)
{
    const vec near = within(z, FAR);
    const struct power power = reduced_exp(-v_abs(near));
    const vec e = times(splat(1), power), below = times(near, power);
    const mask left = z < 0;
    const vec n = v_select(left, e * (e + (real)2), (real)1 + (e + e));
    const vec d = n + v_select(left, splat(2), (real)2 * e * e);
    *s = (n + (real)4 * below * v_select(left, splat(1), e) * ((real)1 + e) / d) / d;
    return v_select(left, below * (e + (real)2), z * n) / d;
}

/* z P(z), P the normal distribution; s = P(z) + z e^(-z^2/2) / sqrt(2 pi).
 *
 * P(-a) = e^(-a^2/2) M(a), M(a) = F(t) / (a + 4), t = (a - 4) / (a + 4), F a polynomial (the variable is that of
 * Shepherd and Laframboise, 1981). The rounding error of a^2, found as by Dekker (1971), goes into the exponential. */
static const real NORMAL_F[] = {
#if REAL_BITS == 32
    0.755285130489f, -0.607896657764f, 0.387137382301f, -0.186521307461f, 0.0603972939059f, -0.00754526816419f,
    -0.0034880755301f, 0.00164629561186f, 0.000169355458277f, -0.00023462176113f, -5.2645649784e-5f,
#else
    0.75528513041575149325, -0.60789664197189210803, 0.38713740074221454846, -0.18652185795965719186,
    0.060396574890936204434, -0.0075401889667287718404, -0.0034796923673873254291, 0.0016308184576210975602,
    0.00013334431235833180102, -0.000231094935457402593, -1.9082582831354835067e-6, 0.000035144687570134537995,
    7.1666615916404735683e-7, -5.9201782416799920101e-6, -6.2969800303082324027e-7, 1.0215638215212544243e-6,
    2.7181051051035558953e-7, -1.5497619102357668793e-7, -8.541885045168614934e-8, 1.3286939425567040702e-8,
    1.9628553467234972772e-8, 1.9182109244726685095e-9, -2.5251787017671715062e-9, -7.2721385243530129373e-10,
#endif
};

INLINE vec v_gelu(vec z, vec *s)
{
    const vec a = distance(z, FAR_NORMAL), near = within(z, FAR_NORMAL);
    const vec high = (vec)((mask)a & splat_bits(-((bits)1 << (REAL_BITS == 32 ? 12 : 27)))), low = a - high;
    const vec square = a * a, rest = ((high * high - square) + (real)2 * high * low) + low * low;
    struct power power = reduced_exp((real)-0.5 * square);
    power.p = v_fma((real)-0.5 * rest, (real)1 + power.p, power.p);
    const vec r = (real)1 / (a + (real)4), t = (a - (real)4) * r;
    const vec M = polynomial(NORMAL_F, COUNT(NORMAL_F), t) * r;
    const vec tail = times(M, power);
    *s = v_select(z < 0, tail, (real)1 - tail) + (real)0.39894228040143267794 * times(near, power);
    return v_select(z < 0, times(near * M, power), z * ((real)1 - tail));
}

/* z sigmoid(w), w = 2 sqrt(2/pi) (z + 0.044715 z^3); s = sigmoid(w) + z e / (1 + e)^2 dw/dz. The roundings of w, not
 * corrected as the function is an approximation itself, make e^w wrong by up to 3 |w| ulp: much in its left tail. */
INLINE vec v_gelu_tanh(vec z, vec *s)
{
    const real c1 = (real)1.595769121605730711759784, c3 = (real)0.07135481627260024877633875;
    const vec near = within(z, FAR_TANH), square = near * near;
    const vec w = near * v_fma(splat(c3), square, splat(c1));
    const struct power power = reduced_exp(-distance(w, FAR));
    const vec e = times(splat(1), power), below = times(near, power), total = (real)1 + e;
    *s = (v_select(z < 0, e, splat(1)) + below * v_fma(splat(3 * c3), square, splat(c1)) / total) / total;
    return v_select(z < 0, below, z) / total;
}

#define EACH(f) for (ptrdiff_t j = 0; j < count; j += LANES) store(y + j, f)
#define SLOPED(f)                                                                                                      \
    for (ptrdiff_t j = 0; j < count; j += LANES) {                                                                     \
        vec at;                                                                                                        \
        store(y + j, f(load(x + j), &at));                                                                             \
        if (s) store(s + j, at);                                                                                       \
    }
/* activate_all of the late ones, apart: what is rare must not cost the others registers. */
APART void activate_late(struct activation act, const real *x, real *y, real *s, ptrdiff_t count)
{
    switch (act.kind) {
    case ELU: EACH(v_elu((real)act.slope, load(x + j))); break;
    case SELU: EACH(v_selu(load(x + j))); break;
    case HARD_SIGMOID: EACH(v_hard_sigmoid(load(x + j))); break;
    case HARD_TANH: EACH(v_hard_tanh(load(x + j))); break;
    case EXPONENTIAL: EACH(v_exp(load(x + j))); break;
    case SOFTPLUS: SLOPED(v_softplus) break;
    case SILU: SLOPED(v_silu) break;
    case MISH: SLOPED(v_mish) break;
    case GELU: SLOPED(v_gelu) break;
    default: SLOPED(v_gelu_tanh)
    }
}

INLINE void activate_few(const int kind, const int count, const real *x, real *y)
{
    vec z[SIDE];
    UNROLL for (int s = 0; s < count; s++) z[s] = load(x + s * LANES);
    activate_side(count, kind, 0, z);
    UNROLL for (int s = 0; s < count; s++) store(y + s * LANES, z[s]);
}

/* tanh or sigmoid. One vector more than SIDE at the end is not left alone: small layers are often four vectors. */
INLINE void activate_many(const int kind, const real *x, real *y, ptrdiff_t count)
{
    ptrdiff_t j = 0;
    for (; count - j >= SIDE * LANES && count - j != (SIDE + 1) * LANES; j += SIDE * LANES)
        activate_few(kind, SIDE, x + j, y + j);
    for (; count - j >= 2 * LANES; j += 2 * LANES) activate_few(kind, 2, x + j, y + j);
    for (; j < count; j += LANES) activate_few(kind, 1, x + j, y + j);
}

/* y = act(x) and, where s is given, s = act'(x) of those that have slopes, over whole vectors. y may be x. */
static void activate_all(struct activation act, const real *x, real *y, real *s, ptrdiff_t count)
{
    const real slope = (real)act.slope;
    switch (act.kind) {
    case LINEAR:
    case RELU:
    case LEAKY_RELU: EACH(activate(act.kind, slope, load(x + j))); break;
    case SIGMOID: activate_many(SIGMOID, x, y, count); break;
    case TANH: activate_many(TANH, x, y, count); break;
    default: activate_late(act, x, y, s, count);
    }
}
#undef SLOPED
#undef EACH

/* d := d * act'(z) of a late activation, over whole vectors, from y or, where it has slopes, from s. */
APART void derive_all(struct activation act, const real *y, real *d, ptrdiff_t count)
{
    const real below = act.kind == SELU ? SELU_SCALE * SELU_ALPHA : (real)act.slope;
    const real above = act.kind == SELU ? SELU_SCALE : 1;
#define EACH(slope)                                                                                                    \
    for (ptrdiff_t j = 0; j < count; j += LANES) {                                                                     \
        const vec at = load(y + j);                                                                                    \
        store(d + j, slope);                                                                                           \
    }
    switch (act.kind) {
    case ELU:
    case SELU: EACH(load(d + j) * v_select(at > 0, splat(above), at + below)) break;
    case HARD_SIGMOID: EACH(v_and((at > 0) & (at < (real)1), load(d + j) / (real)6)) break;
    case HARD_TANH: EACH(v_and((at > (real)-1) & (at < (real)1), load(d + j))) break;
    default: EACH(v_and(load(d + j) != 0, load(d + j) * at)) /* an overflown y does not count where nothing goes back */
    }
#undef EACH
}

/* Runs of `count` values, `ld` apart, of a row's Y, in place, and of its slopes; and of the deltas of the row below. */
APART void activate_runs(const struct row *row, ptrdiff_t first, ptrdiff_t runs, ptrdiff_t ld, ptrdiff_t count)
{
    for (ptrdiff_t at = first * ld; runs > 0; runs--, at += ld) {
        real *y = (real *)row->Y + at;
        activate_all(row->act, y, y, row->S ? (real *)row->S + at : NULL, count);
    }
}

APART void derive_runs(const struct row *row, ptrdiff_t first, ptrdiff_t runs, ptrdiff_t ld, ptrdiff_t count)
{
    for (ptrdiff_t at = first * ld; runs > 0; runs--, at += ld)
        derive_all(row->act_below, (const real *)row->Sx + at, (real *)row->Dx + at, count);
}

#endif
