from fusedelta._c cimport layer_ops_t

cdef layer_ops_t dense_ops
cdef layer_ops_t tall_dense_ops
cdef layer_ops_t narrow_dense_ops
