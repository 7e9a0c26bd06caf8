/* Dense layers too thin to fill a vector: the batch lies in the lanes instead (feature-major), so nothing is padding.
 *
 * Forward and backward are the same product with the parts exchanged, so each output keeps its one chain of FMAs: the
 * same bits as dense_forward. The update sums over the lanes: one chain a lane, block after block, then folded.
 */
#ifndef FUSEDELTA_NARROW_H
#define FUSEDELTA_NARROW_H

#include "product.h"

/* `count` outputs of `wide` vectors of samples, which go through their activation in registers. */
INLINE void narrow_forward_outputs(const int wide, const int count, const int kind, const struct row *row, ptrdiff_t j,
                                   ptrdiff_t sample)
{
    const ptrdiff_t k = row->k, ld = row->ld, ldx = row->ldx; /* a store might change those of `row` */
    const real *w = (const real *)row->W + j, *b = w + k * ld, *x = (const real *)row->X + sample;
    real *y = (real *)row->Y + j * ldx + sample;
    vec z[SIDE > 2 * WIDE ? SIDE : 2 * WIDE];
    UNROLL for (int i = 0; i < count * wide; i++) z[i] = splat(b[i / wide]);
    for (ptrdiff_t p = 0; p < k; p++, w += ld, x += ldx)
        UNROLL for (int i = 0; i < count * wide; i++)
            z[i] = v_fma(splat(w[i / wide]), load(x + i % wide * LANES), z[i]);
    activate_side(count * wide, kind, (real)row->act.slope, z);
    UNROLL for (int i = 0; i < count * wide; i++) store(y + i / wide * ldx + i % wide * LANES, z[i]);
}

/* Batches of at most one 64-byte block, `wide` vectors of it: no tiles to choose, which is what a step of so small a
 * net would spend its time on. Outputs go by twos where that fits SIDE: half the loops and constants, 0.9 of the time
 * of a step of 4-8-8-3 with eight samples. In double precision, whose series are longer, registers run out: 2-2-1 took
 * 1.06, before it went by tiny.h. */
INLINE void narrow_forward_block(const int wide, const struct row *row)
{
    const ptrdiff_t n = row->n;
    const int kind = row->act.kind;
    ptrdiff_t j = 0;
    for (; REAL_BITS == 32 && 2 * wide <= SIDE && j < n - 1; j += 2) narrow_forward_outputs(wide, 2, kind, row, j, 0);
    for (; j < n; j++) narrow_forward_outputs(wide, 1, kind, row, j, 0);
    if (is_late(kind)) activate_runs(row, 0, n, row->ldx, wide * LANES);
}

/* The product of so few inputs is done while the divider is busy with the quotients of tanh or sigmoid: a step of
 * 2-16-8-1 with 400 samples takes 0.95 of the time so. More inputs, whose sums wait for each other, take longer so than
 * by tiles: 400 x 4 x 16 1.03, 400 x 16 x 16 1.1. */
enum { SHALLOW = VECTOR_BYTES == 64 ? 2 : 0 };
INLINE int is_shallow(const struct row *row)
{
    return SHALLOW > 0 && row->k <= SHALLOW && (row->act.kind == TANH || row->act.kind == SIGMOID);
}

/* Blocks of samples, each a vector: SIDE of them, and at the end two or twice two, or one that is all there is. */
INLINE void narrow_forward_shallow(const int kind, const struct row *row, ptrdiff_t m)
{
    const ptrdiff_t lanes = whole(m);
    for (ptrdiff_t j = 0; j < row->n; j++) {
        ptrdiff_t i = 0;
        for (; lanes - i >= SIDE * LANES && lanes - i != (SIDE + 1) * LANES; i += SIDE * LANES)
            narrow_forward_outputs(SIDE, 1, kind, row, j, i);
        for (; lanes - i >= 2 * LANES; i += 2 * LANES) narrow_forward_outputs(2, 1, kind, row, j, i);
        if (i < lanes) narrow_forward_outputs(1, 1, kind, row, j, i);
    }
}
APART void narrow_forward_tanh(const struct row *row, ptrdiff_t m) { narrow_forward_shallow(TANH, row, m); }
APART void narrow_forward_sigmoid(const struct row *row, ptrdiff_t m) { narrow_forward_shallow(SIGMOID, row, m); }

