/* The kernel table: how fast a CPU does what the layers ask for.
 *
 * One table an instruction set and dtype, all from one source (kernels_impl.h), chosen once by dispatch.c. Scalars
 * arrive as double and are rounded to the table's dtype. AVX-512 leaves the steps of the smallest nets and their losses
 * to AVX2: see LEAVE_TO_HALF.
 *
 * One order of rounding: every output is one chain of fused multiply-adds over its reduction index, ascending,
 * vectorised across outputs, so tiles, vector widths, batches and threads do not change a bit of it. Sums over the
 * lanes, as backward for few samples and forward in tall layers, run in 64-byte blocks of them, folded by halves,
 * whatever the real width. `base` has no FMA and rounds twice; it equals itself only, on any machine.
 */
#ifndef FUSEDELTA_KERNELS_H
#define FUSEDELTA_KERNELS_H

#include "net.h"

#define BLOCK_BYTES 64        /* strides are multiples, matrices are aligned to it */
#define PANEL_BYTES 512       /* the widest panel of columns that a kernel packs at a time */
#define NARROW 16             /* nets whose layers are all this thin or thinner train feature-major */
#define CHUNK 64              /* samples of an update whose sum is added to the target at a time, ... */
#define LONG_CHUNK 256        /* ... or so many, where rows lie far apart and samples are twice CHUNK or more */
#define UPDATE_BYTES 192      /* so many bytes of each of CHUNK samples come together in L1, beside some deltas, */
#define UPDATE_BLOCK 14336    /* in a block of CHUNK times as many and some, */
#define UPDATE_PACKED 524288  /* and so many bytes of packed deltas, at least a panel, stay in L2 */
#define UPDATE_NEAR 1048576   /* unless L1 is large and X no larger than this: then all stays where it is */
#define FAR_BYTES 2048        /* from this stride on, rows share sets of the caches, from twice that on no pages: */
#define WALKED_BYTES 6291456  /* unless L1 is large and, forward, W no larger than this: else */
#define PIECE_BYTES 2048      /* so many bytes of each are brought together, */
#define SLIVERS_BYTES 4194304 /* as many rows as make this, */
#define STRIPS_BYTES 524288   /* to meet so much of the other operand in L2, */
#define MANY_ROWS 192         /* or a quarter of that, if they are fewer than these; */
#define FEW_ROWS 48           /* fewer than these meet it where it lies, */
#define SHORT_PIECE 256       /* so many bytes at a time */

