cdef int threads_worth(double flops, int most) noexcept nogil
cdef double first_speed(int thread)
