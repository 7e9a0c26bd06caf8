/* The product of operands that the near caches do not hold, or not as they lie, with long rows that share sets of them.
 *
 * Much is brought together first. A piece of the depth after the other, rows of A lie in slivers of SLIVER rows, and
 * columns of B in strips of two vectors, p slowest in both:
 *
 *     slivers: A(i + r, p) at (i * depth + p * SLIVER + r)    strips: B(p, j + l) at (j * depth + p * STRIP + l)
 *
 * so a tile reads both from one end to the other. A sliver stays in L1 while the strips pass by from L2, and the sums
 * go on in C from piece to piece.
 * 512 x 4096 x 4096 takes 0.93 to 0.95 of the time of panels and 6 x 4 tiles forward and backward, 0.81 in updates;
 * 256 x 1024 x 1024 the same and 0.92, on AVX2 0.92 and 0.87; but 64 x 1024 x 1024 1.05. That was with 32 KB of L1 and
 * rows a power of two apart: where L1 is large, dense.h comes here for updates, and forward
 * where W is large or its rows crowd a few sets of L2.
 */
#ifndef FUSEDELTA_PACKED_H
#define FUSEDELTA_PACKED_H

#include "product.h"

enum { SLIVER = ACCUMULATORS / 2, STRIP = 2 * LANES };

INLINE int is_far(ptrdiff_t stride) { return stride * (ptrdiff_t)sizeof(real) >= FAR_BYTES; }
INLINE int is_very_far(ptrdiff_t stride) { return is_far(stride / 2); }

/* Rows i..i + SLIVER - 1 and one strip of C, or the half that is left where a block is no more. Functions of their own,
 * so that the compiler keeps nothing but sums in registers. */
typedef void (*strip_function)(const struct product *p, ptrdiff_t i);
#define STRIP_FOR(finish, NV)                                                                                          \
    APART void finish##_strip_##NV(const struct product *p, ptrdiff_t i) { tile(SLIVER, NV, finish, 1, p, i); }
#if BLOCK_BYTES < 2 * VECTOR_BYTES
#define STRIPS_FOR(finish) STRIP_FOR(finish, 1) STRIP_FOR(finish, 2)
#define HALF(f) f
#else
#define STRIPS_FOR(finish) STRIP_FOR(finish, 2)
#define HALF(f) NULL
#endif
STRIPS_FOR(ACTIVATE) STRIPS_FOR(DERIVATIVE) STRIPS_FOR(ACCUMULATE)
static const strip_function STRIPS[][2] = {[ACTIVATE] = {ACTIVATE_strip_2, HALF(ACTIVATE_strip_1)},
                                           [DERIVATIVE] = {DERIVATIVE_strip_2, HALF(DERIVATIVE_strip_1)},
                                           [ACCUMULATE] = {ACCUMULATE_strip_2, HALF(ACCUMULATE_strip_1)}};
#undef STRIP_FOR
#undef STRIPS_FOR
#undef HALF

/* Rows i..i + SLIVER - 1 of C, all of whose columns are in strips. */
static void run_strips(struct product p, ptrdiff_t i, ptrdiff_t columns)
{
    for (; columns >= STRIP; columns -= STRIP) {
        STRIPS[p.finish][0](&p, i);
        p.b += STRIP * p.depth, advance(&p, STRIP);
    }
    if (columns > 0) STRIPS[p.finish][1](&p, i);
}

/* Rows first..last-1, which are in no sliver, of A as it lies; strips are as wide as the last panels but one. */
static void run_rest(struct product p, ptrdiff_t first, ptrdiff_t last, ptrdiff_t columns)
{
    for (int w = NARROWEST - 1; first < last && columns > 0; columns -= p.ldb) {
        w = fitting(w, columns);
        p.ldb = WIDTHS[w] * LANES;
        run_rows(&p, first, last, w);
        p.b += p.ldb * p.depth, advance(&p, p.ldb);
    }
}

