/* Backward for a few samples of a wide layer: sums over the lanes, folded, with the bits of online_backward. W^T, which
 * costs as much for few samples as for many, is not made: 4 x 256 x 256 takes 0.47 of the time so, 8 x 256 x 256 0.63,
 * 2 x 1024 x 1024 0.36; on AVX2, which has fewer registers for the sums, 0.8, 1.0 and 0.5. More samples, or fewer
 * outputs, go the other way on every instruction set, as the bits must not depend on it. */
#ifndef FUSEDELTA_FEW_H
#define FUSEDELTA_FEW_H

#include "product.h"

INLINE int are_few(ptrdiff_t m, ptrdiff_t n) { return m <= 8 && 16 * m <= n; }

/* sums[q][r] = the lanes of row r of W times sample q, for R rows and Q samples: R Q WIDE accumulators. */
INLINE void few_sums(const int R, const int Q, const real *const *w, const real *D, ptrdiff_t ld, ptrdiff_t columns,
                     vec (*sums)[LANES])
{
    vec part[8][4][WIDE];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int q = 0; q < Q; q++)
            UNROLL for (int v = 0; v < WIDE; v++) part[r][q][v] = splat(0);
    for (ptrdiff_t j = 0; j < columns; j += BLOCK)
        UNROLL for (int v = 0; v < WIDE; v++) {
            vec d[4];
            UNROLL for (int q = 0; q < Q; q++) d[q] = load(D + q * ld + j + v * LANES);
            UNROLL for (int r = 0; r < R; r++) {
                const vec row = load(w[r] + j + v * LANES);
                UNROLL for (int q = 0; q < Q; q++) part[r][q][v] = v_fma(row, d[q], part[r][q][v]);
            }
        }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int q = 0; q < Q; q++) sums[q][r] = block_fold(WIDE, part[r][q]);
}

/* Dx(s .. s + Q - 1, i .. i + LANES - 1); of rows of W beyond the last, that one is taken, and made zero. */
INLINE void few_lanes(const int Q, const struct row *row, ptrdiff_t s, ptrdiff_t i, ptrdiff_t columns)
{
    enum { MOST = ACCUMULATORS >= 24 ? 16 : 8 };
    const int fit = MOST / Q / WIDE, R = fit > 8 ? 8 : fit > LANES ? LANES : fit > 0 ? fit : 1;
    const ptrdiff_t ld = row->ld, ldx = row->ldx, rows = row->k - i;
    const real *w[LANES];
    vec sums[4][LANES];
    UNROLL for (int l = 0; l < LANES; l++) w[l] = (const real *)row->W + (i + (l < rows ? l : rows - 1)) * ld;
    UNROLL for (int l = 0; l < LANES; l += R) {
        vec some[4][LANES];
        few_sums(R, Q, w + l, (const real *)row->D + s * ld, ld, columns, some);
        UNROLL for (int q = 0; q < Q; q++)
            UNROLL for (int r = 0; r < R; r++) sums[q][l + r] = some[q][r];
    }
    UNROLL for (int q = 0; q < Q; q++) {
        const ptrdiff_t at = (s + q) * ldx + i;
        const vec x = load((const real *)row->X + at), d = lane_sums(LANES, sums[q], row->n);
        store((real *)row->Dx + at,
              derive(row->act_below.kind, (real)row->act_below.slope, x, v_and(lanes_below(0, rows), d)));
    }
}

/* Samples first..last-1 of Dx; returns how many columns of it are written, which are k in whole vectors. */
static ptrdiff_t few_backward(const struct row *row, ptrdiff_t first, ptrdiff_t last, ptrdiff_t columns)
{
    ptrdiff_t i = 0;
    for (; i < row->k; i += LANES) {
        ptrdiff_t s = first;
        if (ACCUMULATORS >= 24)
            for (; last - s >= 4; s += 4) few_lanes(4, row, s, i, columns);
        for (; last - s >= 2; s += 2) few_lanes(2, row, s, i, columns);
        if (s < last) few_lanes(1, row, s, i, columns);
    }
    return i;
}

#endif
