/* One matrix product with three uses: C(i, j) = finish(start(j) + sum over p of A(i, p) B(p, j)), p ascending.
 *
 *            A(i, p)           B(p, j)               C(i, j)
 * forward    X                 W                     Y  = act(b + sum)
 * backward   D                 W^T, panel by panel   Dx = sum * act_below'(X)
 * update     X^T, by strides   D                     target = beta target + alpha sum, per chunk of samples
 * and, feature-major (narrow.h), forward W^T X and backward W D.
 *
 * A tile of up to MR x NV vectors of C stays in registers while p runs. A is read one scalar at a time, so it may have
 * any strides (in an update rs = 1); B and C are read in aligned vectors, their columns a whole number of 64-byte
 * blocks. C aliases nothing.
 */
#ifndef FUSEDELTA_PRODUCT_H
#define FUSEDELTA_PRODUCT_H

#include <string.h>

#include "activations.h"

enum finish { ACTIVATE, DERIVATIVE, ACCUMULATE };
enum start { ZERO, PER_COLUMN, PER_ROW, ONWARD };
enum source { IN_PLACE, PACKED, TRANSPOSED };

struct asking;

struct product {
    const real *a;
    ptrdiff_t rs, cs; /* A(i, p) = a[i * rs + p * cs] */
    const real *b;
    ptrdiff_t ldb;
    ptrdiff_t depth; /* how far p runs */
    real *c;
    ptrdiff_t ldc;
    enum finish finish;
    enum start from;       /* sums start from zero, from C or, ACTIVATE alone, from start[j] or start[i] */
    const real *start;
    struct activation act; /* ACTIVATE (unless long), DERIVATIVE */
    const real *y;         /* DERIVATIVE: the activations, stride ldc */
    real alpha, beta;      /* ACCUMULATE ... */
    ptrdiff_t chunk;       /* ... so many samples at a time */
    int far;               /* C is in no near cache: tiles ask for theirs, or the next one's, in good time */
    struct asking *asking; /* ACCUMULATE: what else is asked for between some of the tiles, or NULL */
};

/* beta target + alpha sum; a target that beta = 0 discards is not read. */
INLINE vec accumulate(real alpha, vec sum, real beta, const real *target)
{
    if (beta == 0) return alpha * sum;
    vec old = load(target);
    if (beta != 1) old *= beta;
    return v_fma(splat(alpha), sum, old);
}

/* The same in a loop, which has seen before whether beta is 1, as it mostly is: `plain`. */
INLINE vec accumulate_in_turn(const int plain, real alpha, vec sum, real beta, const real *target)
{
    return plain ? v_fma(splat(alpha), sum, load(target)) : accumulate(alpha, sum, beta, target);
}

/* acc(r, v) += A(r) B(v) for one p. Where B's rows lie together, those to come are on their way from L2. */
INLINE void add(const int MR, const int NV, const int together, const real *a, ptrdiff_t rs, const real *b,
                vec (*acc)[8])
{
    if (together) {
        UNROLL for (int v = 0; v < NV; v += WIDE) __builtin_prefetch(b + (8 * NV + v) * LANES);
    }
    vec row[8];
    UNROLL for (int v = 0; v < NV; v++) row[v] = load(b + v * LANES);
    UNROLL for (int r = 0; r < MR; r++) {
        const vec x = splat(a[r * rs]);
        UNROLL for (int v = 0; v < NV; v++) acc[r][v] = v_fma(x, row[v], acc[r][v]);
    }
}

/* So many rows of a panel are in the nearest cache anyway. The others are asked for four rows before they are used:
 * forward, 256 x 256 x 256 takes 0.94 of the time so, 32 x 784 x 128 0.96. Backward, whose panels have just been
 * written, it makes no difference, and updates, whose chunks are short, take up to 1.1 times as long. */
enum { NEAR = 64 };

/* Rows i..i + MR - 1 and the first NV vectors of C. Operands brought together (packed.h) are read one after the other,
 * A by slivers of MR rows, B by strips of NV vectors. */
