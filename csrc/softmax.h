/* Softmax of one row of logits: e(j) = exp(z(j) - max), p(j) = e(j) / (1 + rest), rest = the sum of e over all j but
 * the first maximum. Keeping that one apart leaves log(1 + rest) exact where the row is nearly certain. */
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

/* Writes e over whole blocks of n elements, zero beyond n. e may be z. */
static struct softmax softmax_exponentials(const real *z, real *e, ptrdiff_t n)
{
    struct softmax s = {.max = row_max(z, n)};
    s.argmax = first_equal(z, n, s.max);
    vec sum[WIDE];
    UNROLL for (int w = 0; w < WIDE; w++) sum[w] = splat(0);
    for (ptrdiff_t j = 0; j < n; j += BLOCK)
        UNROLL for (int w = 0; w < WIDE; w++) {
            const ptrdiff_t at = j + w * LANES;
            vec x = v_and(lanes_below(at, n), v_exp_down(load(z + at) - s.max));
            store(e + at, x);
            sum[w] += v_and(~lane_is(at, s.argmax), x);
        }
    s.rest = block_sum(sum);
    return s;
}

/* LANES rows at a time: column j of them is the vector z[j], j < n <= COLUMNS. */
enum { COLUMNS = 64 };

INLINE void columns_of(const real *rows, ptrdiff_t ld, ptrdiff_t n, vec z[COLUMNS])
{
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        UNROLL for (int l = 0; l < LANES; l++) z[j + l] = load(rows + l * ld + j);
        transpose_square(z + j);
    }
}

/* The way back, zeros up to ld. Uses z up. */
INLINE void rows_of(vec z[COLUMNS], ptrdiff_t n, ptrdiff_t ld, real *rows)
{
    for (ptrdiff_t j = n; j % LANES; j++) z[j] = splat(0);
    for (ptrdiff_t j = 0; j < ld; j += LANES) {
        if (j < n) transpose_square(z + j);
        UNROLL for (int l = 0; l < LANES; l++) store(rows + l * ld + j, j < n ? z[j + l] : splat(0));
    }
}

/* block_sum of each row, column j added to sum[j % BLOCK] before. */
INLINE vec fold_columns(vec sum[BLOCK])
{
    UNROLL for (int half = BLOCK / 2; half > 0; half /= 2)
        UNROLL for (int j = 0; j < half; j++) sum[j] += sum[j + half];
    return sum[0];
}

/* Each row's maximum, and where its first one is. */
INLINE mask first_columns(const vec z[COLUMNS], ptrdiff_t n, vec *max)
{
    mask first = splat_bits(0);
    *max = splat(-(real)__builtin_inf());
    for (ptrdiff_t j = 0; j < n; j++) {
        const mask larger = z[j] > *max;
        first = (mask)v_select(larger, (vec)splat_bits((bits)j), (vec)first);
        *max = v_select(larger, z[j], *max);
    }
    return first;
}

struct softmaxes {
    vec max, rest;
    mask argmax;
};

INLINE struct softmaxes softmax_columns(const vec z[COLUMNS], ptrdiff_t n, vec e[COLUMNS])
{
    struct softmaxes s;
    s.argmax = first_columns(z, n, &s.max);
    vec sum[BLOCK];
    UNROLL for (int j = 0; j < BLOCK; j++) sum[j] = splat(0);
    for (ptrdiff_t j = 0; j < n; j++) {
        e[j] = v_exp_down(z[j] - s.max);
        sum[j % BLOCK] += v_and(s.argmax != splat_bits((bits)j), e[j]);
    }
    s.rest = fold_columns(sum);
    return s;
}

static void softmax_rows(real *z, ptrdiff_t n, ptrdiff_t ld, ptrdiff_t first, ptrdiff_t last)
{
    ptrdiff_t i = first;
    for (; n <= COLUMNS && last - i >= LANES; i += LANES) {
        vec logits[COLUMNS], e[COLUMNS];
        columns_of(z + i * ld, ld, n, logits);
        const vec total = (real)1 + softmax_columns(logits, n, e).rest;
        for (ptrdiff_t j = 0; j < n; j++) e[j] /= total;
        rows_of(e, n, ld, z + i * ld);
    }
    for (; i < last; i++) {
        real *row = z + i * ld;
        const real total = 1 + softmax_exponentials(row, row, n).rest;
        for (ptrdiff_t j = 0; j < ld; j += LANES) store(row + j, load(row + j) / total);
    }
}

#endif
