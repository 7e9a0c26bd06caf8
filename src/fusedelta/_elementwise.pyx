"""Rows without parameters, which change values one by one.

    activation    Y = act(X)                       Dx = D * act_below'(X)
    add           Y = act(X + X of the fork)       Dx = D * act_below'(X)
    fork          Y is X                           Dx = (D + D of the addition) * act_below'(X)
    dropout       Y = act(X * mask / (1 - rate))   Dx = (D * mask / (1 - rate)) * act_below'(X)

An addition is the end of a residual block, a fork its start. Most activations are no rows: the row below computes them.
Dropout's mask is drawn again on the way back, by a generator that needs nothing but a counter; predictions have none.
"""

from fusedelta._c cimport PREDICTING, layer_ops_t, net_t, row_t, share_t


cdef void activation_forward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    net.cpu.activation_forward(row, share)


cdef void activation_backward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    net.cpu.activation_backward(row, share)


cdef layer_ops_t activation_ops = layer_ops_t(
    forward=activation_forward, backward=activation_backward, update=NULL, settle=NULL
)


cdef void fork_forward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    pass  # Y and X are one matrix


cdef layer_ops_t fork_ops = layer_ops_t(
    forward=fork_forward, backward=activation_backward, update=NULL, settle=NULL
)


cdef void dropout_forward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    if net.stage == PREDICTING:
        net.cpu.activation_forward(row, share)
    else:
        net.cpu.dropout_forward(row, share, &net.noise)


cdef void dropout_backward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    net.cpu.dropout_backward(row, share, &net.noise)


cdef layer_ops_t dropout_ops = layer_ops_t(
    forward=dropout_forward, backward=dropout_backward, update=NULL, settle=NULL
)
