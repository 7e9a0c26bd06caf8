/* One sample at a time: each pass is one walk over the rows of W, a block of columns after the other.
 *
 * Forward and update skip the zeros of X, which change nothing, by a list that forward makes. Forward keeps the chain
 * of dense_forward, so a sample alone has the bits it has in a batch. Backward sums over lanes, folded, instead of
 * transposing W for a single sample.
 */
#ifndef FUSEDELTA_ONLINE_H
#define FUSEDELTA_ONLINE_H

#include "product.h"
#include "softmax.h"

enum { FEW = 32 }; /* fewer inputs than this are not looked at for zeros */

/* How many of x(0..k-1) are not zero, then which: (k + 4). Without a branch, as random zeros would be mispredicted, and
 * by fours: the three walks that used to look for zeros one by one took a quarter of a step of 784-128-10, whose inputs
 * are 80 % zeros. */
INLINE void list_nonzeros(const real *x, ptrdiff_t k, int32_t *list)
{
    enum { GROUP = LANES < 4 ? LANES : 4 };
    static const int8_t COUNTS[] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    static const int32_t SET[][4] = {{0}, {0}, {1}, {0, 1}, {2}, {0, 2}, {1, 2}, {0, 1, 2},
                                     {3}, {0, 3}, {1, 3}, {0, 1, 3}, {2, 3}, {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3}};
    int32_t *to = list + 1, i = 0;
    for (; i + LANES <= k; i += LANES) {
        const unsigned set = lane_bits(load_loose(x + i) != 0);
        UNROLL for (int l = 0; l < LANES; l += GROUP) {
            const unsigned four = set >> l & 15;
            UNROLL for (int j = 0; j < 4; j++) to[j] = i + l + SET[four][j];
            to += COUNTS[four];
        }
    }
    for (; i < k; i++) {
        *to = i;
        to += x[i] != 0;
    }
    list[0] = (int32_t)(to - list - 1);
}

INLINE ptrdiff_t count_nonzeros(const real *x, ptrdiff_t k)
{
    mask sums = {0};
    ptrdiff_t i = 0, count = 0;
    for (; i + LANES <= k; i += LANES) sums -= load_loose(x + i) != 0;
    UNROLL for (int l = 0; l < LANES; l++) count += sums[l];
    for (; i < k; i++) count += x[i] != 0;
    return count;
}

/* The rows of W that a walk takes: those of the list, or the first `count` if it is NULL. */
struct walk {
    const int32_t *list;
    ptrdiff_t count;
};

INLINE struct walk walk_of(const struct row *row)
{
    const ptrdiff_t k = row->k, count = k < FEW ? k : row->list[0];
    return (struct walk){count < k ? row->list + 1 : NULL, count};
}

/* Columns in use, in whole vectors: the rest of a block is padding. */
INLINE ptrdiff_t columns(const struct row *row) { return (row->n + LANES - 1) / LANES * LANES; }

/* z(j) = b(j) + sum over the rows of W in the walk of x(p) W(p, j), for NV vectors side by side. */
INLINE void online_columns(const int NV, const struct row *row, struct walk walk, ptrdiff_t j)
{
    const real *x = row->X, *w = (const real *)row->W + j, *b = w + row->k * row->ld;
    const ptrdiff_t ld = row->ld;
    vec z[8];
    UNROLL for (int v = 0; v < NV; v++) z[v] = load(b + v * LANES);
    if (walk.list)
        for (ptrdiff_t q = 0; q < walk.count; q++) {
            const ptrdiff_t p = walk.list[q];
            UNROLL for (int v = 0; v < NV; v++) z[v] = v_fma(splat(x[p]), load(w + p * ld + v * LANES), z[v]);
        }
    else
        for (ptrdiff_t p = 0; p < walk.count; p++, w += ld)
            UNROLL for (int v = 0; v < NV; v++) z[v] = v_fma(splat(x[p]), load(w + v * LANES), z[v]);
    UNROLL for (int v = 0; v < NV; v++) store((real *)row->Y + j + v * LANES, z[v]);
}

