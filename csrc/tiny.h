/* A batch of at most a vector of samples, feature-major, through a net of at most TINY outputs a layer: as in thin.h,
 * outputs and deltas go from layer to layer in registers: 2-2-1 with four samples takes 0.90 of the time so, in double
 * precision 0.92. The sums are those of narrow.h, term by term. */
#ifndef FUSEDELTA_TINY_H
#define FUSEDELTA_TINY_H

#include "losses.h"
#include "narrow.h"

enum { TINY = LANES < 4 ? LANES : 4 };

INLINE int is_tiny_net(const struct net *net, ptrdiff_t m)
{
    if (m > LANES || net->rows[0].k > TINY) return 0;
    for (ptrdiff_t i = 0; i < net->n_rows; i++)
        if (net->rows[i].n > TINY || net->rows[i].act.kind >= SOFTMAX) return 0;
    return 1;
}

/* y := act(b + y W). */
INLINE void tiny_forward(const struct row *row, vec y[TINY])
{
    const ptrdiff_t k = row->k, n = row->n, ld = row->ld;
    const real *w = row->W, *b = w + k * ld;
    vec z[TINY];
    UNROLL for (int j = 0; j < TINY; j++) z[j] = j < n ? splat(b[j]) : splat(0);
    UNROLL for (int p = 0; p < TINY; p++, w += ld) {
        if (p >= k) break;
        UNROLL for (int j = 0; j < TINY; j++) {
            if (j >= n) break;
            z[j] = v_fma(splat(w[j]), y[p], z[j]);
        }
    }
    real *to = row->Y;
    UNROLL for (int j = 0; j < TINY; j++, to += row->ldx) {
        if (j < n) {
            activate_side(1, row->act.kind, (real)row->act.slope, &z[j]);
            store(to, z[j]);
        }
        y[j] = z[j];
    }
}

/* The loss of outputs y and their deltas, both of which memory has, too. The loss that is short and frequent stays in
 * registers. */
INLINE void tiny_loss(const struct net *net, const vec y[TINY], ptrdiff_t n, struct score *score, vec d[TINY])
{
    const struct loss *loss = &net->loss;
    if (loss->evaluate != net->cpu->squared_error || loss->weights) {
        loss->evaluate(loss, n, score);
        UNROLL for (int j = 0; j < TINY; j++)
            d[j] = j < n ? load((const real *)loss->D + j * loss->ld) : splat(0);
        return;
    }
    const mask valid = lanes_below(0, loss->n);
    vec sum[WIDE] = {splat(0)};
    UNROLL for (int j = 0; j < TINY; j++) {
        d[j] = splat(0);
        if (j >= n) continue;
        const struct point p = point(SQUARED, loss, y[j], load((const real *)loss->T + j * loss->ld));
        sum[0] += v_and(valid, p.value);
        d[j] = derive(loss->act.kind, (real)loss->act.slope, y[j], v_and(valid, p.slope));
        store((real *)loss->D + j * loss->ld, d[j]);
    }
    score->sum += block_sum(sum);
}

/* d := (d W^T) * act_below'(X), also to memory. */
INLINE void tiny_backward(const struct row *row, vec d[TINY])
{
    const ptrdiff_t k = row->k, n = row->n;
    const real *w = row->W, *x = row->X;
    real *to = row->Dx;
    vec below[TINY];
    UNROLL for (int i = 0; i < TINY; i++, w += row->ld, x += row->ldx, to += row->ldx) {
        below[i] = splat(0);
        if (i >= k) continue;
        UNROLL for (int p = 0; p < TINY; p++) {
            if (p >= n) break;
            below[i] = v_fma(splat(w[p]), d[p], below[i]);
        }
        below[i] = derive(row->act_below.kind, (real)row->act_below.slope, load(x), below[i]);
        store(to, below[i]);
    }
    UNROLL for (int i = 0; i < TINY; i++) d[i] = below[i];
}

/* The layer has at most `count` outputs. The lanes of d from m on are zero. */
INLINE void tiny_update_by(const int count, const struct row *row, const vec d[TINY], ptrdiff_t m, real alpha,
                           real beta)
{
    const ptrdiff_t k = row->k, ld = row->ld, ldx = row->ldx;
    const real *x = row->X;
    real *target = row->target;
    const mask valid = lanes_below(0, row->n);
    const int plain = beta == 1;
    for (ptrdiff_t i = 0; i <= k; i++, x += ldx, target += ld) {
        vec sums[TINY];
        UNROLL for (int c = 0; c < count; c++) sums[c] = load(x) * d[c];
        store(target, accumulate_in_turn(plain, alpha, v_and(valid, lane_sums(count, sums, m)), beta, target));
    }
}

INLINE void tiny_update(const struct row *row, const vec d[TINY], ptrdiff_t m, real alpha, real beta)
{
    if (row->n == 1) tiny_update_by(1, row, d, m, alpha, beta);
    else if (row->n == 2 || TINY == 2) tiny_update_by(2, row, d, m, alpha, beta);
    else tiny_update_by(TINY, row, d, m, alpha, beta);
}

INLINE void tiny_step(const struct net *net, ptrdiff_t m, real alpha, real beta, struct score *score)
{
    const struct row *rows = net->rows, *last = rows + net->n_rows - 1;
    vec y[TINY], d[TINY];
    UNROLL for (int p = 0; p < TINY; p++) y[p] = p < rows->k ? load((const real *)rows->X + p * rows->ldx) : splat(0);
    for (const struct row *row = rows; row <= last; row++) tiny_forward(row, y);
    tiny_loss(net, y, last->n, score, d);
    for (const struct row *row = last; row >= rows; row--) {
        vec above[TINY];
        UNROLL for (int j = 0; j < TINY; j++) above[j] = d[j];
        if (row > rows) tiny_backward(row, d);
        tiny_update(row, above, m, alpha, beta);
    }
}

APART void tiny_steps(const struct net *net, ptrdiff_t m, real alpha, real beta, struct score *score, ptrdiff_t steps)
{
    for (const struct score *end = score + steps; score < end; score++) {
        tiny_step(net, m, alpha, beta, score);
        if (score->sum - score->sum != 0) return;
    }
}

#endif
