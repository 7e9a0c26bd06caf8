"""Penalties on weights, and a limit to them: what keeps a network from learning its data by heart.

=========  ========================================================================================
`L2`       Keeps weights small, large ones most: the usual choice. With plain SGD it is the same as
           weight decay of ``2 l2``; with optimisers that scale gradients, such as Adam, the
           decoupled ``weight_decay`` of the optimiser acts more evenly.
`L1`       Brings weights that help little to zero, or close to it.
`L1L2`     Both.
`MaxNorm`  No penalty: after each update no unit's weights have a larger norm. With dropout and
           large learning rates.
=========  ========================================================================================

A penalty is a part of the loss that `fit`, `evaluate` and `gradients` give, as in Keras.

>>> import fusedelta as fd
>>> layers = [fd.Dense(8, "relu", kernel_regularizer=fd.L2(1e-3)), fd.Dense(1)]
>>> net = fd.Sequential(layers, "mean_squared_error", input_shape=(2,), seed=0)
>>> net.set_weights([[[1.0] * 8] * 2, [0] * 8, [[0]] * 8, [0]])
>>> round(net.evaluate([[0, 0]], [[0]])["loss"], 6)  # 16 weights of 1
0.016
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, TypeAlias

from fusedelta import validation
from fusedelta._frozen import frozen

__all__ = [
    "CONSTRAINTS",
    "L1",
    "L1L2",
    "L2",
    "REGULARIZERS",
    "MaxNorm",
    "Regularizer",
    "max_norm",
    "penalty",
    "resolve",
    "resolve_constraint",
]

CHECKS: dict[str, validation.Check] = {"l1": validation.not_negative, "l2": validation.not_negative}


@frozen
class L2:
    """Adds ``l2 * sum(w^2)`` to the loss, and so ``2 * l2 * w`` to the gradient.

    Parameters
    ----------
    l2 : float, default 0.01
        Finite, at least 0. Name and default are Keras's; PyTorch's ``weight_decay`` is ``2 * l2``.

    Raises
    ------
    TypeError, ValueError
        If it is not a number, negative or not finite.

    References
    ----------
    Krogh, Hertz: A Simple Weight Decay Can Improve Generalization (1991).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Dense(8, "relu", kernel_regularizer=fd.L2(1e-4))
    Dense(units=8, activation='relu', kernel_regularizer=L2(l2=0.0001))
    """

    l1: ClassVar[float] = 0.0
    l2: float = 0.01

    def __post_init__(self) -> None:
        validation.check_fields(self, **CHECKS)


@frozen
class L1:
    """Adds ``l1 * sum(abs(w))`` to the loss, and so ``l1 * sign(w)`` to the gradient.

    Parameters
    ----------
    l1 : float, default 0.01
        Finite, at least 0. Name and default are Keras's; so is a sign of 0 where w is 0.

    Raises
    ------
    TypeError, ValueError
        If it is not a number, negative or not finite.

    References
    ----------
    Tibshirani: Regression Shrinkage and Selection via the Lasso (1996).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Dense(8, "relu", kernel_regularizer="l1").kernel_regularizer
    'l1'
    """

    l1: float = 0.01
    l2: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        validation.check_fields(self, **CHECKS)


@frozen
class L1L2:
    """Adds ``l1 * sum(abs(w)) + l2 * sum(w^2)`` to the loss.

    Parameters
    ----------
    l1, l2 : float, default 0.0
        Finite, at least 0. Names and defaults are Keras's.

    Raises
    ------
    TypeError, ValueError
        If one is not a number, negative or not finite.

    References
    ----------
    Zou, Hastie: Regularization and Variable Selection via the Elastic Net (2005).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.L1L2(l1=1e-4, l2=1e-3)
    L1L2(l1=0.0001, l2=0.001)
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        validation.check_fields(self, **CHECKS)


@frozen
class MaxNorm:
    """After each update no column of W, the weights of one unit, has a larger norm.

    Each column w becomes ``w * min(norm(w), max_value) / (norm(w) + 1e-7)``: Keras's formula with
    ``axis=0``, by which a column within the limit, too, loses 1e-7 of its norm. Biases are free.

    Parameters
    ----------
    max_value : float, default 2.0
        The largest norm, finite and above zero. Name and default are Keras's.

    Raises
    ------
    TypeError, ValueError
        If it is not a number, not above zero or not finite.

    References
    ----------
    Srebro, Shraibman: Rank, Trace-Norm and Max-Norm (2005).
    Srivastava, Hinton and others: Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting (2014).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Dense(8, "relu", kernel_constraint=fd.MaxNorm(3))
    Dense(units=8, activation='relu', kernel_constraint=MaxNorm(max_value=3.0))
    """

    max_value: float = 2.0

    def __post_init__(self) -> None:
        validation.check_fields(self, max_value=validation.above_zero)


Regularizer: TypeAlias = L1 | L2 | L1L2

#: Every regulariser and every constraint by the name it has in a call and in a saved file.
REGULARIZERS: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": L1L2}
CONSTRAINTS: dict[str, type[MaxNorm]] = {"max_norm": MaxNorm}


def resolve(name: str, regularizer: Any) -> Regularizer | None:
    """A regulariser from an instance, or from its name, which stands for its defaults; or None.

    Raises
    ------
    TypeError, ValueError
        If it is neither; `name` is the argument's.
    """
    if regularizer is None or isinstance(regularizer, Regularizer):
        return regularizer
    instead = ", or an instance such as L2(0.01)"
    return REGULARIZERS[validation.choice(name, regularizer, REGULARIZERS, instead)]()


def resolve_constraint(name: str, constraint: Any) -> MaxNorm | None:
    """A constraint from an instance, or from its name, which stands for its defaults; or None.

    Raises
    ------
    TypeError, ValueError
        If it is neither; `name` is the argument's.
    """
    if constraint is None or isinstance(constraint, MaxNorm):
        return constraint
    instead = ", or an instance such as MaxNorm(3)"
    return CONSTRAINTS[validation.choice(name, constraint, CONSTRAINTS, instead)]()


def penalty(regularizer: str | Regularizer | None) -> tuple[float, float]:
    """l1 and l2 of a regulariser that has been checked."""
    found = resolve("regularizer", regularizer)
    return (found.l1, found.l2) if found else (0.0, 0.0)


def max_norm(constraint: str | MaxNorm | None) -> float:
    """The largest norm that a constraint which has been checked allows; infinity without one."""
    found = resolve_constraint("constraint", constraint)
    return found.max_value if found else math.inf
