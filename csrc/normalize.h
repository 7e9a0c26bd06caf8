/* Normalisation over a batch and over a sample. Contracts: kernels.h.
 *
 * Parameters, where the row has them: gamma, then beta, (ld) each. Sums over samples are one chain a feature,
 * ascending; sums over features run in 64-byte lanes, folded by halves. Means and variances take two passes, as one
 * alone loses the digits that a large mean shares with all values. */
#ifndef FUSEDELTA_NORMALIZE_H
#define FUSEDELTA_NORMALIZE_H

#include "elementwise.h"

/* Rows of the statistics of a batch: the inverse is 1 / sqrt(variance + epsilon). */
enum { MEAN, INVERSE, VARIANCE, SUM_DX, SUM_D, MEAN_DX, MEAN_D };

/* gamma (or 1) and beta (or 0), from column j on. */
INLINE vec gamma_at(const struct row *row, ptrdiff_t j)
{
    return row->scale ? load((const real *)row->W + j) : splat(1);
}

INLINE vec beta_at(const struct row *row, ptrdiff_t j)
{
    return row->center ? load((const real *)row->W + (row->scale ? row->ld : 0) + j) : splat(0);
}

INLINE vec inverse(vec variance, double epsilon)
{
    const real smallest = REAL_BITS == 32 ? (real)1.17549435e-38 : (real)2.2250738585072014e-308;
    return (real)1 / v_sqrt(variance + ((real)epsilon > smallest ? (real)epsilon : smallest));
}

INLINE real *statistic(const struct row *row, int which) { return (real *)row->statistics + which * row->ld; }

/* What the update of gamma and beta adds to one row of the target, from column j on. */
INLINE void move_target(const struct row *row, ptrdiff_t r, ptrdiff_t j, vec sum, double alpha, double beta)
{
    real *target = (real *)row->target + r * row->ld + j;
    store(target, accumulate((real)alpha, sum, (real)beta, target));
}

/* ---- over a batch ---- */

INLINE void batch_columns(const int NV, const struct row *row, ptrdiff_t m, ptrdiff_t j)
{
    const real count = (real)m;
    const ptrdiff_t ldx = row->ldx;
    const real *X = (const real *)row->X + j;
    vec mean[NV], sum[NV], off[NV], square[NV];
    mask valid[NV];
    UNROLL for (int v = 0; v < NV; v++) valid[v] = lanes_below(j + v * LANES, row->n);
    UNROLL for (int v = 0; v < NV; v++) sum[v] = off[v] = square[v] = splat(0);
    for (ptrdiff_t i = 0; i < m; i++)
        UNROLL for (int v = 0; v < NV; v++) sum[v] += load(X + i * ldx + v * LANES);
    UNROLL for (int v = 0; v < NV; v++) mean[v] = v_and(valid[v], sum[v] / count);
    for (ptrdiff_t i = 0; i < m; i++)
        UNROLL for (int v = 0; v < NV; v++) {
            const vec d = v_and(valid[v], load(X + i * ldx + v * LANES) - mean[v]);
            off[v] += d;
            square[v] = v_fma(d, d, square[v]);
        }
    UNROLL for (int v = 0; v < NV; v++) {
        off[v] /= count; /* what rounding left of the mean (Chan, Golub, LeVeque, 1983) */
        const vec variance = v_max(splat(0), square[v] / count - off[v] * off[v]);
        const ptrdiff_t at = j + v * LANES;
        store(statistic(row, MEAN) + at, mean[v] + off[v]);
        store(statistic(row, VARIANCE) + at, variance);
        store(statistic(row, INVERSE) + at, inverse(variance, row->epsilon));
    }
}

/* Whole panels of columns first: sums of one vector alone would wait for each other. */
#define IN_COLUMNS(function, ...)                                                                                      \
    ptrdiff_t j = share->first;                                                                                        \
    for (; share->last - j >= 4 * LANES; j += 4 * LANES) function(4, __VA_ARGS__, j);                                  \
    for (; j < share->last; j += LANES) function(1, __VA_ARGS__, j)

static void batch_statistics(const struct row *row, const struct share *share)
{
    IN_COLUMNS(batch_columns, row, share->m);
}

