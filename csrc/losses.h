/* Losses: the value, unscaled, and the first deltas D = dLoss/dz, unscaled. Contracts: kernels.h.
 * Sums run in 64-byte lanes over at most ROWS rows, then on in double. */
#ifndef FUSEDELTA_LOSSES_H
#define FUSEDELTA_LOSSES_H

#include "product.h"
#include "softmax.h"

enum { ROWS = 64 };

/* sum of (y - t)^2; D = g act'(z) with g = y - t, the half of the derivative; through a softmax p (g - sum(g p)). */
static real squared_error_row(const struct loss *loss, const real *y, const real *t, real *d)
{
    const real slope = (real)loss->act.slope;
    vec sum[WIDE], along[WIDE];
    UNROLL for (int w = 0; w < WIDE; w++) sum[w] = along[w] = splat(0);
    for (ptrdiff_t j = 0; j < loss->n; j += BLOCK)
        UNROLL for (int w = 0; w < WIDE; w++) {
            const ptrdiff_t at = j + w * LANES;
            const vec out = load(y + at);
            const vec g = v_and(lanes_below(at, loss->n), out - load(t + at));
            sum[w] = v_fma(g, g, sum[w]);
            along[w] = v_fma(g, out, along[w]);
            if (loss->act.kind != SOFTMAX) store(d + at, derive(loss->act.kind, slope, out, g));
        }
    if (loss->act.kind == SOFTMAX) {
        const real mean = block_sum(along);
        for (ptrdiff_t j = 0; j < loss->ld; j += LANES)
            store(d + j, load(y + j) * v_and(lanes_below(j, loss->n), load(y + j) - load(t + j) - mean));
    }
    return block_sum(sum);
}

static void squared_error(const struct loss *loss, ptrdiff_t m, struct score *score)
{
    const real *Y = loss->Y, *T = loss->T;
    real *D = loss->D;
    for (ptrdiff_t i = 0; i < m; i++)
        score->sum += squared_error_row(loss, Y + i * loss->ld, T + i * loss->ld, D + i * loss->ld);
    if (is_late(loss->act.kind)) derive_all(loss->act, loss->S, D, m * loss->ld);
}

/* sum of t softplus(-z) + (1 - t) softplus(z), softplus(z) = max(z, 0) + log1p(exp(-|z|)); D = sigmoid(z) - t.
 * Correct: sigmoid(z) and t on the same side of a half. */
static void binary_crossentropy(const struct loss *loss, ptrdiff_t m, struct score *score)
{
    const real *Z = loss->Y, *T = loss->T;
    real *D = loss->D;
    for (ptrdiff_t top = 0; top < m; top += ROWS) {
        vec sum[WIDE], correct[WIDE];
        UNROLL for (int w = 0; w < WIDE; w++) sum[w] = correct[w] = splat(0);
        for (ptrdiff_t i = top; i < m && i < top + ROWS; i++)
            for (ptrdiff_t j = 0; j < loss->n; j += BLOCK)
                UNROLL for (int w = 0; w < WIDE; w++) {
                    const ptrdiff_t at = i * loss->ld + j + w * LANES;
                    const mask valid = lanes_below(j + w * LANES, loss->n);
                    const vec z = load(Z + at), t = load(T + at), p = v_sigmoid(z);
                    const vec flat = v_log1p(v_exp((vec)((mask)z | sign_bits())));
                    const vec up = v_max(splat(0), z), down = v_max(splat(0), -z);
                    const vec value = v_fma(t, down, v_fma((real)1 - t, up, flat));
                    const mask same = ~((p > (real)0.5) ^ (t > (real)0.5));
                    sum[w] += v_and(valid, value);
                    correct[w] += v_and(valid & same, splat(1));
                    store(D + at, v_and(valid, p - t));
                }
        score->sum += block_sum(sum);
        score->correct += (int64_t)block_sum(correct);
    }
}

/* sum over j of t(j) (max - z(j) + log1p(rest)); D = p sum(t) - t. Labels stand for one-hot rows. */
static void categorical_crossentropy(const struct loss *loss, ptrdiff_t m, struct score *score)
{
    const real *Z = loss->Y, *T = loss->T;
    real *D = loss->D;
    const ptrdiff_t n = loss->n, ld = loss->ld;
    for (ptrdiff_t i = 0; i < m; i++) {
        const real *z = Z + i * ld;
        const real *t = loss->labels ? NULL : T + i * ld;
        real *d = D + i * ld;
        const ptrdiff_t label = loss->labels ? loss->labels[i] : first_equal(t, n, row_max(t, n));
        vec weight[WIDE], gap[WIDE];
        UNROLL for (int w = 0; w < WIDE; w++) weight[w] = gap[w] = splat(0);
        const real max = row_max(z, n);
        for (ptrdiff_t j = 0; j < n; j += BLOCK)
            UNROLL for (int w = 0; w < WIDE; w++) {
                const ptrdiff_t at = j + w * LANES;
                const vec target = t ? load(t + at) : v_and(lane_is(at, label), splat(1));
                weight[w] += v_and(lanes_below(at, n), target);
                gap[w] = v_fma(target, v_and(lanes_below(at, n), max - load(z + at)), gap[w]);
            }
        const real total = block_sum(weight), distance = block_sum(gap);
        const struct softmax s = softmax_exponentials(z, d, n);
        const real factor = total / (1 + s.rest);
        for (ptrdiff_t j = 0; j < ld; j += LANES) {
            const vec target = t ? load(t + j) : v_and(lane_is(j, label), splat(1));
            store(d + j, v_and(lanes_below(j, n), v_fma(load(d + j), splat(factor), -target)));
        }
        score->sum += (double)distance + (double)total * v_log1p(splat(s.rest))[0];
        score->correct += s.argmax == label;
    }
}

#endif
