cimport numpy as np
from libc.stddef cimport ptrdiff_t

from fusedelta._c cimport kernels_t


cdef class Screen:
    cdef const kernels_t *cpu
    cdef const kernels_t *other_cpu  # of the other dtype
    cdef int typenum, other          # numpy's numbers of the network's dtype, and of the other
    cdef object dtype
    cdef ptrdiff_t k, n
    cdef double largest              # finite number of the dtype
    cdef double least, most          # targets
    cdef bint takes_labels, takes_signs, takes_distributions, takes_weights

    cdef object floats(self, object array, double low, double high)
    cpdef object inputs(self, object X)
    cpdef object sample(self, object x)
    cpdef object targets(self, object y, ptrdiff_t m)
    cpdef object weights(self, object sample_weight, ptrdiff_t m)
    cdef bint of_dtype(self, object array, int ndim)
    cdef object output_array(self, object out, object X, int ndim, np.npy_intp *shape)
    cdef object labels(self, object y)
