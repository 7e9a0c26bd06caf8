"""Watch: what happens after each epoch of a training that does not come back to Python for it."""

from libc.math cimport INFINITY, NAN, isnan
from libc.string cimport memcpy

cimport numpy as np

import numpy as np

np.import_array()


cdef class Watch:
    """Figures of held-out data after each epoch, and the rule of `EarlyStopping`, without the GIL.

    Parameters
    ----------
    held_out : None or tuple of (X, y, weights)
        Ready arrays of a network.
    measured : None or ndarray of float64, shape (epochs, 2)
        Receives their loss and accuracy, epoch by epoch.
    stopping : None or EarlyStopping
        Its parameters and its state so far. It is not changed: see `EarlyStopping.adopt`.
    blocks : sequence of two ndarrays
        What it keeps of the best epoch: parameters, and what there is beside them.
    epoch : int
        The number of the first epoch.
    """

    def __cinit__(self, held_out, np.ndarray measured, stopping, blocks, ptrdiff_t epoch):
        self.held_out, self.measured, self.blocks, self.epoch = held_out, measured, blocks, epoch
        self.figures = NULL if held_out is None else <double *> np.PyArray_DATA(measured)
        self.rules = stopping is not None
        if not self.rules:
            return
        monitor = stopping.monitor
        self.of_held_out = monitor.startswith("val_")
        self.column = 1 if monitor.endswith("accuracy") else 0
        self.rises = stopping.rises
        self.min_delta, self.patience = stopping.min_delta, stopping.patience
        self.baseline = NAN if stopping.baseline is None else stopping.baseline
        self.start_from = stopping.start_from_epoch
        self.found = stopping.best is not None
        self.best = stopping.best if self.found else -INFINITY if self.rises else INFINITY
        self.best_epoch, self.stopped_epoch = stopping.best_epoch, stopping.stopped_epoch
        self.wait, self.has_weights = stopping._wait, stopping._best_weights is not None
        self.restores = stopping.restore_best_weights
        if self.restores:
            self.hold(blocks, [np.empty_like(block) for block in blocks])

    def hold(self, blocks, copies):
        """Memory for the best epoch."""
        for i in range(2):
            self.live[i], self.copies[i] = np.PyArray_BYTES(blocks[i]), np.PyArray_BYTES(copies[i])
            self.sizes[i] = np.PyArray_NBYTES(blocks[i])
        self.kept = copies

    cdef bint look(self, const double *trained) noexcept nogil:
        """Whether the training is to end with the epoch of these figures, whose `figures` are there too."""
        cdef ptrdiff_t epoch = self.epoch
        cdef double value
        self.epoch += 1
        if self.figures != NULL:
            self.figures += 2
        if not self.rules or epoch < self.start_from:
            return False
        value = self.figures[self.column - 2] if self.of_held_out else trained[self.column]
        if self.restores and not self.has_weights:
            self.keep(epoch)
        self.wait += 1
        if self.improves(value, self.best):
            self.best, self.found = value, True
            self.keep(epoch)
            if isnan(self.baseline) or self.improves(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped, self.stopped_epoch = True, epoch
        return self.stopped

    cdef bint improves(self, double value, double best) noexcept nogil:
        return value - self.min_delta > best if self.rises else value + self.min_delta < best

    cdef void keep(self, ptrdiff_t epoch) noexcept nogil:
        cdef int i
        self.best_epoch = epoch
        if self.restores:
            self.has_weights = self.has_kept = True
            for i in range(2):
                memcpy(self.copies[i], self.live[i], self.sizes[i])
