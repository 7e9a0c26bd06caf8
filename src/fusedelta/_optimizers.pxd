from fusedelta._c cimport optimizer_t

cdef int set_optimizer(optimizer_t *rule, object optimizer) except -1
