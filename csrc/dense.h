/* The dense layer's three passes. Shapes and contracts: kernels.h. */
#ifndef FUSEDELTA_DENSE_H
#define FUSEDELTA_DENSE_H

#include "few.h"
#include "packed.h"
#include "softmax.h"

/* Whether panels of W meet samples where they lie, although their rows are far: where L1 is large (and the TLB, as a
 * Zen 5's), strides have an odd number of blocks, and a panel is within L2. Forward 64 x 1024 x 1024 takes 0.85 of the
 * time of packed ones so, 256 x 1024 x 1024 0.96, on AVX2, whose panels are narrow, 32 x 1024 x 1024 0.67. */
INLINE int is_near(const struct row *row)
{
    enum { REACH = ACCUMULATORS >= 24 ? 8 : 4 };
    return fusedelta_large_l1 && !is_far(row->k / REACH) && !is_far(row->ld / REACH);
}

/* Whether W comes together on the way forward. Where it is near it does if it is large: on an Emerald Rapids
 * 512 x 2048 x 2048 takes 0.77 of the time so, 64 x 2048 x 2048 0.67. */
INLINE int is_brought(const struct row *row)
{
    if (is_near(row) && row->k * row->ld * (ptrdiff_t)sizeof(real) <= WALKED_BYTES) return 0;
    return is_far(row->ld) || (is_very_far(row->k) && row->ld > 4 * BLOCK);
}

