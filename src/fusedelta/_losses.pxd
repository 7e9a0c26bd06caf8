from libc.stddef cimport ptrdiff_t

from fusedelta._c cimport kernels_t, loss_t, score_t


cdef class UserLoss:
    cdef object function
    cdef object error            # what it raised, until someone asks
    cdef int typenum
    cdef const kernels_t *cpu

    cdef void attach(self, loss_t *loss, const kernels_t *cpu) noexcept
    cdef int check(self) except -1
    cdef int run(self, const loss_t *loss, ptrdiff_t m, score_t *score) except -1


cdef int set_loss(loss_t *loss, object rule, const kernels_t *cpu) except -1
