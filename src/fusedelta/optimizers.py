"""Optimisers as data: their parameters, checked when they are made. The engines do the update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from fusedelta import validation

__all__ = ["SGD", "Adam", "Optimizer", "resolve"]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, plain, with momentum, or with Nesterov's.

    With the gradient ``g = dLoss/dw`` of a batch and a velocity v that starts at zero::

        plain       w -= learning_rate * g
        momentum    v = momentum * v + g;  w -= learning_rate * v
        nesterov    v = momentum * v + g;  w -= learning_rate * (g + momentum * v)

    The learning rate stands outside the velocity, as in PyTorch. Keras and the papers keep it
    inside; as long as the rate does not change, the weights are the same.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Step size, finite and above zero. The names and the defaults are Keras's.
    momentum : float, default 0.0
        How much of the velocity is left after a step, in 0 <= momentum < 1. With 0 nothing is
        kept beside the weights.
    nesterov : bool, default False
        Look ahead by one step of the velocity; needs a momentum.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type, out of its range, or `nesterov` has no momentum.

    References
    ----------
    Robbins, Monro: A Stochastic Approximation Method (1951).
    Polyak: Some methods of speeding up the convergence of iteration methods (1964).
    Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep
    learning (2013), for Nesterov's momentum.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.SGD(0.5)
    SGD(learning_rate=0.5, momentum=0.0, nesterov=False)
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        set_number(self, "learning_rate", above=0)
        set_number(self, "momentum", minimum=0, below=1)
        object.__setattr__(self, "nesterov", validation.boolean("nesterov", self.nesterov))
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: expected a momentum above 0 with it, got momentum=0.0")

    @property
    def moments(self) -> tuple[str, ...]:
        """Names of what is kept for every weight from step to step."""
        return ("velocity",) if self.momentum else ()


@dataclass(frozen=True)
class Adam:
    """Adam: steps of about the same size in all weights, from running means of their gradients.

    With the gradient ``g = dLoss/dw`` of batch t = 1, 2, ... and m, v that start at zero::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g^2
        w -= learning_rate * (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    This is Algorithm 1 of the paper, and what PyTorch does. Keras adds epsilon before the
    correction of v ("epsilon hat" in the paper), and so differs a little in the first steps.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Step size, finite and above zero. The names and the defaults are Keras's.
    beta_1, beta_2 : float, default 0.9 and 0.999
        How much of the means m and v is left after a step, in 0 <= beta < 1.
    epsilon : float, default 1e-7
        Keeps the quotient finite, above zero. Where the dtype would make it zero, its smallest
        normal number is taken.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not a number or out of its range.

    References
    ----------
    Kingma, Ba: Adam: A Method for Stochastic Optimization (2015).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Adam()
    Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07)
    """

    moments: ClassVar[tuple[str, ...]] = ("m", "v")

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        set_number(self, "learning_rate", above=0)
        set_number(self, "beta_1", minimum=0, below=1)
        set_number(self, "beta_2", minimum=0, below=1)
        set_number(self, "epsilon", above=0)


Optimizer: TypeAlias = SGD | Adam

#: Every optimiser by the name it has in a call and in a saved file.
OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


def set_number(optimizer: Optimizer, name: str, **bounds: float) -> None:
    """Replace a parameter by the float it stands for, or raise."""
    value = validation.number(name, getattr(optimizer, name), **bounds)
    object.__setattr__(optimizer, name, value)


def resolve(optimizer: str | Optimizer) -> Optimizer:
    """An optimiser from an instance, or from its name (``"sgd"``, ``"adam"``: with its defaults).

    Raises
    ------
    TypeError, ValueError
        If it is neither an optimiser nor the name of one.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    return OPTIMIZERS[validation.choice("optimizer", optimizer, OPTIMIZERS)]()
