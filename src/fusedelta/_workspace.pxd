from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

from fusedelta._c cimport net_t


# Bytes of the memory that a batch takes.
cdef struct parts_t:
    ptrdiff_t inputs             # brought together
    ptrdiff_t targets
    ptrdiff_t activations
    ptrdiff_t deltas
    ptrdiff_t scratch            # panels, one a thread


cdef class Workspace:
    cdef net_t net
    cdef int shares              # those that there is memory for
    cdef char *panels            # a panel of scratch for each ...
    cdef ptrdiff_t panel         # ... of so many bytes
    cdef readonly bint narrow    # feature-major, for layers thinner than a vector
    cdef list kinds              # of the rows, as layers name them
    cdef list partners           # of each row the index of its fork or addition, or -1
    cdef bint padded             # the first row wants whole blocks
    cdef bint sparse             # targets are labels
    cdef ptrdiff_t k, n, itemsize
    cdef char *block             # of memory
    cdef ptrdiff_t capacity      # samples the memory has room for
    cdef parts_t parts           # of the memory
    cdef bint gathers            # it has room for inputs brought together
    cdef char *inputs            # (capacity, k), or (k + 1, lanes) where narrow
    cdef char *targets           # (capacity, ld), or (n, lanes)
    cdef int64_t *labels         # (capacity)
    cdef char *weights           # (capacity)

    cdef int reserve(self, ptrdiff_t m, bint gathers, int threads) except -1
    cdef void clear_padding(self) noexcept nogil
    cdef ptrdiff_t lay_out(self, char *memory, ptrdiff_t m, bint gathers) noexcept
    cdef ptrdiff_t statistics_bytes(self, ptrdiff_t i, ptrdiff_t m) noexcept
    cdef ptrdiff_t lay_out_narrow(self, char *memory, ptrdiff_t m) noexcept
    cdef void fill_ones(self) noexcept