/* `rows` of A in slivers. Samples by squares, which are transposed: a vector may reach beyond its row of the sliver,
 * into what is written next. */
static void pack_samples(const struct product *p, ptrdiff_t rows, real *restrict to)
{
    enum { SQUARES = (SLIVER + LANES - 1) / LANES };
    for (ptrdiff_t i = 0; i < rows; i += SLIVER) {
        const real *a = p->a + i * p->rs;
        ptrdiff_t q = 0;
        for (; p->depth - q >= LANES; q += LANES, to += SLIVER * LANES) {
            vec x[SQUARES][LANES];
            UNROLL for (int s = 0; s < SQUARES; s++) {
                UNROLL for (int l = 0; l < LANES; l++)
                    x[s][l] = s * LANES + l < SLIVER ? load_loose(a + (s * LANES + l) * p->rs + q) : splat(0);
                transpose_square(x[s]);
            }
            UNROLL for (int l = 0; l < LANES; l++)
                UNROLL for (int s = 0; s < SQUARES; s++) store_loose(to + l * SLIVER + s * LANES, x[s][l]);
        }
        for (; q < p->depth; q++, to += SLIVER)
            UNROLL for (int r = 0; r < SLIVER; r++) to[r] = a[r * p->rs + q];
    }
}

/* The same where rows of A are features: some slivers at a time walk along each sample, and ask for those to come. */
static void pack_features(const struct product *p, ptrdiff_t rows, real *restrict to)
{
    enum { GROUP = 8 * SLIVER, AHEAD = 8 };
    for (ptrdiff_t i = 0, count; i < rows; i += count, to += count * p->depth) {
        count = rows - i < GROUP ? rows - i : GROUP;
        for (ptrdiff_t q = 0; q < p->depth; q++) {
            const real *a = p->a + q * p->cs + i;
            for (ptrdiff_t j = 0; j < count; j += BLOCK) __builtin_prefetch(a + AHEAD * p->cs + j);
            for (ptrdiff_t j = 0; j < count; j += SLIVER)
                memcpy(to + j * p->depth + q * SLIVER, a + j, SLIVER * sizeof(real));
        }
    }
}

/* B in strips. Where it is not transposed, some strips at a time walk along each row, and ask for those to come. */
static void pack_strips(const struct product *p, ptrdiff_t columns, enum source source, ptrdiff_t valid,
                        real *restrict to)
{
    enum { GROUP = 4 * STRIP, AHEAD = 4 };
    const ptrdiff_t depth = p->depth, ld = p->ldb;
    for (ptrdiff_t j = 0, width; j < columns && source == TRANSPOSED; j += width) {
        width = columns - j < STRIP ? columns - j : STRIP;
        transpose(p->b + j * ld, ld, depth, width, valid - j, to + j * depth);
    }
    for (ptrdiff_t j = 0, width; j < columns && source == IN_PLACE; j += width) {
        width = columns - j < GROUP ? columns - j : GROUP;
        const ptrdiff_t half = width % STRIP, whole = width - half;
        for (ptrdiff_t q = 0; q < depth; q++) {
            const real *b = p->b + q * ld + j;
            real *t = to + j * depth + q * STRIP;
            for (ptrdiff_t s = 0; s < whole; s += STRIP, t += STRIP * depth) {
                UNROLL for (int v = 0; v < 2; v += WIDE) __builtin_prefetch(b + AHEAD * ld + s + v * LANES);
                copy_vectors(2, b + s, 0, 1, 0, t);
            }
            if (half) copy_vectors(1, b + whole, 0, 1, 0, to + (j + whole) * depth + q * LANES);
        }
    }
}

