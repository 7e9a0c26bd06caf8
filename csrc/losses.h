/* Losses: the value, unscaled, and the first deltas D = dLoss/dz, unscaled. Contracts: kernels.h.
 *
 * Those that are sums over single outputs share one loop, by ROWS rows: sums run in 64-byte lanes, then on in double.
 * Its kind and where the weights of the samples lie are constants, so that nothing is decided within. */
#ifndef FUSEDELTA_LOSSES_H
#define FUSEDELTA_LOSSES_H

#include "activations.h"

enum { ROWS = 64, FEW_OUTPUTS = 4 };
enum pointwise {
    SQUARED, ABSOLUTE, HUBER, LOG_COSH, QUANTILE, POISSON, POISSON_LOGITS, HINGE, SQUARED_HINGE, BINARY, BINARY_FOCAL
};

/* The binary cross-entropy of so many vectors at a time, side by side as in elementary.h: 4096 outputs take 0.75 to 0.8
 * of the time so. Weighted ones go one by one: for both there is no room in the wheel. */
enum { BLOCKS = 4 / WIDE, AT_ONCE = BLOCKS * WIDE };

/* Of one output y (or logit z) and its target t: the loss, its slope along y (or z), and whether the decision is
 * right. To the value of a binary cross-entropy log(1 + rest) is yet to be added, 0 <= rest <= 1. */
struct point {
    vec value, rest, slope;
    mask correct;
};

/* Sums over outputs. The logarithms of unweighted binary cross-entropies are summed as one of a product, less 1, which
 * keeps the digits of what is small: log(1 + u) + log(1 + v) = log(1 + (u + v + u v)). 128 x 10 takes 0.61 of the time
 * so, on AVX2 0.66, in double precision 0.83; 1000 x 1 0.99 and 0.85. */
struct sums {
    vec value[WIDE], product[WIDE], correct[WIDE];
};
enum { FACTORS = ROWS }; /* 2^FACTORS is the most that a product can be */

INLINE void add_log_of_product(struct sums *sums)
{
    UNROLL for (int w = 0; w < WIDE; w++) {
        sums->value[w] += v_log1p(sums->product[w]);
        sums->product[w] = splat(0);
    }
}

INLINE vec signed_one(vec x) { return v_and(x != 0, v_signed(splat(1), x)); }

/* log cosh e, exact for small e too: log(1 + sinh^2 e) / 2 below 1, |e| + log(1 + exp(-2|e|)) - log 2 from there on;
 * its slope is tanh e. */
INLINE struct point log_cosh_point(vec e)
{
    const vec a = v_abs(e), m = v_expm1((real)-2 * a), E = (real)1 + m;
    const mask near = a < (real)1;
    const vec L = v_log1p_unit(v_select(near, m * m / ((real)4 * E), E));
    const vec size = -m / (m + (real)2);
    return (struct point){
        .value = v_select(near, (real)0.5 * L, a + (L - (real)0.693147180559945309417)),
        .slope = v_signed(size, e),
    };
}

/* With p = sigmoid(z): t softplus(-z) + (1 - t) softplus(z) = max(z, 0) - t z + log(1 + exp(-|z|)); slope p - t.
 * Correct: p and t on the same side of a half. */
INLINE void binary_points(const int count, const vec *z, const real *T, struct point *p)
{
    vec e[AT_ONCE];
    UNROLL for (int v = 0; v < count; v++) e[v] = v_exp_down((vec)((mask)z[v] | sign_bits()));
    UNROLL for (int v = 0; v < count; v++) {
        const vec t = load(T + v * LANES), chance = v_select(z[v] < 0, e[v], splat(1)) / ((real)1 + e[v]);
        p[v] = (struct point){
            .value = v_fma(-t, z[v], v_max(splat(0), z[v])),
            .rest = e[v],
            .slope = chance - t,
            .correct = ~((chance > (real)0.5) ^ (t > (real)0.5)),
        };
    }
}

/* The same times w q^gamma, q = t (1 - p) + (1 - t) p, w = t b + (1 - t) c; p and 1 - p both to their last digits. */
INLINE struct point binary_focal_point(const struct loss *loss, vec z, vec t)
{
    const real gamma = (real)loss->a;
    const vec e = v_exp_down((vec)((mask)z | sign_bits())), total = (real)1 + e, flat = v_log1p_unit(e);
    const vec p = v_select(z < 0, e, splat(1)) / total, rest = v_select(z < 0, splat(1), e) / total;
    const vec up = v_max(splat(0), z), down = v_max(splat(0), -z), off = (real)1 - t;
    const vec entropy = v_fma(t, down, v_fma(off, up, flat));
    const vec q = v_fma(t, rest, off * p), power = v_exp_down(gamma * v_log(q));
    const vec along = v_and(q > 0, (off - t) * p * rest / q); /* d log q / dz */
    const vec weight = v_fma(t, splat((real)loss->b), off * (real)loss->c);
    return (struct point){
        .value = weight * (power * entropy),
        .slope = weight * (power * v_fma(gamma * along, entropy, off * p - t * rest)),
        .correct = ~((p > (real)0.5) ^ (t > (real)0.5)),
    };
}

