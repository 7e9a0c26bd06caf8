"""Rows that normalise: over the samples of a batch, or over the features of a sample.

With N the normalised X, means over the one or the other:

    forward    Y  = act(gamma N + beta)
    backward   Dx = (G - mean(G) - N mean(G N)) / sqrt(variance + epsilon) * act_below'(X), G = gamma D
    update     gamma from the sum of D N over the samples, beta from that of D

Predictions normalise batches by moving means and variances, which move at the end of a step. Where threads share a
batch, each sums up some of its columns over all samples, between two barriers.
"""

from libc.stddef cimport ptrdiff_t

from fusedelta._c cimport BLOCK_BYTES, PREDICTING, layer_ops_t, net_t, row_t, share_t


cdef inline void meet(const net_t *net, const share_t *share) noexcept nogil:
    if share.threads > 1:
        net.barrier(net.team)


cdef inline share_t columns_of(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    """A thread's part of the columns, in whole blocks."""
    cdef ptrdiff_t block = BLOCK_BYTES // net.cpu.itemsize, blocks = row.ld // block
    cdef share_t columns = share[0]
    columns.first = blocks * share.thread // share.threads * block
    columns.last = blocks * (share.thread + 1) // share.threads * block
    return columns


cdef void batch_forward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    cdef share_t columns = columns_of(net, row, share)
    meet(net, share)
    if net.stage == PREDICTING:
        net.cpu.moving_statistics(row, &columns)
    else:
        net.cpu.batch_statistics(row, &columns)
    meet(net, share)
    net.cpu.batch_forward(row, share)


cdef void batch_backward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    cdef share_t columns = columns_of(net, row, share)
    meet(net, share)
    net.cpu.batch_sums(row, &columns)
    meet(net, share)
    net.cpu.batch_backward(row, share)


cdef void batch_update(const net_t *net, const row_t *row, const share_t *share,
                       double alpha, double beta) noexcept nogil:
    net.cpu.batch_update(row, share, alpha, beta)


cdef void batch_settle(const net_t *net, const row_t *row) noexcept nogil:
    net.cpu.batch_settle(row)


cdef layer_ops_t batch_ops = layer_ops_t(
    forward=batch_forward, backward=batch_backward, update=batch_update, settle=batch_settle
)


cdef void layer_forward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    net.cpu.layer_forward(row, share)


cdef void layer_backward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    net.cpu.layer_backward(row, share)


cdef void layer_update(const net_t *net, const row_t *row, const share_t *share,
                       double alpha, double beta) noexcept nogil:
    net.cpu.layer_update(row, share, alpha, beta)


cdef layer_ops_t layer_ops = layer_ops_t(
    forward=layer_forward, backward=layer_backward, update=layer_update, settle=NULL
)
