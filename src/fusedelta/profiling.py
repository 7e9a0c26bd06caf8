"""Where the time goes: nanoseconds, GFLOP/s and share of each layer and pass.

``net.fit(X, y, profile=True)`` prints a table and keeps it as ``net.profile_``; `profile` does the
same for any block of code. Both engines can be watched, the compiled one and the NumPy twin, and
``compare(net, X, y, profile=True)`` puts their passes side by side:

>>> import numpy as np, fusedelta as fd
>>> X, y = np.random.default_rng(0).normal(size=(64, 8)), np.zeros((64, 1))
>>> net = fd.Sequential([fd.Dense(16, "tanh"), fd.Dense(1)], "mean_squared_error", seed=0)
>>> with fd.profile(net) as passes:
...     history = net.fit(X, y, epochs=100, batch_size=32, verbose=0)
>>> [(row.layer, row.phase, row.calls) for row in passes.rows[:2]]
[('dense_0', 'forward', 200), ('dense_1', 'forward', 200)]

A training step has up to five phases:

========= =========================================================================
forward   ``Y = act(X W + b)``, a layer
loss      its value, and the first deltas D
backward  ``(D W^T) * act'(X)``, the deltas below a layer; the first layer has none
update    ``X^T D`` into the weights, or into what the optimiser keeps, a layer
optimizer the rest of the optimiser's step; plain SGD has none in the compiled engine
========= =========================================================================

What is left is ``other``: samples brought together, checks of the data, Python, threads waiting,
and whatever else the block does. A network that is not profiled pays nothing: profiling exchanges
function pointers. One that is pays for two readings of the processor's clock a pass, some 10 to
50 ns. They are taken out of the figures; `Profile.clock_seconds` says how much that was.

**The smallest networks.** Thin networks and single samples, which take a step in one kernel, take
it in parts while they are profiled, with the same results. A row of the table then has the call of
its part in it, and the way of its data through memory, which the one kernel spares: the passes
together take longer than the step does without a profile, and the table tells how they compare, not
what a step takes. That is the time of a long `fit` by its steps, or what `fusedelta.compare` says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from fusedelta import text, validation

if TYPE_CHECKING:
    from fusedelta.assembly import Assembly
    from fusedelta.rows import Row

__all__ = ["Cell", "PassTime", "Profile", "Stopwatch", "profile"]

#: In the order of a step.
PHASES = ("forward", "loss", "backward", "update", "optimizer")

#: One at a time, for a network's engine records once.
_sessions: list[_Session] = []


class Cell(NamedTuple):
    """What an engine recorded of one kind of work."""

    row: int | None  #: the layer's index
    phase: str
    calls: int
    samples: int  #: of all calls
    seconds: float


class PassTime(NamedTuple):
    """One line of a profile."""

    layer: str  #: "dense_0", ...; empty for loss and optimizer
    shape: str  #: inputs x units, and activation
    phase: str  #: "forward", "loss", "backward", "update" or "optimizer"
    calls: int
    seconds: float  #: of all calls
    flops: float  #: of all calls: 2 x inputs x units x samples; 0 where there is no product

    @property
    def gflops(self) -> float:
        """10^9 operations a second; nan where none are counted."""
        return self.flops / self.seconds / 1e9 if self.flops and self.seconds else float("nan")


@dataclass(repr=False)
class Profile:
    """The time of each layer and pass; ``str()`` gives the table. Filled at the end of the block.

    Attributes
    ----------
    rows : list of PassTime
        In the order of a step. With several threads they hold the first one's time, and the
        operations of all.
    seconds : float
        From start to end, without `clock_seconds`.
    clock_seconds : float
        What the readings of the clock took.
    """

    rows: list[PassTime] = field(default_factory=list)
    seconds: float = 0.0
    clock_seconds: float = 0.0

    @property
    def other_seconds(self) -> float:
        """Time outside all passes."""
        return max(0.0, self.seconds - sum(row.seconds for row in self.rows))

    def of(self, phase: str) -> float:
        """Seconds of one phase, all layers together."""
        phase = validation.choice("phase", phase, PHASES)
        return sum(row.seconds for row in self.rows if row.phase == phase)

    def __str__(self) -> str:
        header = ("Layer", "Shape", "Phase", "Calls", "Time a call", "GFLOP/s", "Share")
        body = [
            (
                *row[:3],
                f"{row.calls:,}",
                text.duration(row.seconds / row.calls),
                f"{row.gflops:.3g}" if row.flops else "",
                self._share(row.seconds),
            )
            for row in self.rows
        ]
        body.append(("", "", "other", "", "", "", self._share(self.other_seconds)))
        return (
            f"{text.table(header, body, left=3)}\n"
            f"Total: {text.duration(self.seconds)}, and {text.duration(self.clock_seconds)} "
            "to read the clock"
        )

    def __repr__(self) -> str:
        return f"Profile({len(self.rows)} passes, {text.duration(self.seconds)})"

    def _share(self, seconds: float) -> str:
        return f"{seconds / self.seconds:.1%}" if self.seconds else ""


@contextmanager
def profile(*networks: Assembly) -> Iterator[Profile]:
    """Time every layer and pass of what networks do within a ``with`` block.

    Parameters
    ----------
    *networks : Sequential
        Those to watch, compiled or NumPy twins, built or not; without any, those that exist or are
        made before the block ends.

    Yields
    ------
    profile : Profile
        Filled when the block ends; ``print(profile)`` shows the table.

    Raises
    ------
    TypeError
        If an argument is not a network.
    RuntimeError
        If there is a profile already within which this one begins, or a network is training in
        another thread.

    See Also
    --------
    fusedelta.profiling : What the phases are, and what profiling costs.

    Examples
    --------
    >>> import numpy as np, fusedelta as fd
    >>> net = fd.Sequential([fd.Dense(3, "relu")], "mean_squared_error", input_shape=(2,), seed=0)
    >>> with fd.profile(net) as passes:
    ...     Y = net.predict(np.ones((5, 2)))
    >>> passes.rows[0].phase, passes.rows[0].calls, passes.rows[0].flops
    ('forward', 1, 60.0)
    """
    from fusedelta.assembly import Assembly

    for network in networks:
        if not isinstance(network, Assembly):
            raise TypeError(f"profile: expected networks, got {validation.shown(network)}")
    if _sessions:
        raise RuntimeError("profile: another profile is being recorded; one at a time")
    session = _Session(networks)
    _sessions.append(session)
    start = time.perf_counter()
    try:
        for network in networks or list(Assembly.alive):
            session.watch(network)
        start = time.perf_counter()
        yield session.profile
    finally:
        end = time.perf_counter()
        _sessions.remove(session)
        session.close(end - start)


def attached(network: Assembly) -> None:
    """Note that a network has an engine from now on: it may be one to watch."""
    for session in _sessions:
        session.watch(network)


class _Session:
    """The engines that one profile watches."""

    def __init__(self, networks: Iterable[Assembly]) -> None:
        self.profile = Profile()
        self._wanted = tuple(networks)
        self._watched: list[tuple[tuple[Row, ...], Any]] = []

    def watch(self, network: Assembly) -> None:
        is_watched = any(engine is network._engine for _, engine in self._watched)
        is_wanted = not self._wanted or any(one is network for one in self._wanted)
        if network._rows and is_wanted and not is_watched:
            network._engine.start_profile()
            self._watched.append((network._rows, network._engine))

    def close(self, seconds: float) -> None:
        """Stop all, and fill the profile."""
        profile = self.profile
        for rows, engine in self._watched:
            cells, clock = engine.stop_profile()
            profile.rows += pass_times(rows, cells)
            profile.clock_seconds += clock
        profile.seconds = seconds - profile.clock_seconds


def pass_times(rows: tuple[Row, ...], cells: Iterable[Cell]) -> list[PassTime]:
    """The lines of one network, in the order of a step."""
    return [_pass_time(rows, Cell(*cell)) for cell in sorted(cells, key=_order)]


def _order(cell: Cell) -> tuple[int, int]:
    """Forward layer by layer from the first; then the loss; then down again."""
    phase, row = PHASES.index(cell[1]), cell[0] or 0
    if cell[1] == "forward":
        return 0, row
    if cell[1] in ("backward", "update"):
        return PHASES.index("backward"), 2 * -row + PHASES.index(cell[1])
    return phase, 0


def _pass_time(rows: tuple[Row, ...], cell: Cell) -> PassTime:
    if cell.row is None:
        return PassTime("", "", cell.phase, cell.calls, cell.seconds, 0.0)
    row = rows[cell.row]
    shape = f"{row.n_inputs} x {row.n_outputs} {row.activation}"
    flops = 2.0 * row.n_inputs * row.n_outputs * cell.samples if row.kind == "dense" else 0.0
    layer = f"{row.layer.name}_{row.path}"
    return PassTime(layer, shape, cell.phase, cell.calls, cell.seconds, flops)


class Stopwatch:
    """Times methods of objects, by putting others in their places: the twin's recorder."""

    def __init__(self) -> None:
        self._totals: dict[tuple[int | None, str], list[float]] = {}
        self._methods: list[tuple[Any, str]] = []

    def watch(
        self, owner: Any, name: str, row: int | None, phase: str, is_part: bool = False
    ) -> None:
        """Time ``owner.name`` as a pass of a row, or as a part of one, which is not counted."""
        method: Callable[..., Any] = getattr(owner, name)
        total = self._totals.setdefault((row, phase), [0, 0, 0.0])

        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = method(*arguments)
            total[2] += time.perf_counter() - start
            if not is_part:
                total[0] += 1
                total[1] += len(arguments[0]) if row is not None else 0
            return result

        setattr(owner, name, timed)
        self._methods.append((owner, name))

    def stop(self) -> list[Cell]:
        """Put the methods back; returns what was recorded."""
        for owner, name in self._methods:
            delattr(owner, name)
        return [
            Cell(row, phase, int(calls), int(samples), seconds)
            for (row, phase), (calls, samples, seconds) in self._totals.items()
            if calls
        ]
