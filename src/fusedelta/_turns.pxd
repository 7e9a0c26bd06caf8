cdef class Turns:
    cdef int busy                # taken while a program runs
    cdef list waiting            # a lock for each thread that waits
    cdef readonly bint training  # what a call from elsewhere must not wait for

    cpdef int acquire(self) except -1
    cpdef void release(self) noexcept
