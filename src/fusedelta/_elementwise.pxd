from fusedelta._c cimport layer_ops_t

cdef layer_ops_t activation_ops
cdef layer_ops_t dropout_ops
cdef layer_ops_t fork_ops
