"""What options of the command line stand for: optimisers, schedules, losses, hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple

import fusedelta as fd
from fusedelta import losses, optimizers, validation
from fusedelta.layers import Layer
from fusedelta.optimizers import Optimizer

__all__ = [
    "LOSSES",
    "NORMALIZATIONS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Named",
    "hidden_layers",
    "make_loss",
    "make_optimizer",
    "make_regularizer",
    "make_schedule",
    "parse_named",
]


class Named(NamedTuple):
    """A name with numbers, such as ``cosine:1000,0.1``."""

    name: str
    numbers: tuple[float, ...]

    def __str__(self) -> str:
        return ":".join([self.name, *[",".join(map(str, self.numbers))] * bool(self.numbers)])


def parse_named(argument: str) -> Named:
    """Parse ``name`` or ``name:number,number``; what looks like an integer is one.

    Raises
    ------
    ValueError
        If what follows the colon are no numbers.
    """
    name, colon, rest = argument.partition(":")
    return Named(name, tuple(_number(part) for part in rest.split(",")) if colon else ())


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


# -------------------------------------------------------------------------------------- optimisers

#: The optimisers, with their defaults.
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": fd.SGD(0.05),
    "momentum": fd.SGD(0.05, momentum=0.9),
    **{name: rule() for name, rule in optimizers.OPTIMIZERS.items() if rule is not fd.SGD},
}


def make_optimizer(name: str, **settings: float | None) -> Optimizer:
    """One of `OPTIMIZERS`, with other settings where they are not None.

    Raises
    ------
    TypeError, ValueError
        If it has no such setting, or a value is wrong.
    """
    optimizer = OPTIMIZERS[name]
    given: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    for key in given.keys() - {field.name for field in fields(optimizer)}:
        raise ValueError(f"{key}: optimizer {name!r} has none, got {given[key]}")
    return replace(optimizer, **given)


class _Decay(NamedTuple):
    make: Callable[..., fd.schedules.Schedule]
    numbers: str  # what they are
    needed: int = 0  # how many of them have no default


#: The schedules, and the numbers that each takes after the learning rate.
SCHEDULES = {
    "cosine": _Decay(fd.CosineDecay, "STEPS,ALPHA"),
    "onecycle": _Decay(fd.OneCycle, "STEPS,PART_UP"),
    "polynomial": _Decay(fd.PolynomialDecay, "STEPS,END,POWER"),
    "step": _Decay(fd.StepDecay, "STEPS,FACTOR", 1),
    "exponential": _Decay(fd.ExponentialDecay, "STEPS,FACTOR", 2),
    "inverse": _Decay(fd.InverseTimeDecay, "STEPS,FACTOR", 2),
    "invscaling": _Decay(fd.InvScaling, "POWER"),
}


def make_schedule(
    given: Named, rate: Any, steps: int, warmup: int | None = None
) -> fd.schedules.Schedule:
    """One of `SCHEDULES`, from a rate on.

    Parameters
    ----------
    given : Named
    rate : float
    steps : int
        Of the whole training: how long a schedule takes that has an end and is not told.
    warmup : int, optional
        Steps from 0 up to the rate, before the others.

    Raises
    ------
    TypeError, ValueError
        If there is no such schedule, or a number is missing, too many or wrong.
    """
    decay = SCHEDULES[validation.choice("schedule", given.name, SCHEDULES)]
    numbers, most = given.numbers, decay.numbers.count(",") + 1
    if warmup is not None and decay.make is not fd.CosineDecay:
        raise ValueError(f"warmup: expected it with schedule 'cosine', got {given.name!r}")
    if not numbers and decay.numbers.startswith("STEPS") and not decay.needed:
        numbers = (max(1, steps - (warmup or 0)),)
    if not decay.needed <= len(numbers) <= most:
        raise ValueError(
            f"schedule: expected {given.name}:{decay.numbers}, of which {decay.needed or 'none'} "
            f"must be there, got '{given}'"
        )
    if warmup is None:
        return decay.make(rate, *numbers)
    make = partial(decay.make, warmup_target=rate, warmup_steps=warmup)
    return make(0.0, *numbers)


# ------------------------------------------------------------------------------------------ losses

#: For each kind of target its losses, the usual one first, with the activation of the output.
LOSSES = {
    "a number": {
        "mean_squared_error": "linear",
        "mean_absolute_error": "linear",
        "huber": "linear",
        "log_cosh": "linear",
        "quantile": "linear",
    },
    "two classes": {
        "binary_crossentropy": "sigmoid",
        "binary_focal_crossentropy": "sigmoid",
        "hinge": "linear",
        "squared_hinge": "linear",
    },
    "several classes": {"sparse_categorical_crossentropy": "softmax"},
}


def make_loss(kind: str, given: Named | None, label_smoothing: float | None) -> tuple[Any, str]:
    """The loss for a kind of target, one of the keys of `LOSSES`, and the output's activation.

    Raises
    ------
    TypeError, ValueError
        If the loss is not for such a target, or does not have what was given.
    """
    suitable = LOSSES[kind]
    name, numbers = given or (next(iter(suitable)), ())
    name = losses.SHORT.get(name, name)
    if name not in suitable:
        listed = ", ".join(map(repr, suitable))
        raise ValueError(f"loss: expected one of {listed} for {kind}; got {name!r}")
    if label_smoothing is not None:
        if not name.endswith("_crossentropy") or "focal" in name:
            raise ValueError(f"label_smoothing: loss {name!r} has none, got {label_smoothing}")
        return losses.CLASSES[name](label_smoothing), suitable[name]
    if not numbers:
        return name, suitable[name]
    if name not in ("huber", "quantile") or len(numbers) > 1:
        raise ValueError(f"loss: expected {name!r} with fewer numbers, got '{given}'")
    return losses.CLASSES[name](*numbers), suitable[name]


# ------------------------------------------------------------------------------------------ layers

#: What may stand between the sums of a hidden layer and its activation.
NORMALIZATIONS: dict[str, Callable[[], Layer]] = {
    "batch": fd.BatchNormalization,
    "layer": fd.LayerNormalization,
}


def make_regularizer(l1: float | None, l2: float | None) -> Any:
    """The penalty on the weights of every dense layer, or None."""
    return None if l1 is None and l2 is None else fd.L1L2(l1 or 0.0, l2 or 0.0)


def hidden_layers(
    sizes: Sequence[int],
    activation: str,
    normalization: str | None = None,
    dropout: float | None = None,
    regularizer: Any = None,
) -> Iterator[Layer]:
    """The hidden layers: dense, normalised before the activation, dropped after it.

    Raises
    ------
    ValueError
        If the dropout is out of range, or if there are no layers to normalise or to drop from.
    """
    for name, value in (("normalization", normalization), ("dropout", dropout)):
        if value is not None and not sizes:
            raise ValueError(f"{name}: expected hidden layers to go with it, got {value} and none")
    for units in sizes:
        dense = partial(fd.Dense, units, kernel_regularizer=regularizer)
        if normalization is None:
            yield dense(activation=activation)
        else:
            yield from (dense(), NORMALIZATIONS[normalization](), fd.Activation(activation))
        if dropout is not None:
            yield fd.Dropout(validation.number("dropout", dropout, minimum=0, below=1))
