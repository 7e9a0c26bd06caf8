/* The dense layer's three passes. Shapes and contracts: kernels.h. The scratch of a share, 64-byte aligned, is the
 * larger one of a panel of W^T, PANEL_BYTES times ld, and m (ld + UPDATE_ROWS) elements for an update; where k or ld
 * reaches FAR_BYTES also of what multiply_far asks for. */
#ifndef FUSEDELTA_DENSE_H
#define FUSEDELTA_DENSE_H

#include "softmax.h"
#include "thin.h"

static void dense_forward(const struct row *row, const struct share *share)
{
    const ptrdiff_t last = share->last;
    ptrdiff_t first = share->first;
    const real *W = row->W;
    struct product p = {
        .a = row->X, .rs = row->ldx, .cs = 1,
        .b = W, .ldb = row->ld, .depth = row->k,
        .c = row->Y, .ldc = row->ld,
        .from = PER_COLUMN, .start = W + row->k * row->ld, .finish = ACTIVATE, .act = row->act,
    };
    if (row->n <= THIN) first = THIN_FORWARD[row->n - 1](&p, first, last);
    if (last - first >= 4 && (is_far(row->ld) || (is_far(row->k) && row->ld > 4 * BLOCK)))
        multiply_far(&p, first, last, row->ld, IN_PLACE, 0, share->scratch);
    else
        multiply(&p, first, last, row->ld, IN_PLACE, 0, NULL);
    if (row->act.kind == SOFTMAX)
        softmax_rows(row->Y, row->n, row->ld, share->first, last);
    else if (is_long(row->act.kind))
        activate_runs(row, share->first, 1, row->ld, (last - share->first) * row->ld);
}

static void dense_backward(const struct row *row, const struct share *share)
{
    struct product p = {
        .a = row->D, .rs = row->ld, .cs = 1,
        .b = row->W, .ldb = row->ld, .depth = row->n,
        .c = row->Dx, .ldc = row->ldx,
        .finish = DERIVATIVE, .act = row->act_below, .y = row->X,
    };
    if (is_far(row->ld))
        multiply_far(&p, share->first, share->last, row->ldx, TRANSPOSED, row->k, share->scratch);
    else
        multiply(&p, share->first, share->last, row->ldx, TRANSPOSED, row->k, share->scratch);
    if (is_late(row->act_below.kind))
        derive_runs(row, share->first, 1, row->ldx, (share->last - share->first) * row->ldx);
}

/* Rows first..last-1 of the weights. Where enough of them share the cost, D is packed, and, where X's rows are far apart, a
 * block of its columns is brought together: 128 x 784 x 128 takes 0.88 of the time so, 256 x 1024 x 1024 0.6. */
static void update_weights(struct product p, ptrdiff_t first, ptrdiff_t last, ptrdiff_t columns, real *scratch)
{
    const ptrdiff_t rows = last - first, depth = p.depth;
    if (rows < (is_far(p.ldb) ? 12 : 192) || columns <= WIDTHS[widest(rows)] * LANES) {
        multiply(&p, first, last, columns, IN_PLACE, 0, NULL);
        return;
    }
    real *packed = scratch, *block = scratch + depth * columns;
    pack(p.b, p.ldb, depth, columns, rows, packed);
    for (ptrdiff_t i = first, count; i < last; i += count) {
        count = last - i <= UPDATE_ROWS ? last - i : UPDATE_ROWS - 4; /* so that the last ones are 5 or more: wide panels */
        struct product part = p;
        part.a += i, part.b = packed, part.c += i * p.ldc;
        if (is_far(p.cs)) {
            copy(part.a, p.cs, depth, count, UPDATE_ROWS, block);
            part.a = block, part.cs = UPDATE_ROWS;
        }
        multiply(&part, 0, count, columns, PACKED, 0, NULL);
    }
}

static void dense_update(const struct row *row, const struct share *share, double alpha, double beta)
{
    static const real one = 1;
    const ptrdiff_t last = share->last, weights = last < row->k ? last : row->k;
    ptrdiff_t first = share->first;
    struct product p = {
        .a = row->X, .rs = 1, .cs = row->ldx,
        .b = row->D, .ldb = row->ld, .depth = share->m,
        .c = row->target, .ldc = row->ld,
        .finish = ACCUMULATE, .alpha = (real)alpha, .beta = (real)beta,
    };
    if (row->n <= THIN) first = THIN_UPDATE[row->n - 1](&p, first, weights);
    if (first < weights) update_weights(p, first, weights, row->ld, share->scratch);
    if (last > row->k) {
        p.a = &one, p.rs = p.cs = 0; /* the input of the biases is 1 */
        multiply(&p, row->k, row->k + 1, row->ld, IN_PLACE, 0, NULL);
    }
}

#endif
