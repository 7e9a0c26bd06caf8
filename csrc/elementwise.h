/* Rows without weights of their own, sample by sample, and the activation at the end of any row that is no product.
 * Contracts: kernels.h. */
#ifndef FUSEDELTA_ELEMENTWISE_H
#define FUSEDELTA_ELEMENTWISE_H

#include "product.h"
#include "softmax.h"

/* Y = act(Y), sample i. */
static void activate_sample(const struct row *row, ptrdiff_t i)
{
    if (row->act.kind == SOFTMAX)
        softmax_rows(row->Y, row->n, row->ld, i, i + 1);
    else if (row->act.kind != LINEAR)
        activate_runs(row, i, 1, row->ld, row->ld);
}

/* Dx = Dx * act_below'(X), sample i. */
static void derive_sample(const struct row *row, ptrdiff_t i)
{
    const real slope = (real)row->act_below.slope, *x = (const real *)row->X + i * row->ldx;
    real *d = (real *)row->Dx + i * row->ldx;
#define ALL(kind)                                                                                                      \
    for (ptrdiff_t j = 0; j < row->ldx; j += LANES) store(d + j, derive(kind, slope, load(x + j), load(d + j)))
    switch (row->act_below.kind) {
    case RELU: ALL(RELU); break;
    case LEAKY_RELU: ALL(LEAKY_RELU); break;
    case SIGMOID: ALL(SIGMOID); break;
    case TANH: ALL(TANH); break;
    default:
        if (is_late(row->act_below.kind)) derive_runs(row, i, 1, row->ldx, row->ldx);
    }
#undef ALL
}

/* to = from + more, a sample of ld values; more may be NULL. */
INLINE void add_sample(const real *from, const void *more, ptrdiff_t at, ptrdiff_t ld, real *to)
{
    if (more == NULL)
        memcpy(to + at, from + at, (size_t)ld * sizeof(real));
    else
        for (ptrdiff_t j = at; j < at + ld; j += LANES) store(to + j, load(from + j) + load((const real *)more + j));
}

static void activation_forward(const struct row *row, const struct share *share)
{
    for (ptrdiff_t i = share->first; i < share->last; i++) {
        add_sample(row->X, row->more_X, i * row->ld, row->ld, row->Y);
        activate_sample(row, i);
    }
}

static void activation_backward(const struct row *row, const struct share *share)
{
    for (ptrdiff_t i = share->first; i < share->last; i++) {
        add_sample(row->D, row->more_D, i * row->ld, row->ld, row->Dx);
        derive_sample(row, i);
    }
}

#endif