/* Layers of no more outputs than a vector and of few inputs: nothing but the sums. */
INLINE int is_thin(const struct row *row) { return row->n <= LANES && row->k < FEW; }

INLINE void online_list(const struct row *row)
{
    if (row->k >= FEW) list_nonzeros(row->X, row->k, row->list);
}

/* Y = b + X W. */
static void online_product(const struct row *row)
{
    if (is_thin(row)) {
        online_columns(1, row, (struct walk){NULL, row->k}, 0);
        return;
    }
    const struct walk walk = walk_of(row);
    const ptrdiff_t n = columns(row);
    ptrdiff_t j = 0;
    for (; n - j >= 8 * LANES; j += 8 * LANES) online_columns(8, row, walk, j);
    for (; n - j >= 4 * LANES; j += 4 * LANES) online_columns(4, row, walk, j);
    for (; n - j >= 2 * LANES; j += 2 * LANES) online_columns(2, row, walk, j);
    if (j < n) online_columns(1, row, walk, j);
}

static void online_activate(const struct row *row)
{
    if (row->act.kind == SOFTMAX)
        softmax_rows(row->Y, row->n, row->ld, 0, 1);
    else if (row->act.kind != LINEAR)
        activate_all(row->act, row->Y, row->Y, row->S, columns(row));
}

static void online_forward(const struct row *row)
{
    online_list(row);
    online_product(row);
    online_activate(row);
}

/* Dx(i .. i + LANES - 1), of which at most `count` are within the layer. */
INLINE void online_backward_lanes(const int count, const struct row *row, ptrdiff_t i)
{
    const ptrdiff_t rows = row->k - i, n = row->n, ld = row->ld;
    const real *W = (const real *)row->W + i * ld, *D = row->D;
    vec sums[16];
    UNROLL for (int l = 0; l < count; l++, W += ld) {
        vec part[WIDE];
        UNROLL for (int v = 0; v < WIDE; v++) part[v] = splat(0);
        if (l < rows && n <= LANES)
            part[0] = v_fma(load(W), load(D), part[0]); /* the lanes beyond would add zeros */
        else if (l < rows)
            for (ptrdiff_t j = 0; j < ld; j += BLOCK)
                UNROLL for (int v = 0; v < WIDE; v++)
                    part[v] = v_fma(load(W + j + v * LANES), load(D + j + v * LANES), part[v]);
        sums[l] = block_fold(WIDE, part);
    }
    const vec x = load((const real *)row->X + i), d = v_and(lanes_below(0, rows), lane_sums(count, sums, n));
    store((real *)row->Dx + i, derive(row->act_below.kind, (real)row->act_below.slope, x, d));
}

static void online_backward(const struct row *row)
{
    ptrdiff_t i = 0;
    for (; row->k - i > LANES / 2; i += LANES) online_backward_lanes(LANES, row, i);
    if (row->k > i) online_backward_lanes(LANES / 2, row, i), i += LANES;
    for (; i < row->ldx; i += LANES) store((real *)row->Dx + i, splat(0));
    if (is_late(row->act_below.kind)) derive_runs(row, 0, 1, row->ldx, row->ldx);
}

/* target(j) = beta target(j) + scale D(j), a row of it. */
INLINE void online_update_row(real *target, real scale, const real *D, real beta, ptrdiff_t n)
{
    if (beta == 1)
        for (ptrdiff_t j = 0; j < n; j += LANES)
            store(target + j, v_fma(splat(scale), load(D + j), load(target + j)));
    else
        for (ptrdiff_t j = 0; j < n; j += LANES)
            store(target + j, accumulate(scale, load(D + j), beta, target + j));
}

/* The rows in the walk, NV vectors of them from j on, D in registers. From the last to the first, as the way forward
 * left the last ones in the nearest cache: 157 rows of 512 bytes take 0.87 of the time so. (To ask for rows before
 * their turn takes longer: the walks are bound by what L2 gives.) */
