"""The epochs of a fit: how many an engine trains per call, in which order, and until when.

Without callbacks and validation data whole epochs, as many as possible, are one call of the engine.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusedelta import progress, validation
from fusedelta.callbacks import CallbackList
from fusedelta.divergence import Divergence, DivergenceWarning
from fusedelta.history import History

if TYPE_CHECKING:
    from fusedelta.losses import Loss
    from fusedelta.network import Sequential

__all__ = ["Samples", "draw_orders", "hold_out", "train"]

#: Random orders are drawn for several epochs at a time, up to so many indices of samples.
ORDERS_SIZE = 65536


class Samples(NamedTuple):
    """Ready arrays of m samples, and how to take them.

    Attributes
    ----------
    X, y : ndarray
    batch_size : int
    rng : Generator or None
        Draws the orders of the samples; None: they are taken as they lie.
    """

    X: np.ndarray
    y: np.ndarray
    batch_size: int
    rng: np.random.Generator | None

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.X) // self.batch_size)

    @property
    def most_epochs(self) -> int | None:
        """As many epochs may be trained in one call; None: any number."""
        return None if self.rng is None else max(1, ORDERS_SIZE // len(self.X))

    def orders(self, epochs: int) -> np.ndarray | None:
        """The orders of the next epochs, as `Engine.train` takes them."""
        return None if self.rng is None else draw_orders(self.rng, epochs, len(self.X))

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None, int]]:
        """The next epoch step by step: X, y, the order of its samples, and their number."""
        orders, m = self.orders(1), len(self.X)
        for first in range(0, m, self.batch_size):
            batch = slice(first, min(first + self.batch_size, m))
            size = batch.stop - first
            if orders is None:
                yield self.X[batch], self.y[batch], None, size
            else:
                yield self.X, self.y, np.ascontiguousarray(orders[:, batch]), size


def hold_out(
    prepare: validation.Prepare,
    X: np.ndarray,
    y: np.ndarray,
    validation_split: float,
    validation_data: Any,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Data to train on, and data to measure after each epoch.

    Parameters
    ----------
    prepare : Prepare
        Of the network.
    X, y : ndarray
        Ready arrays.
    validation_split, validation_data
        As for `fusedelta.Sequential.fit`.

    Returns
    -------
    X, y : ndarray
        What is left to train on.
    held_out : tuple of ndarray, or None

    Raises
    ------
    TypeError, ValueError
        If either is wrong, or both are given.
    """
    part = validation.number("validation_split", validation_split, minimum=0, below=1)
    if validation_data is not None:
        if part:
            raise ValueError("validation_split: expected it without validation_data, got both")
        return X, y, _given(prepare, validation_data)
    if not part:
        return X, y, None
    m = int(len(X) * (1 - part) + 1e-9)  # 10 * (1 - 0.9) is less than 1
    if m in (0, len(X)):
        raise ValueError(
            f"validation_split: expected samples on both sides, got {part} of {len(X)} samples"
        )
    return X[:m], y[:m], (X[m:], y[m:])


def _given(prepare: validation.Prepare, data: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"validation_data: expected a tuple (X, y), got {validation.shown(data)}")
    try:
        return prepare.pair(*data)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation_data: {error}") from None


def train(
    net: Sequential,
    samples: Samples,
    epochs: int,
    held_out: tuple[np.ndarray, np.ndarray] | None,
    callbacks: Any,
    verbose: int,
) -> History:
    """Train a network; parameters as for `Fit`, callbacks as for `fusedelta.Sequential.fit`."""
    metrics = ["loss", "accuracy"] if net.is_classification else ["loss"]
    if held_out is not None:
        metrics += [f"val_{name}" for name in metrics]
    about = {"epochs": epochs, "steps": samples.steps, "verbose": verbose, "metrics": metrics}
    fit = Fit(net, samples, epochs, held_out, CallbackList(callbacks, net, about), verbose)
    net.stop_training = False
    try:
        fit.run()
    finally:
        net._history = fit.history
    if fit.divergence is not None:
        warnings.warn(fit.divergence.message, DivergenceWarning, stacklevel=3)
    return net._history


