"""The compiled engine beside the NumPy twin: the same network, timed and checked."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusedelta import progress, reference, text, validation
from fusedelta.divergence import DivergenceWarning
from fusedelta.history import History
from fusedelta.network import Sequential

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Comparison", "compare"]

#: Rounds of timing; the two engines take turns.
ROUNDS = 7

#: Where the number of steps is not given, each engine trains for about so long in a round.
ROUND_SECONDS = 0.1

#: After so many epochs losses and weights are compared.
CHECKED_EPOCHS = 5

#: The relative difference up to which they agree, by dtype.
TOLERANCES = {"float32": 1e-3, "float64": 1e-9}


class Timing(NamedTuple):
    """Seconds per training step: the best round and the median of all."""

    best: float
    median: float


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` found; ``str()`` gives the table.

    Attributes
    ----------
    compiled, reference : Timing
        Seconds per training step.
    difference : float
        The largest difference of a loss or a weight after a few epochs, relative to the largest
        loss or weight.
    tolerance : float
        Up to which they agree.
    """

    compiled: Timing
    reference: Timing
    difference: float
    tolerance: float

    @property
    def ratio(self) -> float:
        """How many times faster the compiled engine is, median against median."""
        return self.reference.median / self.compiled.median

    @property
    def agrees(self) -> bool:
        """Whether both engines compute the same."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        header = ("Time per training step", "Best", "Median")
        body = [
            (name, text.duration(timing.best), text.duration(timing.median))
            for name, timing in (("compiled", self.compiled), ("NumPy", self.reference))
        ]
        verdict = "agree" if self.agrees else "DISAGREE"
        return (
            f"{text.table(header, body)}\n"
            f"{self.ratio:.1f} times faster; results {verdict}: "
            f"largest relative difference {self.difference:.1e}, tolerance {self.tolerance:g}"
        )

    def __repr__(self) -> str:
        return f"Comparison(ratio={self.ratio:.3g}, difference={self.difference:.1e})"


def compare(
    net: Sequential,
    X: ArrayLike,
    y: ArrayLike,
    steps: int | None = None,
    batch_size: int | None = None,
    verbose: int = 1,
) -> Comparison:
    """Time the compiled engine and the NumPy twin on the same training, and check that they agree.

    Both train copies of the network, from its weights, without shuffling; they take turns, so that
    a change of the clock's speed meets both.

    Parameters
    ----------
    net : Sequential
        Built; it is not changed.
    X, y : array_like
        As for `fusedelta.Sequential.fit`.
    steps : int, optional
        Training steps per round and engine, at least; by default as many as take 0.1 s.
    batch_size : int, optional
        Samples per step; by default all of them.
    verbose : {0, 1}, default 1
        Whether to print the table.

    Returns
    -------
    comparison : Comparison
        Time per step of both, `ratio`, `difference` and `agrees`.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, the network has not been built yet, or its training diverges.
    """
    steps = None if steps is None else validation.integer("steps", steps)
    batch_size = None if batch_size is None else validation.integer("batch_size", batch_size)
    verbose = validation.choice("verbose", verbose, (0, 1))
    racers = [Racer(cls.like(net), X, y, batch_size) for cls in (Sequential, reference.Sequential)]
    difference = relative_difference(*(racer.results() for racer in racers))
    for racer in racers:
        racer.choose_epochs(steps)
    for _ in range(ROUNDS):
        for racer in racers:
            racer.run()
    timings = [racer.timing() for racer in racers]
    comparison = Comparison(timings[0], timings[1], difference, TOLERANCES[net.dtype.name])
    if verbose:
        progress.show(comparison)
    return comparison


class Racer:
    """One network that is timed, always from the same weights."""

    def __init__(self, net: Sequential, X: ArrayLike, y: ArrayLike, batch_size: int | None) -> None:
        self._net = net
        self._start = net.get_weights()
        self._X, self._y = net.prepare(X, y)
        self._batch_size = batch_size
        self._steps_per_epoch = 1 if batch_size is None else -(-len(self._X) // batch_size)
        self._epochs = 1
        self._seconds: list[float] = []

    def results(self) -> list[np.ndarray]:
        """Losses and weights after a few epochs."""
        history = self._fit(CHECKED_EPOCHS)
        return [history.loss, *self._net.get_weights()]

    def choose_epochs(self, steps: int | None) -> None:
        """From a number of steps, or so that a round takes about `ROUND_SECONDS`."""
        if steps is not None:
            self._epochs = -(-steps // self._steps_per_epoch)
            return
        while (seconds := self._time()) < ROUND_SECONDS / 2:
            self._epochs = max(2 * self._epochs, int(self._epochs * ROUND_SECONDS / 2 / seconds))

    def run(self) -> None:
        """One round."""
        self._seconds.append(self._time() / (self._epochs * self._steps_per_epoch))

    def timing(self) -> Timing:
        """Seconds per step of all rounds."""
        return Timing(min(self._seconds), float(np.median(self._seconds)))

    def _time(self) -> float:
        start = time.perf_counter()
        self._fit(self._epochs)
        return time.perf_counter() - start

    def _fit(self, epochs: int) -> History:
        self._net.set_weights(self._start)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)  # it is an error here
            history = self._net.fit(
                self._X, self._y, epochs, self._batch_size, shuffle=False, verbose=0
            )
        if history.divergence is not None:
            raise ValueError(
                f"net: expected a training that does not diverge; {history.divergence}"
            )
        return history


def relative_difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The largest difference of any two arrays, relative to the largest value in each pair."""
    pairs = zip(ours, theirs, strict=True)
    return float(np.max([np.max(np.abs(a - b)) / (np.max(np.abs(b)) or 1.0) for a, b in pairs]))
