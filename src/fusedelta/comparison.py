"""The compiled engine beside the NumPy twin: the same network, timed and checked."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusedelta import progress, reference, text, validation
from fusedelta._frozen import frozen
from fusedelta.divergence import DivergenceWarning
from fusedelta.history import History
from fusedelta.network import Sequential
from fusedelta.profiling import Profile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Comparison", "StepProfile", "compare"]

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


@frozen
class StepProfile:
    """What the layers and passes of a training step take in both engines, side by side.

    Attributes
    ----------
    compiled, reference : Profile
        Of so many steps.
    steps : int
    """

    compiled: Profile
    reference: Profile
    steps: int

    def __str__(self) -> str:
        header = ("Layer", "Shape", "Phase", "Compiled", "NumPy", "Ratio")
        ours, theirs = ({row[:3]: row.seconds for row in p.rows} for p in self._both())
        for seconds, profile in zip((ours, theirs), self._both(), strict=True):
            seconds["", "", "other"] = profile.other_seconds
        body = [(*key, *self._cells(ours.get(key), seconds)) for key, seconds in theirs.items()]
        return text.table(header, body, left=3)

    def __repr__(self) -> str:
        return f"StepProfile({self.compiled!r}, {self.reference!r})"

    def _both(self) -> tuple[Profile, Profile]:
        return self.compiled, self.reference

    def _cells(self, ours: float | None, theirs: float) -> tuple[str, str, str]:
        shown = text.duration(theirs / self.steps)
        if not ours:
            return "", shown, ""
        return text.duration(ours / self.steps), shown, f"{theirs / ours:.1f}"


@frozen
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
    passes : StepProfile or None
        What each layer and pass of a step takes in both, if that was asked for.
    """

    compiled: Timing
    reference: Timing
    difference: float
    tolerance: float
    passes: StepProfile | None = None

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
        passes = f"{self.passes}\n\n" if self.passes else ""
        return (
            f"{passes}{text.table(header, body)}\n"
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
    profile: bool = False,
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
    profile : bool, default False
        Whether to find out what each layer and pass takes in both, in rounds after the others: it
        makes steps slower. The best round is kept. See `fusedelta.profile`.

    Returns
    -------
    comparison : Comparison
        Time per step of both, `ratio`, `difference`, `agrees` and `passes`.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, the network has not been built yet, or its training diverges.
    """
    steps = None if steps is None else validation.integer("steps", steps)
    batch_size = None if batch_size is None else validation.integer("batch_size", batch_size)
    verbose = validation.verbosity(verbose, most=1)
    profile = validation.boolean("profile", profile)
    racers = [Racer(cls.like(net), X, y, batch_size) for cls in (Sequential, reference.Sequential)]
    difference = relative_difference(*(racer.results() for racer in racers))
    for racer in racers:
        racer.choose_epochs(steps)
    for _ in range(ROUNDS):
        for racer in racers:
            racer.run()
    timings = [racer.timing() for racer in racers]
    passes = None
    if profile:
        for racer in racers:
            racer.match(min(racer.steps for racer in racers))
        passes = StepProfile(racers[0].profile(), racers[1].profile(), racers[0].steps)
    tolerance = TOLERANCES[net.dtype.name]
    comparison = Comparison(timings[0], timings[1], difference, tolerance, passes)
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

    @property
    def steps(self) -> int:
        """Steps of a round."""
        return self._epochs * self._steps_per_epoch

    def match(self, steps: int) -> None:
        """Take as many steps in a round as the other."""
        self._epochs = steps // self._steps_per_epoch

    def profile(self) -> Profile:
        """What the passes of the best of some rounds take."""
        profiles = []
        for _ in range(ROUNDS):
            self._fit(self._epochs, profile=True)
            assert self._net.profile_ is not None
            profiles.append(self._net.profile_)
        return min(profiles, key=lambda profile: profile.seconds)

    def run(self) -> None:
        """One round."""
        self._seconds.append(self._time() / self.steps)

    def timing(self) -> Timing:
        """Seconds per step of all rounds."""
        return Timing(min(self._seconds), float(np.median(self._seconds)))

    def _time(self) -> float:
        start = time.perf_counter()
        self._fit(self._epochs)
        return time.perf_counter() - start

    def _fit(self, epochs: int, profile: bool = False) -> History:
        self._net.set_weights(self._start)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)  # it is an error here
            history = self._net.fit(
                *(self._X, self._y, epochs, self._batch_size),
                shuffle=False,
                verbose=0,
                profile=profile,
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
