/* Losses of a softmax from its logits. Contracts: kernels.h.
 *
 * Rows of up to COLUMNS logits are taken LANES at a time, columns side by side: a row alone is a chain of two maxima,
 * exp, three sums and log1p, and which logit is the largest cannot be foretold. 32 rows of 10 take 0.22 of the time
 * so. What is left of the rows, and longer rows, go one by one, to the same bits. */
#ifndef FUSEDELTA_CATEGORICAL_H
#define FUSEDELTA_CATEGORICAL_H

#include "softmax.h"

/* The target of lanes j, j + 1, ...: t, or what the label stands for. */
INLINE vec target_of(const struct loss *loss, const real *t, ptrdiff_t label, ptrdiff_t j)
{
    return t ? load(t + j) : v_select(lane_is(j, label), splat((real)loss->on), splat((real)loss->off));
}

/* sum over j of t(j) (max - z(j) + log1p(rest)) and, for the divergence, of t(j) log t(j); D = p sum(t) - t. */
INLINE void categorical_rows(const int divergence, const struct loss *loss, ptrdiff_t first, ptrdiff_t m,
                             struct score *score)
{
    const real *Z = loss->Y, *T = loss->T;
    real *D = loss->D;
    const ptrdiff_t n = loss->n, ld = loss->ld;
    for (ptrdiff_t i = first; i < m; i++) {
        const real *z = Z + i * ld;
        const real *t = loss->labels ? NULL : T + i * ld;
        real *d = D + i * ld;
        const real share = loss->weights ? ((const real *)loss->weights)[i] : 1;
        const ptrdiff_t label = loss->labels ? loss->labels[i] : first_equal(t, n, row_max(t, n));
        vec weight[WIDE], gap[WIDE];
        UNROLL for (int w = 0; w < WIDE; w++) weight[w] = gap[w] = splat(0);
        const real max = row_max(z, n);
        for (ptrdiff_t j = 0; j < n; j += BLOCK)
            UNROLL for (int w = 0; w < WIDE; w++) {
                const ptrdiff_t at = j + w * LANES;
                const vec target = v_and(lanes_below(at, n), target_of(loss, t, label, at));
                weight[w] += target;
                gap[w] = v_fma(target, v_and(lanes_below(at, n), max - load(z + at)), gap[w]);
                if (divergence) gap[w] = v_fma(target, v_log(target), gap[w]);
            }
        const real total = block_sum(weight), distance = block_sum(gap);
        const struct softmax s = softmax_exponentials(z, d, n);
        const real factor = total / (1 + s.rest);
        for (ptrdiff_t j = 0; j < ld; j += LANES) {
            const vec target = target_of(loss, t, label, j);
            store(d + j, share * v_delta(v_and(lanes_below(j, n), v_fma(load(d + j), splat(factor), -target))));
        }
        score->sum += share * ((double)distance + (double)total * v_log1p(splat(s.rest))[0]);
        score->correct += s.argmax == label;
    }
}