/* Rows first..last-1 and all `columns` of C. B is IN_PLACE or, `valid` rows of W, to be TRANSPOSED. An update's pieces
 * are its chunks; if it has `sums`, they are as a row of C that met ones in A: beta sums + alpha column sums of B.
 * Scratch: a piece of min(rows, SLIVERS_BYTES / bytes of a piece of a row) rows, min(STRIPS_BYTES, pieces of all
 * columns) and 4096 bytes. */
static void multiply_packed(const struct product *whole, ptrdiff_t first, ptrdiff_t last, ptrdiff_t columns,
                            enum source source, ptrdiff_t valid, real *sums, real *scratch)
{
    static const real one = 1;
    const ptrdiff_t size = sizeof(real), longest = whole->finish == ACCUMULATE ? whole->chunk : PIECE_BYTES / size;
    const ptrdiff_t piece = whole->depth < longest ? whole->depth : longest;
    const ptrdiff_t most_rows = SLIVERS_BYTES / size / piece / SLIVER * SLIVER;
    const ptrdiff_t strips_bytes = last - first < MANY_ROWS ? STRIPS_BYTES / 4 : STRIPS_BYTES;
    const ptrdiff_t most_columns = strips_bytes / size / piece / STRIP * STRIP;
    for (ptrdiff_t i = first, rows; i < last; i += rows, sums = NULL) {
        rows = last - i < most_rows ? last - i : most_rows;
        real *slivers = scratch, *strips = slivers + (rows * piece + BLOCK) / BLOCK * BLOCK + BLOCK;
        for (ptrdiff_t q = 0, depth; q < whole->depth; q += depth) {
            depth = whole->depth - q < piece ? whole->depth - q : piece;
            struct product p = *whole;
            p.depth = depth, p.far = 1;
            p.a += i * p.rs + q * p.cs, p.c += i * p.ldc;
            if (p.finish == DERIVATIVE) p.y += i * p.ldc;
            if (q > 0) p.from = ONWARD, p.beta = 1;
            if (q + depth < whole->depth) p.act.kind = LINEAR;
            const ptrdiff_t rest = rows / SLIVER * SLIVER;
            if (p.finish == ACCUMULATE)
                pack_features(&p, rest, slivers);
            else
                pack_samples(&p, rest, slivers);
            for (ptrdiff_t j = 0, width; j < columns; j += width) {
                width = columns - j < most_columns ? columns - j : most_columns;
                struct product part = p;
                part.b += source == TRANSPOSED ? j * p.ldb + q : q * p.ldb + j;
                advance(&part, j);
                pack_strips(&part, width, source, valid - j, strips);
                part.b = strips;
                run_rest(part, rest, rows, width);
                part.a = slivers;
                for (ptrdiff_t r = 0; r < rest; r += SLIVER) run_strips(part, r, width);
                if (!sums) continue;
                part.a = &one, part.cs = 0, part.c = sums + j;
                run_rest(part, 0, 1, width);
            }
        }
    }
}

/* All columns of few rows: bringing B together would not pay, but pieces are short, so that its rows, which lie far
 * from each other, are walked along. 32 x 512 x 512 takes 0.64 of the time so. Scratch: SHORT_PIECE bytes a row. */
static void multiply_few(const struct product *whole, ptrdiff_t first, ptrdiff_t last, ptrdiff_t columns, real *scratch)
{
    enum { PIECE = SHORT_PIECE / sizeof(real) };
    for (ptrdiff_t q = 0; q < whole->depth; q += PIECE) {
        struct product p = *whole;
        p.depth = whole->depth - q < PIECE ? whole->depth - q : PIECE;
        p.a = scratch, p.rs = p.depth;
        p.b += q * p.ldb, p.c += first * p.ldc;
        if (q > 0) p.from = ONWARD;
        if (q + PIECE < whole->depth) p.act.kind = LINEAR;
        copy(whole->a + first * whole->rs + q, whole->rs, last - first, p.depth, p.depth, scratch);
        multiply(&p, 0, last - first, columns, IN_PLACE, 0, NULL);
    }
}

#endif
