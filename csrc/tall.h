/* A dense layer of a few outputs, taken by twos, and of more inputs than narrow nets have: how nets for one quantity or
 * two classes end, and all that there is of linear and logistic models. W lies transposed, (n, whole(k)), the bias
 * behind it, so that features are in the lanes and next to nothing is padding. Forward sums run in the lanes of 64-byte
 * blocks, folded, and then comes the bias. Where features are left beside whole blocks, the last BLOCK of them make
 * one, of which those count that are left: nothing beyond a sample is read. Updates keep a chain a feature, chunk after
 * chunk, some of them side by side. Beside tiles, forward 1000 x 30 x 1 takes 0.35 of the time so, 256 x 256 x 1 0.22,
 * updates 0.37 and 0.22; beside online.h, 1 x 1000 x 1 takes 0.04 and 0.35. On AVX2 0.33, 0.13; 0.27, 0.14; 0.04, 0.56.
 * (Backward, which is the product of tiles, 0.9 to 1, as W need not be transposed.) */
#ifndef FUSEDELTA_TALL_H
#define FUSEDELTA_TALL_H

#include "product.h"
#include "softmax.h"

/* sums[n][s] = the lanes of sample s times W(n), for S samples and N outputs: S N WIDE accumulators. */
INLINE void tall_folds(const int S, const int N, const struct row *row, const real *x, const real *w,
                       vec (*sums)[LANES])
{
    const ptrdiff_t k = row->k, ldx = row->ldx, ldw = whole(k), rest = k % BLOCK;
    vec part[8][2][WIDE];
    UNROLL for (int s = 0; s < S; s++)
        UNROLL for (int n = 0; n < N; n++)
            UNROLL for (int v = 0; v < WIDE; v++) part[s][n][v] = splat(0);
#define ADD_BLOCK(first, counted)                                                                                      \
    UNROLL for (int v = 0; v < WIDE; v++) {                                                                            \
        const ptrdiff_t j = (first) + v * LANES;                                                                       \
        vec weights[2];                                                                                                \
        UNROLL for (int n = 0; n < N; n++) weights[n] = load_loose(w + n * ldw + j);                                   \
        UNROLL for (int s = 0; s < S; s++) {                                                                           \
            const vec in = load_loose(x + s * ldx + j);                                                                \
            UNROLL for (int n = 0; n < N; n++) part[s][n][v] = v_fma(counted, weights[n], part[s][n][v]);              \
        }                                                                                                              \
    }
    for (ptrdiff_t at = 0; at < k - rest; at += BLOCK) ADD_BLOCK(at, in)
    if (rest) ADD_BLOCK(k - BLOCK, v_and(~lanes_below(v * LANES, BLOCK - rest), in))
#undef ADD_BLOCK
    UNROLL for (int s = 0; s < S; s++)
        UNROLL for (int n = 0; n < N; n++) sums[n][s] = block_fold(WIDE, part[s][n]);
}

/* Output n of samples i .. i + count - 1, from their sums without the bias. */
APART void tall_outputs(const struct row *row, ptrdiff_t n, ptrdiff_t i, int count, const vec *sums)
{
    const real *biases = (const real *)row->W + row->n * whole(row->k);
    real values[LANES] __attribute__((aligned(BLOCK_BYTES))), *to = (real *)row->Y + i * row->ld + n;
    vec y = *sums + biases[n];
    if (row->act.kind < SOFTMAX) activate_side(1, row->act.kind, (real)row->act.slope, &y);
    store(values, y);
    for (int l = 0; l < count; l++) to[l * row->ld] = values[l];
}

/* N outputs from `top` on, of samples i .. i + count - 1, at most LANES. */
INLINE void tall_samples(const int N, const struct row *row, ptrdiff_t top, ptrdiff_t i, int count)
{
    enum { MOST = ACCUMULATORS >= 24 ? 16 : 8 };
    const int fit = MOST / N / WIDE, S = fit > 8 ? 8 : fit > LANES ? LANES : fit > 0 ? fit : 1;
    const real *x = (const real *)row->X + i * row->ldx, *w = (const real *)row->W + top * whole(row->k);
    vec sums[2][LANES], some[2][LANES];
    if (count == 1) {
        tall_folds(1, N, row, x, w, some);
        UNROLL for (int n = 0; n < N; n++) some[n][0] = lane_sums(1, some[n], LANES);
        UNROLL for (int n = 0; n < N; n++) tall_outputs(row, top + n, i, 1, some[n]);
        return;
    }
    if (count < LANES) memset(sums, 0, sizeof sums);
    int s = 0;
    for (; count - s >= S; s += S) {
        tall_folds(S, N, row, x + s * row->ldx, w, some);
        UNROLL for (int n = 0; n < N; n++)
            UNROLL for (int t = 0; t < S; t++) sums[n][s + t] = some[n][t];
    }
    for (; s < count; s++) {
        tall_folds(1, N, row, x + s * row->ldx, w, some);
        UNROLL for (int n = 0; n < N; n++) sums[n][s] = some[n][0];
    }
    UNROLL for (int n = 0; n < N; n++) sums[n][0] = lane_sums(LANES, sums[n], LANES);
    UNROLL for (int n = 0; n < N; n++) tall_outputs(row, top + n, i, count, sums[n]);
}

