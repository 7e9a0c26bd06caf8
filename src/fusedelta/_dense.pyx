"""The dense layer: fused forward; deltas back, then weights in place.

With X (m, k), W (k, n), b (n), Y and D (m, n):

    forward    Y  = act(X W + b)                       one pass, nothing stored between
    backward   Dx = (D W^T) * act_below'(X)            W still old; act' from the activations alone
    update     W := beta W + alpha X^T D               b likewise, from the column sums of D

One sample has kernels of its own: it is bound by reading W, not by arithmetic. So have tall layers, of more inputs than
a few outputs (`rows.Row.is_tall`), whose W lies transposed, for any number of samples.

Sample-major as written; feature-major, all matrices transposed, for nets whose layers are thinner than a vector.

The update goes straight into the row's target. For SGD the target is W and beta is 1, so no gradient is ever stored.
"""

from fusedelta._c cimport layer_ops_t, net_t, row_t, share_t


cdef void forward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    if share.m == 1:
        net.cpu.online_forward(row)
    else:
        net.cpu.dense_forward(row, share)


cdef void backward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    if share.m == 1:
        net.cpu.online_backward(row)
    else:
        net.cpu.dense_backward(row, share)


cdef void update(const net_t *net, const row_t *row, const share_t *share, double alpha, double beta) noexcept nogil:
    if share.m == 1:
        net.cpu.online_update(row, alpha, beta)
    else:
        net.cpu.dense_update(row, share, alpha, beta)


cdef layer_ops_t dense_ops = layer_ops_t(forward=forward, backward=backward, update=update, settle=NULL)


cdef void tall_forward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    net.cpu.tall_forward(row, share)


cdef void tall_backward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    net.cpu.tall_backward(row, share)


cdef void tall_update(const net_t *net, const row_t *row, const share_t *share,
                      double alpha, double beta) noexcept nogil:
    net.cpu.tall_update(row, share, alpha, beta)


cdef layer_ops_t tall_dense_ops = layer_ops_t(
    forward=tall_forward, backward=tall_backward, update=tall_update, settle=NULL
)


cdef void narrow_forward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    net.cpu.narrow_forward(row, share.m)


cdef void narrow_backward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    net.cpu.narrow_backward(row, share.m)


cdef void narrow_update(const net_t *net, const row_t *row, const share_t *share,
                        double alpha, double beta) noexcept nogil:
    net.cpu.narrow_update(row, share.m, alpha, beta)


cdef layer_ops_t narrow_dense_ops = layer_ops_t(
    forward=narrow_forward, backward=narrow_backward, update=narrow_update, settle=NULL
)