APART void narrow_forward_blocks(const struct row *row, ptrdiff_t m)
{
    if (is_shallow(row)) {
        if (row->act.kind == TANH) narrow_forward_tanh(row, m);
        else narrow_forward_sigmoid(row, m);
        return;
    }
    const real *W = row->W;
    struct product p = {
        .a = W, .rs = 1, .cs = row->ld,
        .b = row->X, .ldb = row->ldx, .depth = row->k,
        .c = row->Y, .ldc = row->ldx,
        .from = PER_ROW, .start = W + row->k * row->ld, .finish = ACTIVATE, .act = row->act,
    };
    multiply(&p, 0, row->n, whole(m), IN_PLACE, 0, NULL);
    if (is_long(row->act.kind)) activate_runs(row, 0, row->n, row->ldx, whole(m));
}

INLINE void narrow_backward_block(const int wide, const struct row *row)
{
    const ptrdiff_t k = row->k, n = row->n, ld = row->ld, ldx = row->ldx;
    const int kind = row->act_below.kind;
    const real slope = (real)row->act_below.slope, *X = row->X, *W = row->W, *D = row->D;
    real *Dx = row->Dx;
    for (ptrdiff_t i = 0; i < k; i++, W += ld, X += ldx, Dx += ldx)
        UNROLL for (int v = 0; v < wide; v++) {
            const real *d = D + v * LANES;
            vec sum = splat(0);
            for (ptrdiff_t p = 0; p < n; p++, d += ldx) sum = v_fma(splat(W[p]), load(d), sum);
            store(Dx + v * LANES, derive(kind, slope, load(X + v * LANES), sum));
        }
    if (is_late(kind)) derive_runs(row, 0, k, ldx, wide * LANES);
}

/* One output, as many networks end: tiles would do next to nothing each. 400 x 8 x 1 takes 0.5 to 0.75 of the time so,
 * a step of 2-16-8-1 0.985. */
INLINE void narrow_backward_rows(const int kind, const struct row *row, ptrdiff_t m)
{
    const ptrdiff_t k = row->k, ld = row->ld, ldx = row->ldx, lanes = whole(m);
    const real slope = (real)row->act_below.slope, *w = row->W, *x = row->X, *d = row->D;
    real *dx = row->Dx;
    for (ptrdiff_t i = 0; i < k; i++, w += ld, x += ldx, dx += ldx)
        for (ptrdiff_t j = 0; j < lanes; j += LANES)
            store(dx + j, derive(kind, slope, load(x + j), v_fma(splat(*w), load(d + j), splat(0))));
}

APART void narrow_backward_single(const struct row *row, ptrdiff_t m)
{
    switch (row->act_below.kind) {
    case RELU: narrow_backward_rows(RELU, row, m); break;
    case LEAKY_RELU: narrow_backward_rows(LEAKY_RELU, row, m); break;
    case SIGMOID: narrow_backward_rows(SIGMOID, row, m); break;
    case TANH: narrow_backward_rows(TANH, row, m); break;
    default: narrow_backward_rows(LINEAR, row, m);
    }
}

APART void narrow_backward_tiles(const struct row *row, ptrdiff_t m)
{
    struct product p = {
        .a = row->W, .rs = row->ld, .cs = 1,
        .b = row->D, .ldb = row->ldx, .depth = row->n,
        .c = row->Dx, .ldc = row->ldx,
        .finish = DERIVATIVE, .act = row->act_below, .y = row->X,
    };
    multiply(&p, 0, row->k, whole(m), IN_PLACE, 0, NULL);
}

APART void narrow_backward_blocks(const struct row *row, ptrdiff_t m)
{
    if (row->n == 1) narrow_backward_single(row, m);
    else narrow_backward_tiles(row, m);
    if (is_late(row->act_below.kind)) derive_runs(row, 0, row->k, row->ldx, whole(m));
}

/* Sums over samples that come stretch by stretch: which part of them a stretch is. */
enum part { FIRST = 1, LAST = 2 };

/* sums[i][j] of blocks of lanes, by rows. Apart: a copy in every tile of dots makes the wheel larger and steps of
 * 2-16-8-1 no faster. */
APART void fold_blocks(const real *blocks, int rows, int columns, real (*sums)[NARROW])
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++, blocks += BLOCK) {
            vec s[WIDE];
            UNROLL for (int w = 0; w < WIDE; w++) s[w] = load(blocks + w * LANES);
            sums[i][j] = block_sum(s);
        }
}

/* sums[i][j] = sum over the lanes of X(i) D(j), for MI x MJ pairs: at the last stretch, before it the lanes are kept, a
 * 64-byte block each, in kept[i * across + j * BLOCK]. */
