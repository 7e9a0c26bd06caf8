from fusedelta._c cimport layer_ops_t

cdef layer_ops_t batch_ops
cdef layer_ops_t layer_ops
