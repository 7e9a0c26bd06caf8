"""Optimisers as rows: target = beta target + alpha X^T D with alpha = rate * the loss's delta factor, then finish.

    SGD    target: the weights    rate = -learning_rate    beta = 1    no finish, no state, no gradient
"""

from fusedelta._c cimport optimizer_t
from fusedelta.optimizers import SGD


cdef int set_optimizer(optimizer_t *rule, object optimizer) except -1:
    if isinstance(optimizer, SGD):
        rule.rate, rule.beta, rule.finish = -optimizer.learning_rate, 1.0, NULL
        return 0
    raise TypeError(f"optimizer: expected SGD, got {type(optimizer).__name__}")
