from libc.stddef cimport ptrdiff_t

from fusedelta._c cimport layer_ops_t, row_t

cdef layer_ops_t dense_ops
cdef layer_ops_t narrow_dense_ops

cdef ptrdiff_t scratch_bytes(const row_t *row, ptrdiff_t m, ptrdiff_t itemsize) noexcept nogil
