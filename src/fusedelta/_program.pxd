from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

from fusedelta._c cimport activation_t, net_t, row_t, score_t, share_t, stage_t, team_t
from fusedelta._losses cimport UserLoss
from fusedelta._optimizers cimport Optimizer, rule_t
from fusedelta._tensors cimport Tensors


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


# Bytes of the memory that a batch takes.
cdef struct parts_t:
    ptrdiff_t inputs             # brought together
    ptrdiff_t targets
    ptrdiff_t activations
    ptrdiff_t deltas
    ptrdiff_t scratch            # panels, one a thread


# A step, or a way forward, that several threads share.
cdef struct team_step:
    void *program                # a Program, kept alive by the caller
    ptrdiff_t m
    score_t *score


cdef class Program:
    cdef net_t net
    cdef source_t source
    cdef team_t *team
    cdef int threads             # the most that a step may use
    cdef int shares              # those that there is memory for
    cdef char *panels            # a panel of scratch for each ...
    cdef ptrdiff_t panel         # ... of so many bytes
    cdef readonly bint narrow    # feature-major, for layers thinner than a vector
    cdef bint dense              # no rows of other kinds
    cdef list kinds              # of the rows, as layers name them
    cdef list partners           # of each row the index of its fork or addition, or -1
    cdef bint drops              # some are dropout
    cdef bint averages           # some keep moving averages
    cdef bint padded             # the first row wants whole blocks
    cdef bint logits             # the loss wants the last row before its activation
    cdef bint sparse             # targets are labels
    cdef UserLoss user           # the user's own loss, or None
    cdef double smoothing        # of the targets
    cdef ptrdiff_t decisions     # of a sample, whose right ones are counted
    cdef bint sloped             # the derivatives of some rows do not follow from their outputs
    cdef activation_t output     # the last row's activation
    cdef ptrdiff_t k, n, itemsize
    cdef Optimizer optimizer     # the network's: its programs share it
    cdef rule_t *rule            # its
    cdef bint takes_ahead        # a step of one sample may begin with the next
    cdef Tensors tensors         # its
    cdef double flops            # of one sample, all three passes
    cdef char *block             # of memory
    cdef ptrdiff_t capacity      # samples the memory has room for
    cdef parts_t parts           # of the memory
    cdef bint gathers            # it has room for inputs brought together
    cdef char *inputs            # (capacity, k), or (k + 1, lanes) where narrow
    cdef char *targets           # (capacity, ld), or (n, lanes)
    cdef int64_t *labels         # (capacity)
    cdef char *weights           # (capacity)

    cdef int compile(self, row_t *row, object layer, char *params, char *state) except -1
    cdef int reserve(self, ptrdiff_t m, bint gathers, int threads) except -1
    cdef ptrdiff_t lay_out(self, char *memory, ptrdiff_t m, bint gathers) noexcept
    cdef ptrdiff_t statistics_bytes(self, ptrdiff_t i, ptrdiff_t m) noexcept
    cdef ptrdiff_t lay_out_narrow(self, char *memory, ptrdiff_t m) noexcept
    cdef void fill_ones(self) noexcept
    cdef void begin(self, stage_t stage, bint logits) noexcept nogil
    cdef void want_slopes(self, bint slopes) noexcept nogil
    cdef void aim(self, ptrdiff_t offset) noexcept nogil
    cdef void stage(self, data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil
    cdef void place(self, const char *X) noexcept nogil
    cdef void look_ahead(self, const data_set *data, ptrdiff_t next) noexcept nogil
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
    cdef void step_of_user(self, ptrdiff_t m, score_t *score) noexcept nogil
    cdef void settle(self) noexcept nogil
    cdef int check(self) except -1
    cdef double loss(self, const score_t *score, ptrdiff_t m) noexcept nogil
    cdef double accuracy(self, const score_t *score, ptrdiff_t m) noexcept nogil
