cimport numpy as np
from cpython.pythread cimport PyThread_type_lock
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

from fusedelta._c cimport activation_t, net_t, row_t, score_t


# The samples of a fit: the batches are runs of `order`, or of the rows as they lie.
cdef struct data_set:
    const char *X                # (m, k) rows of the dtype
    const char *T                # (m, n) targets, or NULL where labels are given
    const int64_t *labels        # (m)
    const ptrdiff_t *order       # (m) or NULL
    ptrdiff_t m
    bint staged                  # the whole of it is in place as one batch


cdef class Net:
    cdef net_t net
    cdef activation_t output     # the last row's activation; its kernel runs linear where the loss wants logits
    cdef bint logits
    cdef bint sparse
    cdef int typenum             # numpy's number of the dtype
    cdef ptrdiff_t itemsize
    cdef ptrdiff_t k, n          # of the whole network
    cdef double flops            # of one sample, all three passes
    cdef char *workspace         # activations, deltas, targets, panel: for `capacity` samples
    cdef ptrdiff_t capacity, workspace_size
    cdef char *gathered          # shuffled inputs of one batch: for `gather_capacity` samples
    cdef ptrdiff_t gather_capacity
    cdef char *targets           # (capacity, ld) padded targets, in the workspace
    cdef int64_t *labels         # (capacity) shuffled labels, likewise
    cdef PyThread_type_lock lock    # held while the workspace is in use
    cdef readonly bint training
    cdef object params, prepare

    cdef int compile(self, row_t *row, object layer) except -1
    cdef int reserve(self, ptrdiff_t m, bint gather) except -1
    cdef int reserve_workspace(self, ptrdiff_t m) except -1
    cdef void want(self, bint logits) noexcept nogil
    cdef data_set data(self, object X, object y)
    cdef void stage(self, data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil
    cdef void stage_targets(self, data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil
    cdef double value(self, const score_t *score, ptrdiff_t m) noexcept nogil
    cdef double accuracy(self, const score_t *score, ptrdiff_t m) noexcept nogil
    cdef int run_epochs(self, data_set *data, ptrdiff_t batch, ptrdiff_t epochs, double *results) except -1 nogil
    cdef void aim(self, ptrdiff_t offset) noexcept
    cdef int predict_rows(self, const char *X, ptrdiff_t m, char *out) except -1
    cdef void predict_chunks(self, const char *X, ptrdiff_t m, char *out) noexcept nogil
    cdef double largest(self) noexcept nogil
    cdef bint of_dtype(self, object array, int ndim)
    cdef bint within(self, object array, double low, double high)
    cdef bint inputs_ready(self, object X)
    cdef bint targets_ready(self, object y, ptrdiff_t m)
    cdef object prepare_one(self, object x)
    cdef object output_array(self, object out, object X, int ndim, np.npy_intp *shape)
    cdef int acquire(self) except -1
    cdef void release(self) noexcept