static void batch_settle(const struct row *row)
{
    const vec kept = splat((real)row->momentum);
    const real rest = (real)(1 - row->momentum);
    real *means = row->moving, *variances = means + row->ld;
    for (ptrdiff_t j = 0; j < row->ld; j += LANES) {
        store(means + j, v_fma(kept, load(means + j), rest * load(statistic(row, MEAN) + j)));
        store(variances + j, v_fma(kept, load(variances + j), rest * load(statistic(row, VARIANCE) + j)));
    }
}

static void moving_statistics(const struct row *row, const struct share *share)
{
    const real *means = row->moving, *variances = means + row->ld;
    for (ptrdiff_t j = share->first; j < share->last; j += LANES) {
        store(statistic(row, MEAN) + j, load(means + j));
        store(statistic(row, INVERSE) + j, inverse(load(variances + j), row->epsilon));
    }
}

INLINE vec batch_normal(const struct row *row, ptrdiff_t i, ptrdiff_t j)
{
    return (load((const real *)row->X + i * row->ldx + j) - load(statistic(row, MEAN) + j))
           * load(statistic(row, INVERSE) + j);
}

static void batch_forward(const struct row *given, const struct share *share)
{
    const struct row row = *given; /* which no store can change */
    for (ptrdiff_t i = share->first; i < share->last; i++) {
        for (ptrdiff_t j = 0; j < row.ld; j += LANES)
            store((real *)row.Y + i * row.ld + j, v_fma(batch_normal(&row, i, j), gamma_at(&row, j), beta_at(&row, j)));
        activate_sample(given, i);
    }
}

/* The sums of D N and of D for NV vectors of columns from j on. */
INLINE void sum_columns(const int NV, const struct row *row, ptrdiff_t m, ptrdiff_t j, vec *along, vec *sum)
{
    const ptrdiff_t ld = row->ld;
    UNROLL for (int v = 0; v < NV; v++) along[v] = sum[v] = splat(0);
    for (ptrdiff_t i = 0; i < m; i++)
        UNROLL for (int v = 0; v < NV; v++) {
            const vec delta = load((const real *)row->D + i * ld + j + v * LANES);
            along[v] = v_fma(batch_normal(row, i, j + v * LANES), delta, along[v]);
            sum[v] += delta;
        }
}

INLINE void batch_sum(const int NV, const struct row *row, ptrdiff_t m, ptrdiff_t j)
{
    const real count = (real)m;
    vec along[NV], sum[NV];
    sum_columns(NV, row, m, j, along, sum);
    UNROLL for (int v = 0; v < NV; v++) {
        const ptrdiff_t at = j + v * LANES;
        store(statistic(row, SUM_DX) + at, along[v]);
        store(statistic(row, SUM_D) + at, sum[v]);
        store(statistic(row, MEAN_DX) + at, along[v] / count);
        store(statistic(row, MEAN_D) + at, sum[v] / count);
    }
}

static void batch_sums(const struct row *row, const struct share *share) { IN_COLUMNS(batch_sum, row, share->m); }
#undef IN_COLUMNS

static void batch_backward(const struct row *given, const struct share *share)
{
    const struct row row = *given; /* which no store can change */
    for (ptrdiff_t i = share->first; i < share->last; i++) {
        for (ptrdiff_t j = 0; j < row.ld; j += LANES) {
            const vec along = load(statistic(&row, MEAN_DX) + j), mean = load(statistic(&row, MEAN_D) + j);
            const vec d = load((const real *)row.D + i * row.ld + j) - mean - batch_normal(&row, i, j) * along;
            const vec factor = gamma_at(&row, j) * load(statistic(&row, INVERSE) + j);
            store((real *)row.Dx + i * row.ldx + j, v_and(lanes_below(j, row.n), factor * d));
        }
        derive_sample(given, i);
    }
}