INLINE void online_update_columns(const int NV, const struct row *row, struct walk walk, real alpha, ptrdiff_t j)
{
    const real *x = row->X;
    const ptrdiff_t ld = row->ld;
    real *target = (real *)row->target + j;
    vec d[8];
    UNROLL for (int v = 0; v < NV; v++) d[v] = load((const real *)row->D + j + v * LANES);
    for (ptrdiff_t q = walk.count - 1; q >= 0; q--) {
        const ptrdiff_t p = walk.list ? walk.list[q] : q;
        const vec scale = splat(alpha * x[p]);
        UNROLL for (int v = 0; v < NV; v++) {
            real *at = target + p * ld + v * LANES;
            store(at, v_fma(scale, d[v], load(at)));
        }
    }
}

static void online_update(const struct row *row, double alpha, double beta)
{
    const real *x = row->X, *D = row->D;
    const ptrdiff_t n = columns(row), ld = row->ld;
    real *target = row->target;
    const struct walk walk = beta == 1 ? walk_of(row) : (struct walk){NULL, row->k};
    online_update_row(target + row->k * ld, (real)alpha, D, (real)beta, n);
    if (beta != 1 || n * (ptrdiff_t)sizeof(real) > PANEL_BYTES) { /* long rows come whole, for the prefetcher's sake */
        for (ptrdiff_t q = walk.count - 1; q >= 0; q--) {
            const ptrdiff_t p = walk.list ? walk.list[q] : q;
            online_update_row(target + p * ld, (real)alpha * x[p], D, (real)beta, n);
        }
        return;
    }
    ptrdiff_t j = 0;
    for (; n - j >= 8 * LANES; j += 8 * LANES) online_update_columns(8, row, walk, (real)alpha, j);
    for (; n - j >= 4 * LANES; j += 4 * LANES) online_update_columns(4, row, walk, (real)alpha, j);
    for (; n - j >= 2 * LANES; j += 2 * LANES) online_update_columns(2, row, walk, (real)alpha, j);
    if (j < n) online_update_columns(1, row, walk, (real)alpha, j);
}

/* For NV vectors side by side: W(p, j) += alpha x(p) D(j), and z(j) = b(j) + sum of next(p) W(p, j). */
INLINE void online_columns_ahead(const int NV, const struct row *row, const real *next, real alpha, ptrdiff_t j)
{
    const real *x = row->X, *D = (const real *)row->D + j;
    real *w = (real *)row->W + j, *b = w + row->k * row->ld;
    vec z[8];
    UNROLL for (int v = 0; v < NV; v++) {
        z[v] = v_fma(splat(alpha), load(D + v * LANES), load(b + v * LANES));
        store(b + v * LANES, z[v]);
    }
    for (ptrdiff_t p = 0; p < row->k; p++, w += row->ld) {
        const vec scale = splat(alpha * x[p]), in = splat(next[p]);
        UNROLL for (int v = 0; v < NV; v++) {
            const vec now = v_fma(scale, load(D + v * LANES), load(w + v * LANES));
            store(w + v * LANES, now);
            z[v] = v_fma(in, now, z[v]);
        }
    }
    UNROLL for (int v = 0; v < NV; v++) store((real *)row->Y + j + v * LANES, z[v]);
}

/* The update of W itself, and in the same walk the next sample's product, if that is less to read and write than two
 * walks that leave out zeros: returns whether. 784 x 128 without zeros takes 9.1 us so, 12.8 in two walks. */
static int online_update_ahead(const struct row *row, const real *next, double alpha)
{
    const ptrdiff_t n = columns(row), k = row->k, here = walk_of(row).count;
    ptrdiff_t j = 0;
    if (2 * here < k || 2 * here + count_nonzeros(next, k) < 2 * k) return 0;
    for (; n - j >= 8 * LANES; j += 8 * LANES) online_columns_ahead(8, row, next, (real)alpha, j);
    for (; n - j >= 2 * LANES; j += 2 * LANES) online_columns_ahead(2, row, next, (real)alpha, j);
    if (j < n) online_columns_ahead(1, row, next, (real)alpha, j);
    return 1;
}

#endif
