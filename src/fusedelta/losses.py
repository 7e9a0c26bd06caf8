r"""Losses as data: reductions, allowed output activations, and what a prediction of each means.

With m samples, n outputs, logits z, outputs a and targets y:

===============================  ===============================================  =================
name                             value                                           dLoss/dz
===============================  ===============================================  =================
half_sum_squared_error           sum (a - y)^2 / 2                                (a - y) a'
mean_squared_error               sum (a - y)^2 / mn                               2 (a - y) a' / mn
binary_crossentropy              sum (y softplus(-z) + (1 - y) softplus(z)) / mn  (a - y) / mn
categorical_crossentropy         sum y (logsumexp(z) - z) / m                     (a - y) / m
sparse_categorical_crossentropy  the same, y given as integer labels              (a - y) / m
===============================  ===============================================  =================

The cross-entropies are computed from the logits, never from a clipped probability, so that they are
exact where an output saturates. The formulae live in the engines (`fusedelta.reference`).
"""

from __future__ import annotations

from collections.abc import Callable

from fusedelta import validation
from fusedelta._frozen import frozen
from fusedelta.activations import ACTIVATIONS

__all__ = ["LOSSES", "Loss", "check_output", "resolve"]


@frozen
class Loss:
    """What the rest of the package needs to know about a loss.

    Parameters
    ----------
    name : str
        As in Keras, plus ``half_sum_squared_error``.
    targets : str
        What y holds: ``"values"``, ``"probabilities"``, ``"distributions"`` or ``"labels"``.
    normalizer : callable
        ``normalizer(m, n)``: what the sum over m samples and n outputs is divided by.
    outputs : tuple of str
        Activations that the output layer may have.
    reason : str
        Why it may have no other.
    """

    name: str
    targets: str
    normalizer: Callable[[int, int], float]
    outputs: tuple[str, ...] = ACTIVATIONS
    reason: str = ""

    @property
    def is_classification(self) -> bool:
        """Whether outputs name classes, so that there is an accuracy."""
        return self.targets != "values"

    @property
    def is_binary(self) -> bool:
        """Whether each output decides by itself, at 0.5, instead of the largest one winning."""
        return self.targets == "probabilities"

    def __reduce__(self) -> tuple[Callable[[str], Loss], tuple[str]]:
        return resolve, (self.name,)


_SIGMOID_ONLY = "it is computed from the logits of a sigmoid"
_SOFTMAX_ONLY = "it is computed from the logits of a softmax"

#: Every loss by its name.
LOSSES = {
    loss.name: loss
    for loss in (
        Loss("half_sum_squared_error", "values", lambda m, n: 2),
        Loss("mean_squared_error", "values", lambda m, n: m * n),
        Loss(
            "binary_crossentropy",
            "probabilities",
            lambda m, n: m * n,
            ("sigmoid",),
            _SIGMOID_ONLY,
        ),
        Loss(
            "categorical_crossentropy",
            "distributions",
            lambda m, n: m,
            ("softmax",),
            _SOFTMAX_ONLY,
        ),
        Loss(
            "sparse_categorical_crossentropy",
            "labels",
            lambda m, n: m,
            ("softmax",),
            _SOFTMAX_ONLY,
        ),
    )
}


def resolve(name: str) -> Loss:
    """The loss of that name.

    Raises
    ------
    TypeError, ValueError
        If the name is not a string, or not that of a loss.
    """
    return LOSSES[validation.choice("loss", name, LOSSES)]


def check_output(loss: Loss, activation: str) -> None:
    """Refuse an output activation that makes no sense with the loss.

    Parameters
    ----------
    loss : Loss
    activation : str
        Kind of the output layer's activation.

    Raises
    ------
    ValueError
        If they do not pair, with the reason.
    """
    if activation not in loss.outputs:
        raise ValueError(
            f"loss: {loss.name!r} needs an output layer with activation "
            f"{' or '.join(map(repr, loss.outputs))}, because {loss.reason}; got {activation!r}"
        )
