/* The dense layer's three passes. Shapes and contracts: kernels.h. The scratch of a share holds one panel, 64-byte aligned:
 * PANEL_BYTES times ld for backward and, where ld reaches FAR_BYTES, times k for forward and m for update. */
#ifndef FUSEDELTA_DENSE_H
#define FUSEDELTA_DENSE_H

#include "product.h"
#include "softmax.h"

/* B's rows on pages of their own: bring the panel together, if enough rows of C share the cost. */
INLINE enum source nearness(ptrdiff_t ld, ptrdiff_t rows)
{
    return ld * (ptrdiff_t)sizeof(real) >= FAR_BYTES && rows >= 4 ? COPIED : IN_PLACE;
}

static void dense_forward(const struct row *row, const struct share *share)
{
    const ptrdiff_t first = share->first, last = share->last;
    const real *W = row->W;
    struct product p = {
        .a = row->X, .rs = row->ldx, .cs = 1,
        .b = W, .ldb = row->ld, .depth = row->k,
        .c = row->Y, .ldc = row->ld,
        .start = W + row->k * row->ld, .finish = ACTIVATE, .act = row->act,
    };
    multiply(&p, first, last, row->ld, nearness(row->ld, last - first), 0, share->scratch);
    if (row->act.kind == SOFTMAX)
        softmax_rows(row->Y, row->n, row->ld, first, last);
    else if (is_long(row->act.kind))
        activate_runs(row, first, 1, row->ld, (last - first) * row->ld);
}

static void dense_backward(const struct row *row, const struct share *share)
{
    struct product p = {
        .a = row->D, .rs = row->ld, .cs = 1,
        .b = row->W, .ldb = row->ld, .depth = row->n,
        .c = row->Dx, .ldc = row->ldx,
        .finish = DERIVATIVE, .act = row->act_below, .y = row->X,
    };
    multiply(&p, share->first, share->last, row->ldx, TRANSPOSED, row->k, share->scratch);
    if (is_late(row->act_below.kind))
        derive_runs(row, share->first, 1, row->ldx, (share->last - share->first) * row->ldx);
}

static void dense_update(const struct row *row, const struct share *share, double alpha, double beta)
{
    const ptrdiff_t first = share->first, last = share->last;
    static const real one = 1;
    struct product p = {
        .a = row->X, .rs = 1, .cs = row->ldx,
        .b = row->D, .ldb = row->ld, .depth = share->m,
        .c = row->target, .ldc = row->ld,
        .finish = ACCUMULATE, .alpha = (real)alpha, .beta = (real)beta,
    };
    struct product bias = p; /* its input is 1 */
    bias.a = &one, bias.rs = bias.cs = 0;
    const ptrdiff_t weights = last < row->k ? last : row->k;
    if (first < weights) multiply(&p, first, weights, row->ld, nearness(row->ld, weights - first), 0, share->scratch);
    if (last > row->k) multiply(&bias, row->k, row->k + 1, row->ld, IN_PLACE, 0, NULL);
}

#endif
