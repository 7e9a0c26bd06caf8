from libc.stddef cimport ptrdiff_t


cdef class Watch:
    cdef readonly object held_out    # None or (X, y, weights), ready
    cdef readonly object measured    # its figures (epochs, 2), as long as the results of the training
    cdef readonly ptrdiff_t epoch    # the next to look at, counted as `fit` does
    cdef readonly ptrdiff_t best_epoch, stopped_epoch, wait
    cdef readonly bint found, stopped
    cdef readonly bint has_kept      # whether `kept` holds an epoch
    cdef readonly double best
    cdef readonly list kept          # copies of the blocks of the best epoch of those looked at
    cdef double *figures
    cdef bint rules, restores, rises, of_held_out, has_weights
    cdef double min_delta, baseline  # the latter nan if there is none
    cdef ptrdiff_t patience, start_from, column
    cdef object blocks               # which `live` points into
    cdef const char *live[2]
    cdef char *copies[2]
    cdef ptrdiff_t sizes[2]

    cdef bint look(self, const double *trained) noexcept nogil
    cdef bint improves(self, double value, double best) noexcept nogil
    cdef void keep(self, ptrdiff_t epoch) noexcept nogil
