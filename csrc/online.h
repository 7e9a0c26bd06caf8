/* One sample at a time: each pass is one walk over the rows of W, a block of columns after the other.
 *
 * Forward and update skip the zeros of X: they change nothing. Forward keeps the chain of dense_forward, so a sample alone
 * has the bits it has in a batch. Backward sums over lanes, folded, instead of transposing W for a single sample.
 */
#ifndef FUSEDELTA_ONLINE_H
#define FUSEDELTA_ONLINE_H

#include "product.h"
#include "softmax.h"

/* z(j) = b(j) + sum over p of x(p) W(p, j), for NV vectors side by side. */
INLINE void online_columns(const int NV, const struct row *row, ptrdiff_t j)
{
    const real *x = row->X, *w = (const real *)row->W + j, *b = w + row->k * row->ld;
    real *y = (real *)row->Y + j;
    vec z[8];
    UNROLL for (int v = 0; v < NV; v++) z[v] = load(b + v * LANES);
    for (ptrdiff_t p = 0; p < row->k; p++, w += row->ld) {
        if (x[p] == 0) continue;
        UNROLL for (int v = 0; v < NV; v++) z[v] = v_fma(splat(x[p]), load(w + v * LANES), z[v]);
    }
    UNROLL for (int v = 0; v < NV; v++) store(y + v * LANES, z[v]);
}

/* Columns in use, in whole vectors: the rest of a block is padding. */
INLINE ptrdiff_t columns(const struct row *row) { return (row->n + LANES - 1) / LANES * LANES; }

static void online_forward(const struct row *row)
{
    const ptrdiff_t n = columns(row);
    ptrdiff_t j = 0;
    for (; n - j >= 8 * LANES; j += 8 * LANES) online_columns(8, row, j);
    for (; n - j >= 2 * LANES; j += 2 * LANES) online_columns(2, row, j);
    if (j < n) online_columns(1, row, j);
    if (row->act.kind == SOFTMAX)
        softmax_rows(row->Y, row->n, row->ld, 0, 1);
    else if (row->act.kind != LINEAR)
        activate_all(row->act, row->Y, row->Y, row->S, n);
}

static void online_backward(const struct row *row)
{
    const real *W = row->W, *D = row->D, *x = row->X;
    real *Dx = row->Dx;
    for (ptrdiff_t i = 0; i < row->ldx; i += LANES) {
        vec sums = splat(0); /* put together in a register: a load would wait for all the scalar stores before it */
        UNROLL for (int l = 0; l < LANES; l++) {
            if (i + l >= row->k) break;
            const real *w = W + (i + l) * row->ld;
            vec part[WIDE];
            UNROLL for (int v = 0; v < WIDE; v++) part[v] = splat(0);
            for (ptrdiff_t j = 0; j < row->ld; j += BLOCK)
                UNROLL for (int v = 0; v < WIDE; v++)
                    part[v] = v_fma(load(w + j + v * LANES), load(D + j + v * LANES), part[v]);
            sums[l] = block_sum(part);
        }
        store(Dx + i, derive(row->act_below.kind, (real)row->act_below.slope, load(x + i), sums));
    }
    if (is_late(row->act_below.kind)) derive_runs(row, 0, 1, row->ldx, row->ldx);
}

static void online_update(const struct row *row, double alpha, double beta)
{
    const real *x = row->X, *D = row->D;
    const ptrdiff_t n = columns(row);
    real *target = row->target;
    for (ptrdiff_t i = 0; i <= row->k; i++, target += row->ld) {
        const real in = i < row->k ? x[i] : 1;
        const real scale = (real)alpha * in;
        if (beta != 1)
            for (ptrdiff_t j = 0; j < n; j += LANES)
                store(target + j, accumulate(scale, load(D + j), (real)beta, target + j));
        else if (in != 0)
            for (ptrdiff_t j = 0; j < n; j += LANES)
                store(target + j, v_fma(splat(scale), load(D + j), load(target + j)));
    }
}

#endif
