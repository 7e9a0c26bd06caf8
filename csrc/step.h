/* A whole training step of dense layers in one call, for one sample and for thin nets: their kernels take 5 to 20 ns
 * each, and the same walk over `layer_ops` took a seventh of the time of a 2-2-1 net. Calls of the kernels would take
 * another tenth of it, which is why batches of a block have them inlined. What each pass does is said in kernels.h. */
#ifndef FUSEDELTA_STEP_H
#define FUSEDELTA_STEP_H

#include "narrow.h"
#include "online.h"
#include "tall.h"
#include "thin.h"
#include "tiny.h"

/* Batches of `wide` vectors, at most a block. */
INLINE void narrow_step_by(const int wide, const struct net *net, ptrdiff_t m, real alpha, real beta,
                           struct score *score)
{
    const struct row *rows = net->rows;
    const ptrdiff_t last = net->n_rows - 1;
    for (ptrdiff_t i = 0; i <= last; i++) narrow_forward_block(wide, &rows[i]);
    net->loss.evaluate(&net->loss, rows[last].n, score);
    for (ptrdiff_t i = last; i >= 0; i--) {
        if (i > 0) narrow_backward_block(wide, &rows[i]);
        narrow_update_block(wide, &rows[i], m, alpha, beta);
    }
}

/* More of them: all passes over a stretch of samples, whose matrices stay in a near cache, before the next one's take
 * their place; only the inputs and the targets lie one after the other. 2-16-8-1 with 400 samples takes 0.98 of the
 * time so, with 16,000 0.71 and 100,000 0.49, in double precision 1.00, 0.60 and 0.41
 * (python -m benchmarks.scaling --thin). */
APART void narrow_stretches(const struct net *net, ptrdiff_t m, real alpha, real beta, struct score *score)
{
    const ptrdiff_t last = net->n_rows - 1;
    struct loss loss = net->loss;
    struct row first = net->rows[0];
    for (ptrdiff_t at = 0, count; at < m; at += count) {
        count = stretch_at(at, m);
        const int part = (at % SPAN ? 0 : FIRST) | (at + count == m || (at + count) % SPAN == 0 ? LAST : 0);
        first.X = (const real *)net->rows[0].X + at;
        for (ptrdiff_t i = 0; i <= last; i++) narrow_forward_blocks(i ? &net->rows[i] : &first, count);
        loss.n = count, loss.T = (const real *)net->loss.T + at;
        loss.weights = net->loss.weights ? (const real *)net->loss.weights + at : NULL;
        loss.evaluate(&loss, net->rows[last].n, score);
        for (ptrdiff_t i = last; i >= 0; i--) {
            const struct row *row = i ? &net->rows[i] : &first;
            if (i > 0) narrow_backward_blocks(row, count);
            narrow_sum(row, count, part, at < SPAN, row->kept, narrow_sums_of(row));
        }
    }
    for (ptrdiff_t i = 0; i <= last; i++)
        narrow_add(&net->rows[i], narrow_sums_of(&net->rows[i]), alpha, beta);
}

APART void narrow_steps(const struct net *net, ptrdiff_t m, double alpha, double beta, struct score *score,
                        ptrdiff_t steps)
{
    if (is_tiny_net(net, m)) {
        tiny_steps(net, m, (real)alpha, (real)beta, score, steps);
        return;
    }
    for (const struct score *end = score + steps; score < end; score++) {
        if (m <= LANES) narrow_step_by(1, net, m, (real)alpha, (real)beta, score);
        else if (m <= BLOCK) narrow_step_by(WIDE, net, m, (real)alpha, (real)beta, score);
        else narrow_stretches(net, m, (real)alpha, (real)beta, score);
        if (score->sum - score->sum != 0) return;
    }
}

/* Of nets with `tall` rows or without any. */
INLINE void online_step_by(const int tall, struct net *net, double alpha, double beta, struct score *score)
{
    const struct row *rows = net->rows;
    const struct share sample = {.m = 1, .last = 1};
    const int may_start = net->next && beta == 1 && rows[0].target == rows[0].W && !net->finish;
    if (net->started) online_list(&rows[0]), online_activate(&rows[0]);
    for (ptrdiff_t i = net->started; i < net->n_rows; i++)
        if (tall && rows[i].tall) tall_forward(&rows[i], &sample);
        else online_forward(&rows[i]);
    net->loss.evaluate(&net->loss, 1, score);
    for (ptrdiff_t i = net->n_rows - 1; i >= 0; i--) {
        if (tall && rows[i].tall) {
            if (i > 0) tall_backward(&rows[i], &sample);
            tall_update(&rows[i], &(struct share){.m = 1, .last = rows[i].height}, alpha, beta);
            continue;
        }
        if (i > 0) online_backward(&rows[i]);
        else if ((net->started = may_start && online_update_ahead(&rows[0], net->next, alpha))) return;
        online_update(&rows[i], alpha, beta);
    }
}

APART void online_step_here(struct net *net, double alpha, double beta, struct score *score)
{
    if (is_thin_net(net)) thin_step(net, (real)alpha, (real)beta, score);
    else if (net->tall) online_step_by(1, net, alpha, beta, score);
    else online_step_by(0, net, alpha, beta, score);
}

/* The entries, which leave small nets to half the width, save no registers for it: a step of 2-2-1 takes 0.96 so. */
static void narrow_step(const struct net *net, ptrdiff_t m, double alpha, double beta, struct score *score,
                        ptrdiff_t steps)
{
    LEAVE_TO_HALF(narrow_step, m, net, m, alpha, beta, score, steps)
    narrow_steps(net, m, alpha, beta, score, steps);
}

static void online_step(struct net *net, double alpha, double beta, struct score *score)
{
    LEAVE_TO_HALF(online_step, net->loss.widest, net, alpha, beta, score)
    online_step_here(net, alpha, beta, score);
}

#endif
