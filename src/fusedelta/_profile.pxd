from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

from fusedelta._c cimport kernels_t, layer_ops_t, loss_t, net_t, score_t
from fusedelta._program cimport Program


# What one kind of work took. With several threads it is the first one's time.
cdef struct cell_t:
    int64_t calls
    int64_t samples
    int64_t ticks


# A program's figures, and what its pointers were before.
cdef struct record_t:
    kernels_t cpu                # first, so that net.cpu is the record; its whole-step kernels walk the rows
    const kernels_t *plain_cpu
    const layer_ops_t **plain    # (n_rows)
    layer_ops_t *timed           # (n_rows)
    cell_t *cells                # (n_rows, 3)
    void (*plain_evaluate)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil
    void (*plain_finish)(const net_t *, int thread, int threads) noexcept nogil
    cell_t loss
    cell_t finish


cdef class Recorder:
    cdef record_t record
    cdef Program program

    cdef list cell(self, int row, str phase, const cell_t *cell)
