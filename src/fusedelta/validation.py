"""Checks of single values: each becomes what it stands for, or the error says what is wrong.

Every error names the argument, what was given and what was expected. `arrays` does so for arrays.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np

from fusedelta._spelling import nearest
from fusedelta.text import digits, shown

__all__ = [
    "boolean",
    "check_fields",
    "choice",
    "float_dtype",
    "input_shape",
    "integer",
    "number",
    "optional",
    "seed",
    "shown",
    "thread_count",
    "verbosity",
]

DTYPES = ("float32", "float64")

#: How much what is no choice must be like one (as `difflib` counts) to be taken for it.
SIMILAR = 0.7

#: Returns what a value of that name stands for, or raises.
Check: TypeAlias = Callable[[str, Any], Any]


def integer(
    name: str, value: Any, minimum: int = 1, below: int | None = None, bits: int = 63
) -> int:
    """`value` as an int within the bounds; bools and floats are no integers here.

    Without `below` it is less than 2^bits, by default what the compiled core can count.
    """
    most = 2**bits if below is None else below
    if type(value) is int and minimum <= value < most:
        return value
    expected = f"an integer >= {minimum}" + (f" and below {below}" if below is not None else "")
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name}: expected {expected}, got {shown(value)}")
    given = int(value)
    if below is None and given >= most:
        expected += f" and below 2^{bits}"
    if not minimum <= given < most:
        raise ValueError(f"{name}: expected {expected}, got {digits(given)}")
    return given


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    minimum: float | None = None,
    below: float | None = None,
    otherwise: str = "",
) -> float:
    """`value` as a finite float, within the bounds that are given.

    `otherwise` is what the caller would have taken too, for the message.
    """
    is_real = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if is_real:
        too_low = (above is not None and value <= above) or (
            minimum is not None and value < minimum
        )
        too_high = below is not None and not value < below
        try:
            converted = float(value)
        except OverflowError:
            converted = math.inf
        if math.isfinite(converted) and not (too_low or too_high):
            return converted
    bounds = {" above": above, " >=": minimum, " and below": below}
    told = "".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
    expected = f"{name}: expected a finite number{told}{otherwise}"
    if not is_real:
        raise TypeError(f"{expected}, got {shown(value)}")
    raise ValueError(f"{expected}, got {digits(value)}")


above_zero = partial(number, above=0)
not_negative = partial(number, minimum=0)
share = partial(number, minimum=0, below=1)
between_zero_and_one = partial(number, above=0, below=1)


def optional(check: Check) -> Check:
    """The check for a value that may also be None."""
    return lambda name, value: None if value is None else check(name, value)


def check_fields(instance: Any, /, **checks: Check) -> None:
    """Check those fields of a frozen dataclass; they become what they stand for."""
    for field in dataclasses.fields(instance):
        if field.name in checks:
            value = checks[field.name](field.name, getattr(instance, field.name))
            object.__setattr__(instance, field.name, value)


def boolean(name: str, value: Any) -> bool:
    """`value` as a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def choice(name: str, value: Any, choices: Iterable[Any], otherwise: str = "") -> Any:
    """`value`, if it is one of the choices.

    `otherwise` is what the caller would have taken too, for the message.
    """
    choices = list(choices)
    is_alike = isinstance(value, type(choices[0]))
    if is_alike and value in choices:
        return value
    expected = f"one of {', '.join(map(repr, choices))}" if len(choices) > 1 else repr(choices[0])
    if not is_alike:
        raise TypeError(f"{name}: expected {expected}{otherwise}; got {shown(value)}")
    given = digits(value) if isinstance(value, int) else repr(value)
    meant = nearest(value, choices, SIMILAR) if isinstance(value, str) else None
    hint = f"; did you mean {meant!r}?" if meant else ""
    raise ValueError(f"{name}: expected {expected}{otherwise}; got {given}{hint}")


def seed(value: Any, name: str = "seed") -> int | None:
    """A seed: None, or an int >= 0, as large as those that NumPy draws from the system."""
    return None if value is None else integer(name, value, minimum=0, bits=128)


def verbosity(value: Any, most: int = 2) -> int:
    """How much to print: 0 to `most`, where True is 1 and False is 0."""
    is_integer = isinstance(value, np.bool_ | Integral)
    chosen: int = choice("verbose", int(value) if is_integer else value, range(most + 1))
    return chosen


def thread_count(value: Any) -> int | None:
    """The most threads of a network or an ensemble: None, or as many as the core can count."""
    return None if value is None else integer("n_threads", value, bits=15)


def float_dtype(value: Any) -> np.dtype:
    """The dtype of a network: float32 or float64, by name or as NumPy's type."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = None
    if value is None or dtype is None or dtype.name not in DTYPES or not dtype.isnative:
        raise ValueError(f"dtype: expected 'float32' or 'float64', got {shown(value)}")
    return dtype


def input_shape(value: Any) -> int | None:
    """Number of inputs from an input shape such as ``(2,)``; None if it is None."""
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 1:
        raise ValueError(
            f"input_shape: expected a tuple of one integer such as (2,), got {shown(value)}"
        )
    return integer("input_shape[0]", value[0])
