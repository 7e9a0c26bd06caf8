from libc.stddef cimport ptrdiff_t

from fusedelta._c cimport kernels_t

cdef const kernels_t *kernels_named(object isa, ptrdiff_t itemsize) except NULL
cdef const kernels_t *current_kernels(ptrdiff_t itemsize) noexcept
cdef int check_registers() except -1 nogil