INLINE void tile(const int MR, const int NV, const enum finish finish, const int together, const struct product *p,
                 ptrdiff_t i)
{
    vec acc[12][8]; /* the largest tile: what is not used is never there */
    UNROLL for (int r = 0; r < MR; r++)
        UNROLL for (int v = 0; v < NV; v++)
            acc[r][v] = p->from == ZERO || finish == ACCUMULATE                 ? splat(0)
                        : p->from == PER_COLUMN && finish == ACTIVATE           ? load(p->start + v * LANES)
                        : p->from == PER_ROW && finish == ACTIVATE && !together ? splat(p->start[i + r])
                                                            : load(p->c + (i + r) * p->ldc + v * LANES);

    const ptrdiff_t rs = together || finish == ACCUMULATE ? 1 : p->rs;
    const ptrdiff_t cs = together ? MR : p->cs, ldb = together ? NV * LANES : p->ldb;
    const real *a = p->a + i * (together ? p->depth : rs), *b = p->b;
    ptrdiff_t q = p->depth;
    if (MR * NV == ACCUMULATORS && (together || finish == ACCUMULATE) && p->far) {
        const real *c = p->c + i * p->ldc + (finish == ACCUMULATE ? 0 : NV * LANES);
        const int step = together ? WIDE : 1; /* by lines the compiler would spill AVX2's other tiles */
        for (int r = 0; r < MR && q >= 2 * NV; r++, c += p->ldc)
            for (int v = 0; v < NV; v += step, q -= 2) { /* not all at once: what the loop itself reads would wait */
                __builtin_prefetch(c + v * LANES, 1);
                UNROLL for (int twice = 0; twice < 2; twice++, a += cs, b += ldb) add(MR, NV, together, a, rs, b, acc);
            }
    }
    if (finish == ACTIVATE && !together && MR * NV == ACCUMULATORS)
        for (; q > NEAR; q--, a += cs, b += ldb) {
            UNROLL for (int v = 0; v < NV; v += WIDE) __builtin_prefetch(b + 4 * ldb + v * LANES);
            add(MR, NV, 0, a, rs, b, acc);
        }
    for (; q > 0; q--, a += cs, b += ldb) add(MR, NV, together, a, rs, b, acc);

#define EACH(result)                                                                                                   \
    UNROLL for (int r = 0; r < MR; r++) UNROLL for (int v = 0; v < NV; v++)                                            \
    {                                                                                                                  \
        const ptrdiff_t at = (i + r) * p->ldc + v * LANES;                                                             \
        store(p->c + at, result);                                                                                      \
    }
    const int kind = p->act.kind;
    const real slope = (real)p->act.slope;
    switch (finish) {
    case ACTIVATE:
        if (kind == RELU) EACH(activate(RELU, slope, acc[r][v]))
        else if (kind == LEAKY_RELU) EACH(activate(LEAKY_RELU, slope, acc[r][v]))
        else EACH(acc[r][v])
        break;
    case DERIVATIVE:
        switch (kind) {
        case RELU: EACH(derive(RELU, slope, load(p->y + at), acc[r][v])) break;
        case LEAKY_RELU: EACH(derive(LEAKY_RELU, slope, load(p->y + at), acc[r][v])) break;
        case SIGMOID: EACH(derive(SIGMOID, slope, load(p->y + at), acc[r][v])) break;
        case TANH: EACH(derive(TANH, slope, load(p->y + at), acc[r][v])) break;
        default: EACH(acc[r][v])
        }
        break;
    case ACCUMULATE:
        if (p->beta == 1) EACH(v_fma(splat(p->alpha), acc[r][v], load(p->c + at))) /* accumulate's cases, tested once */
        else if (p->beta == 0) EACH(p->alpha * acc[r][v])
        else EACH(accumulate(p->alpha, acc[r][v], p->beta, p->c + at))
        break;
    }
#undef EACH
}

