/* The program of a network: one row a layer, walked forward, then backward.
 *
 * Letters, here and everywhere: m samples, n outputs, k inputs; X (m, k) inputs, W (k, n) weights, b (n) biases,
 * Y (m, n) outputs, D (m, n) deltas dLoss/dz; ld = row stride in elements. Matrices the network owns are 64-byte
 * aligned, their strides are whole 64-byte blocks, and what lies between n and ld is padding.
 */
#ifndef FUSEDELTA_NET_H
#define FUSEDELTA_NET_H

#include <stddef.h>
#include <stdint.h>

/* From ELU on they are late, from SOFTPLUS on they have slopes: activations.h. */
enum activation_kind {
    LINEAR, RELU, LEAKY_RELU, SIGMOID, TANH, SOFTMAX,
    ELU, SELU, HARD_SIGMOID, HARD_TANH, EXPONENTIAL,
    SOFTPLUS, SILU, MISH, GELU, GELU_TANH
};

struct activation {
    int kind;
    double slope; /* of leaky relu, for z <= 0; elu's alpha */
};

struct net;
struct row;

/* The samples of the next batch, or as many of them as L2 has room for. */
struct coming {
    const char *X;
    const ptrdiff_t *order; /* which they are; NULL: as they lie */
    ptrdiff_t m, bytes;     /* how many, of how many bytes each */
};

/* One thread's share of a pass over a batch of m samples. Shares split outputs, never a sum. */
struct share {
    ptrdiff_t m;
    ptrdiff_t first, last; /* samples first..last-1 forward and backward, rows of (height, ld) in an update */
    void *scratch;         /* dense_scratch bytes, this thread's own */
    int thread, threads;   /* which one it is, of how many */
    const struct coming *coming; /* what an update asks memory for meanwhile; NULL: nothing */
};

/* What a kind of layer does. A row without parameters has no update, most have nothing to settle. */
struct layer_ops {
    void (*forward)(const struct net *, const struct row *, const struct share *);  /* Y = act(X W + b) */
    void (*backward)(const struct net *, const struct row *, const struct share *); /* Dx = (D W^T) * act_below'(X) */
    void (*update)(const struct net *, const struct row *, const struct share *, double alpha, double beta);
                                                                /* target = beta target + alpha X^T D */
    void (*settle)(const struct net *, const struct row *); /* at the end of a step: what it keeps beside parameters */
};

struct row {
    const struct layer_ops *ops;
    ptrdiff_t k, n;
    int tall;         /* whether W is (n, k in whole 64-byte blocks) and b (ld) behind it: tall.h */
    ptrdiff_t height; /* parts that threads share an update by: rows of parameters, k + 1 of a dense layer; of a tall */
                      /* one the blocks of a row, and the bias */
    ptrdiff_t ldx;  /* row stride of X and Dx: any for the data set's X, which dense rows read as it lies, else whole */
                    /* 64-byte blocks */
    ptrdiff_t ld;   /* row stride of W, Y and D: n in whole 64-byte blocks, or one more */
    void *W;        /* (k + 1, ld): the weights; row k is the bias; padding zero; of a tall row see above */
    void *target;   /* as W: what the update accumulates into: W itself for SGD, else a gradient or velocity */
    const void *X;  /* (m, ldx) */
    void *Y;        /* (m, ld) */
    void *S;        /* (m, ld): receives the slopes act'(z) in training, where the activation has them; else NULL */
    void *D;        /* (m, ld), padding zero */
    void *Dx;       /* (m, ldx): the D of the row below; NULL where no parameters are below */
    struct activation act;       /* of Y */
    struct activation act_below; /* of X, which is the Y of the row below */
    const void *Sx;              /* (m, ldx): what act_below' is computed from: the slopes of the row below, or X */
    int32_t *list;               /* (k + 4): of a single sample how many of X are not zero, then which: online.h */
    void *kept;         /* narrow_step: (k + 1, n) 64-byte blocks and (k + 1, NARROW): sums of an update so far */
    double rate;        /* of dropout, ... */
    uint32_t threshold; /* ... in units of 2^-32 */
    uint32_t number;    /* how many such rows are below */
    const void *more_X; /* (m, ld): what an addition adds to X; else NULL */
    const void *more_D; /* (m, ld): what a fork adds to D, which is the D of its addition; else NULL */
    double epsilon, momentum; /* of a normalisation: */
    int scale, center;        /* whether it has a gamma and a beta */
    void *moving;             /* (2, ld): means and variances that predictions go by, over batches; padding zero */
    void *statistics;         /* (7, ld) of a batch, or (m, 2): what the way back needs */
};

