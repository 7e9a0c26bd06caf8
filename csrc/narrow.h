/* Dense layers too thin to fill a vector: the batch lies in the lanes instead (feature-major), so nothing is padding.
 *
 * Forward and backward are the same product with the parts exchanged, so each output keeps its one chain of FMAs: the
 * same bits as dense_forward. The update sums over the lanes: one chain a lane, block after block, then folded.
 */
#ifndef FUSEDELTA_NARROW_H
#define FUSEDELTA_NARROW_H

#include "product.h"

INLINE ptrdiff_t whole_blocks(ptrdiff_t m) { return (m + BLOCK - 1) / BLOCK * BLOCK; }

/* Batches of at most one 64-byte block, `wide` vectors of it: no tiles to choose, which is what a step of so small a net
 * would spend its time on. */
INLINE void narrow_forward_block(const int wide, const struct row *row)
{
    const real *X = row->X, *W = row->W, *b = W + row->k * row->ld;
    real *Y = row->Y;
    for (ptrdiff_t j = 0; j < row->n; j++)
        UNROLL for (int w = 0; w < wide; w++) {
            vec z = splat(b[j]);
            for (ptrdiff_t p = 0; p < row->k; p++)
                z = v_fma(splat(W[p * row->ld + j]), load(X + p * row->ldx + w * LANES), z);
            store(Y + j * row->ldx + w * LANES, activate(row->act.kind, (real)row->act.slope, z));
        }
    if (is_late(row->act.kind)) activate_runs(row, 0, row->n, row->ldx, wide * LANES);
}

static void narrow_forward(const struct row *row, ptrdiff_t m)
{
    if (m <= LANES) {
        narrow_forward_block(1, row);
        return;
    }
    if (m <= BLOCK) {
        narrow_forward_block(WIDE, row);
        return;
    }
    const real *W = row->W;
    struct product p = {
        .a = W, .rs = 1, .cs = row->ld,
        .b = row->X, .ldb = row->ldx, .depth = row->k,
        .c = row->Y, .ldc = row->ldx,
        .start = W + row->k * row->ld, .start_by_row = 1, .finish = ACTIVATE, .act = row->act,
    };
    multiply(&p, 0, row->n, whole_blocks(m), IN_PLACE, 0, NULL);
    if (is_long(row->act.kind)) activate_runs(row, 0, row->n, row->ldx, whole_blocks(m));
}

INLINE void narrow_backward_block(const int wide, const struct row *row)
{
    const real *X = row->X, *W = row->W, *D = row->D;
    real *Dx = row->Dx;
    for (ptrdiff_t i = 0; i < row->k; i++)
        UNROLL for (int w = 0; w < wide; w++) {
            vec d = splat(0);
            for (ptrdiff_t p = 0; p < row->n; p++)
                d = v_fma(splat(W[i * row->ld + p]), load(D + p * row->ldx + w * LANES), d);
            const vec x = load(X + i * row->ldx + w * LANES);
            store(Dx + i * row->ldx + w * LANES, derive(row->act_below.kind, (real)row->act_below.slope, x, d));
        }
    if (is_late(row->act_below.kind)) derive_runs(row, 0, row->k, row->ldx, wide * LANES);
}

static void narrow_backward(const struct row *row, ptrdiff_t m)
{
    if (m <= LANES) {
        narrow_backward_block(1, row);
        return;
    }
    if (m <= BLOCK) {
        narrow_backward_block(WIDE, row);
        return;
    }
    struct product p = {
        .a = row->W, .rs = row->ld, .cs = 1,
        .b = row->D, .ldb = row->ldx, .depth = row->n,
        .c = row->Dx, .ldc = row->ldx,
        .finish = DERIVATIVE, .act = row->act_below, .y = row->X,
    };
    multiply(&p, 0, row->k, whole_blocks(m), IN_PLACE, 0, NULL);
    if (is_late(row->act_below.kind)) derive_runs(row, 0, row->k, row->ldx, whole_blocks(m));
}

/* sums[i][j] = sum over the lanes of X(i) D(j), for MI x MJ pairs. */
INLINE void dots(const int MI, const int MJ, const real *X, const real *D, ptrdiff_t ld, ptrdiff_t lanes,
                 real (*sums)[NARROW])
{
    vec part[4][4][WIDE];
    UNROLL for (int w = 0; w < WIDE; w++) {
        vec acc[4][4];
        UNROLL for (int i = 0; i < MI; i++)
            UNROLL for (int j = 0; j < MJ; j++) acc[i][j] = splat(0);
        for (ptrdiff_t l = w * LANES; l < lanes; l += BLOCK) {
            vec d[4];
            UNROLL for (int j = 0; j < MJ; j++) d[j] = load(D + j * ld + l);
            UNROLL for (int i = 0; i < MI; i++) {
                const vec x = load(X + i * ld + l);
                UNROLL for (int j = 0; j < MJ; j++) acc[i][j] = v_fma(x, d[j], acc[i][j]);
            }
        }
        UNROLL for (int i = 0; i < MI; i++)
            UNROLL for (int j = 0; j < MJ; j++) part[i][j][w] = acc[i][j];
    }
    UNROLL for (int i = 0; i < MI; i++)
        UNROLL for (int j = 0; j < MJ; j++) sums[i][j] = block_sum(part[i][j]);
}

