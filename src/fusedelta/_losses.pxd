from fusedelta._c cimport kernels_t, loss_t

cdef bint set_loss(loss_t *loss, str name, const kernels_t *cpu) except -1
