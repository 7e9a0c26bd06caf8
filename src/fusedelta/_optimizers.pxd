from libc.stddef cimport ptrdiff_t

from fusedelta._c cimport moments_t, optimizer_t


cdef class Optimizer:
    cdef optimizer_t row         # for the programs of the network
    cdef ptrdiff_t target        # where the rows' updates go, in bytes beyond the weights
    cdef moments_t memory
    cdef readonly dict moments   # the blocks kept from step to step, by name
    cdef object gradient         # the block of gradients, or None
    cdef readonly ptrdiff_t nbytes

    cdef void set_row(self, object optimizer) noexcept


cdef void count_step(moments_t *memory) noexcept nogil
