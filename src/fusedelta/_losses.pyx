"""The losses: which kernel gives the value and the first deltas, and how sums become means.

Here is also the one place where the engine calls Python: a loss of the user's own.

value = value_factor sum and dLoss/dz = delta_factor D, both over m but for half_sum_squared_error. Formulae: losses.py.
"""

cimport cython
from libc.math cimport NAN
from libc.stddef cimport ptrdiff_t
from libc.string cimport memcpy, memset

cimport numpy as np

from fusedelta._c cimport kernels_t, loss_t, score_t

from fusedelta.user_loss import check_result

np.import_array()


cdef int set_loss(loss_t *loss, object rule, const kernels_t *cpu) except -1:
    """Fill in a losses.Loss for `loss.n` outputs, whose activation is set."""
    cdef double n = <double>loss.n
    cdef str name = rule.name
    loss.mean = rule.reduction != "half_sum"
    loss.value_factor = loss.delta_factor = 1.0 / n if rule.reduction == "outputs" else 1.0
    loss.on, loss.off = 1 - rule.smoothing + rule.smoothing / n, rule.smoothing / n
    loss.a, loss.b, loss.c = rule.parameters
    if rule.function is not None:
        loss.evaluate = call_user  # with a UserLoss, which the program keeps
    elif name in ("mean_squared_error", "half_sum_squared_error"):
        loss.evaluate = cpu.squared_error
        loss.value_factor *= 0.5 if name == "half_sum_squared_error" else 1
        loss.delta_factor *= 1 if name == "half_sum_squared_error" else 2
    elif name == "mean_absolute_error":
        loss.evaluate = cpu.absolute_error
    elif name == "huber":
        loss.evaluate = cpu.huber
    elif name == "log_cosh":
        loss.evaluate = cpu.log_cosh
    elif name == "quantile":
        loss.evaluate = cpu.quantile
    elif name == "poisson":
        loss.evaluate = cpu.poisson_logits if rule.takes_logits else cpu.poisson
    elif name == "hinge":
        loss.evaluate = cpu.hinge
    elif name == "squared_hinge":
        loss.evaluate = cpu.squared_hinge
        loss.delta_factor *= 2
    elif name == "binary_crossentropy":
        loss.evaluate = cpu.binary_crossentropy
    elif name == "binary_focal_crossentropy":
        loss.evaluate = cpu.binary_focal
    elif name in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        loss.evaluate = cpu.categorical_crossentropy
    elif name == "kl_divergence":
        loss.evaluate = cpu.kl_divergence
    elif name == "categorical_focal_crossentropy":
        loss.evaluate = cpu.categorical_focal
    else:
        raise ValueError(f"loss: no kernel is called {name!r}")
    return 0


@cython.final
cdef class UserLoss:
    """A loss of the user's own, for one program.

    Parameters
    ----------
    function : callable
        ``function(y_true, y_pred)`` returns the value and its gradient along y_pred.
    typenum : int
        NumPy's number of the network's dtype.
    """

    def __cinit__(self, function, int typenum):
        self.function, self.typenum = function, typenum
        self.error = None

    cdef void attach(self, loss_t *loss, const kernels_t *cpu) noexcept:
        loss.user, self.cpu = <void *> self, cpu

    cdef int check(self) except -1:
        """Raise what the function raised, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        return 0

    cdef int run(self, const loss_t *loss, ptrdiff_t m, score_t *score) except -1:
        """Add the value; write the deltas. The factor m is what the engine divides by later."""
        cdef ptrdiff_t i, bytes = loss.n * self.cpu.itemsize, stride = loss.ld * self.cpu.itemsize
        cdef np.npy_intp shape[2]
        shape[0], shape[1] = m, loss.n
        cdef np.ndarray y_true = np.PyArray_EMPTY(2, shape, self.typenum, 0)
        cdef np.ndarray y_pred = np.PyArray_EMPTY(2, shape, self.typenum, 0)
        cdef np.ndarray gradient
        for i in range(m):
            memcpy(np.PyArray_BYTES(y_true) + i * bytes, <char *> loss.T + i * stride, bytes)
            memcpy(np.PyArray_BYTES(y_pred) + i * bytes, <char *> loss.Y + i * stride, bytes)
        value, gradient = check_result(self.function(y_true, y_pred), y_pred)
        gradient = gradient * y_pred.dtype.type(m)
        memset(loss.D, 0, m * stride)
        for i in range(m):
            memcpy(<char *> loss.D + i * stride, np.PyArray_BYTES(gradient) + i * bytes, bytes)
        self.cpu.through_output(loss, m)
        score.sum += <double> value * m
        return 0


cdef void call_user(const loss_t *loss, ptrdiff_t m, score_t *score) noexcept nogil:
    """After an exception the score is nan, and the function is not called again."""
    with gil:
        user = <UserLoss> loss.user
        if user.error is not None:
            return
        try:
            user.run(loss, m, score)
        except BaseException as error:
            user.error, score.sum = error, NAN
