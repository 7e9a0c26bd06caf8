from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

from fusedelta._c cimport score_t
from fusedelta._program cimport Program, data_set
from fusedelta._watch cimport Watch


cdef enum:
    PREDICT_ROWS = 256           # outputs are computed this many rows at a time and thread


# What is held out of a training, and evaluated after each epoch on so many threads.
cdef struct unseen_t:
    data_set data
    int threads


cdef int run_watched(Program program, data_set *data, ptrdiff_t batch, ptrdiff_t epochs, double *results,
                     ptrdiff_t figures, Program forward, unseen_t *unseen, Watch watch, int64_t *trained,
                     const bint *interrupted) except -1 nogil
cdef int predict_all(Program program, const char *X, ptrdiff_t m, char *out, int threads,
                     const bint *interrupted) except -1 nogil
cdef int evaluate_all(Program program, data_set *data, int threads, double *work, score_t *score,
                      const bint *interrupted) except -1 nogil
