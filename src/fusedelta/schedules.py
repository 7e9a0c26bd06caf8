"""Learning-rate schedules: rates that follow the steps of the optimiser, as data.

Each takes the place of a number: ``fd.Adam(learning_rate=fd.CosineDecay(1e-3, 10_000))``. Step s is
0, 1, 2, ..., the updates since the network was made or `reset_optimizer` was called: a second `fit`
goes on where the first one ended, and so does a network that was copied or loaded. Plain `SGD`
counts those with a schedule alone.

========================  ==================================================================
`CosineDecay`             From the rate to `alpha` times it along half a cosine, after a
                          warm-up if wanted: the usual choice when the number of steps is known.
`OneCycle`                Up and down again: fast training with rates that would be too high
                          all the time.
`StepDecay`               A tenth every so many steps. `PiecewiseConstantDecay`: any values.
`ExponentialDecay`        The same factor in every step.
`InverseTimeDecay`        1 / (1 + s): for training without an end. `InvScaling`: a power of it.
`PolynomialDecay`         A straight line, or a power of it, to an end.
========================  ==================================================================

Any function of the step will do too, which `fit` asks for the steps of an epoch before it begins;
then the network can't be saved, as files hold no code:

>>> import fusedelta as fd
>>> fd.SGD(lambda step: 0.5 / (1 + step // 100)).learning_rate(250)
0.16666666666666666

A warm-up, in which the rate grows from 0 or little, keeps the first steps of a large network or a
large rate from doing harm:

>>> schedule = fd.CosineDecay(0.0, decay_steps=90, warmup_target=0.1, warmup_steps=10)
>>> [round(schedule(step), 3) for step in (0, 5, 10, 55, 100, 1000)]
[0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

import numpy as np

from fusedelta import validation
from fusedelta._frozen import frozen
from fusedelta.validation import above_zero, between_zero_and_one, not_negative

__all__ = [
    "SCHEDULES",
    "CosineDecay",
    "ExponentialDecay",
    "InvScaling",
    "InverseTimeDecay",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "Schedule",
    "StepDecay",
]

#: What each parameter of a schedule must be.
CHECKS: dict[str, validation.Check] = {
    "initial_learning_rate": above_zero,
    "max_learning_rate": above_zero,
    "end_learning_rate": not_negative,
    "decay_steps": validation.integer,
    "decay_rate": above_zero,
    "power_t": not_negative,
    "power": above_zero,
    "alpha": not_negative,
    "warmup_target": validation.optional(above_zero),
    "warmup_steps": partial(validation.integer, minimum=0),
    "total_steps": partial(validation.integer, minimum=2),
    "pct_start": between_zero_and_one,
    "div_factor": above_zero,
    "final_div_factor": above_zero,
    "staircase": validation.boolean,
}


@frozen
class Schedule(ABC):
    """Base of all schedules: a value object; calling it with a step gives that step's rate.

    Raises
    ------
    TypeError, ValueError
        By all, when they are made: if a parameter is of the wrong type or out of its range. By the
        training, before the steps that want them: if rates are not finite, such as those of an
        `ExponentialDecay` that grows.
    """

    def __post_init__(self) -> None:
        validation.check_fields(self, **CHECKS)

    def __call__(self, step: int) -> float:
        """The learning rate of step 0, 1, 2, ..."""
        return float(self.rates(validation.integer("step", step, minimum=0), 1)[0])

    def rates(self, first: int, count: int) -> np.ndarray:
        """The rates of `count` steps from `first` on, in float64."""
        return self._at(np.arange(first, first + count, dtype=np.float64))

    @abstractmethod
    def _at(self, steps: np.ndarray) -> np.ndarray: ...


@frozen
class ExponentialDecay(Schedule):
    """``initial_learning_rate * decay_rate^(step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        Above zero, as the decay.
    decay_steps : int
        At least 1.
    decay_rate : float
        What is left of the rate after that many steps.
    staircase : bool, default False
        Whether the exponent is rounded down. Names and formula are Keras's.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.ExponentialDecay(0.1, 100, 0.5)(200)
    0.025
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def _at(self, steps: np.ndarray) -> np.ndarray:
        passed = _passed(steps, self.decay_steps, self.staircase)
        return self.initial_learning_rate * self.decay_rate**passed


@frozen
class StepDecay(Schedule):
    """The rate times `decay_rate` every `decay_steps` steps.

    PyTorch's ``StepLR(step_size, gamma)``, and Keras's ``ExponentialDecay(..., staircase=True)``.

    Parameters
    ----------
    initial_learning_rate : float
        Above zero.
    decay_steps : int
        At least 1.
    decay_rate : float, default 0.1
        Above zero.

    Examples
    --------
    >>> import fusedelta as fd
    >>> [fd.StepDecay(0.5, 10, 0.5)(step) for step in (0, 9, 10, 20)]
    [0.5, 0.5, 0.25, 0.125]
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float = 0.1

    def _at(self, steps: np.ndarray) -> np.ndarray:
        passed = _passed(steps, self.decay_steps, staircase=True)
        return self.initial_learning_rate * self.decay_rate**passed


@frozen
class InverseTimeDecay(Schedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
        Above zero, as the decay.
    decay_steps : int
        At least 1.
    decay_rate : float
    staircase : bool, default False
        Whether ``step / decay_steps`` is rounded down. Names and formula are Keras's.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.InverseTimeDecay(0.5, 100, 1.0)(100)
    0.25
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def _at(self, steps: np.ndarray) -> np.ndarray:
        passed = _passed(steps, self.decay_steps, self.staircase)
        return self.initial_learning_rate / (1 + self.decay_rate * passed)


@frozen
class InvScaling(Schedule):
    """``initial_learning_rate / (step + 1)^power_t``: scikit-learn's ``"invscaling"``, by steps.

    Parameters
    ----------
    initial_learning_rate : float
        Above zero.
    power_t : float, default 0.5
        At least 0.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.InvScaling(0.5)(99)
    0.05
    """

    initial_learning_rate: float
    power_t: float = 0.5

    def _at(self, steps: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate / (steps + 1) ** self.power_t


@frozen
class PolynomialDecay(Schedule):
    """``(initial - end) * (1 - step / decay_steps)^power + end``, then `end_learning_rate`.

    Parameters
    ----------
    initial_learning_rate : float
        Above zero.
    decay_steps : int
        At least 1.
    end_learning_rate : float, default 0.0001
        At least 0.
    power : float, default 1.0
        Above zero; 1 is a straight line. Names and defaults are Keras's.

    Examples
    --------
    >>> import fusedelta as fd
    >>> [fd.PolynomialDecay(0.5, 100, 0.25)(step) for step in (0, 50, 100, 500)]
    [0.5, 0.375, 0.25, 0.25]
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0

    def _at(self, steps: np.ndarray) -> np.ndarray:
        left = 1 - np.minimum(steps, self.decay_steps) / self.decay_steps
        end = self.end_learning_rate
        return (self.initial_learning_rate - end) * left**self.power + end


@frozen
class PiecewiseConstantDecay(Schedule):
    """``values[i]`` up to step ``boundaries[i]``, that included, then ``values[-1]``, as in Keras.

    Parameters
    ----------
    boundaries : sequence of int
        Last steps of the pieces, ascending, at least 1.
    values : sequence of float
        Rates, one more than boundaries, at least 0.

    Raises
    ------
    TypeError, ValueError
        If they are of the wrong type, out of order, or not so many.

    Examples
    --------
    >>> import fusedelta as fd
    >>> schedule = fd.PiecewiseConstantDecay([100, 200], [0.5, 0.1, 0.01])
    >>> [schedule(step) for step in (0, 100, 101, 1000)]
    [0.5, 0.5, 0.1, 0.01]
    """

    boundaries: Sequence[int]
    values: Sequence[float]

    def __post_init__(self) -> None:
        for name, check in (("boundaries", validation.integer), ("values", not_negative)):
            given = getattr(self, name)
            if not isinstance(given, list | tuple):
                raise TypeError(f"{name}: expected a list, got {validation.shown(given)}")
            checked = (check(f"{name}[{i}]", each) for i, each in enumerate(given))
            object.__setattr__(self, name, tuple(checked))
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise ValueError(f"boundaries: expected ascending steps, got {list(self.boundaries)}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values: expected one more than the {len(self.boundaries)} boundaries, "
                f"got {len(self.values)}"
            )

    def _at(self, steps: np.ndarray) -> np.ndarray:
        return np.array(self.values)[np.searchsorted(self.boundaries, steps)]


@frozen
class CosineDecay(Schedule):
    """From the rate to `alpha` times it along half a cosine, after a straight warm-up if wanted.

    ::

        warm-up   initial + (warmup_target - initial) * step / warmup_steps   for warmup_steps steps
        decay     top * ((1 - alpha) * (1 + cos(pi * s / decay_steps)) / 2 + alpha)

    with s the steps after the warm-up, at most `decay_steps`, and `top` the `warmup_target`, or
    `initial_learning_rate` where there is none.

    Parameters
    ----------
    initial_learning_rate : float
        Above zero; with a warm-up it may be zero.
    decay_steps : int
        At least 1.
    alpha : float, default 0.0
        What is left at the end, as a part of the highest rate; at least 0.
    warmup_target : float, optional
        The highest rate, above zero; None: no warm-up.
    warmup_steps : int, default 0
        At least 0. Names and defaults are Keras's.

    References
    ----------
    Loshchilov, Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts (2017).
    Goyal and others: Accurate, Large Minibatch SGD (2017), for the warm-up.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.CosineDecay(0.5, 100, alpha=0.5)(50)
    0.375
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        first = above_zero if self.warmup_target is None else not_negative
        validation.check_fields(self, **CHECKS | {"initial_learning_rate": first})
        if self.warmup_steps and self.warmup_target is None:
            raise ValueError("warmup_steps: expected a warmup_target with it, got None")

    def _at(self, steps: np.ndarray) -> np.ndarray:
        initial, top = self.initial_learning_rate, self.warmup_target
        if top is None:
            return initial * self._decay(steps)
        warming = initial + (top - initial) * steps / max(self.warmup_steps, 1)
        decaying = top * self._decay(steps - self.warmup_steps)
        return np.where(steps < self.warmup_steps, warming, decaying)

    def _decay(self, steps: np.ndarray) -> np.ndarray:
        passed = np.clip(steps, 0, self.decay_steps) / self.decay_steps
        return (1 - self.alpha) * 0.5 * (1 + np.cos(np.pi * passed)) + self.alpha


@frozen
class OneCycle(Schedule):
    """Up to the highest rate and far down again, each along half a cosine.

    From ``max_learning_rate / div_factor`` in step 0 to `max_learning_rate` in step
    ``pct_start * total_steps - 1``, and to ``max_learning_rate / div_factor / final_div_factor`` in
    step ``total_steps - 1``, where it stays.

    Parameters
    ----------
    max_learning_rate : float
        Above zero.
    total_steps : int
        At least 2.
    pct_start : float, default 0.3
        The part of the steps that goes up, above 0 and below 1.
    div_factor, final_div_factor : float, default 25.0 and 1e4
        Above zero. Names, defaults and rates are those of PyTorch's ``OneCycleLR``; momenta stay.

    References
    ----------
    Smith, Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates (2018).

    Examples
    --------
    >>> import fusedelta as fd
    >>> schedule = fd.OneCycle(0.5, 100)
    >>> [round(schedule(step), 8) for step in (0, 29, 99, 1000)]
    [0.02, 0.5, 2e-06, 2e-06]
    """

    max_learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def _at(self, steps: np.ndarray) -> np.ndarray:
        top = self.max_learning_rate
        start = top / self.div_factor
        end = start / self.final_div_factor
        peak, last = max(self.pct_start * self.total_steps - 1, 0), self.total_steps - 1
        up = _cosine(start, top, steps / peak) if peak else steps
        down = _cosine(top, end, (np.minimum(steps, last) - peak) / (last - peak))
        return np.where(steps < peak, up, down)


def _cosine(start: float, end: float, passed: np.ndarray) -> np.ndarray:
    """From `start` to `end` while `passed` goes from 0 to 1."""
    return end + (start - end) / 2 * (1 + np.cos(np.pi * passed))


def _passed(steps: np.ndarray, decay_steps: int, staircase: bool) -> np.ndarray:
    return steps // decay_steps if staircase else steps / decay_steps


#: Every schedule by the name it has in a saved file.
SCHEDULES: dict[str, type[Schedule]] = {
    "cosine_decay": CosineDecay,
    "exponential_decay": ExponentialDecay,
    "inv_scaling": InvScaling,
    "inverse_time_decay": InverseTimeDecay,
    "one_cycle": OneCycle,
    "piecewise_constant_decay": PiecewiseConstantDecay,
    "polynomial_decay": PolynomialDecay,
    "step_decay": StepDecay,
}
