"""Progress of a training run, and the one place from which networks print."""

from __future__ import annotations

import time

import numpy as np

from fusedelta import text

__all__ = ["Progress", "show"]

#: How many regular lines a fit prints at most, with ``verbose=1``.
LINES = 20

#: A run that is still going after so many seconds is a long one: it shows the time left.
LONG_RUN = 2.0

#: Between two looks at the clock an engine trains for about so many seconds.
CHUNK_SECONDS = 0.2


def show(message: object) -> None:
    """Print a message at once."""
    print(message, flush=True)


class Progress:
    """Decides how many epochs to train before the next look at the clock, and prints lines.

    Parameters
    ----------
    verbose : int
        0 prints nothing, 1 a line every so many epochs, 2 a line per epoch.
    results : ndarray of shape (epochs, 2), float64
        Loss and accuracy of each epoch, filled while training goes on.
    """

    def __init__(self, verbose: int, results: np.ndarray) -> None:
        self._verbose = verbose
        self._results = results
        self._every = 1 if verbose == 2 else round_up(len(results) / LINES)
        self._start = time.perf_counter()
        self._early = LONG_RUN
        self._done = 0

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
        loss, accuracy = self._results[epoch - 1]
        line = f"epoch {epoch:>{len(str(epochs))}}/{epochs}  loss {text.figure(loss)}"
        if not np.isnan(accuracy):
            line += f"  accuracy {accuracy:.4f}"
        elapsed = self._elapsed()
        if elapsed > LONG_RUN:
            line += f"  {text.duration(elapsed)}"
            if self._done < epochs:
                line += f", {text.duration(elapsed / self._done * (epochs - self._done))} left"
        return line


def round_up(value: float) -> int:
    """The least of 1, 2, 5, 10, 20, 50, ... that is not below `value`."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= value:
                return digit * power
        power *= 10