/* X(entry, arguments): the one list of the kernels.
 *
 * dense_forward   Y = act(X W + b), the share's samples. X may have any stride and alignment.
 * dense_backward  Dx = (D W^T) * act_below'(X), the share's samples; writes the padding of Dx as zero.
 * dense_update    target = beta target + alpha [X 1]^T D over m samples, the share's rows of (k + 1, ld), a chunk of
 *                 samples after the other: each one's sum is added to the target, which counts for nothing where
 *                 beta = 0. Nothing may alias D or X.
 * tall_forward, tall_backward, tall_update
 *                 the same for few outputs, and inputs of 64 bytes or more, for any m, with W and target (n, k in whole
 *                 blocks), the bias behind them. Shares of an update are of 64-byte blocks of features, and the bias.
 * online_forward, online_backward, online_update
 *                 the same for one sample, rows 0..k. Forward lists the inputs that are not zero, for the update.
 * narrow_forward, narrow_backward, narrow_update
 *                 the same for m samples, feature-major: X (k + 1, ldx), Y (n + 1, ldx), D (n, ldx), Dx (k, ldx),
 *                 samples in the lanes, ldx whole blocks, n and k at most NARROW. The last row of X and of Y holds
 *                 ones, which meet the bias. The lanes of D from m on are zero; those of X and Y hold anything finite.
 * narrow_gather   to (width, ld) := samples of `width` values, in the order given or as they lie, transposed; the last
 *                 one again in the lanes from m on, so that they overflow only where it does.
 * online_step, narrow_step
 *                 all of it for a net of dense layers whose batch is in place: forward, loss, backward and update.
 *                 online_step may begin with the next sample, which must then be the one that comes: see net.h.
 *                 narrow_step makes as many steps on the batch as there are scores to add to, one each; it ends with
 *                 the first whose sum is not finite.
 * activation_forward, activation_backward
 *                 Y = act(X + more_X); Dx = (D + more_D) * act_below'(X).
 * dropout_forward, dropout_backward
 *                 Y = act(X * mask / (1 - rate)); Dx = (D * mask / (1 - rate)) * act_below'(X), with a mask that
 *                 follows from noise, the row's number, sample and feature alone. All of the share's samples, as the
 *                 two above; X aligned, n = k; Dx is padded with zeros. So are those below.
 * batch_statistics, moving_statistics
 *                 means, variances and 1 / sqrt(variance + epsilon) of X over m samples, for columns first..last-1 of
 *                 the share, whole 64-byte blocks. The latter takes them from `moving`.
 * batch_settle    moving = momentum moving + (1 - momentum) the means and variances of the batch.
 * batch_forward, batch_sums, batch_backward, batch_update
 *                 N = (X - mean) / sqrt(variance + epsilon), Y = act(gamma N + beta). The sums of D N and D over m
 *                 samples, for a share of the columns; Dx = gamma / sqrt(variance + epsilon) (D - mean(D)
 *                 - N mean(D N)) * act_below'(X); target = beta target + alpha those sums, the share's rows of gamma
 *                 and beta: which the update sums up itself where Dx is NULL.
 * layer_forward, layer_backward, layer_update
 *                 the same with means over each sample's features; Dx with gamma D in the place of D.
 * squared_error, absolute_error, huber, log_cosh, quantile, poisson, hinge, squared_hinge
 *                 add the batch's unscaled loss of the outputs to the score, write the unscaled D; weights are in both.
 *                 The slopes of squared_error and squared_hinge are halved.
 * poisson_logits, binary_crossentropy, binary_focal, categorical_crossentropy, kl_divergence, categorical_focal
 *                 the same from logits. Categorical ones are sample-major; labels are for categorical_crossentropy.
 * through_output  D from dLoss/dy, which is in its place and zero in the padding: D = dLoss/dz.
 * rescale         x[i] = factor x[i] + shift for count values, whole blocks: smooths targets.
 * descent_finish, momentum_finish, nesterov_finish, lion_finish, adam_finish, amsgrad_finish, nadam_finish,
 * adamax_finish, rmsprop_finish, adagrad_finish, adadelta_finish
 *                 the rest of an optimiser's step, elements first..last-1 of its blocks, whole 64-byte blocks.
 *                 Padding is zero in all of them and stays zero.
 * penalty         value := l1 sum |x| + l2 sum x^2 over count elements, whole 64-byte blocks as in the next three.
 * condition       g := g + l1 sign(w) + 2 l2 w, then no less than -limit and no more than limit; NaN stays.
 * shrink          x := factor x.
 * max_norm        columns first..last-1 of W (k, ld), whole 64-byte blocks, each times min(norm, largest) / (norm
 *                 + 1e-7).
 * apply           y[i] = act(x[i]) for count values, whole blocks; kind is an activation_kind, EXP, LOG1P or ROOT. x
 *                 may be y. s receives act'(x[i]) of an activation with slopes, or is NULL.
 * dense_scratch   bytes of scratch that a share of the three takes, in batches of up to m samples.
 * all_within      whether low <= x[i] <= high for all count values (false for NaN); any alignment.
 */