INLINE struct point point(const int kind, const struct loss *loss, vec y, vec t)
{
    const real a = (real)loss->a;
    const vec e = y - t;
    switch (kind) {
    case ABSOLUTE: return (struct point){.value = v_abs(e), .slope = signed_one(e)};
    case HUBER: {
        const vec cut = v_min(splat(a), v_max(splat(-a), e));
        return (struct point){.value = cut * (e - (real)0.5 * cut), .slope = cut};
    }
    case LOG_COSH: return log_cosh_point(e);
    case QUANTILE: {
        const vec slope = v_select(e < 0, splat(-a), v_and(e > 0, splat(1 - a)));
        return (struct point){.value = slope * e, .slope = slope};
    }
    case POISSON: {
        const vec rate = y + (real)1e-7;
        return (struct point){.value = y - t * v_log(rate), .slope = (real)1 - t / rate};
    }
    case POISSON_LOGITS: {
        const vec rate = v_exp(y);
        return (struct point){.value = rate - t * y, .slope = rate - t};
    }
    case HINGE:
    case SQUARED_HINGE: {
        const vec lack = v_max(splat(0), (real)1 - t * y);
        const mask correct = ~((y > 0) ^ (t > 0));
        if (kind == HINGE) return (struct point){.value = lack, .slope = v_and(lack > 0, -t), .correct = correct};
        return (struct point){.value = lack * lack, .slope = -t * lack, .correct = correct};
    }
    case BINARY_FOCAL: return binary_focal_point(loss, y, t);
    default: return (struct point){.value = e * e, .slope = e};
    }
}

/* D from G = dLoss/dy, which is in its place: through a softmax y (g - sum(g y)), through any other activation g
 * act'(z). */
APART void through_output(const struct loss *loss, ptrdiff_t m)
{
    if (is_late(loss->act.kind)) {
        const ptrdiff_t runs = loss->by_lane ? m : 1, count = loss->by_lane ? whole(loss->n) : m * loss->ld;
        for (ptrdiff_t at = 0; at < runs * loss->ld; at += loss->ld)
            derive_all(loss->act, (const real *)loss->S + at, (real *)loss->D + at, count);
        return;
    }
    if (loss->act.kind != SOFTMAX) {
        const real *y = loss->Y;
        real *d = loss->D;
        for (ptrdiff_t j = 0; j < m * loss->ld; j += LANES)
            store(d + j, derive(loss->act.kind, (real)loss->act.slope, load(y + j), load(d + j)));
        return;
    }
    for (ptrdiff_t i = 0; i < m; i++) {
        const real *y = (const real *)loss->Y + i * loss->ld;
        real *d = (real *)loss->D + i * loss->ld;
        vec along[WIDE];
        UNROLL for (int w = 0; w < WIDE; w++) along[w] = splat(0);
        for (ptrdiff_t j = 0; j < loss->ld; j += BLOCK)
            UNROLL for (int w = 0; w < WIDE; w++)
                along[w] = v_fma(load(d + j + w * LANES), load(y + j + w * LANES), along[w]);
        const real mean = block_sum(along);
        for (ptrdiff_t j = 0; j < loss->ld; j += LANES)
            store(d + j, load(y + j) * v_and(lanes_below(j, loss->n), load(d + j) - mean));
    }
}

INLINE int decides(int kind) { return kind >= HINGE; }
INLINE int takes_logits(int kind) { return kind == POISSON_LOGITS || kind == BINARY || kind == BINARY_FOCAL; }

/* Of `count` vectors, AT_ONCE at most. */
INLINE void points(const int kind, const struct loss *loss, const int count, const vec *y, const real *T,
                   struct point *p)
{
    if (kind == BINARY) binary_points(count, y, T, p);
    else UNROLL for (int v = 0; v < count; v++) p[v] = point(kind, loss, y[v], load(T + v * LANES));
}

