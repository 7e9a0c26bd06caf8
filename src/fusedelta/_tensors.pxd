from libc.stddef cimport ptrdiff_t

from fusedelta._c cimport conditions_t, kernels_t, moments_t, net_t


ctypedef void (*finish_t)(const moments_t *, ptrdiff_t first, ptrdiff_t last) noexcept nogil


# One W or one b of the network.
cdef struct tensor_t:
    conditions_t conditions
    ptrdiff_t first_piece
    ptrdiff_t last_piece       # the one behind its last


# A run of elements of one tensor: what a thread takes at a time.
cdef struct piece_t:
    ptrdiff_t first
    ptrdiff_t last
    ptrdiff_t tensor
    double sum                 # of the step at hand: squares of its gradient, or penalties


# A W whose columns are constrained.
cdef struct constraint_t:
    char *W                    # (k, ld)
    ptrdiff_t k
    ptrdiff_t ld
    bint transposed            # (n, ld) then
    double max_norm


cdef class Tensors:
    cdef tensor_t *tensors
    cdef piece_t *pieces
    cdef constraint_t *constraints
    cdef readonly ptrdiff_t n_tensors, n_pieces, n_constraints
    cdef char *params
    cdef ptrdiff_t itemsize
    cdef readonly bint penalized       # there are penalties
    cdef bint conditioned              # ... or values are clipped
    cdef double norm                   # the most that a norm of a gradient may be, of one tensor; or infinity
    cdef double global_norm            # ... of all together; or infinity

    cdef void pieces_of(self, int thread, int threads, ptrdiff_t *first, ptrdiff_t *last) noexcept nogil
    cdef void penalties(self, const kernels_t *cpu, int thread, int threads) noexcept nogil
    cdef double total(self) noexcept nogil
    cdef void add_penalty_gradient(self, const kernels_t *cpu, char *gradient) noexcept nogil
    cdef void condition(self, const kernels_t *cpu, char *gradient, int thread, int threads) noexcept nogil
    cdef bint has_norms(self) noexcept nogil
    cdef void squares(self, const kernels_t *cpu, const char *gradient, int thread, int threads) noexcept nogil
    cdef void clip(self, const kernels_t *cpu, char *gradient, int thread, int threads) noexcept nogil
    cdef void constrain(self, const kernels_t *cpu, int thread, int threads) noexcept nogil
    cdef void constrain_lines(self, const kernels_t *cpu, const constraint_t *on) noexcept nogil
    cdef void finish(self, const net_t *net, const moments_t *moments, finish_t finish, int thread,
                     int threads) noexcept nogil