class Fit:
    """One fit of a network.

    Parameters
    ----------
    net : Sequential
        It has been built.
    samples : Samples
    epochs : int
    validation : tuple of ndarray, optional
        Ready arrays.
    callbacks : CallbackList
    verbose : {0, 1, 2}

    Attributes
    ----------
    divergence : Divergence or None
        Where the loss or a weight became nan or infinite.
    """

    def __init__(
        self,
        net: Sequential,
        samples: Samples,
        epochs: int,
        validation: tuple[np.ndarray, np.ndarray] | None,
        callbacks: CallbackList,
        verbose: int,
    ) -> None:
        self.divergence: Divergence | None = None
        self._net, self._engine, self._guard = net, net._engine, net._guard
        self._samples = samples
        self._validation_data = validation
        self._callbacks = callbacks
        self._results = np.empty((epochs, 2))
        self._validation = None if validation is None else np.empty((epochs, 2))
        self._more: dict[str, list[float]] = {}
        self._progress = progress.Progress(verbose, self._results, self._validation)
        self._done = 0

    @property
    def history(self) -> History:
        """The whole epochs so far."""
        validation = None if self._validation is None else self._validation[: self._done]
        results = self._results[: self._done]
        return History(
            results, self._net.is_classification, validation, self._more, self.divergence
        )

    def run(self) -> None:
        """Train all epochs, or up to where a callback ends the training or it diverges."""
        self._callbacks.on_train_begin()
        while not self._net.stop_training and (count := self._next_epochs()):
            first = self._done
            self._callbacks.on_epoch_begin(first)
            self._train(count)
            if self._done > first:
                self._look_at_last()
                self._progress.advance(self._done - first)
            if self.divergence:
                break
        self._progress.close()
        self._callbacks.on_train_end()

    def _next_epochs(self) -> int:
        """How many epochs to train before anyone wants to look."""
        count = self._progress.next_epochs()
        if self._callbacks.want_epochs or self._validation is not None:
            return min(count, 1)
        most = self._samples.most_epochs
        return count if most is None else min(count, most)

    def _train(self, count: int) -> None:
        """Train epochs, and count those that are whole and finite."""
        self._guard.save()
        if self._callbacks.want_batches:
            self._train_by_batches()
        else:
            self._train_together(count)

    def _train_together(self, count: int) -> None:
        """Some epochs in one call of the engine. Whole ones count also if an exception ends it."""
        first, orders = self._done, self._samples.orders(count)
        try:
            self._call(orders, first, count)
        finally:
            finite, step = divmod(self._engine.trained, self._samples.steps)
            self._done += finite
        if finite < count:
            self.divergence = Divergence(self._done, step)
        if finite < count or not self._guard.is_finite():
            self._done = first
            self._done += self._guard.recover(
                lambda n: self._call(self._samples.orders(n), first, n), finite
            )
            if self._done < first + finite:
                self.divergence = Divergence(self._done, None)

    def _call(self, orders: np.ndarray | None, first: int, count: int) -> None:
        X, y, batch_size, _ = self._samples
        self._engine.train(X, y, batch_size, orders, self._results[first : first + count])

    def _train_by_batches(self) -> None:
        """One epoch, with a look at every step."""
        tally, result = Tally(self._net._loss), np.empty((1, 2))
        for step, (X, y, order, m) in enumerate(self._samples.batches()):
            self._engine.train(X, y, self._samples.batch_size, order, result)
            if not self._engine.trained:
                self.divergence = Divergence(self._done, step)
                break
            tally.add(result[0], m)
            self._callbacks.on_batch_end(step, progress.named(tally.means))
            if self._net.stop_training:
                break
        if not (self.divergence or self._guard.is_finite()):
            self.divergence = Divergence(self._done, None)
        if self.divergence:
            self._guard.restore()
        else:
            self._results[self._done] = tally.means
            self._done += 1

    def _look_at_last(self) -> None:
        """Validation and callbacks of the last epoch; where there are any, it was trained alone."""
        last = self._done - 1
        logs = progress.named(self._results[last])
        if self._validation is not None and self._validation_data is not None:
            self._validation[last] = np.nan  # should an exception end this
            self._validation[last] = self._engine.evaluate(*self._validation_data)
            logs |= progress.named(self._validation[last], "val_")
        measured = set(logs)
        self._callbacks.on_epoch_end(last, logs)
        for name in logs.keys() - measured:
            self._more.setdefault(name, []).append(logs[name])


class Tally:
    """Loss and accuracy of several batches together.

    Parameters
    ----------
    loss : Loss
        Says whether losses are means or sums.
    """

    def __init__(self, loss: Loss) -> None:
        self._normalizer = loss.normalizer
        self._sum = self._hits = 0.0
        self._m = 0

    def add(self, result: np.ndarray, m: int) -> None:
        """Count the loss and accuracy of m samples."""
        self._sum += result[0] * self._normalizer(m, 1)
        self._hits += result[1] * m
        self._m += m

    @property
    def means(self) -> np.ndarray:
        """Loss and accuracy of all of them."""
        return np.array([self._sum / self._normalizer(self._m, 1), self._hits / self._m])


def draw_orders(rng: np.random.Generator, epochs: int, m: int) -> np.ndarray:
    """Random orders of m samples, one a row: the same whether drawn together or one by one.

    Parameters
    ----------
    rng : Generator
    epochs, m : int

    Returns
    -------
    orders : ndarray of shape (epochs, m), intp, C-contiguous
        Each row a permutation of 0 to m - 1.
    """
    return rng.permuted(np.tile(np.arange(m, dtype=np.intp), (epochs, 1)), axis=1)
