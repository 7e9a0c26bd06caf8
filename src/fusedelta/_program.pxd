from libc.math cimport NAN
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

from fusedelta._c cimport activation_t, coming_t, row_t, score_t, share_t, stage_t, team_t
from fusedelta._losses cimport UserLoss
from fusedelta._optimizers cimport Optimizer, rule_t
from fusedelta._tensors cimport Tensors
from fusedelta._workspace cimport Workspace


cdef enum:
    FAR_AWAY = 32768             # bytes that the nearest cache does not hold
    COMING_BYTES = 262144        # of the next batch are asked for, a quarter of most L2 caches, or an eighth


# The samples of a call: batches are runs of `order`, or of the samples as they lie.
cdef struct data_set:
    const char *X                # (m, k)
    const char *T                # (m, n) targets, or NULL where labels are given
    const int64_t *labels        # (m)
    const char *weights          # (m), or NULL
    const ptrdiff_t *order       # (m), or NULL
    ptrdiff_t m
    bint staged                  # all of it is in place as one batch


# Where the inputs of the batch in place come from, if they do not lie as the first row wants them.
cdef struct source_t:
    bint scattered
    const char *samples
    const ptrdiff_t *order       # or NULL: as they lie


# A step, or a way forward, that several threads share.
cdef struct team_step:
    void *program                # a Program, kept alive by the caller
    ptrdiff_t m
    score_t *score


cdef class Program(Workspace):
    cdef source_t source
    cdef team_t *team
    cdef int threads             # the most that a step may use
    cdef bint dense              # no rows of other kinds
    cdef bint drops              # some are dropout
    cdef bint averages           # some keep moving averages
    cdef bint logits             # the loss wants the last row before its activation
    cdef UserLoss user           # the user's own loss, or None
    cdef double smoothing        # of the targets
    cdef ptrdiff_t decisions     # of a sample, whose right ones are counted
    cdef bint sloped             # the derivatives of some rows do not follow from their outputs
    cdef activation_t output     # the last row's activation
    cdef Optimizer optimizer     # the network's: its programs share it
    cdef rule_t *rule            # its
    cdef bint takes_ahead        # a step of one sample may begin with the next
    cdef coming_t coming         # the next batch: none if it has no samples
    cdef Tensors tensors         # its
    cdef double flops            # of one sample, all three passes

    cdef int compile(self, row_t *row, object layer, char *params, char *state) except -1
    cdef void begin(self, stage_t stage, bint logits) noexcept nogil
    cdef void want_slopes(self, bint slopes) noexcept nogil
    cdef void aim(self, ptrdiff_t offset) noexcept nogil
    cdef void stage(self, data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil
    cdef void place(self, const char *X) noexcept nogil
    cdef void look_ahead(self, const data_set *data, ptrdiff_t next, ptrdiff_t m) noexcept nogil
    cdef void stage_targets(self, const data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil
    cdef void smooth_targets(self, ptrdiff_t m) noexcept nogil
    cdef void stage_weights(self, const data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil
    cdef int threads_for(self, double flops) noexcept nogil
    cdef void forward(self, ptrdiff_t m, int threads) noexcept nogil
    cdef share_t share(self, int thread, ptrdiff_t m) noexcept nogil
    cdef void bring(self, ptrdiff_t first, ptrdiff_t last) noexcept nogil
    cdef void forward_share(self, const share_t *share) noexcept nogil
    cdef void score_part(self, data_set *data, ptrdiff_t first, ptrdiff_t at, ptrdiff_t m,
                         score_t *score) noexcept nogil
    cdef void add_penalties(self, ptrdiff_t m, score_t *score) noexcept nogil
    cdef double alpha(self, ptrdiff_t m, double rate) noexcept nogil
    cdef void step_share(self, int thread, ptrdiff_t m, score_t *score) noexcept nogil
    cdef void score(self, ptrdiff_t m, score_t *score) noexcept nogil
    cdef void backward(self, ptrdiff_t m, double rate, double beta) noexcept nogil
    cdef void step(self, ptrdiff_t m, score_t *score) noexcept nogil
    cdef bint is_whole(self, ptrdiff_t m) noexcept nogil
    cdef void whole_step(self, ptrdiff_t m, double alpha, double beta, score_t *score) noexcept nogil
    cdef void step_of_user(self, ptrdiff_t m, score_t *score) noexcept nogil
    cdef void settle(self) noexcept nogil
    cdef int check(self) except -1


cdef inline double mean_loss(Program program, const score_t *score, ptrdiff_t m) noexcept nogil:
    """Of m samples; the loss of a sum is no mean."""
    cdef double value = score.sum * program.net.loss.value_factor
    return value / <double> m if program.net.loss.mean else value


cdef inline double accuracy(Program program, const score_t *score, ptrdiff_t m) noexcept nogil:
    """Share of right decisions: one a sample, or one an output; nan for a regression."""
    return <double> score.correct / (<double> m * program.decisions) if program.decisions > 0 else NAN