INLINE void dots(const int MI, const int MJ, const real *X, const real *D, ptrdiff_t ld, ptrdiff_t lanes, int part,
                 real *kept, ptrdiff_t across, real (*sums)[NARROW])
{
    real blocks[5 * 4 * BLOCK] __attribute__((aligned(BLOCK_BYTES)));
    UNROLL for (int w = 0; w < WIDE; w++) {
        vec acc[5][4];
        UNROLL for (int i = 0; i < MI; i++)
            UNROLL for (int j = 0; j < MJ; j++)
                acc[i][j] = part & FIRST ? splat(0) : load(kept + i * across + j * BLOCK + w * LANES);
        for (ptrdiff_t l = w * LANES; l < lanes; l += BLOCK) {
            vec d[4];
            UNROLL for (int j = 0; j < MJ; j++) {
                d[j] = load(D + j * ld + l);
                if (MI > 1) IN_REGISTER(d[j]); /* GCC 12 would read some of them MI times */
            }
            UNROLL for (int i = 0; i < MI; i++) {
                const vec x = load(X + i * ld + l);
                UNROLL for (int j = 0; j < MJ; j++) acc[i][j] = v_fma(x, d[j], acc[i][j]);
            }
        }
        UNROLL for (int i = 0; i < MI; i++)
            UNROLL for (int j = 0; j < MJ; j++)
                if (part & LAST) store(blocks + (i * MJ + j) * BLOCK + w * LANES, acc[i][j]);
                else store(kept + i * across + j * BLOCK + w * LANES, acc[i][j]);
    }
    if (part & LAST) fold_blocks(blocks, MI, MJ, sums);
}

typedef void (*dots_function)(const real *X, const real *D, ptrdiff_t ld, ptrdiff_t lanes, int part, real *kept,
                              ptrdiff_t across, real (*sums)[NARROW]);
#define DOTS(MI, MJ)                                                                                                   \
    static void dots_##MI##x##MJ(const real *X, const real *D, ptrdiff_t ld, ptrdiff_t lanes, int part, real *kept,    \
                                 ptrdiff_t across, real (*sums)[NARROW])                                               \
    {                                                                                                                  \
        dots(MI, MJ, X, D, ld, lanes, part, kept, across, sums);                                                       \
    }
#define DOTS_UP_TO_2(MI) DOTS(MI, 1) DOTS(MI, 2)
DOTS_UP_TO_2(1) DOTS_UP_TO_2(2) DOTS_UP_TO_2(4) DOTS_UP_TO_2(5)
DOTS(1, 4) DOTS(2, 4)
#if ACCUMULATORS >= 24
DOTS_UP_TO_2(3)
DOTS(3, 4) DOTS(4, 4) DOTS(5, 4)
#endif
#undef DOTS_UP_TO_2
#undef DOTS
static const int ACROSS[] = {4, 2, 1};
static const dots_function DOT_TILES[][COUNT(ACROSS)] = {
    {dots_1x4, dots_1x2, dots_1x1}, {dots_2x4, dots_2x2, dots_2x1}, {IF_24(dots_3x4), IF_24(dots_3x2), IF_24(dots_3x1)},
    {IF_24(dots_4x4), dots_4x2, dots_4x1}, {IF_24(dots_5x4), dots_5x2, dots_5x1}};

/* By fours, but the row of ones, the last, is not left alone, whose few sums would wait for each other: 400 x 2 x 16
 * takes 0.5 (double precision) to 0.8 of the time so. With few registers, three by two are as few. */
INLINE ptrdiff_t dots_height(ptrdiff_t left)
{
    if (ACCUMULATORS < 24 && left == 3) return 2;
    if (ACCUMULATORS >= 24 && left == 6) return 3;
    return left <= 5 ? left : 4;
}

/* `count` columns of the target from j on, of which the layer may have fewer: a vector of sums a row. The lanes of D
 * from m on are zero: folds that would only add zeros are left out. */
INLINE void narrow_update_columns(const int wide, const int count, const struct row *row, ptrdiff_t j, ptrdiff_t m,
                                  real alpha, real beta)
{
    const ptrdiff_t k = row->k, n = row->n - j, ld = row->ld, ldx = row->ldx;
    const real *x = row->X, *D = (const real *)row->D + j * ldx;
    real *target = (real *)row->target + j;
    const mask valid = lanes_below(0, n);
    const int plain = beta == 1;
    for (ptrdiff_t i = 0; i <= k; i++, x += ldx, target += ld) {
        vec sums[16];
        UNROLL for (int c = 0; c < count; c++) {
            vec part[WIDE];
            if (c < n)
                UNROLL for (int w = 0; w < wide; w++) part[w] = load(x + w * LANES) * load(D + c * ldx + w * LANES);
            else UNROLL for (int w = 0; w < wide; w++) part[w] = splat(0);
            sums[c] = block_fold(wide, part);
        }
        store(target, accumulate_in_turn(plain, alpha, v_and(valid, lane_sums(count, sums, m)), beta, target));
    }
}