/* `blocks` of row i, from output j on. */
INLINE void pointwise_blocks(const int kind, const int blocks, const int weighted, const struct loss *loss, ptrdiff_t i,
                             ptrdiff_t j, struct sums *sums)
{
    const ptrdiff_t at = i * loss->ld + j;
    const real *Y = (const real *)loss->Y + at, *T = (const real *)loss->T + at, *weights = loss->weights;
    real *D = (real *)loss->D + at;
    vec y[AT_ONCE];
    struct point p[AT_ONCE];
    UNROLL for (int v = 0; v < blocks * WIDE; v++) y[v] = load(Y + v * LANES);
    points(kind, loss, blocks * WIDE, y, T, p);
    UNROLL for (int v = 0; v < blocks * WIDE; v++) {
        const mask valid = blocks > 1 ? lanes_below(0, LANES) : lanes_below(j + v * LANES, loss->n);
        vec value = v_and(valid, p[v].value), g = v_and(valid, p[v].slope);
        if (takes_logits(kind)) g = v_delta(g);
        if (kind == BINARY && weighted) value += v_and(valid, v_log1p_unit(p[v].rest));
        if (kind == BINARY && !weighted) {
            vec *product = &sums->product[v % WIDE];
            *product += v_fma(*product, v_and(valid, p[v].rest), v_and(valid, p[v].rest));
        }
        if (weighted) {
            const vec share = loss->by_lane ? load(weights + j + v * LANES) : splat(weights[i]);
            value *= share, g *= share;
        }
        sums->value[v % WIDE] += value;
        if (decides(kind)) sums->correct[v % WIDE] += v_and(valid & p[v].correct, splat(1));
        store(D + v * LANES, takes_logits(kind) ? g : derive(loss->act.kind, (real)loss->act.slope, y[v], g));
    }
}

INLINE void pointwise_rows(const int kind, const int weighted, const struct loss *given, ptrdiff_t m,
                           struct score *score)
{
    const struct loss mine = *given, *loss = &mine; /* which stores to D cannot change */
    const int multiplies = kind == BINARY && !weighted, at_once = multiplies && BLOCKS > 1;
    for (ptrdiff_t top = 0, bottom; top < m; top = bottom) {
        struct sums sums;
        UNROLL for (int w = 0; w < WIDE; w++) sums.value[w] = sums.product[w] = sums.correct[w] = splat(0);
        bottom = m - top < ROWS ? m : top + ROWS;
        for (ptrdiff_t i = top; i < bottom; i++)
            for (ptrdiff_t j = 0, end; j < loss->n;) {
                end = loss->n - j < FACTORS * BLOCK ? loss->n : j + FACTORS * BLOCK;
                for (; at_once && end - j >= BLOCKS * BLOCK; j += BLOCKS * BLOCK)
                    pointwise_blocks(kind, BLOCKS, weighted, loss, i, j, &sums);
                for (; j < end; j += BLOCK) pointwise_blocks(kind, 1, weighted, loss, i, j, &sums);
                if (multiplies && (loss->n > BLOCK || i == bottom - 1)) add_log_of_product(&sums);
            }
        score->sum += block_sum(sums.value);
        if (decides(kind)) score->correct += (int64_t)block_sum(sums.correct);
    }
    if (!takes_logits(kind) && loss->act.kind >= SOFTMAX) through_output(loss, m);
}

/* Rows of few outputs would be mostly padding: ROWS of them are brought together as one, whose weights are by lane. Of
 * 1000 samples with one output, binary_crossentropy takes 0.19 of the time so, of 64 with three poisson 0.76; losses
 * that are a few operations gain nothing. */
INLINE int are_scattered(const int kind, const struct loss *loss, ptrdiff_t m)
{
    const int is_long = kind == LOG_COSH || kind == POISSON || takes_logits(kind);
    return is_long && !loss->by_lane && m >= 4 && loss->n <= FEW_OUTPUTS && loss->act.kind != SOFTMAX;
}

/* together(rows, n) := from(rows, n), which are ld apart; or, `back`, the other way, with zeros in the padding. */
INLINE void move_rows(const int n, const int back, ptrdiff_t rows, real *scattered, ptrdiff_t ld, real *together)
{
    for (ptrdiff_t i = 0; i < rows; i++, scattered += ld, together += n) {
        for (ptrdiff_t j = 0; back && j < BLOCK; j += LANES) store(scattered + j, splat(0));
        UNROLL for (int j = 0; j < n; j++)
            if (back) scattered[j] = together[j];
            else together[j] = scattered[j];
    }
}

#define MOVE(entry, back)                                                                                              \
    APART void entry(ptrdiff_t n, ptrdiff_t rows, const void *scattered, ptrdiff_t ld, real *together)                 \
    {                                                                                                                  \
        if (n == 1) move_rows(1, back, rows, (real *)scattered, ld, together);                                         \
        else if (n == 2) move_rows(2, back, rows, (real *)scattered, ld, together);                                    \
        else if (n == 3) move_rows(3, back, rows, (real *)scattered, ld, together);                                    \
        else move_rows(4, back, rows, (real *)scattered, ld, together);                                                \
    }
