r"""Losses as data: which there are, their formulae, and what each wants of outputs and targets.

With m samples, n outputs, logits z, outputs a, targets y and e = a - y:

===============================  =====================================================  ==========
name                             value of an output (of a sample, where mean is m)      mean
===============================  =====================================================  ==========
half_sum_squared_error           e^2 / 2                                                none: sum
mean_squared_error               e^2                                                    mn
mean_absolute_error              abs(e)                                                 mn
huber (`Huber`)                  e^2 / 2, beyond delta: delta (abs(e) - delta / 2)      mn
log_cosh                         log(cosh(e))                                           mn
quantile (`Quantile`)            max(-q e, (1 - q) e)                                   mn
poisson                          a - y log(a + 1e-7)                                    mn
hinge                            max(0, 1 - y a), y being -1 or 1                       mn
squared_hinge                    max(0, 1 - y a)^2                                      mn
binary_crossentropy              y softplus(-z) + (1 - y) softplus(z)                   mn
binary_focal_crossentropy        the same times q^gamma: `BinaryFocalCrossentropy`      mn
categorical_crossentropy         sum y (logsumexp(z) - z)                               m
sparse_categorical_crossentropy  the same, y given as integer labels                    m
categorical_focal_crossentropy   sum alpha (1 - a)^gamma y (logsumexp(z) - z)           m
kl_divergence                    sum y (log(y) + logsumexp(z) - z)                      m
===============================  =====================================================  ==========

``mse`` and ``mae`` are short for the second and the third, as in Keras.

Values are means over samples and outputs (mn), or sums over the outputs and means over the samples
(m), as in Keras; ``half_sum_squared_error`` is the plain sum of many texts. Where a loss has a
corner, the gradient is 0 there (the hinges': that of the flat side).

Which one to take: for quantities ``mean_squared_error``; ``huber``, ``log_cosh`` or
``mean_absolute_error`` where some targets are far off; ``quantile`` for a median or another
quantile; ``poisson`` for counts. For two classes, or several that do not exclude each other,
``binary_crossentropy``; for one of n classes ``sparse_categorical_crossentropy``; the focal ones
where easy samples are in the majority; the hinges for margins; ``kl_divergence`` to imitate
another model's probabilities.

>>> import fusedelta as fd
>>> net = fd.Sequential([fd.Dense(8, "tanh"), fd.Dense(1)], loss=fd.Huber(delta=0.5),
...                     input_shape=(3,), seed=0)

The cross-entropies, the divergence and ``poisson`` on exponential outputs are computed from the
logits, never from a clipped probability, so that they are exact where an output saturates;
``poisson`` is then ``exp(z) - y z``. Labels of hinges may also be 0 and 1, which count as -1 and 1,
and the decision is whether the output is above 0.

A loss of your own is a function of targets and outputs that returns the value and its gradient:
`fusedelta.user_loss`, which also has what reinforcement learning minimises.

Weights of samples multiply each sample's part of the value and of the gradient, while what is
divided by stays the number of samples m, as in Keras: weights that are twice as large make the loss
twice as large. Accuracy knows no weights.

The formulae live in the engines (`fusedelta.reference_losses`).

References
----------
huber: Huber, Robust Estimation of a Location Parameter (1964). quantile: Koenker, Bassett,
Regression Quantiles (1978). focal: Lin et al., Focal Loss for Dense Object Detection (2017).
label smoothing: Szegedy et al., Rethinking the Inception Architecture for Computer Vision (2016).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fusedelta import validation
from fusedelta._frozen import frozen
from fusedelta.activations import ACTIVATIONS
from fusedelta.validation import above_zero, between_zero_and_one, not_negative, share

__all__ = [
    "LOSSES",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "Huber",
    "Loss",
    "Quantile",
    "SparseCategoricalCrossentropy",
    "resolve",
]


# --------------------------------------------------------------------------- losses with parameters


@frozen
class Huber:
    """Squared error near the target, absolute error far from it.

    Parameters
    ----------
    delta : float, default 1.0
        The error from which on it grows linearly; above 0.

    Raises
    ------
    TypeError, ValueError
        If delta is not a finite number above 0.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        validation.check_fields(self, delta=above_zero)


