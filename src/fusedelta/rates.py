"""Learning rates as the engines need them: one for each of the steps to come."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from fusedelta import validation
from fusedelta.schedules import Schedule

__all__ = ["Rate", "check_rate", "rate_at", "rates"]

#: What stands for a learning rate: a number, a schedule, or any function of the step.
Rate: TypeAlias = float | Callable[[int], float]


def check_rate(name: str, rate: Any) -> Rate:
    """A learning rate: a schedule or a function as it is, anything else as a float above zero."""
    if callable(rate) and not isinstance(rate, type):
        return rate
    return validation.number(name, rate, above=0, otherwise=" or a schedule")


def rate_at(rate: Rate, step: int) -> float:
    """The learning rate of a step."""
    return float(rates(rate, step, 1)[0])


def rates(rate: Rate, first: int, count: int) -> np.ndarray:
    """The learning rates of `count` steps from `first` on, in float64.

    Raises
    ------
    TypeError, ValueError
        If a function or a schedule gives anything but a finite number of at least 0.
    """
    if isinstance(rate, Schedule):
        planned = rate.rates(first, count)
        _check(planned, first)
        return planned
    if not callable(rate):
        return np.full(count, rate)
    steps = range(first, first + count)
    values = [validation.not_negative(f"learning_rate({step})", rate(step)) for step in steps]
    return np.array(values, np.float64)


def _check(values: np.ndarray, first: int) -> None:
    """Refuse what a schedule gives from step `first` on, if it is no rate."""
    if not 0 <= values.min(initial=0) <= values.max(initial=0) < math.inf:  # nor if one is nan
        bad = int(np.argmax(~((values >= 0) & (values < math.inf))))
        validation.not_negative(f"learning_rate({first + bad})", values[bad])
