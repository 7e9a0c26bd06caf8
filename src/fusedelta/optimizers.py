"""Optimisers as data: their parameters, checked when they are made. The engines do the update."""

from __future__ import annotations

from dataclasses import dataclass

from fusedelta import validation

__all__ = ["SGD", "resolve"]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: ``w -= learning_rate * dLoss/dw`` after every batch.

    Parameters
    ----------
    learning_rate : float, default 0.01
        Step size, finite and above zero. The name and the default are Keras's.

    Raises
    ------
    TypeError, ValueError
        If the learning rate is not a number, not finite, or not above zero.

    References
    ----------
    Robbins, Monro: A Stochastic Approximation Method (1951).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.SGD(0.5)
    SGD(learning_rate=0.5)
    """

    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        rate = validation.number("learning_rate", self.learning_rate, above=0)
        object.__setattr__(self, "learning_rate", rate)


#: Every optimiser by the name it has in a call and in a saved file.
OPTIMIZERS = {"sgd": SGD}


def resolve(optimizer: str | SGD) -> SGD:
    """An optimiser from an instance, or from its name (``"sgd"``: with its defaults).

    Raises
    ------
    TypeError, ValueError
        If it is neither an optimiser nor the name of one.
    """
    if isinstance(optimizer, SGD):
        return optimizer
    return OPTIMIZERS[validation.choice("optimizer", optimizer, OPTIMIZERS)]()
