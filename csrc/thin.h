/* A dense layer of up to THIN outputs, as nets for one quantity or two classes end: its tiles would be mostly padding.
 * Forward has samples in the lanes, the update has features there; each sum is the chain that tiles make of it. 256 x
 * 256 x 1 takes 0.6 of the time so forward and 0.14 in the update. Backward is bound by reading X and writing Dx
 * either way. */
#ifndef FUSEDELTA_THIN_H
#define FUSEDELTA_THIN_H

#include "product.h"

enum { THIN = LANES < 4 ? LANES : 4 }; /* outputs are transposed in one square of lanes */

/* Samples i..i + LANES - 1 of Y. */
INLINE void thin_samples(const int N, const struct product *p, ptrdiff_t i)
{
    const real *x = p->a + i * p->rs, *w = p->b;
    vec y[LANES];
    UNROLL for (int l = 0; l < LANES; l++) y[l] = splat(l < N ? p->start[l] : 0);
    ptrdiff_t q = 0;
    for (; q + LANES <= p->depth; q += LANES) {
        vec square[LANES];
        UNROLL for (int l = 0; l < LANES; l++) square[l] = load_loose(x + l * p->rs + q);
        transpose_square(square);
        UNROLL for (int l = 0; l < LANES; l++, w += p->ldb)
            UNROLL for (int j = 0; j < N; j++) y[j] = v_fma(square[l], splat(w[j]), y[j]);
    }
    for (; q < p->depth; q++, w += p->ldb) {
        vec column = splat(0);
        UNROLL for (int l = 0; l < LANES; l++) column[l] = x[l * p->rs + q];
        UNROLL for (int j = 0; j < N; j++) y[j] = v_fma(column, splat(w[j]), y[j]);
    }
    transpose_square(y);
    UNROLL for (int l = 0; l < LANES; l++)
    {
        real *to = p->c + (i + l) * p->ldc;
        const vec z = y[l];
        store(to, p->act.kind == RELU         ? activate(RELU, 0, z)
                  : p->act.kind == LEAKY_RELU ? activate(LEAKY_RELU, (real)p->act.slope, z)
                                              : z);
        for (ptrdiff_t j = LANES; j < p->ldc; j += LANES) store(to + j, splat(0));
    }
}

/* Features i..i + NV LANES - 1 of the weights. */
INLINE void thin_features(const int NV, const int N, const struct product *p, ptrdiff_t i)
{
    const ptrdiff_t ldc = p->ldc;
    real *target = p->c + i * ldc;
    vec w[NV][N];
    UNROLL for (int v = 0; v < NV; v++)
        UNROLL for (int l = 0; l < LANES; l++)
            UNROLL for (int j = 0; j < N; j++) w[v][j][l] = target[(v * LANES + l) * ldc + j];
    const real *x = p->a + i, *d = p->b;
    real beta = p->beta;
    for (ptrdiff_t left = p->depth; left > 0; left -= CHUNK, beta = 1) {
        vec sum[NV][N];
        UNROLL for (int v = 0; v < NV; v++)
            UNROLL for (int j = 0; j < N; j++) sum[v][j] = splat(0);
        for (ptrdiff_t q = left < CHUNK ? left : CHUNK; q > 0; q--, x += p->cs, d += p->ldb)
            UNROLL for (int v = 0; v < NV; v++) {
                const vec feature = load_loose(x + v * LANES);
                UNROLL for (int j = 0; j < N; j++) sum[v][j] = v_fma(feature, splat(d[j]), sum[v][j]);
            }
        UNROLL for (int v = 0; v < NV; v++)
            UNROLL for (int j = 0; j < N; j++) w[v][j] = accumulate(p->alpha, sum[v][j], beta, (real *)&w[v][j]);
    }
    UNROLL for (int v = 0; v < NV; v++)
        UNROLL for (int l = 0; l < LANES; l++)
            UNROLL for (int j = 0; j < N; j++) target[(v * LANES + l) * ldc + j] = w[v][j][l];
}

/* What is left of the samples, or of the features, goes the way of other layers. */
#define THIN_CASES(N, NV)                                                                                              \
    static ptrdiff_t thin_forward_##N(const struct product *p, ptrdiff_t i, ptrdiff_t last)                            \
    {                                                                                                                  \
        for (; last - i >= LANES; i += LANES) thin_samples(N, p, i);                                                   \
        return i;                                                                                                      \
    }                                                                                                                  \
    static ptrdiff_t thin_update_##N(const struct product *p, ptrdiff_t i, ptrdiff_t last)                             \
    {                                                                                                                  \
        for (; last - i >= NV * LANES; i += NV * LANES) thin_features(NV, N, p, i);                                    \
        for (; last - i >= LANES; i += LANES) thin_features(1, N, p, i);                                               \
        return i;                                                                                                      \
    }
THIN_CASES(1, 8)
THIN_CASES(2, 4)
#if LANES >= 4
THIN_CASES(3, 2)
THIN_CASES(4, 2)
#define IF_4(f) f
#else
#define IF_4(f) NULL
#endif
#undef THIN_CASES

typedef ptrdiff_t (*thin_function)(const struct product *p, ptrdiff_t first, ptrdiff_t last);
static const thin_function THIN_FORWARD[] = {thin_forward_1, thin_forward_2, IF_4(thin_forward_3),
                                             IF_4(thin_forward_4)};
static const thin_function THIN_UPDATE[] = {thin_update_1, thin_update_2, IF_4(thin_update_3), IF_4(thin_update_4)};

#endif
