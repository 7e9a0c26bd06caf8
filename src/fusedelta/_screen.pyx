"""Screen: picks out the arrays that need no more than a cast. All else is for `arrays.Prepare`, which says why.

A batch of a small network is trained in less time than a few calls of NumPy take.
"""

cimport cython
from libc.math cimport fabs
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

cimport numpy as np

from fusedelta._cpu cimport current_kernels

from fusedelta.arrays import check_out
from fusedelta.targets import SUM_TOLERANCE

np.import_array()

cdef double LARGEST_FLOAT = 3.4028234663852886e38, LARGEST_DOUBLE = 1.7976931348623157e308
cdef double CERTAIN = 0.99 * SUM_TOLERANCE  # sums of rows differ in their last digits, by the order of their terms

# Between what targets are, by kind; labels are integers
RANGES = {"values": (-LARGEST_DOUBLE, LARGEST_DOUBLE), "counts": (0, LARGEST_DOUBLE), "signs": (-1, 1),
          "probabilities": (0, 1), "distributions": (0, LARGEST_DOUBLE), "labels": (0, 0)}


@cython.final
cdef class Screen:
    """What is ready for a network, or will be after a cast; its methods return it, or else None.

    A cast is one between float32 and float64, or of labels from other integers. Arrays are contiguous and finite.

    Parameters
    ----------
    n_inputs, n_outputs : int
    dtype : numpy.dtype
        The network's.
    loss : losses.Loss
        Says what targets are.
    """

    def __cinit__(self, ptrdiff_t n_inputs, ptrdiff_t n_outputs, dtype, loss):
        cdef bint single = dtype.itemsize == 4
        self.k, self.n, self.dtype = n_inputs, n_outputs, dtype
        self.typenum = np.NPY_FLOAT32 if single else np.NPY_FLOAT64
        self.other = np.NPY_FLOAT64 if single else np.NPY_FLOAT32
        self.cpu = current_kernels(4 if single else 8)
        self.other_cpu = current_kernels(8 if single else 4)
        self.largest = LARGEST_FLOAT if single else LARGEST_DOUBLE
        self.least, self.most = RANGES[loss.targets]
        self.least, self.most = max(self.least, -self.largest), min(self.most, self.largest)
        self.takes_labels, self.takes_signs = loss.targets == "labels", loss.targets == "signs"
        self.takes_distributions = loss.targets == "distributions"
        self.takes_weights = loss.function is None

    cpdef object inputs(self, object X):
        """X of shape (m, k)."""
        if not (np.PyArray_CheckExact(X) and np.PyArray_NDIM(X) == 2 and np.PyArray_DIM(X, 0) > 0
                and np.PyArray_DIM(X, 1) == self.k):
            return None
        return self.floats(X, -self.largest, self.largest)

    cpdef object sample(self, object x):
        """x of shape (k,)."""
        if not (np.PyArray_CheckExact(x) and np.PyArray_NDIM(x) == 1 and np.PyArray_DIM(x, 0) == self.k):
            return None
        return self.floats(x, -self.largest, self.largest)

    cpdef object targets(self, object y, ptrdiff_t m):
        """y of shape (m, n) or, for labels, (m,); of (m,) where n is 1."""
        if not (np.PyArray_CheckExact(y) and 1 <= np.PyArray_NDIM(y) <= 2 and np.PyArray_DIM(y, 0) == m):
            return None
        if self.takes_labels:
            return self.labels(y)
        if np.PyArray_NDIM(y) == 1 and self.n == 1:
            y = y.reshape(m, 1)
        if np.PyArray_NDIM(y) == 1 or np.PyArray_DIM(y, 1) != self.n:
            return None
        ready = self.floats(y, self.least, self.most)
        if ready is None or not (self.takes_signs or self.takes_distributions):
            return ready
        if self.typenum == np.NPY_FLOAT32:
            fit = fitting(<const float *> np.PyArray_DATA(ready), m, self.n, self.takes_signs)
        else:
            fit = fitting(<const double *> np.PyArray_DATA(ready), m, self.n, self.takes_signs)
        return ready if fit else None

    cpdef object weights(self, object sample_weight, ptrdiff_t m):
        """Those of m samples, of shape (m,)."""
        if not (self.takes_weights and np.PyArray_CheckExact(sample_weight) and np.PyArray_NDIM(sample_weight) == 1
                and np.PyArray_DIM(sample_weight, 0) == m):
            return None
        return self.floats(sample_weight, 0, self.largest)

    cdef object floats(self, object array, double low, double high):
        """Numbers between the two; the array itself, or a copy in the network's dtype."""
        cdef int typenum = np.PyArray_TYPE(array)
        cdef const kernels_t *cpu = self.cpu if typenum == self.typenum else self.other_cpu
        if typenum == np.NPY_FLOAT32:
            low, high = max(low, -LARGEST_FLOAT), min(high, LARGEST_FLOAT)
        if not ((typenum == self.typenum or typenum == self.other) and np.PyArray_ISCARRAY_RO(array)
                and cpu.all_within(np.PyArray_DATA(array), np.PyArray_SIZE(array), low, high)):
            return None
        return array if typenum == self.typenum else np.PyArray_Cast(array, self.typenum)

    cdef inline bint of_dtype(self, object array, int ndim):
        return (np.PyArray_CheckExact(array) and np.PyArray_TYPE(array) == self.typenum
                and np.PyArray_NDIM(array) == ndim and np.PyArray_ISCARRAY_RO(array))

    cdef object output_array(self, object out, object X, int ndim, np.npy_intp *shape):
        """`out`, if results of that shape can be written there, or a new array if it is None."""
        cdef char *first
        cdef const char *start = np.PyArray_BYTES(X)
        if out is None:
            return np.PyArray_EMPTY(ndim, shape, self.typenum, 0)
        if not (self.of_dtype(out, ndim) and np.PyArray_ISWRITEABLE(out) and np.PyArray_DIM(out, 0) == shape[0]
                and np.PyArray_DIM(out, ndim - 1) == shape[ndim - 1]):
            check_out(out, tuple([shape[i] for i in range(ndim)]), self.dtype)
        first = np.PyArray_BYTES(out)
        if first < start + np.PyArray_NBYTES(X) and start < first + np.PyArray_NBYTES(out):
            raise ValueError("out: expected memory of its own, got an array that overlaps the inputs")
        return out

    cdef object labels(self, object y):
        cdef const int64_t *labels
        cdef ptrdiff_t i
        if not (np.PyArray_NDIM(y) == 1 and np.PyArray_ISINTEGER(y) and np.PyArray_ISCARRAY_RO(y)):
            return None
        if np.PyArray_TYPE(y) != np.NPY_INT64:
            y = np.PyArray_Cast(y, np.NPY_INT64)
        labels = <const int64_t *> np.PyArray_DATA(y)
        for i in range(np.PyArray_SIZE(y)):
            if not 0 <= labels[i] < self.n:
                return None
        return y


cdef bint fitting(const cython.floating *y, ptrdiff_t m, ptrdiff_t n, bint signs) noexcept nogil:
    """Whether targets in -1 to 1 are all -1 or 1, or rows of those above 0 surely sum to 1."""
    cdef ptrdiff_t i, j
    cdef double total
    if signs:
        for i in range(m * n):
            if fabs(y[i]) != 1:
                return False
        return True
    for i in range(m):
        total = 0
        for j in range(n):
            total += y[i * n + j]
        if fabs(total - 1) > CERTAIN:
            return False
    return True