/* Rows i.. as long as MR are left, and the first NV vectors of C; returns the row it stopped at. A copy of the
 * product, which stores to C cannot change, saves 2 to 5 % of the time on AVX-512; on AVX2 DERIVATIVE's many cases
 * spill it, and take 1.1 times as long. */
INLINE ptrdiff_t tiles(const int MR, const int NV, const enum finish finish, const struct product *whole, ptrdiff_t i,
                       ptrdiff_t last)
{
    const struct product mine = *whole, *p = finish == DERIVATIVE && ACCUMULATORS < 24 ? whole : &mine;
    for (; last - i >= MR; i += MR) tile(MR, NV, finish, 0, p, i);
    return i;
}

/* Every tile that fits the registers: TILE(rows, vectors). */
typedef ptrdiff_t (*tile_function)(const struct product *, ptrdiff_t i, ptrdiff_t last);
#define TILE_FOR(finish, MR, NV)                                                                                       \
    static ptrdiff_t finish##_##MR##x##NV(const struct product *p, ptrdiff_t i, ptrdiff_t last)                        \
    {                                                                                                                  \
        return tiles(MR, NV, finish, p, i, last);                                                                      \
    }
#define TILE(MR, NV) TILE_FOR(ACTIVATE, MR, NV) TILE_FOR(DERIVATIVE, MR, NV) TILE_FOR(ACCUMULATE, MR, NV)
TILE(1, 1) TILE(2, 1) TILE(4, 1) TILE(6, 1) TILE(12, 1)
TILE(1, 2) TILE(2, 2) TILE(4, 2) TILE(6, 2)
TILE(1, 4) TILE(2, 4)
TILE(1, 8)
#if ACCUMULATORS >= 24
TILE(12, 2)
TILE(4, 4) TILE(6, 4)
TILE(2, 8)
#define IF_24(f) f
#else
#define IF_24(f) NULL
#endif
#undef TILE
TILE_FOR(ACTIVATE, 3, 1) TILE_FOR(ACTIVATE, 3, 2) TILE_FOR(ACTIVATE, 3, 4)
#undef TILE_FOR

