cdef int threads_worth(double flops, int most) noexcept nogil