/* Sums of each output's vectors of features over one chunk after the other, and zeros. */
struct tall_sums {
    int chunks, vectors;
    real lanes[8 + 1][LANES] __attribute__((aligned(BLOCK_BYTES)));
};

/* From sum number `first` on to the target, but `over` elements of the last vector. */
APART void tall_add(const struct tall_sums *sums, int first, ptrdiff_t over, real *target, real alpha, real beta)
{
    const real *sum = sums->lanes[first];
    for (int v = 0; v < sums->vectors; v++, target += LANES)
        for (int c = 0; c < sums->chunks; c++, sum += LANES) {
            vec total = load(sum);
            if (over && v == sums->vectors - 1) total = v_and(lanes_below(over, LANES), load_loose(sum + over));
            store(target, accumulate(alpha, total, c > 0 ? 1 : beta, target));
        }
}

/* C chunks, from sample q on, of so many samples each, of features i .. i + NV LANES - 1, some of which may be beyond
 * the last one: so many are taken from before the last vector instead, and left out then. */
INLINE void tall_chunks(const int C, const int NV, const int N, const struct row *row, ptrdiff_t top, ptrdiff_t q,
                        ptrdiff_t samples, ptrdiff_t i, real alpha, real beta)
{
    const ptrdiff_t ldx = row->ldx, ld = row->ld, end = i + NV * LANES, over = end > row->k ? end - row->k : 0;
    const real *x = (const real *)row->X + q * ldx + i, *d = (const real *)row->D + q * ld + top;
    vec sums[2][8][8];
    UNROLL for (int n = 0; n < N; n++)
        UNROLL for (int v = 0; v < NV; v++)
            UNROLL for (int c = 0; c < C; c++) sums[n][v][c] = splat(0);
    for (; samples > 0; samples--, x += ldx, d += ld)
        UNROLL for (int c = 0; c < C; c++)
            UNROLL for (int v = 0; v < NV; v++) {
                const vec in = load_loose(x + c * CHUNK * ldx + v * LANES - (v == NV - 1 ? over : 0));
                UNROLL for (int n = 0; n < N; n++)
                    sums[n][v][c] = v_fma(in, splat(d[c * CHUNK * ld + n]), sums[n][v][c]);
            }
    struct tall_sums kept;
    kept.chunks = C, kept.vectors = NV;
    UNROLL for (int n = 0; n < N; n++)
        UNROLL for (int v = 0; v < NV; v++)
            UNROLL for (int c = 0; c < C; c++) store(kept.lanes[(n * NV + v) * C + c], sums[n][v][c]);
    store(kept.lanes[N * NV * C], splat(0));
    for (int n = 0; n < N; n++)
        tall_add(&kept, n * NV * C, over, (real *)row->target + (top + n) * whole(row->k) + i, alpha, beta);
}

INLINE void tall_features(const int NV, const int N, const struct row *row, ptrdiff_t top, ptrdiff_t m, ptrdiff_t i,
                          real alpha, real beta)
{
    const int C = 8 / NV / N;
    ptrdiff_t q = 0;
    for (; C > 1 && m - q >= C * CHUNK; q += C * CHUNK, beta = 1)
        tall_chunks(C, NV, N, row, top, q, CHUNK, i, alpha, beta);
    for (; q < m; q += CHUNK, beta = 1)
        tall_chunks(1, NV, N, row, top, q, m - q < CHUNK ? m - q : CHUNK, i, alpha, beta);
}