/* The same for as many rows as make whole vectors; returns their number. */
INLINE ptrdiff_t categorical_columns(const int divergence, const struct loss *loss, ptrdiff_t m, struct score *score)
{
    const ptrdiff_t n = loss->n, ld = loss->ld;
    ptrdiff_t i = 0;
    if (n > COLUMNS) return 0;
    for (; m - i >= LANES; i += LANES) {
        vec z[COLUMNS], e[COLUMNS], t[COLUMNS], weight[BLOCK], gap[BLOCK], largest;
        mask label;
        columns_of((const real *)loss->Y + i * ld, ld, n, z);
        const struct softmaxes s = softmax_columns(z, n, e);
        if (loss->labels) {
            UNROLL for (int l = 0; l < LANES; l++) label[l] = (bits)loss->labels[i + l];
            for (ptrdiff_t j = 0; j < n; j++)
                t[j] = v_select(label == splat_bits((bits)j), splat((real)loss->on), splat((real)loss->off));
        } else {
            columns_of((const real *)loss->T + i * ld, ld, n, t);
            label = first_columns(t, n, &largest);
        }
        UNROLL for (int j = 0; j < BLOCK; j++) weight[j] = gap[j] = splat(0);
        for (ptrdiff_t j = 0; j < n; j++) {
            vec *at = &gap[j % BLOCK];
            weight[j % BLOCK] += t[j];
            *at = v_fma(t[j], s.max - z[j], *at);
            if (divergence) *at = v_fma(t[j], v_log(t[j]), *at);
        }
        const vec total = fold_columns(weight), distance = fold_columns(gap), log = v_log1p(s.rest);
        const vec factor = total / ((real)1 + s.rest);
        const vec share = loss->weights ? load_loose((const real *)loss->weights + i) : splat(1);
        for (ptrdiff_t j = 0; j < n; j++) e[j] = share * v_delta(v_fma(e[j], factor, -t[j]));
        rows_of(e, n, ld, (real *)loss->D + i * ld);
        const mask right = s.argmax == label;
        UNROLL for (int l = 0; l < LANES; l++) {
            score->sum += share[l] * ((double)distance[l] + (double)total[l] * log[l]);
            score->correct -= right[l];
        }
    }
    return i;
}

#define CATEGORICAL(entry, divergence)                                                                                 \
    static void entry(const struct loss *loss, ptrdiff_t m, struct score *score)                                       \
    {                                                                                                                  \
        categorical_rows(divergence, loss, categorical_columns(divergence, loss, m, score), m, score);                 \
    }
CATEGORICAL(categorical_crossentropy, 0)
CATEGORICAL(kl_divergence, 1)
#undef CATEGORICAL

/* sum over j of t f(p), f(p) = -(1 - p)^gamma log p, b times. With h = p f'(p) = (1 - p)^gamma (gamma p log p / (1 -
 * p) - 1): D(j) = b (t h - p sum(t h)). 1 - p is exact where p is nearly 1, and nothing is divided by p. */
static void categorical_focal(const struct loss *loss, ptrdiff_t m, struct score *score)
{
    const ptrdiff_t n = loss->n, ld = loss->ld;
    const real gamma = (real)loss->a, b = (real)loss->b;
    for (ptrdiff_t i = 0; i < m; i++) {
        const real *z = (const real *)loss->Y + i * ld, *t = (const real *)loss->T + i * ld;
        real *d = (real *)loss->D + i * ld;
        const real share = loss->weights ? ((const real *)loss->weights)[i] : 1;
        const struct softmax s = softmax_exponentials(z, d, n);
        const real total = 1 + s.rest, tail = v_log1p(splat(s.rest))[0];
        vec value[WIDE], sum[WIDE];
        UNROLL for (int w = 0; w < WIDE; w++) value[w] = sum[w] = splat(0);
        for (ptrdiff_t j = 0; j < n; j += BLOCK)
            UNROLL for (int w = 0; w < WIDE; w++) {
                const ptrdiff_t at = j + w * LANES;
                const vec p = load(d + at) / total, target = v_and(lanes_below(at, n), load(t + at));
                const vec log_p = v_and(lanes_below(at, n), load(z + at) - s.max) - tail;
                const vec rest = v_select(lane_is(at, s.argmax), splat(s.rest / total), (real)1 - p);
                const vec power = v_exp_down(gamma * v_log(rest));
                const vec ratio = v_select(rest > 0, p * log_p / rest, splat(-1));
                const vec along = target * (power * v_fma(splat(gamma), ratio, splat(-1)));
                value[w] -= target * (power * log_p);
                sum[w] += along;
                store(d + at, along);
            }
        const real mean = block_sum(sum);
        for (ptrdiff_t j = 0; j < ld; j += LANES) {
            const vec p = v_exp_down(load(z + j) - s.max) / total;
            store(d + j, share * b * v_delta(v_and(lanes_below(j, n), load(d + j) - p * mean)));
        }
        score->sum += (double)(share * b) * block_sum(value);
        score->correct += s.argmax == first_equal(t, n, row_max(t, n));
    }
}

#endif