MOVE(bring_together, 0)
MOVE(send_back, 1)
#undef MOVE

APART void evaluate_together(void (*evaluate)(const struct loss *, ptrdiff_t, struct score *), const struct loss *loss,
                             ptrdiff_t m, struct score *score)
{
    typedef real values[ROWS * FEW_OUTPUTS] __attribute__((aligned(BLOCK_BYTES)));
    values Y, S, T, D, weights;
    const ptrdiff_t n = loss->n, ld = loss->ld;
    struct loss few = *loss;
    few.Y = Y, few.S = loss->S == loss->Y ? Y : S, few.T = T, few.D = D, few.by_lane = 1;
    for (ptrdiff_t top = 0, rows; top < m; top += rows) {
        rows = m - top < ROWS ? m - top : ROWS;
        few.n = rows * n, few.ld = whole(few.n);
        bring_together(n, rows, (const real *)loss->Y + top * ld, ld, Y);
        bring_together(n, rows, (const real *)loss->T + top * ld, ld, T);
        if (few.S == S) bring_together(n, rows, (const real *)loss->S + top * ld, ld, S);
        if (loss->weights) {
            const real *weight = (const real *)loss->weights + top;
            for (ptrdiff_t j = 0; j < few.n; j++) weights[j] = weight[j / n];
            few.weights = weights;
        }
        for (ptrdiff_t j = few.n; j < few.ld; j++) Y[j] = S[j] = T[j] = weights[j] = 0;
        evaluate(&few, 1, score);
        send_back(n, rows, (const real *)loss->D + top * ld, ld, D);
    }
}

/* Feature-major, many samples: stretch after stretch, as a step has them. */
APART void evaluate_stretches(void (*evaluate)(const struct loss *, ptrdiff_t, struct score *),
                              const struct loss *loss, ptrdiff_t m, struct score *score)
{
    struct loss part = *loss;
    for (ptrdiff_t j = 0; j < loss->n; j += part.n) {
        part.n = stretch_at(j, loss->n);
        part.Y = (const real *)loss->Y + j, part.S = (const real *)loss->S + j;
        part.T = (const real *)loss->T + j, part.D = (real *)loss->D + j;
        part.weights = loss->weights ? (const real *)loss->weights + j : NULL;
        evaluate(&part, m, score);
    }
}

/* The loops are apart: what is rare must not cost the others registers, nor the entry, which saves none. */
#define POINTWISE(entry, kind)                                                                                         \
    APART void entry##_weighted(const struct loss *loss, ptrdiff_t m, struct score *score)                             \
    {                                                                                                                  \
        pointwise_rows(kind, 1, loss, m, score);                                                                       \
    }                                                                                                                  \
    APART void entry##_unweighted(const struct loss *loss, ptrdiff_t m, struct score *score)                           \
    {                                                                                                                  \
        pointwise_rows(kind, 0, loss, m, score);                                                                       \
    }                                                                                                                  \
    static void entry(const struct loss *loss, ptrdiff_t m, struct score *score)                                       \
    {                                                                                                                  \
        LEAVE_TO_HALF(entry, loss->by_lane ? loss->n : m == 1 ? loss->widest : BLOCK, loss, m, score)                  \
        if (are_scattered(kind, loss, m)) {                                                                            \
            evaluate_together(entry, loss, m, score);                                                                  \
            return;                                                                                                    \
        }                                                                                                              \
        if (loss->by_lane && stretch_at(0, loss->n) < loss->n) {                                                       \
            evaluate_stretches(entry, loss, m, score);                                                                 \
            return;                                                                                                    \
        }                                                                                                              \
        if (loss->weights)                                                                                             \
            entry##_weighted(loss, m, score);                                                                          \
        else                                                                                                           \
            entry##_unweighted(loss, m, score);                                                                        \
    }
POINTWISE(squared_error, SQUARED)
POINTWISE(absolute_error, ABSOLUTE)
POINTWISE(huber, HUBER)
POINTWISE(log_cosh, LOG_COSH)
POINTWISE(quantile, QUANTILE)
POINTWISE(poisson, POISSON)
POINTWISE(poisson_logits, POISSON_LOGITS)
POINTWISE(hinge, HINGE)
POINTWISE(squared_hinge, SQUARED_HINGE)
POINTWISE(binary_crossentropy, BINARY)
POINTWISE(binary_focal, BINARY_FOCAL)
#undef POINTWISE

/* x := factor x + shift. */
static void rescale(void *x, ptrdiff_t count, double factor, double shift)
{
    real *p = x;
    const vec a = splat((real)factor), b = splat((real)shift);
    for (ptrdiff_t j = 0; j < count; j += LANES) store(p + j, v_fma(load(p + j), a, b));
}

#endif