static const int HEIGHTS[] = {12, 6, 4, 3, 2, 1};
enum { THREE = 3 }; /* its place */
static const int WIDTHS[] = {8, 4, 2, 1};
enum { NARROWEST = COUNT(WIDTHS) - 1 };
#define TABLE(f, IF_3)                                                                                                 \
    {                                                                                                                  \
        {NULL, NULL, NULL, NULL, IF_24(f##_2x8), f##_1x8},                                                             \
        {NULL, IF_24(f##_6x4), IF_24(f##_4x4), IF_3(f##_3x4), f##_2x4, f##_1x4},                                       \
        {IF_24(f##_12x2), f##_6x2, f##_4x2, IF_3(f##_3x2), f##_2x2, f##_1x2},                                          \
        {f##_12x1, f##_6x1, f##_4x1, IF_3(f##_3x1), f##_2x1, f##_1x1},                                                 \
    }
#define YES(f) f
#define NO(f) NULL
static const tile_function TILES[][COUNT(WIDTHS)][COUNT(HEIGHTS)] = {
    [ACTIVATE] = TABLE(ACTIVATE, YES), [DERIVATIVE] = TABLE(DERIVATIVE, NO), [ACCUMULATE] = TABLE(ACCUMULATE, NO)};
#undef YES
#undef NO
#undef TABLE

/* The widest panel worth its registers: few rows want many columns, so that enough sums run side by side. */
INLINE int widest(ptrdiff_t rows)
{
    if (rows < (ACCUMULATORS >= 24 ? 3 : 2)) return 0;
    return rows < 4 || ACCUMULATORS >= 24 ? 1 : 2;
}

/* The first width from w on that fits into so many columns. */
INLINE int fitting(int w, ptrdiff_t columns)
{
    while (WIDTHS[w] * LANES > columns) w++;
    return w;
}

/* A thread's part of the next batch, which is asked for line by line, some of them every ASK_ROWS rows of a panel:
 * tiles that ask would spill. A step of 784-128-64-10 with 32 samples takes 0.95 to 0.98 of the time so, by descent or
 * by Adam, the more the busier memory is; with 128 samples, or on AVX2, 0.99 to 1.00. */
struct asking {
    const struct coming *coming;
    ptrdiff_t sample, last; /* where it is, and where it ends */
    ptrdiff_t at;           /* bytes into that sample */
    ptrdiff_t lines;        /* at a time */
};
enum { ASK_ROWS = 96 }; /* whole tiles */

/* For an update of so many elements. */
INLINE struct asking asking_for(const struct share *share, ptrdiff_t elements)
{
    const struct coming *coming = share->coming;
    struct asking asking = {
        .coming = coming,
        .sample = coming->m * share->thread / share->threads,
        .last = coming->m * (share->thread + 1) / share->threads,
    };
    const ptrdiff_t chunks = (share->m + CHUNK - 1) / CHUNK;
    const ptrdiff_t times = elements / (ASK_ROWS * WIDTHS[widest(ASK_ROWS)] * LANES) * chunks + 1;
    const ptrdiff_t lines = (asking.last - asking.sample) * (coming->bytes / BLOCK_BYTES + 1);
    asking.lines = lines / times + 1;
    return asking;
}

/* Into L2: L1 has other things to hold. */
static void ask(struct asking *asking)
{
    const struct coming *coming = asking->coming;
    for (ptrdiff_t l = asking->lines; l > 0 && asking->sample < asking->last; l--) {
        const ptrdiff_t sample = coming->order ? coming->order[asking->sample] : asking->sample;
        __builtin_prefetch(coming->X + sample * coming->bytes + asking->at, 0, 2);
        asking->at += BLOCK_BYTES;
        if (asking->at >= coming->bytes) asking->at = 0, asking->sample++;
    }
}

/* One panel: all rows, the vectors of width WIDTHS[w]. One or two rows take as long as four: 8 are 4 + 4, and not
 * 6 + 2, 7 are 4 + 3. Forward, 32 x 64 x 64 takes 0.89 of the time so, 8 x 256 x 256 0.9, 3 x 256 x 256 0.53. */
static void run_rows(const struct product *p, ptrdiff_t first, ptrdiff_t last, int w)
{
    const tile_function *tall = TILES[p->finish][w];
    ptrdiff_t i = first;
    for (int h = 0; i < last; h++) {
        const ptrdiff_t left = last - i;
        if (!tall[h] || left < HEIGHTS[h]) continue;
        const ptrdiff_t rest = HEIGHTS[h] == 6 && left > 6 ? left % 6 : 0;
        const int uneven = rest == 2 || (rest == 1 && tall[THREE]);
        i = tall[h](p, i, uneven ? last - rest - 6 : last);
    }
}

/* The same for a sum over many samples, chunk after chunk onto C. */
static void run_chunks(struct product p, ptrdiff_t first, ptrdiff_t last, int w)
{
    for (ptrdiff_t left = p.depth; left > 0; left -= p.chunk) {
        p.depth = left < p.chunk ? left : p.chunk;
        if (!p.asking) run_rows(&p, first, last, w);
        else for (ptrdiff_t i = first; i < last; i += ASK_ROWS) {
            ask(p.asking);
            run_rows(&p, i, last - i < ASK_ROWS ? last : i + ASK_ROWS, w);
        }
        p.a += p.chunk * p.cs, p.b += p.chunk * p.ldb, p.beta = 1;
    }
}

/* B(0..depth-1, 0..columns-1) := the first `valid` rows of the panel of W transposed, zeros beyond; square by square,
 * so B is written up to the next whole vector of depth. */
static void transpose(const real *restrict w, ptrdiff_t ldw, ptrdiff_t depth, ptrdiff_t columns, ptrdiff_t valid,
                      real *restrict b)
{
    for (ptrdiff_t j = 0; j < columns; j += LANES)
        for (ptrdiff_t p = 0; p < depth; p += LANES) {
            vec x[LANES];
            UNROLL for (int l = 0; l < LANES; l++) x[l] = j + l < valid ? load(w + (j + l) * ldw + p) : splat(0);
            transpose_square(x);
            UNROLL for (int l = 0; l < LANES; l++) store(b + (p + l) * columns + j, x[l]);
        }
}

INLINE void copy_vectors(const int NV, const real *restrict from, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t stride,
                         real *restrict to)
{
    for (ptrdiff_t i = 0; i < rows; i++, from += ld, to += stride)
        UNROLL for (int v = 0; v < NV; v++) store_loose(to + v * LANES, load_loose(from + v * LANES));
}

/* to(0..rows-1, 0..columns-1), rows `stride` apart, := from, rows ld apart. */
static void copy(const real *restrict from, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t stride,
                 real *restrict to)
{
    enum { GROUP = UPDATE_BYTES / VECTOR_BYTES };
    if (columns == GROUP * LANES)
        copy_vectors(GROUP, from, ld, rows, stride, to);
    else if (columns == 4 * LANES)
        copy_vectors(4, from, ld, rows, stride, to);
    else if (columns == 2 * LANES)
        copy_vectors(2, from, ld, rows, stride, to);
    else
        for (ptrdiff_t i = 0; i < rows; i++)
            memcpy(to + i * stride, from + i * ld, (size_t)columns * sizeof(real));
}

/* All of B, panel after panel, each together, as `multiply` takes them for so many rows. */
static void pack(const real *from, ptrdiff_t ld, ptrdiff_t depth, ptrdiff_t columns, ptrdiff_t rows, real *b)
{
    int w = widest(rows);
    for (ptrdiff_t j = 0; j < columns; j += WIDTHS[w] * LANES) {
        w = fitting(w, columns - j);
        copy(from + j, ld, depth, WIDTHS[w] * LANES, WIDTHS[w] * LANES, b + j * depth);
    }
}

/* On to the next columns. */
INLINE void advance(struct product *p, ptrdiff_t columns)
{
    p->c += columns;
    if (p->from == PER_COLUMN) p->start += columns;
    if (p->finish == DERIVATIVE) p->y += columns;
}

/* Rows first..last-1 beyond these columns := 0. */
static void clear_beyond(real *c, ptrdiff_t ld, ptrdiff_t columns, ptrdiff_t first, ptrdiff_t last)
{
    for (ptrdiff_t i = first; i < last && columns < ld; i++)
        memset(c + i * ld + columns, 0, (size_t)(ld - columns) * sizeof(real));
}

/* Rows first..last-1 and all `columns` of C, panel by panel. B as it lies, or PACKED before, or TRANSPOSED into
 * `panel` (depth, in whole blocks, times PANEL_BYTES) from `valid` rows of W, for backward. Uses p up. */
INLINE void multiply(struct product *p, ptrdiff_t first, ptrdiff_t last, ptrdiff_t columns, enum source source,
                     ptrdiff_t valid, real *panel)
{
    const real *b = p->b;
    const ptrdiff_t ldb = p->ldb;
    int w = widest(last - first);
    for (ptrdiff_t j = 0; j < columns; j += WIDTHS[w] * LANES) {
        w = fitting(w, columns - j);
        const ptrdiff_t width = WIDTHS[w] * LANES;
        if (source == TRANSPOSED)
            transpose(b + j * ldb, ldb, p->depth, width, valid - j, panel);
        if (source == IN_PLACE)
            p->b = b + j;
        else
            p->b = source == PACKED ? b + j * p->depth : panel, p->ldb = width;
        if (p->finish == ACCUMULATE)
            run_chunks(*p, first, last, w);
        else
            run_rows(p, first, last, w);
        advance(p, width);
    }
}

#endif