@frozen
class Quantile:
    """Pinball loss, least where a share q of the targets lies below the output.

    Parameters
    ----------
    q : float, default 0.5
        Between 0 and 1, both excluded; 0.5 makes it half the absolute error.

    Raises
    ------
    TypeError, ValueError
        If q is not a number above 0 and below 1.
    """

    q: float = 0.5

    def __post_init__(self) -> None:
        validation.check_fields(self, q=between_zero_and_one)


@frozen
class BinaryCrossentropy:
    """Cross-entropy of sigmoid outputs that each decide by themselves.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        s from 0 to below 1: targets y become ``y (1 - s) + s / 2``. Accuracy goes by y itself.

    Raises
    ------
    TypeError, ValueError
        If it is not a number from 0 to below 1.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        validation.check_fields(self, label_smoothing=share)


class CategoricalCrossentropy(BinaryCrossentropy):
    """Cross-entropy of a softmax, for targets that are one-hot rows or other distributions.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        s from 0 to below 1: targets y of n classes become ``y (1 - s) + s / n``. Accuracy goes by
        y itself.

    Raises
    ------
    TypeError, ValueError
        If it is not a number from 0 to below 1.
    """


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """Cross-entropy of a softmax, for integer labels.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        As for `CategoricalCrossentropy` of the one-hot rows that the labels stand for.

    Raises
    ------
    TypeError, ValueError
        If it is not a number from 0 to below 1.
    """


@frozen
class CategoricalFocalCrossentropy:
    """Categorical cross-entropy that makes little of what is nearly right already.

    Each class adds ``alpha (1 - p)^gamma y (-log p)`` with its probability p.

    Parameters
    ----------
    alpha : float, default 0.25
        Factor of the whole, above 0.
    gamma : float, default 2.0
        At least 0; 0 gives cross-entropy times alpha.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not such a number.
    """

    alpha: float = 0.25
    gamma: float = 2.0

    def __post_init__(self) -> None:
        validation.check_fields(self, alpha=above_zero, gamma=not_negative)


@frozen
class BinaryFocalCrossentropy:
    """Binary cross-entropy that makes little of what is nearly right already.

    The cross-entropy of each output is multiplied by ``q^gamma`` with
    ``q = y (1 - p) + (1 - y) p``, p being the output.

    Parameters
    ----------
    apply_class_balancing : bool, default False
        Whether to multiply by ``y alpha + (1 - y) (1 - alpha)``, too.
    alpha : float, default 0.25
        Weight of targets 1, between 0 and 1; only used if `apply_class_balancing`.
    gamma : float, default 2.0
        At least 0; 0 gives cross-entropy.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not such a value.
    """

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0

    def __post_init__(self) -> None:
        validation.check_fields(
            self,
            apply_class_balancing=validation.boolean,
            alpha=between_zero_and_one,
            gamma=not_negative,
        )


#: The losses with parameters, by name.
CLASSES: dict[str, type[Any]] = {
    "huber": Huber,
    "quantile": Quantile,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_focal_crossentropy": BinaryFocalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
}
NAMES = {cls: name for name, cls in CLASSES.items()}


# ------------------------------------------------------------------------------------ their nature


@frozen
class Loss:
    """What the rest of the package needs to know about a loss.

    Parameters
    ----------
    name : str
        As in Keras, plus ``half_sum_squared_error`` and ``quantile``.
    targets : str
        What y holds: ``"values"``, ``"counts"``, ``"signs"``, ``"probabilities"``,
        ``"distributions"`` or ``"labels"``.
    reduction : str
        What a sum over m samples and n outputs is divided by: ``"outputs"`` m n, ``"samples"`` m,
        ``"half_sum"`` 2.
    outputs : tuple of str
        Activations that the output layer may have.
    reason : str
        Why it may have no other.
    logits : tuple of str
        Those of which it takes the logits.
    parameters : tuple of float
        What its formula has, up to three.
    smoothing : float
        Of the targets.
    given : str or object
        The loss as the user named it.
    output : str
        The activation that the output layer has.
    function : callable, optional
        A loss of the user's own.
    """

    name: str
    targets: str
    reduction: str = "outputs"
    outputs: tuple[str, ...] = ACTIVATIONS
    reason: str = ""
    logits: tuple[str, ...] = ()
    parameters: tuple[float, float, float] = (0.0, 0.0, 0.0)
    smoothing: float = 0.0
    given: Any = None
    output: str = ""
    function: Callable[..., Any] | None = None

    @property
    def takes_logits(self) -> bool:
        """Whether it is computed from logits, and its first gradient is one along them."""
        return self.output in self.logits

    @property
    def is_classification(self) -> bool:
        """Whether outputs name classes, so that there is an accuracy."""
        return self.targets not in ("values", "counts")

    @property
    def is_binary(self) -> bool:
        """Whether each output decides by itself, instead of the largest one winning."""
        return self.targets in ("probabilities", "signs")

    @property
    def threshold(self) -> float:
        """Above which an output that decides by itself says yes."""
        return 0.0 if self.targets == "signs" else 0.5

    def normalizer(self, m: int, n: int) -> float:
        """What the sum over m samples and n outputs is divided by."""
        return {"outputs": m * n, "samples": m, "half_sum": 2}[self.reduction]

    def __reduce__(self) -> tuple[Callable[..., Loss], tuple[Any, str]]:
        return resolve, (self.given, self.output)


def _of_sigmoid(name: str) -> Loss:
    reason = "it is computed from the logits of a sigmoid"
    return Loss(name, "probabilities", "outputs", ("sigmoid",), reason, ("sigmoid",))


def _of_softmax(name: str, targets: str = "distributions") -> Loss:
    reason = "it is computed from the logits of a softmax"
    return Loss(name, targets, "samples", ("softmax",), reason, ("softmax",))


def _of_signs(name: str) -> Loss:
    reason = "its scores have two signs"
    return Loss(name, "signs", "outputs", ("linear", "tanh", "hard_tanh"), reason)


#: The name of all losses of users' own.
_USER = "a loss of your own"

#: Every loss by its name.
LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("half_sum_squared_error", "values", "half_sum"),
        Loss("mean_squared_error", "values"),
        Loss("mean_absolute_error", "values"),
        Loss("huber", "values"),
        Loss("log_cosh", "values"),
        Loss("quantile", "values"),
        Loss(
            "poisson",
            "counts",
            outputs=("exponential", "softplus"),
            logits=("exponential",),
            reason="a rate is positive",
        ),
        _of_signs("hinge"),
        _of_signs("squared_hinge"),
        _of_sigmoid("binary_crossentropy"),
        _of_sigmoid("binary_focal_crossentropy"),
        _of_softmax("categorical_crossentropy"),
        _of_softmax("sparse_categorical_crossentropy", "labels"),
        _of_softmax("categorical_focal_crossentropy"),
        _of_softmax("kl_divergence"),
    )
}

#: Keras's short names.
SHORT = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
}


def resolve(given: Any, output: str) -> Loss:
    """The loss that a user names, for an output layer with that activation.

    Parameters
    ----------
    given : str or object
        A name (with the default parameters), an instance of one of `CLASSES`, or a function.
    output : str
        Kind of the output layer's activation.

    Raises
    ------
    TypeError, ValueError
        If it is no loss, or if the two do not pair, with the reason.
    """
    if callable(given) and not isinstance(given, type):
        return Loss(_USER, "values", "samples", given=given, output=output, function=given)
    if type(given) in NAMES:
        name, instance = NAMES[type(given)], given
    else:
        given = SHORT.get(given, given) if isinstance(given, str) else given
        instead = ", an instance such as Huber(0.5), or a function"
        name = validation.choice("loss", given, LOSSES, instead)
        instance = CLASSES[name]() if name in CLASSES else None
    loss = LOSSES[name]
    if output not in loss.outputs:
        raise ValueError(
            f"loss: {name!r} needs an output layer with activation "
            f"{' or '.join(map(repr, loss.outputs))}, because {loss.reason}; got {output!r}"
        )
    parameters = _parameters(instance)
    smoothing = getattr(instance, "label_smoothing", 0.0)
    return replace(loss, parameters=parameters, smoothing=smoothing, given=given, output=output)


def _parameters(instance: Any) -> tuple[float, float, float]:
    """The numbers of a loss in the order of its formula in the kernels."""
    match instance:
        case Huber(delta=delta):
            return delta, 0.0, 0.0
        case Quantile(q=q):
            return q, 0.0, 0.0
        case CategoricalFocalCrossentropy(alpha=alpha, gamma=gamma):
            return gamma, alpha, 0.0
        case BinaryFocalCrossentropy(apply_class_balancing=True, alpha=alpha, gamma=gamma):
            return gamma, alpha, 1 - alpha
        case BinaryFocalCrossentropy(gamma=gamma):
            return gamma, 1.0, 1.0
    return 0.0, 0.0, 0.0
