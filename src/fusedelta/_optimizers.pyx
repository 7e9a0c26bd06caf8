"""Optimisers as rows: target = beta target + alpha X^T D with alpha = rate * the loss's delta factor, then finish.

               target      rate             beta   finish
    SGD        weights     -learning_rate   1      none: no state, no gradient
    momentum   velocity    1                mu     w -= learning_rate * velocity
    Nesterov   gradient    1                0      velocity, then weights
    Adam       gradient    1                0      both means, then weights

The finish is one pass over the whole block at the end of a step. A pass over a few rows that are still in the cache,
after the update of just these, was tried: it saves 0 to 4 % of both, and costs 10 to 40 % where panels are packed.
"""

cimport cython
from libc.float cimport DBL_MIN, FLT_MIN
from libc.math cimport sqrt
from libc.stdint cimport int64_t

cimport numpy as np

from fusedelta._c cimport moments_t, net_t

from fusedelta.optimizers import Adam
from fusedelta.parameters import allocate

np.import_array()

cdef double NEGLIGIBLE = 1e-20  # beside 1; powers below are zero, so that they never become denormal, which is slow


@cython.final
cdef class Optimizer:
    """The optimiser of one network: its row, and what it keeps from step to step.

    Parameters
    ----------
    optimizer : optimizers.SGD or optimizers.Adam
        The rule.
    rows : list of layers.Row
        The layers.
    params : ndarray
        The flat block of weights and biases; the caller keeps it alive.
    """

    def __cinit__(self, optimizer, list rows, np.ndarray params):
        cdef char *target = np.PyArray_BYTES(params)
        self.moments = {name: allocate(rows, params.dtype) for name in optimizer.moments}
        blocks = list(self.moments.values())
        self.set_row(optimizer)
        if blocks:
            self.memory.size, self.memory.w = np.PyArray_SIZE(params), target
            self.memory.m = np.PyArray_BYTES(blocks[0])
            self.memory.v = np.PyArray_BYTES(blocks[len(blocks) - 1])
            target = <char *> self.memory.m
            self.row.moments = &self.memory
        if self.row.finish == finish_nesterov or self.row.finish == finish_adam:
            self.gradient = allocate(rows, params.dtype)
            blocks.append(self.gradient)
            self.memory.g = target = np.PyArray_BYTES(self.gradient)
        self.target = target - np.PyArray_BYTES(params)
        self.nbytes = sum([block.nbytes for block in blocks])
        self.reset()

    cdef void set_row(self, object optimizer) noexcept:
        self.row.rate, self.row.beta, self.row.finish = 1, 0, NULL
        self.memory.rate = optimizer.learning_rate
        if isinstance(optimizer, Adam):
            self.memory.beta_1, self.memory.beta_2 = optimizer.beta_1, optimizer.beta_2
            self.memory.epsilon, self.row.finish = optimizer.epsilon, finish_adam
            return
        self.memory.beta_1 = optimizer.momentum
        if optimizer.nesterov:
            self.row.finish = finish_nesterov
        elif optimizer.momentum > 0:
            self.row.beta, self.row.finish = optimizer.momentum, finish_momentum
        else:
            self.row.rate, self.row.beta = -optimizer.learning_rate, 1

    @property
    def steps(self):
        """Steps taken, counted where there are moments."""
        return self.memory.steps

    @steps.setter
    def steps(self, int64_t steps):
        cdef moments_t *memory = &self.memory
        memory.steps, memory.power_1, memory.power_2 = 0, 1, 1
        while memory.steps < steps and (memory.power_1 > 0 or memory.power_2 > 0):
            count_step(memory)
        memory.steps = steps

    def reset(self):
        """Forget all earlier steps."""
        for block in self.moments.values():
            block.fill(0)
        self.steps = 0


cdef void finish_momentum(const net_t *net, ptrdiff_t first, ptrdiff_t last) noexcept nogil:
    net.cpu.momentum_finish(net.optimizer.moments, first, last)


cdef void finish_nesterov(const net_t *net, ptrdiff_t first, ptrdiff_t last) noexcept nogil:
    net.cpu.nesterov_finish(net.optimizer.moments, first, last)


cdef void finish_adam(const net_t *net, ptrdiff_t first, ptrdiff_t last) noexcept nogil:
    """The bias corrections, folded into the scalars.

    With c_1 = 1 - beta_1^t and c_2 = 1 - beta_2^t:

        rate (m / c_1) / (sqrt(v / c_2) + epsilon) = (rate sqrt(c_2) / c_1) m / (sqrt(v) + epsilon sqrt(c_2))
    """
    cdef const moments_t *memory = net.optimizer.moments
    cdef double root = sqrt(1 - memory.power_2), smallest = FLT_MIN if net.cpu.itemsize == 4 else DBL_MIN
    net.cpu.adam_finish(memory, first, last, memory.rate * root / (1 - memory.power_1),
                        max(memory.epsilon * root, smallest))  # above zero in the dtype, for 0 / 0 is no step


cdef void count_step(moments_t *memory) noexcept nogil:
    """Before the finish of a step, which several threads may share."""
    memory.steps += 1
    memory.power_1 = memory.power_1 * memory.beta_1 if memory.power_1 > NEGLIGIBLE else 0
    memory.power_2 = memory.power_2 * memory.beta_2 if memory.power_2 > NEGLIGIBLE else 0
