cimport numpy as np
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

from fusedelta._optimizers cimport Optimizer
from fusedelta._program cimport Program, data_set
from fusedelta._screen cimport Screen


cdef class Net:
    cdef Program program         # sample-major: predictions, and training where there is no other
    cdef Program narrow          # feature-major: training of nets with thin layers only, else None
    cdef Optimizer optimizer     # shared by the programs
    cdef int typenum             # numpy's number of the dtype
    cdef ptrdiff_t itemsize
    cdef ptrdiff_t k, n
    cdef Screen screen           # of the user's arrays
    cdef public bint interrupted    # set by another thread: what runs, and what is called, ends with KeyboardInterrupt
    cdef readonly int64_t trained    # steps of the last call of `train` with a finite loss, also if it was interrupted
    cdef object params, state, prepare
    cdef int busy                   # taken while a program runs
    cdef unsigned long owner        # the thread that has taken it
    cdef list waiting               # a lock for each thread that waits
    cdef readonly bint training     # what a call from elsewhere must not wait for
    cdef list recorders             # of the programs, while they are profiled

    cdef Program trainer(self, ptrdiff_t m)
    cdef int plan_step(self) except -1
    cdef data_set data(self, object X, object y, object weights)
    cdef int predict_rows(self, const char *X, ptrdiff_t m, char *out) except -1
    cdef int forward_threads(self, ptrdiff_t m)
    cdef tuple pair(self, object X, object y)
    cpdef int acquire(self) except -1
    cpdef void release(self) noexcept