/* Where nothing goes back through the row, nobody has summed up. */
static void batch_update(const struct row *row, const struct share *share, double alpha, double beta)
{
    for (ptrdiff_t r = share->first; r < share->last; r++)
        for (ptrdiff_t j = 0; j < row->ld; j += LANES) {
            const int is_gamma = row->scale && r == 0;
            vec along, sum;
            if (row->Dx)
                sum = load(statistic(row, is_gamma ? SUM_DX : SUM_D) + j);
            else
                sum_columns(1, row, share->m, j, &along, &sum), sum = is_gamma ? along : sum;
            move_target(row, r, j, sum, alpha, beta);
        }
}

/* ---- over a sample: its statistics are its mean and its inverse ---- */

static void layer_forward(const struct row *row, const struct share *share)
{
    for (ptrdiff_t i = share->first; i < share->last; i++) {
        const real *x = (const real *)row->X + i * row->ldx;
        real *y = (real *)row->Y + i * row->ld, *of_sample = (real *)row->statistics + 2 * i;
        vec sum[WIDE], square[WIDE];
        UNROLL for (int w = 0; w < WIDE; w++) sum[w] = square[w] = splat(0);
        for (ptrdiff_t j = 0; j < row->ld; j += BLOCK)
            UNROLL for (int w = 0; w < WIDE; w++)
                sum[w] += v_and(lanes_below(j + w * LANES, row->n), load(x + j + w * LANES));
        const real mean = block_sum(sum) / (real)row->n;
        for (ptrdiff_t j = 0; j < row->ld; j += BLOCK)
            UNROLL for (int w = 0; w < WIDE; w++) {
                const vec d = v_and(lanes_below(j + w * LANES, row->n), load(x + j + w * LANES) - mean);
                square[w] = v_fma(d, d, square[w]);
            }
        const real scale = inverse(splat(block_sum(square) / (real)row->n), row->epsilon)[0];
        of_sample[0] = mean, of_sample[1] = scale;
        for (ptrdiff_t j = 0; j < row->ld; j += LANES)
            store(y + j, v_fma((load(x + j) - mean) * scale, gamma_at(row, j), beta_at(row, j)));
        activate_sample(row, i);
    }
}

static void layer_backward(const struct row *row, const struct share *share)
{
    for (ptrdiff_t i = share->first; i < share->last; i++) {
        const real *x = (const real *)row->X + i * row->ldx, *d = (const real *)row->D + i * row->ld;
        const real *of_sample = (const real *)row->statistics + 2 * i, mean = of_sample[0], scale = of_sample[1];
        real *dx = (real *)row->Dx + i * row->ldx;
        vec sum[WIDE], along[WIDE];
        UNROLL for (int w = 0; w < WIDE; w++) sum[w] = along[w] = splat(0);
        for (ptrdiff_t j = 0; j < row->ld; j += BLOCK)
            UNROLL for (int w = 0; w < WIDE; w++) {
                const ptrdiff_t at = j + w * LANES;
                const vec g = load(d + at) * gamma_at(row, at);
                sum[w] += g;
                along[w] = v_fma(g, (load(x + at) - mean) * scale, along[w]);
            }
        const real off = block_sum(sum) / (real)row->n, slant = block_sum(along) / (real)row->n;
        for (ptrdiff_t j = 0; j < row->ld; j += LANES) {
            const vec g = load(d + j) * gamma_at(row, j) - off - (load(x + j) - mean) * scale * slant;
            store(dx + j, v_and(lanes_below(j, row->n), scale * g));
        }
        derive_sample(row, i);
    }
}

static void layer_update(const struct row *row, const struct share *share, double alpha, double beta)
{
    const real *of_samples = row->statistics;
    for (ptrdiff_t r = share->first; r < share->last; r++) {
        const int is_gamma = row->scale && r == 0;
        for (ptrdiff_t j = 0; j < row->ld; j += LANES) {
            const real *x = (const real *)row->X + j, *d = (const real *)row->D + j;
            vec sum = splat(0);
            for (ptrdiff_t i = 0; i < share->m; i++) {
                const vec delta = load(d + i * row->ld);
                const vec normal = (load(x + i * row->ldx) - of_samples[2 * i]) * of_samples[2 * i + 1];
                if (is_gamma)
                    sum = v_fma(normal, delta, sum);
                else
                    sum += delta;
            }
            move_target(row, r, j, sum, alpha, beta);
        }
    }
}

#endif
