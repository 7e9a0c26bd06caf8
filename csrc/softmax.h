/* Softmax of one row of logits: e(j) = exp(z(j) - max), p(j) = e(j) / (1 + rest), rest = the sum of e over all j but the
 * first maximum. Keeping that one apart leaves log(1 + rest) exact where the row is nearly certain. */
#ifndef FUSEDELTA_SOFTMAX_H
#define FUSEDELTA_SOFTMAX_H

#include "elementary.h"

struct softmax {
    real max;
    ptrdiff_t argmax;
    real rest;
};

static ptrdiff_t first_equal(const real *z, ptrdiff_t n, real value)
{
    ptrdiff_t j = 0;
    while (j < n - 1 && z[j] != value) j++;
    return j;
}

static real row_max(const real *z, ptrdiff_t n)
{
    const vec lowest = splat(-(real)__builtin_inf());
    vec best[WIDE];
    UNROLL for (int w = 0; w < WIDE; w++) best[w] = lowest;
    for (ptrdiff_t j = 0; j < n; j += BLOCK)
        UNROLL for (int w = 0; w < WIDE; w++) {
            const ptrdiff_t at = j + w * LANES;
            best[w] = v_max(best[w], v_select(lanes_below(at, n), load(z + at), lowest));
        }
    return block_max(best);
}

/* Writes e over a row of ld elements, zero beyond n. e may be z. */
static struct softmax softmax_exponentials(const real *z, real *e, ptrdiff_t n)
{
    struct softmax s = {.max = row_max(z, n)};
    s.argmax = first_equal(z, n, s.max);
    vec sum[WIDE];
    UNROLL for (int w = 0; w < WIDE; w++) sum[w] = splat(0);
    for (ptrdiff_t j = 0; j < n; j += BLOCK)
        UNROLL for (int w = 0; w < WIDE; w++) {
            const ptrdiff_t at = j + w * LANES;
            vec x = v_and(lanes_below(at, n), v_exp(load(z + at) - s.max));
            store(e + at, x);
            sum[w] += v_and(~lane_is(at, s.argmax), x);
        }
    s.rest = block_sum(sum);
    return s;
}

static void softmax_rows(real *z, ptrdiff_t n, ptrdiff_t ld, ptrdiff_t first, ptrdiff_t last)
{
    for (ptrdiff_t i = first; i < last; i++) {
        real *row = z + i * ld;
        const real total = 1 + softmax_exponentials(row, row, n).rest;
        for (ptrdiff_t j = 0; j < ld; j += LANES) store(row + j, load(row + j) / total);
    }
}

#endif