struct score {
    double sum;      /* of the loss over samples and outputs, unscaled */
    int64_t correct; /* predictions that name the right class */
};

/* The loss and the batch as it sees it: value = value_factor sum, dLoss/dz = delta_factor D, both over m if `mean`. */
struct loss {
    void (*evaluate)(const struct loss *, ptrdiff_t m, struct score *); /* adds to the score, writes D */
    double value_factor, delta_factor;
    int mean;
    ptrdiff_t n, ld;
    const void *Y;         /* (m, ld): outputs; logits for the cross-entropies */
    const void *S;         /* (m, ld): what act' is computed from: the slopes, or Y */
    const void *T;         /* (m, ld): targets, or NULL where labels are given */
    const int64_t *labels; /* (m): classes 0..n-1 */
    void *D;               /* (m, ld): receives the unscaled deltas dLoss/dz, padding zero */
    struct activation act; /* of Y */
    double a, b, c;        /* the loss's own parameters: huber's delta, the quantile, the focal gamma and weights */
    double on, off;        /* what a label's own class and the others have as targets: 1 and 0, unless smoothed */
    const void *weights;   /* (m): of the samples; NULL: all one */
    void *user;            /* the user's own loss, where there is one; no kernel looks at it */
    ptrdiff_t widest;      /* the most outputs that a row of the net has: the lanes that a single sample needs */
    int by_lane;           /* feature-major: the samples are columns, (n, m) stands for (m, n) everywhere */
};

/* What the finish of an optimiser works on: blocks laid out as the parameters, and the numbers of the step at hand. */
struct moments {
    void *w;                           /* the parameters */
    void *g;                           /* their gradient, where that is the target of the updates, else NULL */
    void *velocity, *m, *v, *u, *d;    /* what the rule keeps, by the letters of its formulae; else NULL */
    double rate;                       /* what the step is multiplied with, bias corrections included */
    double mean_part, gradient_part;   /* for nadam: how much of its mean and of the gradient itself a step takes */
    double decay;                      /* the part of itself that a parameter loses: learning rate times weight decay */
    double epsilon;                    /* corrected likewise; above zero in the dtype */
    double momentum, rho, beta_1, beta_2; /* as the user gives them */
};

/* What is added to the gradient of a W or b, and how far its elements may go then. */
struct conditions {
    double l1, l2; /* of the penalty l1 sum |w| + l2 sum w^2 */
    double limit;  /* infinity for none */
};

/* What a walk over the rows is for. */
enum stage {
    PREDICTING, /* nothing is dropped; batches are normalised by moving means */
    TRAINING,   /* and gradients alone */
};

/* What the masks of dropout follow from. */
struct noise {
    uint64_t key;
    uint64_t step; /* training steps so far */
};

struct net {
    const struct kernels *cpu;
    ptrdiff_t n_rows;
    struct row *rows;
    struct loss loss;
    void (*finish)(const struct net *, int thread, int threads); /* a thread's part of an optimiser's finish, or NULL */
    void *optimizer;                                             /* what the finish goes by */
    const void *next; /* online_step: the next sample's X, if its first product may be taken along; else NULL */
    int started;      /* online_step: whether Y of the first row is that product already */
    int tall;         /* online_step: whether there are tall rows */
    enum stage stage;
    struct noise noise;
    struct team *team;                                           /* the threads that share it, and ... */
    void (*barrier)(struct team *);                              /* ... what they wait at: see team.h */
};

#endif
