"""Progress of a training run, and the one place from which networks print."""

from __future__ import annotations

import math
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusedelta import text

__all__ = ["Progress", "bar", "figures", "show", "warn"]

#: How many regular lines a fit prints at most, with ``verbose=1``.
LINES = 20

#: A run that is still going after so many seconds is a long one: it shows the time left.
LONG_RUN = 2.0

#: Between two looks at the clock an engine trains for about so many seconds.
CHUNK_SECONDS = 0.2


def show(message: object) -> None:
    """Print a message at once."""
    print(message, flush=True)


def warn(message: str, category: type[Warning]) -> None:
    """Warn of something in the call that came from outside of this package."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("fusedelta"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


class Progress:
    """Decides how many epochs to train before the next look at the clock, and prints lines.

    Parameters
    ----------
    verbose : int
        0 prints nothing, 1 a line every so many epochs, 2 a line per epoch.
    results : ndarray of shape (epochs, 1 or 2), float64
        Loss and perhaps accuracy of each epoch, filled while training goes on.
    validation : ndarray of shape (epochs, 2), float64, optional
        The same of the validation data.
    """

    def __init__(
        self, verbose: int, results: np.ndarray, validation: np.ndarray | None = None
    ) -> None:
        self._verbose = verbose
        self._results = results
        self._validation = validation
        self._every = 1 if verbose == 2 else round_up(len(results) / LINES)
        self._start = time.perf_counter()
        self._early = LONG_RUN
        self._done = self._shown = 0

    def next_epochs(self) -> int:
        """How many epochs to train now; 0 at the end."""
        left = len(self._results) - self._done
        if not self._verbose or not left:
            return left
        if not self._done:
            return 1
        rate = self._done / self._elapsed()
        chunk = max(1, min(self._done, int(rate * CHUNK_SECONDS)))
        to_line = self._every - self._done % self._every
        return min(left, chunk if self._verbose == 2 else min(chunk, to_line))

    def advance(self, epochs: int) -> None:
        """Note that so many more epochs are done, and print what is due."""
        first, self._done = self._done, self._done + epochs
        if self._verbose == 2:
            for epoch in range(first, self._done):
                show(self._line(epoch + 1))
        elif self._verbose == 1 and self._is_due():
            self._show_last()

    def close(self) -> None:
        """Print the last epoch of a training that ended early, unless it was printed."""
        if self._verbose == 1 and self._done > self._shown:
            self._show_last()

    def _show_last(self) -> None:
        self._shown = self._done
        show(self._line(self._done))

    def _is_due(self) -> bool:
        """Regular lines, and before the first of them some for the impatient."""
        if self._done % self._every == 0 or self._done == len(self._results):
            return True
        early = self._done < self._every and self._elapsed() > self._early
        if early:
            self._early = 2 * self._elapsed()
        return early

    def _elapsed(self) -> float:
        return max(time.perf_counter() - self._start, 1e-9)

    def _line(self, epoch: int) -> str:
        epochs = len(self._results)
        logs = named(self._results[epoch - 1])
        if self._validation is not None:
            logs |= named(self._validation[epoch - 1], "val_")
        line = f"epoch {epoch:>{len(str(epochs))}}/{epochs}  {figures(logs)}"
        elapsed = self._elapsed()
        if elapsed > LONG_RUN:
            line += f"  {text.duration(elapsed)}"
            if self._done < epochs:
                line += f", {text.duration(elapsed / self._done * (epochs - self._done))} left"
        return line


class MemberLines:
    """Prints a line for each of an ensemble's members, in their order, as soon as they are trained.

    Parameters
    ----------
    verbose : int
        0 prints nothing, 1 a line every so many members, 2 a line per member.
    n : int
        Number of members.
    """

    def __init__(self, verbose: int, n: int) -> None:
        self._n, self._next = n, 0
        self._every = n + 1 if not verbose else 1 if verbose == 2 else round_up(n / LINES)
        self._waiting: dict[int, str] = {}
        self._lock = threading.Lock()

    def done(self, member: int, history: Mapping[str, Sequence[float]]) -> None:
        """Note that a member is trained, and print what is due; called from any thread."""
        logs = {name: values[-1] for name, values in history.items() if values}
        line = f"member {member:>{len(str(self._n - 1))}}  epochs {len(history['loss'])}"
        with self._lock:
            self._waiting[member] = f"{line}  {figures(logs)}"
            while line := self._waiting.pop(self._next, ""):
                self._next += 1
                if self._next % self._every == 0 or (self._next == self._n >= self._every):
                    show(line)


def named(result: Sequence[float] | np.ndarray, prefix: str = "") -> dict[str, float]:
    """Loss, and accuracy if it is there and not nan, by their names."""
    loss, *rest = map(float, result)
    logs = {f"{prefix}loss": loss}
    return {**logs, **{f"{prefix}accuracy": value for value in rest if not math.isnan(value)}}


def figures(logs: Mapping[str, float]) -> str:
    """Figures of an epoch in a line."""
    return "  ".join(
        f"{name} {value:.4f}" if name.endswith("accuracy") else f"{name} {text.figure(value)}"
        for name, value in logs.items()
    )


class Bar:
    """A bar that grows on stderr, with the part of tqdm's interface that is needed here.

    Parameters
    ----------
    total : int
        How many steps it takes to fill it.
    """

    WIDTH = 30

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._figures = ""
        self._shown = -math.inf
        self._length = 0
        self._draw()

    def set_postfix_str(self, figures: str, refresh: bool) -> None:
        """Stand behind the bar from the next update on."""
        self._figures = figures

    def update(self) -> None:
        """Go on by one step; drawn ten times a second at most."""
        self._done += 1
        if time.perf_counter() - self._shown > 0.1:
            self._draw()

    def close(self) -> None:
        """Draw it a last time, and end the line."""
        self._draw()
        print(file=sys.stderr, flush=True)

    def _draw(self) -> None:
        full = self.WIDTH * self._done // self._total
        line = f"[{'=' * full}{' ' * (self.WIDTH - full)}] {self._done}/{self._total}"
        line = f"{line}  {self._figures}".rstrip()
        print(f"\r{line:<{self._length}}", end="", file=sys.stderr, flush=True)
        self._shown, self._length = time.perf_counter(), len(line)


def bar(total: int) -> Any:
    """A bar of so many steps: tqdm's where that is installed, else a plain one."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return Bar(total)
    return tqdm(total=total, unit="epoch")


def round_up(value: float) -> int:
    """The least of 1, 2, 5, 10, 20, 50, ... that is not below `value`."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= value:
                return digit * power
        power *= 10
