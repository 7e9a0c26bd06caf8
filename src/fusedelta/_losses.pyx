"""The losses: which kernel gives the value and the first deltas, and how sums become means.

    half_sum_squared_error      1/2 sum (y - t)^2               dLoss/dy = y - t
    mean_squared_error          mean (y - t)^2                  2 (y - t) / (m n)
    binary_crossentropy         mean, sigmoid, from logits      dLoss/dz = (y - t) / (m n)
    categorical_crossentropy    mean over rows, softmax, from logits    (y sum(t) - t) / m
"""

from fusedelta._c cimport kernels_t, loss_t


cdef bint set_loss(loss_t *loss, str name, const kernels_t *cpu) except -1:
    """Fill the loss's rule for `loss.n` outputs; returns whether it wants logits from the last row."""
    cdef double n = <double>loss.n
    loss.mean = name != "half_sum_squared_error"
    if name == "half_sum_squared_error":
        loss.evaluate = cpu.squared_error
        loss.value_factor, loss.delta_factor = 0.5, 1.0
    elif name == "mean_squared_error":
        loss.evaluate = cpu.squared_error
        loss.value_factor, loss.delta_factor = 1.0 / n, 2.0 / n
    elif name == "binary_crossentropy":
        loss.evaluate = cpu.binary_crossentropy
        loss.value_factor = loss.delta_factor = 1.0 / n
    elif name in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        loss.evaluate = cpu.categorical_crossentropy
        loss.value_factor = loss.delta_factor = 1.0
    else:
        raise ValueError(f"loss: no kernel is called {name!r}")
    return name.endswith("crossentropy")