#define KERNELS(X)                                                                                                     \
    X(dense_forward, (const struct row *, const struct share *))                                                       \
    X(dense_backward, (const struct row *, const struct share *))                                                      \
    X(dense_update, (const struct row *, const struct share *, double alpha, double beta))                             \
    X(tall_forward, (const struct row *, const struct share *))                                                        \
    X(tall_backward, (const struct row *, const struct share *))                                                       \
    X(tall_update, (const struct row *, const struct share *, double alpha, double beta))                              \
    X(online_forward, (const struct row *))                                                                            \
    X(online_backward, (const struct row *))                                                                           \
    X(online_update, (const struct row *, double alpha, double beta))                                                  \
    X(narrow_forward, (const struct row *, ptrdiff_t m))                                                               \
    X(narrow_backward, (const struct row *, ptrdiff_t m))                                                              \
    X(narrow_update, (const struct row *, ptrdiff_t m, double alpha, double beta))                                     \
    X(narrow_gather, (const void *, ptrdiff_t width, const ptrdiff_t *order, ptrdiff_t m, void *to, ptrdiff_t ld))     \
    X(online_step, (struct net *, double alpha, double beta, struct score *))                                          \
    X(narrow_step, (const struct net *, ptrdiff_t m, double alpha, double beta, struct score *, ptrdiff_t steps))      \
    X(activation_forward, (const struct row *, const struct share *))                                                  \
    X(activation_backward, (const struct row *, const struct share *))                                                 \
    X(dropout_forward, (const struct row *, const struct share *, const struct noise *))                               \
    X(dropout_backward, (const struct row *, const struct share *, const struct noise *))                              \
    X(batch_statistics, (const struct row *, const struct share *))                                                    \
    X(batch_settle, (const struct row *))                                                                              \
    X(moving_statistics, (const struct row *, const struct share *))                                                   \
    X(batch_forward, (const struct row *, const struct share *))                                                       \
    X(batch_sums, (const struct row *, const struct share *))                                                          \
    X(batch_backward, (const struct row *, const struct share *))                                                      \
    X(batch_update, (const struct row *, const struct share *, double alpha, double beta))                             \
    X(layer_forward, (const struct row *, const struct share *))                                                       \
    X(layer_backward, (const struct row *, const struct share *))                                                      \
    X(layer_update, (const struct row *, const struct share *, double alpha, double beta))                             \
    X(squared_error, (const struct loss *, ptrdiff_t m, struct score *))                                               \
    X(absolute_error, (const struct loss *, ptrdiff_t m, struct score *))                                              \
    X(huber, (const struct loss *, ptrdiff_t m, struct score *))                                                       \
    X(log_cosh, (const struct loss *, ptrdiff_t m, struct score *))                                                    \
    X(quantile, (const struct loss *, ptrdiff_t m, struct score *))                                                    \
    X(poisson, (const struct loss *, ptrdiff_t m, struct score *))                                                     \
    X(hinge, (const struct loss *, ptrdiff_t m, struct score *))                                                       \
    X(squared_hinge, (const struct loss *, ptrdiff_t m, struct score *))                                               \
    X(poisson_logits, (const struct loss *, ptrdiff_t m, struct score *))                                              \
    X(binary_crossentropy, (const struct loss *, ptrdiff_t m, struct score *))                                         \
    X(binary_focal, (const struct loss *, ptrdiff_t m, struct score *))                                                \
    X(categorical_crossentropy, (const struct loss *, ptrdiff_t m, struct score *))                                    \
    X(kl_divergence, (const struct loss *, ptrdiff_t m, struct score *))                                               \
    X(categorical_focal, (const struct loss *, ptrdiff_t m, struct score *))                                           \
    X(through_output, (const struct loss *, ptrdiff_t m))                                                              \
    X(rescale, (void *x, ptrdiff_t count, double factor, double shift))                                                \
    X(descent_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                       \
    X(momentum_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                      \
    X(nesterov_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                      \
    X(lion_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                          \
    X(adam_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                          \
    X(amsgrad_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                       \
    X(nadam_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                         \
    X(adamax_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                        \
    X(rmsprop_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                       \
    X(adagrad_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                       \
    X(adadelta_finish, (const struct moments *, ptrdiff_t first, ptrdiff_t last))                                      \
    X(penalty, (const void *x, ptrdiff_t count, double l1, double l2, double *value))                                  \
    X(condition, (const struct conditions *, const void *w, void *g, ptrdiff_t count))                                 \
    X(shrink, (void *x, ptrdiff_t count, double factor))                                                               \
    X(max_norm, (void *W, ptrdiff_t k, ptrdiff_t ld, ptrdiff_t first, ptrdiff_t last, double largest))                 \
    X(apply, (int kind, double slope, const void *x, void *y, void *s, ptrdiff_t count))

enum { EXP = 100, LOG1P = 101, ROOT = 102 }; /* `apply` knows these beside the activations: the tests check them */

struct kernels {
    const char *isa;
    size_t itemsize;
#define DECLARE(entry, arguments) void(*entry) arguments;
    KERNELS(DECLARE)
#undef DECLARE
    int (*all_within)(const void *x, ptrdiff_t count, double low, double high);
    ptrdiff_t (*dense_scratch)(const struct row *row, ptrdiff_t m);
};

/* The table of that name and item size (4 or 8), or NULL if this machine cannot run it or there is none. */
const struct kernels *fusedelta_kernels(const char *isa, size_t itemsize);

/* Names of the instruction sets this machine runs, best first, NULL at the end. */
enum { FUSEDELTA_MAX_ISAS = 3 };
void fusedelta_isas(const char *names[FUSEDELTA_MAX_ISAS + 1]);

/* Whether the nearest data cache holds 48 KB or more: how updates come to their sums depends on it, no bit of them. It
 * is 0 until it has been looked for, and where it is not known: on other processors than x86-64. */
extern int fusedelta_large_l1;

/* Looks for what it takes: once, as a virtual machine takes its time to say what its processor can do. */
void fusedelta_probe(void);

/* Whether the code before left something in the vector registers beyond their first 16 bytes, which it clears: on
 * Intel's processors all code without AVX is slow from there on, Python's first of all. For tests; 0 if not known. */
int fusedelta_uppers_left(void);

/* Whether it would be known, tried. */
int fusedelta_sees_uppers(void);

/* Name and version of the compiler. */
const char *fusedelta_compiler(void);

/* Names of the kernels in the list above, NULL at the end. */
const char *const *fusedelta_kernel_names(void);

#endif