INLINE ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
INLINE ptrdiff_t largest(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

/* The scratch of a share, in whole blocks: the largest of a panel of W^T; for an update UPDATE_BLOCK and m rows of all
 * columns, of UPDATE_PACKED bytes or of a panel; and what packed.h asks for, where it is gone to. */
static ptrdiff_t dense_scratch(const struct row *row, ptrdiff_t m)
{
    if (row->tall) return 0;
    const ptrdiff_t ld = row->ld, size = sizeof(real), longest = largest(row->k, ld);
    const ptrdiff_t packed = least(m * ld * size, largest(UPDATE_PACKED, m * PANEL_BYTES));
    const ptrdiff_t panels = largest(ld * PANEL_BYTES, packed + UPDATE_BLOCK);
    const int near = is_near(row) && !is_brought(row); /* then only updates bring anything together */
    if (!is_far(near ? ld : longest)) return panels;
    const ptrdiff_t samples = near ? 0 : m * least(longest * size, PIECE_BYTES);
    const ptrdiff_t features = row->k * least(m, LONG_CHUNK) * size;
    const ptrdiff_t strips = least(largest(m, near ? 0 : row->ldx) * ld * size, STRIPS_BYTES);
    const ptrdiff_t slivers = least(largest(samples, features), SLIVERS_BYTES) / BLOCK_BYTES * BLOCK_BYTES;
    return largest(panels, slivers + strips / BLOCK_BYTES * BLOCK_BYTES + 4096);
}

static void dense_forward(const struct row *row, const struct share *share)
{
    const ptrdiff_t first = share->first, last = share->last, columns = whole(row->n);
    const real *W = row->W;
    struct product p = {
        .a = row->X, .rs = row->ldx, .cs = 1,
        .b = W, .ldb = row->ld, .depth = row->k,
        .c = row->Y, .ldc = row->ld,
        .from = PER_COLUMN, .start = W + row->k * row->ld, .finish = ACTIVATE, .act = row->act,
    };
    const int brought = is_brought(row);
    if (brought && last - first >= FEW_ROWS)
        multiply_packed(&p, first, last, columns, IN_PLACE, 0, NULL, share->scratch);
    else if (brought && last - first >= 4)
        multiply_few(&p, first, last, columns, share->scratch);
    else
        multiply(&p, first, last, columns, IN_PLACE, 0, NULL);
    clear_beyond(row->Y, row->ld, columns, first, last);
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
    ptrdiff_t columns = whole(row->k);
    if (are_few(share->m, row->n))
        columns = few_backward(row, share->first, share->last, whole(row->n));
    else if (is_very_far(row->ld) && !is_near(row))
        multiply_packed(&p, share->first, share->last, columns, TRANSPOSED, row->k, NULL, share->scratch);
    else
        multiply(&p, share->first, share->last, columns, TRANSPOSED, row->k, share->scratch);
    clear_beyond(row->Dx, row->ldx, columns, share->first, share->last);
    if (is_late(row->act_below.kind))
        derive_runs(row, share->first, 1, row->ldx, (share->last - share->first) * row->ldx);
}

/* Rows first..last-1 of the weights. Where enough of them share the cost, D is packed, as many panels as L2 holds, and
 * a chunk of X, of CHUNK samples, comes together for a group of rows at a time, which all these panels use while it is
 * in L1: read in place, each sample would come from another page. With 32 KB of L1 128 x 784 x 128 takes 0.97 of the
 * time so (on AVX2 0.82), 32 x 1024 x 1024 0.94 of what strips take; but 256 x 256 x 256 1.01, and less than a chunk,
 * 32 x 784 x 128, 1.09. With 48 KB (and a Zen 5's TLB) these places are near enough while all of X is in L2: there
 * 128 x 784 x 128 takes 0.95 of the time in place, on AVX2 0.97, 400 x 1000 x 256 1.03. */
static void update_weights(struct product p, ptrdiff_t first, ptrdiff_t last, ptrdiff_t columns, real *scratch)
{
    enum { GROUP = UPDATE_BYTES / sizeof(real), MOST = GROUP + 4, PANEL = PANEL_BYTES / sizeof(real) };
    _Static_assert(CHUNK * MOST * sizeof(real) <= UPDATE_BLOCK, "a chunk of MOST features fits the block");
    const ptrdiff_t rows = last - first, depth = p.depth;
    const ptrdiff_t enough = is_far(p.ldb) ? 12 : depth < CHUNK ? 2000 : 400;
    const int near = fusedelta_large_l1 && !is_far(p.ldb) && rows * depth * (ptrdiff_t)sizeof(real) <= UPDATE_NEAR;
    if (near || rows < enough || columns <= WIDTHS[widest(rows)] * LANES) {
        multiply(&p, first, last, columns, IN_PLACE, 0, NULL);
        return;
    }
    const ptrdiff_t group = depth < CHUNK && is_far(p.ldb / 4) ? GROUP / 2 : GROUP; /* 16 x 2048 x 2048: 0.8 */
    const ptrdiff_t panels = UPDATE_PACKED / PANEL_BYTES / depth, most = panels > 1 ? panels * PANEL : PANEL;
    real *block = scratch, *packed = scratch + UPDATE_BLOCK / sizeof(real);
    for (ptrdiff_t j = 0, width; j < columns; j += width) {
        width = columns - j < most ? columns - j : most;
        for (ptrdiff_t q = 0; q < depth; q += CHUNK)
            pack(p.b + q * p.ldb + j, p.ldb, depth - q < CHUNK ? depth - q : CHUNK, width, rows, packed + q * width);
        for (ptrdiff_t i = first, count; i < last; i += count) {
            count = last - i <= group + 4 ? last - i : group; /* so that the last ones are 5 or more: wide panels */
            for (ptrdiff_t q = 0; q < depth; q += CHUNK) {
                struct product part = p;
                part.depth = depth - q < CHUNK ? depth - q : CHUNK;
                part.a = block, part.cs = count, part.b = packed + q * width, part.c += i * p.ldc + j;
                if (q > 0) part.beta = 1;
                part.far = q == 0 && is_far(p.ldc);
                copy(p.a + q * p.cs + i, p.cs, part.depth, count, count, block);
                multiply(&part, 0, count, width, PACKED, 0, NULL);
            }
        }
    }
}

static void dense_update(const struct row *row, const struct share *share, double alpha, double beta)
{
    static const real one = 1;
    const ptrdiff_t first = share->first, last = share->last, columns = whole(row->n);
    const ptrdiff_t weights = last < row->k ? last : row->k, rows = weights - first;
    struct product p = {
        .a = row->X, .rs = 1, .cs = row->ldx,
        .b = row->D, .ldb = row->ld, .depth = share->m,
        .c = row->target, .ldc = row->ld,
        .finish = ACCUMULATE, .alpha = (real)alpha, .beta = (real)beta,
        .chunk = is_far(row->ld) && share->m >= 2 * CHUNK ? LONG_CHUNK : CHUNK,
    };
    real *biases = last > row->k ? p.c + row->k * row->ld : NULL;
    if (p.chunk > CHUNK && rows >= SLIVER) {
        multiply_packed(&p, first, weights, columns, IN_PLACE, 0, biases, share->scratch);
        return;
    }
    if (rows > 0) {
        struct asking asking;
        if (share->coming) asking = asking_for(share, rows * row->ld), p.asking = &asking;
        update_weights(p, first, weights, columns, share->scratch);
        p.asking = NULL;
    }
    if (biases) {
        p.a = &one, p.cs = 0, p.c = biases; /* the input of the biases is 1 */
        multiply(&p, 0, 1, columns, IN_PLACE, 0, NULL);
    }
}

#endif
