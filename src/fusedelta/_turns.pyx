"""Turns: one thread at a time uses a network, and those that wait get it in the order in which they came.

Who gives it back hands it to the first of them: left free, the same thread would mostly be faster to take it again,
and one that trains step after step would leave nothing to those that predict.
"""

from _thread import allocate_lock

from fusedelta._c cimport busy_release, busy_take

cdef double LOOK = 0.05  # seconds between two looks whether what is waited for has become a training


cdef class Turns:
    """What a thread takes before it uses a network."""

    def __cinit__(self):
        self.waiting = []

    cpdef int acquire(self) except -1:
        """Take the network. Waits for another thread's prediction or step; a network in training is an error."""
        if busy_take(&self.busy):
            return 0
        turn = allocate_lock()
        turn.acquire()
        self.waiting.append(turn)
        try:
            while not busy_take(&self.busy):
                if self.training:
                    raise RuntimeError(
                        "this network is training in another thread, or its own loss or learning rate calls it: "
                        "wait for it, or use a copy")
                if turn.acquire(timeout=LOOK):  # it was handed over, and has been taken all the time
                    return 0
            self.waiting.remove(turn)
        except BaseException:
            try:
                self.waiting.remove(turn)
            except ValueError:  # it was handed over meanwhile
                self.release()
            raise
        return 0

    cpdef void release(self) noexcept:
        """Let the next thread have it."""
        try:
            turn = self.waiting.pop(0) if self.waiting else None
        except IndexError:  # without a GIL, the last one may have given up
            turn = None
        if turn is None:
            busy_release(&self.busy)
        else:
            turn.release()

    def forked(self):
        """In the child of a fork: the threads that had the network are not here to give it back."""
        self.training, self.waiting = False, []
        busy_release(&self.busy)