/* C chunks, from sample q on, of so many samples each, of the biases. */
INLINE void tall_bias_chunks(const int C, const struct row *row, ptrdiff_t q, ptrdiff_t samples, real alpha, real beta)
{
    const ptrdiff_t ld = row->ld;
    for (ptrdiff_t j = 0; j < row->n; j += LANES) {
        const real *d = (const real *)row->D + q * ld + j;
        real *target = (real *)row->target + row->n * whole(row->k) + j;
        vec sums[8];
        UNROLL for (int c = 0; c < C; c++) sums[c] = splat(0);
        for (ptrdiff_t i = 0; i < samples; i++)
            UNROLL for (int c = 0; c < C; c++) sums[c] += load(d + (c * CHUNK + i) * ld);
        UNROLL for (int c = 0; c < C; c++) store(target, accumulate(alpha, sums[c], c > 0 ? 1 : beta, target));
    }
}

static void tall_biases(const struct row *row, ptrdiff_t m, real alpha, real beta)
{
    ptrdiff_t q = 0;
    for (; m - q >= 4 * CHUNK; q += 4 * CHUNK, beta = 1) tall_bias_chunks(4, row, q, CHUNK, alpha, beta);
    for (; q < m; q += CHUNK, beta = 1) tall_bias_chunks(1, row, q, m - q < CHUNK ? m - q : CHUNK, alpha, beta);
}

#define TALL_CASES(N)                                                                                                  \
    static void tall_forward_##N(const struct row *row, ptrdiff_t top, ptrdiff_t i, int count)                         \
    {                                                                                                                  \
        tall_samples(N, row, top, i, count);                                                                           \
    }                                                                                                                  \
    static void tall_update_##N(const struct row *row, ptrdiff_t top, ptrdiff_t m, ptrdiff_t first, ptrdiff_t last,    \
                                real alpha, real beta)                                                                 \
    {                                                                                                                  \
        ptrdiff_t i = first;                                                                                           \
        for (; last - i > (8 / N - 1) * LANES; i += 8 / N * LANES)                                                     \
            tall_features(8 / N, N, row, top, m, i, alpha, beta);                                                      \
        for (; last - i > LANES; i += 2 * LANES) tall_features(2, N, row, top, m, i, alpha, beta);                     \
        if (i < last) tall_features(1, N, row, top, m, i, alpha, beta);                                                \
    }
TALL_CASES(1)
TALL_CASES(2)
#undef TALL_CASES

static void tall_forward(const struct row *row, const struct share *share)
{
    const ptrdiff_t first = share->first, last = share->last, ld = row->ld;
    if (row->act.kind >= SOFTMAX) memset((real *)row->Y + first * ld, 0, (size_t)((last - first) * ld) * sizeof(real));
    for (ptrdiff_t i = first; i < last; i += LANES) {
        const int count = last - i < LANES ? (int)(last - i) : LANES;
        ptrdiff_t top = 0;
        for (; row->n - top >= 2; top += 2) tall_forward_2(row, top, i, count);
        if (top < row->n) tall_forward_1(row, top, i, count);
    }
    if (row->act.kind == SOFTMAX)
        softmax_rows(row->Y, row->n, ld, first, last);
    else if (is_late(row->act.kind))
        activate_runs(row, first, 1, ld, (last - first) * ld);
}

static void tall_backward(const struct row *row, const struct share *share)
{
    const ptrdiff_t columns = whole(row->k);
    struct product p = {
        .a = row->D, .rs = row->ld, .cs = 1,
        .b = row->W, .ldb = columns, .depth = row->n,
        .c = row->Dx, .ldc = row->ldx,
        .finish = DERIVATIVE, .act = row->act_below, .y = row->X,
    };
    multiply(&p, share->first, share->last, columns, IN_PLACE, 0, NULL);
    clear_beyond(row->Dx, row->ldx, columns, share->first, share->last);
    if (is_late(row->act_below.kind))
        derive_runs(row, share->first, 1, row->ldx, (share->last - share->first) * row->ldx);
}

/* Shares are of the blocks of features, and the bias, which is one more. */
static void tall_update(const struct row *row, const struct share *share, double alpha, double beta)
{
    const ptrdiff_t first = share->first * BLOCK;
    const ptrdiff_t last = share->last * BLOCK < row->k ? share->last * BLOCK : row->k;
    ptrdiff_t top = 0;
    for (; row->n - top >= 2; top += 2) tall_update_2(row, top, share->m, first, last, (real)alpha, (real)beta);
    if (top < row->n) tall_update_1(row, top, share->m, first, last, (real)alpha, (real)beta);
    if (share->last == row->height) tall_biases(row, share->m, (real)alpha, (real)beta);
}

#endif
