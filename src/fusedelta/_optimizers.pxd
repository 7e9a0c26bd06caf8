from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

from fusedelta._c cimport kernels_t, moments_t, net_t
from fusedelta._tensors cimport Tensors, finish_t


# An optimiser is a row too: target = beta target + alpha X^T D, alpha = rate * the loss's delta factor; then a finish.
cdef struct rule_t:
    double rate
    double beta
    void (*begin)(rule_t *) noexcept nogil    # before a step: counts it and sets its numbers; NULL where none change
    void (*begin_update)(rule_t *) noexcept nogil    # the same, where gradients of several steps are accumulated
    bint due                                  # whether the step at hand moves the weights
    int64_t accumulate                        # steps that make an update ...
    int64_t accumulated                       # ... of which so many are done
    void *tensors                             # a Tensors, kept alive by the Optimizer
    finish_t finish                           # NULL where the target is the weights themselves
    moments_t moments
    double learning_rate
    const double *rates                       # of the steps to come, or NULL where the learning rate stays
    double weight_decay
    double epsilon                            # as the user gives them; others are in the moments
    double momentum_decay
    double smallest                           # normal number of the dtype
    int64_t steps                             # taken so far
    double power_1                            # beta_1 to the power of the steps; for NAdam the product of its mu
    double power_2                            # beta_2 likewise


cdef class Optimizer:
    cdef rule_t rule             # for the programs of the network
    cdef ptrdiff_t target        # where the rows' updates go, in bytes beyond the weights
    cdef readonly dict moments   # the blocks kept from step to step, by name
    cdef object gradient         # the block of gradients, or None
    cdef Tensors tensors
    cdef object schedule         # what gives the learning rates, or None
    cdef bint is_fixed           # whether these depend on the step alone
    cdef object rates            # those of the steps from `planned` on
    cdef ptrdiff_t planned, n_planned
    cdef list starts             # views of what does not start at zero, with what it starts with

    cdef int set_finish(self, object optimizer, const kernels_t *cpu) except -1
    cdef int plan(self, ptrdiff_t steps) except -1


cdef void finish_share(const net_t *net, int thread, int threads) noexcept nogil
