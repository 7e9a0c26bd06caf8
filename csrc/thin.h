/* One sample through a net whose layers have no more outputs than a vector has lanes: outputs and deltas go from layer
 * to layer in a register; memory has them, too, where derivatives and updates find them later. What is
 * written to memory and read again takes a processor 8 to 10 cycles, and a step of such a net is a single chain:
 * 5-3-5-4 takes 0.85 of the time so, 4-16-2 0.6.
 *
 * The sums are those of online.h, term by term, and so the bits. */
#ifndef FUSEDELTA_THIN_H
#define FUSEDELTA_THIN_H

#include "losses.h"
#include "online.h"

INLINE int is_thin_net(const struct net *net)
{
    return net->loss.widest <= LANES && net->rows[0].k < FEW && !net->tall;
}

/* b + x W. */
INLINE vec thin_product(const struct row *row, vec x)
{
    const ptrdiff_t k = row->k, ld = row->ld;
    const real *w = row->W;
    vec z = load(w + k * ld);
    UNROLL for (int p = 0; p < LANES; p++, w += ld) {
        if (p >= k) break;
        z = v_fma(splat(x[p]), load(w), z);
    }
    return z;
}

/* The same, x in memory. (A call of online_product, and Y read back, take 1.03 of the time of a step of 5-3-5-4.) */
INLINE vec thin_inputs(const struct row *row)
{
    const real *x = row->X, *w = row->W;
    const ptrdiff_t k = row->k, ld = row->ld;
    vec z = load(w + k * ld);
    for (ptrdiff_t p = 0; p < k; p++, w += ld) z = v_fma(splat(x[p]), load(w), z);
    return z;
}

/* act(z), also to memory; what is too long for a register goes that way. */
INLINE vec thin_activate(const struct row *row, vec z)
{
    if (row->act.kind < SOFTMAX) {
        activate_side(1, row->act.kind, (real)row->act.slope, &z);
        store(row->Y, z);
        return z;
    }
    store(row->Y, z);
    online_activate(row);
    return load(row->Y);
}

/* (d W^T) * act_below'(X), also to memory; the layer below has at most `count` of them. */
INLINE vec thin_deltas(const int count, const struct row *row, vec d)
{
    const ptrdiff_t k = row->k, ld = row->ld;
    const real *w = row->W;
    vec sums[LANES];
    UNROLL for (int l = 0; l < count; l++, w += ld) sums[l] = l < k ? v_fma(load(w), d, splat(0)) : splat(0);
    const vec sum = v_and(lanes_below(0, k), lane_sums(count, sums, row->n));
    const vec below = derive(row->act_below.kind, (real)row->act_below.slope, load(row->X), sum);
    store(row->Dx, below);
    if (!is_late(row->act_below.kind)) return below;
    derive_all(row->act_below, row->Sx, row->Dx, LANES);
    return load(row->Dx);
}

/* target = beta target + alpha x^T d. */
INLINE void thin_update_by(const int plain, const struct row *row, vec d, real alpha, real beta)
{
    const real *x = row->X, keep = plain ? 1 : beta;
    const ptrdiff_t k = row->k, ld = row->ld;
    real *target = row->target;
    for (ptrdiff_t p = 0; p < k; p++, target += ld) store(target, accumulate(alpha * x[p], d, keep, target));
    store(target, accumulate(alpha, d, keep, target));
}

INLINE void thin_update(const struct row *row, vec d, real alpha, real beta)
{
    if (beta == 1) thin_update_by(1, row, d, alpha, beta);
    else thin_update_by(0, row, d, alpha, beta);
}

/* W += alpha x^T d, and the next sample's product: online_columns_ahead with d in a register. */
INLINE vec thin_update_ahead(const struct row *row, const real *next, vec d, real alpha)
{
    const ptrdiff_t k = row->k, ld = row->ld;
    const real *x = row->X;
    real *w = row->W, *b = w + k * ld;
    vec z = v_fma(splat(alpha), d, load(b));
    store(b, z);
    for (ptrdiff_t p = 0; p < k; p++, w += ld) {
        const vec now = v_fma(splat(alpha) * x[p], d, load(w));
        store(w, now);
        z = v_fma(splat(next[p]), now, z);
    }
    return z;
}

/* The loss of outputs y and their deltas, both of which memory has, too. The loss that is short and frequent stays in
 * the register. */
INLINE vec thin_loss(const struct net *net, vec y, struct score *score)
{
    const struct loss *loss = &net->loss;
    if (loss->evaluate != net->cpu->squared_error || loss->weights || loss->act.kind >= SOFTMAX) {
        loss->evaluate(loss, 1, score);
        return load(loss->D);
    }
    const struct point p = point(SQUARED, loss, y, load(loss->T));
    const mask valid = lanes_below(0, loss->n);
    vec sum[WIDE] = {v_and(valid, p.value)};
    score->sum += block_sum(sum);
    const vec d = derive(loss->act.kind, (real)loss->act.slope, y, v_and(valid, p.slope));
    store(loss->D, d);
    return d;
}

INLINE void thin_step(struct net *net, real alpha, real beta, struct score *score)
{
    const struct row *rows = net->rows, *last = rows + net->n_rows - 1;
    const int ahead = net->next && beta == 1 && rows->target == rows->W && !net->finish;
    vec y = net->started ? load(rows->Y) : thin_inputs(rows);
    for (const struct row *row = rows; row <= last; row++)
        y = thin_activate(row, row == rows ? y : thin_product(row, y));
    vec d = thin_loss(net, y, score);
    for (const struct row *row = last; row > rows; row--) {
        const vec below = row->k <= LANES / 2 ? thin_deltas(LANES / 2, row, d) : thin_deltas(LANES, row, d);
        thin_update(row, d, alpha, beta);
        d = below;
    }
    if ((net->started = ahead)) store(rows->Y, thin_update_ahead(rows, net->next, d, alpha));
    else thin_update(rows, d, alpha, beta);
}

#endif