INLINE void narrow_update_block(const int wide, const struct row *row, ptrdiff_t m, real alpha, real beta)
{
    for (ptrdiff_t j = 0; j < row->n; j += LANES) {
        const ptrdiff_t n = row->n - j;
        if (n == 1) narrow_update_columns(wide, 1, row, j, m, alpha, beta);
        else if (n == 2 || LANES == 2) narrow_update_columns(wide, 2, row, j, m, alpha, beta);
        else if (n <= 4 || LANES == 4) narrow_update_columns(wide, 4, row, j, m, alpha, beta);
        else if (n <= 8 || LANES == 8) narrow_update_columns(wide, 8, row, j, m, alpha, beta);
        else narrow_update_columns(wide, 16, row, j, m, alpha, beta);
    }
}

/* Sums of the parameters, (k + 1, NARROW), a span's at a time added up. */
typedef real narrow_sums[NARROW + 1][NARROW] __attribute__((aligned(BLOCK_BYTES)));

/* Where a step keeps them: behind the lanes. */
INLINE real (*narrow_sums_of(const struct row *row))[NARROW]
{
    return (real(*)[NARROW])((real *)row->kept + (row->k + 1) * row->n * BLOCK);
}

/* Those over m samples, a stretch of all: added to `sums` at the last one of a span, stored there in the first span.
 * Nothing is kept, which may be NULL, where a stretch is both FIRST and LAST. */
APART void narrow_sum(const struct row *row, ptrdiff_t m, int part, int first_span, real *kept, real (*sums)[NARROW])
{
    const real *X = row->X, *D = row->D;
    const ptrdiff_t ld = row->ldx, lanes = whole(m), across = row->n * BLOCK;
    real some[5][NARROW] __attribute__((aligned(BLOCK_BYTES))) = {{0}};
    for (ptrdiff_t i = 0, height; i <= row->k; i += height) {
        height = dots_height(row->k + 1 - i);
        const dots_function *tiles = DOT_TILES[height - 1];
        for (ptrdiff_t j = 0, b = 0; j < row->n; j += ACROSS[b]) {
            while (ACROSS[b] > row->n - j || !tiles[b]) b++;
            tiles[b](X + i * ld, D + j * ld, ld, lanes, part, kept ? kept + i * across + j * BLOCK : NULL, across,
                     (real(*)[NARROW])(some[0] + j));
        }
        for (int r = 0; part & LAST && r < height; r++)
            for (ptrdiff_t j = 0; j < row->ld; j += LANES) {
                vec sum = load(some[r] + j);
                if (!first_span) sum += load(sums[i + r] + j);
                store(sums[i + r] + j, sum);
            }
    }
}

static void narrow_add(const struct row *row, real (*sums)[NARROW], real alpha, real beta)
{
    real *target = row->target;
    for (ptrdiff_t i = 0; i <= row->k; i++, target += row->ld)
        for (ptrdiff_t j = 0; j < row->ld; j += LANES)
            store(target + j, accumulate(alpha, load(sums[i] + j), beta, target + j));
}

static void narrow_update_spans(const struct row *row, ptrdiff_t m, real alpha, real beta)
{
    narrow_sums sums;
    struct row part = *row;
    for (ptrdiff_t i = 0; i < m; i += SPAN) {
        part.X = (const real *)row->X + i, part.D = (real *)row->D + i;
        narrow_sum(&part, m - i < SPAN ? m - i : SPAN, FIRST | LAST, i == 0, NULL, sums);
    }
    narrow_add(row, sums, alpha, beta);
}

static void narrow_forward(const struct row *row, ptrdiff_t m)
{
    if (m <= LANES) narrow_forward_block(1, row);
    else if (m <= BLOCK) narrow_forward_block(WIDE, row);
    else narrow_forward_blocks(row, m);
}

static void narrow_backward(const struct row *row, ptrdiff_t m)
{
    if (m <= LANES) narrow_backward_block(1, row);
    else if (m <= BLOCK) narrow_backward_block(WIDE, row);
    else narrow_backward_blocks(row, m);
}

static void narrow_update(const struct row *row, ptrdiff_t m, double alpha, double beta)
{
    if (m <= LANES) narrow_update_block(1, row, m, (real)alpha, (real)beta);
    else if (m <= BLOCK) narrow_update_block(WIDE, row, m, (real)alpha, (real)beta);
    else narrow_update_spans(row, m, (real)alpha, (real)beta);
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
    for (ptrdiff_t i = m; i < whole(m); i++) /* what is there has been a sample of other weights */
        for (ptrdiff_t j = 0; j < width; j++) columns[j * ld + i] = columns[j * ld + m - 1];
}

#endif