typedef void (*dots_function)(const real *X, const real *D, ptrdiff_t ld, ptrdiff_t lanes, real (*sums)[NARROW]);
#define DOTS(MI, MJ)                                                                                                   \
    static void dots_##MI##x##MJ(const real *X, const real *D, ptrdiff_t ld, ptrdiff_t lanes, real (*sums)[NARROW])    \
    {                                                                                                                  \
        dots(MI, MJ, X, D, ld, lanes, sums);                                                                           \
    }
DOTS(1, 1) DOTS(1, 2) DOTS(1, 4) DOTS(2, 1) DOTS(2, 2) DOTS(2, 4) DOTS(4, 1) DOTS(4, 2)
#if ACCUMULATORS >= 24
DOTS(4, 4)
#endif
#undef DOTS
static const int SIDES[] = {4, 2, 1};
static const dots_function DOT_TILES[3][3] = {
    {IF_24(dots_4x4), dots_4x2, dots_4x1}, {dots_2x4, dots_2x2, dots_2x1}, {dots_1x4, dots_1x2, dots_1x1}};

/* Sum of a block whose lanes from m on are zero: the folds that would only add zeros are left out. */
INLINE vec few_lanes_sum(const int wide, const vec part[WIDE], ptrdiff_t m)
{
    if (wide > 1) return splat(block_sum(part));
    vec x = part[0];
#if LANES >= 16
    if (m > 8) FOLD(x, 8);
#endif
#if LANES >= 8
    if (m > 4) FOLD(x, 4);
#endif
#if LANES >= 4
    if (m > 2) FOLD(x, 2);
#endif
    if (m > 1) FOLD(x, 1);
    return x;
}

INLINE real update_one(real alpha, vec sum, real beta, real old)
{
    return beta == 0 ? (alpha * sum)[0] : v_fma(splat(alpha), sum, splat(beta * old))[0];
}

INLINE void narrow_update_block(const int wide, const struct row *row, ptrdiff_t m, real alpha, real beta)
{
    const real *X = row->X, *D = row->D;
    for (ptrdiff_t i = 0; i <= row->k; i++) {
        real *target = (real *)row->target + i * row->ld;
        vec x[WIDE];
        UNROLL for (int w = 0; w < wide; w++) x[w] = load(X + i * row->ldx + w * LANES);
        for (ptrdiff_t j = 0; j < row->n; j++) {
            vec part[WIDE];
            UNROLL for (int w = 0; w < wide; w++) part[w] = x[w] * load(D + j * row->ldx + w * LANES);
            const vec sum = few_lanes_sum(wide, part, m);
            target[j] = update_one(alpha, sum, beta, target[j]);
        }
    }
}

static void narrow_update(const struct row *row, ptrdiff_t m, double alpha, double beta)
{
    if (m <= LANES) {
        narrow_update_block(1, row, m, (real)alpha, (real)beta);
        return;
    }
    if (m <= BLOCK) {
        narrow_update_block(WIDE, row, m, (real)alpha, (real)beta);
        return;
    }
    const real *X = row->X, *D = row->D;
    const ptrdiff_t ld = row->ldx, lanes = whole_blocks(m);
    real sums[4][NARROW] __attribute__((aligned(BLOCK_BYTES))) = {{0}};
    for (ptrdiff_t i = 0, a = 0; i <= row->k; i += SIDES[a]) {
        while (SIDES[a] > row->k + 1 - i) a++;
        for (ptrdiff_t j = 0, b = 0; j < row->n; j += SIDES[b]) {
            while (SIDES[b] > row->n - j || !DOT_TILES[a][b]) b++;
            DOT_TILES[a][b](X + i * ld, D + j * ld, ld, lanes, (real(*)[NARROW])(sums[0] + j));
        }
        for (int r = 0; r < SIDES[a]; r++) {
            real *target = (real *)row->target + (i + r) * row->ld;
            for (ptrdiff_t j = 0; j < row->ld; j += LANES)
                store(target + j, accumulate((real)alpha, load(sums[r] + j), (real)beta, target + j));
        }
    }
}

static void narrow_gather(const void *samples, ptrdiff_t width, const ptrdiff_t *order, ptrdiff_t m, void *to,
                          ptrdiff_t ld)
{
    const real *from = samples;
    real *columns = to;
    for (ptrdiff_t i = 0; i < m; i++) {
        const real *sample = from + (order ? order[i] : i) * width;
        for (ptrdiff_t j = 0; j < width; j++) columns[j * ld + i] = sample[j];
    }
}

#endif
