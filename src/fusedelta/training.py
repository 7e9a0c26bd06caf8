"""The epochs of a fit: how many an engine trains per call, in which order, and until when.

Whole epochs, as many as possible, are one call of the engine, unless something in Python has to be
done between them. Validation data and `EarlyStopping` are no such thing: a `Watch` does that.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from fusedelta import progress
from fusedelta.calling import CallbackList
from fusedelta.divergence import Divergence, DivergenceWarning
from fusedelta.history import History, Tally
from fusedelta.sources import Samples
from fusedelta.watching import Watched, watchable

if TYPE_CHECKING:
    from fusedelta.network import Sequential
    from fusedelta.opening import Measure
    from fusedelta.sources import Piece, Source

__all__ = ["train"]


def train(
    net: Sequential,
    source: Source,
    epochs: int,
    measure: Measure | None,
    callbacks: Any,
    verbose: int,
) -> History:
    """Train a network; parameters as for `Fit`."""
    with closing(Fit(net, source, epochs, measure, callbacks, verbose)) as fit:
        fit.begin()
        history = fit.run()
    if fit.shortage is not None:
        progress.warn(fit.shortage, UserWarning)
    if fit.divergence is not None:
        progress.warn(fit.divergence.message, DivergenceWarning)
    return history


class Fit:
    """One fit of a network: `begin`, `run`, which may be in another thread, and `close`.

    Parameters
    ----------
    net : Sequential
        It has been built.
    source : Samples, Rows or Batches
    epochs : int
    measure : callable, optional
        Gives loss and accuracy on validation data.
    callbacks : Callback or iterable of Callback, optional
    verbose : {0, 1, 2}

    Attributes
    ----------
    divergence : Divergence or None
        Where the loss or a weight became nan or infinite.
    shortage : str or None
        The warning that the batches did not last.
    """

    def __init__(
        self,
        net: Sequential,
        source: Source,
        epochs: int,
        measure: Measure | None,
        callbacks: Any,
        verbose: int,
    ) -> None:
        self.divergence: Divergence | None = None
        self.shortage: str | None = None
        self._net, self._engine, self._guard = net, net._engine, net._guard
        self._source, self._measure = source, measure
        metrics = ["loss", "accuracy"] if net.is_classification else ["loss"]
        if measure is not None:
            metrics += [f"val_{name}" for name in metrics]
        about = {"epochs": epochs, "steps": source.steps, "verbose": verbose, "metrics": metrics}
        self._callbacks = CallbackList(callbacks, net, about)
        figures = 2 if net.is_classification else 1
        self._results = figures_of(epochs, figures)
        self._validation = None if measure is None else figures_of(epochs, 2)
        self._more: dict[str, dict[int, float]] = {}
        self._progress = progress.Progress(verbose, self._results, self._validation)
        self._done = 0
        self._watched = watchable(net, source, measure, self._callbacks.looking)
        self._is_looked_at = measure is not None or bool(callbacks)

    @property
    def history(self) -> History:
        """The whole epochs so far."""
        validation = None if self._validation is None else self._validation[: self._done]
        results = self._results
        if self._done < len(results):  # a copy, which does not hold the memory of those to come
            results = results[: self._done].copy()
        return History(
            results, self._net.is_classification, validation, self._more, self.divergence
        )

    def begin(self) -> None:
        """Tell the callbacks, any of which may refuse before a weight moves."""
        self._net.stop_training = False
        self._callbacks.on_train_begin()
        self._net._history = self.history

    def run(self) -> History:
        """Train all epochs, or up to where a callback ends the training or it diverges."""
        try:
            self._run()
        finally:
            self._net._history = history = self.history
        return history

    def close(self) -> None:
        """Let the callbacks put away what is open, however it ended."""
        self._callbacks.close()

    def _run(self) -> None:
        while not self._net.stop_training and (count := self._next_epochs()):
            first = self._done
            self._callbacks.on_epoch_begin(first)
            self._train(count)
            if self._done > first:
                if self._watched is not None:
                    self._callbacks.note(self._figures(self._done - 1))
                elif self._is_looked_at:
                    self._look_at_last()
                self._progress.advance(self._done - first)
            if self.divergence or self.shortage:
                break
        self._progress.close()
        self._callbacks.on_train_end()

    def _next_epochs(self) -> int:
        """How many epochs to train before anyone wants to look."""
        count = self._progress.next_epochs()
        if self._watched is None and (self._callbacks.want_epochs or self._measure is not None):
            return min(count, 1)
        most = self._source.most_epochs
        return count if most is None else min(count, most)

    def _train(self, count: int) -> None:
        """Train epochs, and count those that are whole and finite."""
        self._guard.save()
        if self._watched is not None:
            self._train_watched(self._watched, count)
        elif isinstance(self._source, Samples) and not self._callbacks.want_batches:
            self._train_together(self._source, count)
        else:
            self._train_by_pieces()

    def _train_together(self, samples: Samples, count: int) -> None:
        """Some epochs in one call of the engine. Whole ones count also if an exception ends it."""
        first = self._done
        try:
            samples.train(self._engine, self._results[first : first + count])
        finally:
            finite, step = divmod(self._engine.trained, samples.steps)
            self._done += finite
        if finite < count:
            self.divergence = Divergence(self._done, step)
        if finite < count or not self._guard.is_finite():
            self._done = first
            self._done += self._guard.recover(
                lambda n: samples.train(self._engine, self._results[first : first + n]), finite
            )
            if self._done < first + finite:
                self.divergence = Divergence(self._done, None)

    def _train_watched(self, watched: Watched, count: int) -> None:
        """Some epochs in one call of the engine, which looks at each.

        If anything becomes nan or infinite, they are trained again, one by one.
        """
        first = self._done
        measured = None if self._validation is None else self._validation[first : first + count]
        if measured is not None:
            measured[...] = np.nan  # should an exception end this
        watch = watched.watch(first, measured)
        try:
            watched.train(self._results[first : first + count], watch)
        except BaseException:
            self._done += watched.adopt(watch)
            raise
        is_whole = watch.epoch == first + count or watch.stopped
        if not (is_whole and self._guard.is_finite()):
            self._guard.restore()
            self._watched = None
            return
        trained = watched.adopt(watch)
        self._done += trained
        if trained < count:
            self._guard.restore_shuffles()
            watched.samples.skip(trained)

    def _train_by_pieces(self) -> None:
        """One epoch in several calls of the engine, for its data or for callbacks."""
        tally, result, step = Tally(self._net._loss), np.empty((1, 2)), 0
        with closing(self._pieces()) as pieces:
            for piece in pieces:
                finite = piece.train(self._engine, result)
                if finite < piece.steps:
                    self.divergence = Divergence(self._done, step + finite)
                    break
                step += finite
                tally.add(result[0], piece.m)
                if self._callbacks.want_batches:
                    self._callbacks.on_batch_end(step - 1, progress.named(tally.means))
                    if self._net.stop_training:
                        break
        if not (self.divergence or self._guard.is_finite()):
            self.divergence = Divergence(self._done, None)
        if self.divergence:
            self._guard.restore()
            return
        if self._source.shortage:
            self.shortage = (
                f"fit: {self._source.shortage} of epoch {self._done + 1}; training stopped. "
                "Expected steps_per_epoch * epochs batches, or what can be gone through again"
            )
        if tally.m:
            self._results[self._done] = tally.means[: self._results.shape[1]]
            self._done += 1

    def _pieces(self) -> Generator[Piece]:
        with closing(self._source.pieces()) as pieces:
            for piece in pieces:
                if self._callbacks.want_batches:
                    yield from piece.batches()
                else:
                    yield piece

    def _figures(self, epoch: int) -> dict[str, float]:
        logs = progress.named(self._results[epoch])
        if self._validation is not None:
            logs |= progress.named(self._validation[epoch], "val_")
        return logs

    def _look_at_last(self) -> None:
        """Validation and callbacks of the last epoch; where there are any, it was trained alone."""
        last = self._done - 1
        if self._validation is not None and self._measure is not None:
            self._validation[last] = np.nan  # should an exception end this
            self._validation[last] = self._measure(self._engine)
        logs = self._figures(last)
        measured = set(logs)
        self._callbacks.on_epoch_end(last, logs)
        for name, value in logs.items():
            if name not in measured:
                self._more.setdefault(name, {})[last] = value


def figures_of(epochs: int, figures: int) -> np.ndarray:
    """Room for the loss of so many epochs or, if there are two figures, for the accuracy too."""
    try:
        return np.empty((epochs, figures))
    except (MemoryError, ValueError):
        size = 8 * figures
        raise ValueError(
            f"epochs: expected as many as there is memory for, {size} bytes each, got {epochs}"
        ) from None
