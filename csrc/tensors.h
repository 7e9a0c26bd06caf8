/* What regularisers, clipping and constraints do to a W, to a b, or to a run of their elements. Contracts: kernels.h.
 *
 * Sums run in double, in the lanes of a 64-byte block of elements, folded by halves: the same bits on every
 * instruction set. So the squares of float32 neither overflow nor lose digits; the products of two of them are exact.
 */
#ifndef FUSEDELTA_TENSORS_H
#define FUSEDELTA_TENSORS_H

#include "simd.h"

typedef double sum_vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef int64_t sum_mask __attribute__((vector_size(VECTOR_BYTES), may_alias));
#define SUM_LANES (VECTOR_BYTES / 8)

#if REAL_BITS == 32
typedef real half_vec __attribute__((vector_size(VECTOR_BYTES / 2), may_alias));
INLINE sum_vec load_double(const real *p) { return __builtin_convertvector(*(const half_vec *)p, sum_vec); }
#else
INLINE sum_vec load_double(const real *p) { return *(const sum_vec *)p; }
#endif

INLINE double folded(const sum_vec sums[BLOCK / SUM_LANES])
{
    double lanes[BLOCK];
    UNROLL for (int l = 0; l < BLOCK; l++) lanes[l] = sums[l / SUM_LANES][l % SUM_LANES];
    UNROLL for (int half = BLOCK / 2; half > 0; half /= 2)
        UNROLL for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
    return lanes[0];
}

static void penalty(const void *x, ptrdiff_t count, double l1, double l2, double *value)
{
    const real *p = x;
    const sum_mask sign = {0};
    sum_vec sizes[BLOCK / SUM_LANES], squares[BLOCK / SUM_LANES];
    UNROLL for (int v = 0; v < BLOCK / SUM_LANES; v++) sizes[v] = squares[v] = (sum_vec){0};
    for (ptrdiff_t i = 0; i < count; i += BLOCK)
        UNROLL for (int v = 0; v < BLOCK / SUM_LANES; v++) {
            const sum_vec d = load_double(p + i + v * SUM_LANES);
            sizes[v] += (sum_vec)((sum_mask)d & (sign + INT64_MAX));
            squares[v] += d * d;
        }
    *value = l1 * folded(sizes) + l2 * folded(squares);
}

static void condition(const struct conditions *c, const void *w, void *g, ptrdiff_t count)
{
    const real *weight = w;
    real *gradient = g;
    const vec l1 = splat((real)c->l1), twice_l2 = splat((real)(2 * c->l2));
    const vec most = splat((real)c->limit), least = splat((real)-c->limit);
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const vec at = load(weight + i);
        const vec sum = v_fma(l1, v_sign(at), v_fma(twice_l2, at, load(gradient + i)));
        store(gradient + i, v_max(least, v_min(most, sum)));
    }
}

static void shrink(void *x, ptrdiff_t count, double factor)
{
    real *p = x;
    for (ptrdiff_t i = 0; i < count; i += LANES) store(p + i, (real)factor * load(p + i));
}

static void max_norm(void *W, ptrdiff_t k, ptrdiff_t ld, ptrdiff_t first, ptrdiff_t last, double largest)
{
    const vec most = splat((real)largest), small = splat((real)1e-7);
    for (ptrdiff_t j = first; j < last; j += LANES) {
        real *w = (real *)W + j;
        vec squares = splat(0);
        for (ptrdiff_t i = 0; i < k; i++) squares = v_fma(load(w + i * ld), load(w + i * ld), squares);
        const vec norm = v_sqrt(squares), factor = v_min(most, norm) / (small + norm);
        for (ptrdiff_t i = 0; i < k; i++) store(w + i * ld, factor * load(w + i * ld));
    }
}

#endif
