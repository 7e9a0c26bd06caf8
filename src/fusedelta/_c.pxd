"""The one mirror of the C headers: what the fields and entries mean is said there."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stddef cimport ptrdiff_t


cdef extern from "net.h" nogil:
    ctypedef enum activation_kind "enum activation_kind":
        LINEAR
        RELU
        LEAKY_RELU
        SIGMOID
        TANH
        SOFTMAX
        ELU
        SELU
        HARD_SIGMOID
        HARD_TANH
        EXPONENTIAL
        SOFTPLUS
        SILU
        MISH
        GELU
        GELU_TANH

    ctypedef struct activation_t "struct activation":
        int kind
        double slope

    ctypedef enum stage_t "enum stage":
        PREDICTING
        TRAINING

    ctypedef struct noise_t "struct noise":
        uint64_t key
        uint64_t step

    ctypedef struct net_t "struct net"
    ctypedef struct row_t "struct row"
    ctypedef struct loss_t "struct loss"
    ctypedef struct kernels_t "struct kernels"
    ctypedef struct team_t "struct team"

    ctypedef struct coming_t "struct coming":
        const char *X
        const ptrdiff_t *order
        ptrdiff_t m
        ptrdiff_t bytes

    ctypedef struct share_t "struct share":
        ptrdiff_t m
        ptrdiff_t first
        ptrdiff_t last
        void *scratch
        int thread
        int threads
        const coming_t *coming

    ctypedef struct layer_ops_t "struct layer_ops":
        void (*forward)(const net_t *, const row_t *, const share_t *) noexcept nogil
        void (*backward)(const net_t *, const row_t *, const share_t *) noexcept nogil
        void (*update)(const net_t *, const row_t *, const share_t *, double alpha, double beta) noexcept nogil
        void (*settle)(const net_t *, const row_t *) noexcept nogil

    ctypedef struct row_t "struct row":
        const layer_ops_t *ops
        ptrdiff_t k
        ptrdiff_t n
        int tall
        ptrdiff_t height
        ptrdiff_t ldx
        ptrdiff_t ld
        void *W
        void *target
        const void *X
        void *Y
        void *S
        void *D
        void *Dx
        activation_t act
        activation_t act_below
        const void *Sx
        int32_t *list
        void *kept
        double rate
        uint32_t threshold
        uint32_t number
        const void *more_X
        const void *more_D
        double epsilon
        double momentum
        int scale
        int center
        void *moving
        void *statistics

    ctypedef struct score_t "struct score":
        double sum
        int64_t correct

    ctypedef struct loss_t "struct loss":
        void (*evaluate)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        double value_factor
        double delta_factor
        int mean
        ptrdiff_t n
        ptrdiff_t ld
        const void *Y
        const void *S
        const void *T
        const int64_t *labels
        void *D
        activation_t act
        double a
        double b
        double c
        double on
        double off
        const void *weights
        void *user
        ptrdiff_t widest
        bint by_lane

    ctypedef struct moments_t "struct moments":
        void *w
        void *g
        void *velocity
        void *m
        void *v
        void *u
        void *d
        double rate
        double mean_part
        double gradient_part
        double decay
        double epsilon
        double momentum
        double rho
        double beta_1
        double beta_2

    ctypedef struct conditions_t "struct conditions":
        double l1
        double l2
        double limit

    ctypedef struct net_t "struct net":
        const kernels_t *cpu
        ptrdiff_t n_rows
        row_t *rows
        loss_t loss
        void (*finish)(const net_t *, int thread, int threads) noexcept nogil
        void *optimizer
        const void *next
        int started
        int tall
        stage_t stage
        noise_t noise
        team_t *team
        void (*barrier)(team_t *) noexcept nogil


cdef extern from "kernels.h" nogil:
    const int BLOCK_BYTES
    const int NARROW
    const int FAR_BYTES
    const int FUSEDELTA_MAX_ISAS
    const int EXP
    const int LOG1P
    const int ROOT

    ctypedef struct kernels_t "struct kernels":
        const char *isa
        size_t itemsize
        void (*dense_forward)(const row_t *, const share_t *) noexcept nogil
        void (*dense_backward)(const row_t *, const share_t *) noexcept nogil
        void (*dense_update)(const row_t *, const share_t *, double alpha, double beta) noexcept nogil
        void (*tall_forward)(const row_t *, const share_t *) noexcept nogil
        void (*tall_backward)(const row_t *, const share_t *) noexcept nogil
        void (*tall_update)(const row_t *, const share_t *, double alpha, double beta) noexcept nogil
        void (*online_forward)(const row_t *) noexcept nogil
        void (*online_backward)(const row_t *) noexcept nogil
        void (*online_update)(const row_t *, double alpha, double beta) noexcept nogil
        void (*narrow_forward)(const row_t *, ptrdiff_t m) noexcept nogil
        void (*narrow_backward)(const row_t *, ptrdiff_t m) noexcept nogil
        void (*narrow_update)(const row_t *, ptrdiff_t m, double alpha, double beta) noexcept nogil
        void (*narrow_gather)(const void *samples, ptrdiff_t width, const ptrdiff_t *order, ptrdiff_t m,
                              void *to, ptrdiff_t ld) noexcept nogil
        void (*online_step)(net_t *, double alpha, double beta, score_t *) noexcept nogil
        void (*narrow_step)(const net_t *, ptrdiff_t m, double alpha, double beta, score_t *,
                            ptrdiff_t steps) noexcept nogil
        void (*activation_forward)(const row_t *, const share_t *) noexcept nogil
        void (*activation_backward)(const row_t *, const share_t *) noexcept nogil
        void (*dropout_forward)(const row_t *, const share_t *, const noise_t *) noexcept nogil
        void (*dropout_backward)(const row_t *, const share_t *, const noise_t *) noexcept nogil
        void (*batch_statistics)(const row_t *, const share_t *) noexcept nogil
        void (*batch_settle)(const row_t *) noexcept nogil
        void (*moving_statistics)(const row_t *, const share_t *) noexcept nogil
        void (*batch_forward)(const row_t *, const share_t *) noexcept nogil
        void (*batch_sums)(const row_t *, const share_t *) noexcept nogil
        void (*batch_backward)(const row_t *, const share_t *) noexcept nogil
        void (*batch_update)(const row_t *, const share_t *, double alpha, double beta) noexcept nogil
        void (*layer_forward)(const row_t *, const share_t *) noexcept nogil
        void (*layer_backward)(const row_t *, const share_t *) noexcept nogil
        void (*layer_update)(const row_t *, const share_t *, double alpha, double beta) noexcept nogil
        void (*squared_error)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*absolute_error)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*huber)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*log_cosh)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*quantile)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*poisson)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*hinge)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*squared_hinge)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*poisson_logits)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*binary_crossentropy)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*binary_focal)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*categorical_crossentropy)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*kl_divergence)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*categorical_focal)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
        void (*through_output)(const loss_t *, ptrdiff_t m) noexcept nogil
        void (*rescale)(void *x, ptrdiff_t count, double factor, double shift) noexcept nogil
        void (*descent_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*momentum_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*nesterov_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*lion_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*adam_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*amsgrad_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*nadam_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*adamax_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*rmsprop_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*adagrad_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*adadelta_finish)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil
        void (*penalty)(const void *x, ptrdiff_t count, double l1, double l2, double *value) noexcept nogil
        void (*condition)(const conditions_t *, const void *w, void *g, ptrdiff_t count) noexcept nogil
        void (*shrink)(void *x, ptrdiff_t count, double factor) noexcept nogil
        void (*max_norm)(void *W, ptrdiff_t k, ptrdiff_t ld, ptrdiff_t first, ptrdiff_t last,
                         double largest) noexcept nogil
        void (*apply)(int kind, double slope, const void *x, void *y, void *s, ptrdiff_t count) noexcept nogil
        int (*all_within)(const void *x, ptrdiff_t count, double low, double high) noexcept nogil
        ptrdiff_t (*dense_scratch)(const row_t *row, ptrdiff_t m) noexcept nogil

    const kernels_t *fusedelta_kernels(const char *isa, size_t itemsize) noexcept
    void fusedelta_isas(const char **names) noexcept
    const char *const *fusedelta_kernel_names() noexcept
    const char *fusedelta_compiler() noexcept
    int fusedelta_large_l1
    void fusedelta_probe() noexcept
    bint fusedelta_uppers_left() noexcept
    bint fusedelta_sees_uppers() noexcept


cdef extern from "team.h" nogil:
    ctypedef void (*team_work)(void *argument, int thread) noexcept nogil

    team_t *team_new(int threads) noexcept
    void team_free(team_t *) noexcept
    int team_active(const team_t *) noexcept
    void team_part(const team_t *, int thread, ptrdiff_t total, ptrdiff_t *first, ptrdiff_t *last) noexcept
    void team_took(team_t *, int thread, int64_t time) noexcept
    void team_expect(team_t *, int thread, double speed) noexcept
    void team_run(team_t *, int threads, team_work, void *argument) noexcept
    void team_barrier(team_t *) noexcept


cdef extern from "busy.h" nogil:
    bint busy_take(int *flag) noexcept
    void busy_release(int *flag) noexcept


cdef extern from "ticks.h" nogil:
    int64_t ticks() noexcept
