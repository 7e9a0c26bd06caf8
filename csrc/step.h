/* A whole training step of dense layers in one call, for one sample and for thin nets: their kernels take 5 to 20 ns each,
 * and the same walk over `layer_ops` took a seventh of the time of a 2-2-1 net. What each pass does is said in kernels.h. */
#ifndef FUSEDELTA_STEP_H
#define FUSEDELTA_STEP_H

#include "narrow.h"
#include "online.h"

static void narrow_step(const struct net *net, ptrdiff_t m, double alpha, double beta, struct score *score)
{
    const struct row *rows = net->rows;
    for (ptrdiff_t i = 0; i < net->n_rows; i++) narrow_forward(&rows[i], m);
    net->loss.evaluate(&net->loss, rows[net->n_rows - 1].n, score);
    for (ptrdiff_t i = net->n_rows - 1; i >= 0; i--) {
        if (i > 0) narrow_backward(&rows[i], m);
        narrow_update(&rows[i], m, alpha, beta);
    }
}

static void online_step(struct net *net, double alpha, double beta, struct score *score)
{
    const struct row *rows = net->rows;
    const int may_start = net->next && beta == 1 && rows[0].target == rows[0].W && !net->finish;
    if (!net->started) online_product(&rows[0]);
    online_activate(&rows[0]);
    for (ptrdiff_t i = 1; i < net->n_rows; i++) online_forward(&rows[i]);
    net->loss.evaluate(&net->loss, 1, score);
    for (ptrdiff_t i = net->n_rows - 1; i >= 0; i--) {
        if (i > 0) online_backward(&rows[i]);
        else if ((net->started = may_start && online_update_ahead(&rows[0], net->next, alpha))) return;
        online_update(&rows[i], alpha, beta);
    }
}

#endif
