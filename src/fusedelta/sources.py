"""What `fit` trains on: arrays, data on disk that are larger than memory, or batches that come.

**Arrays** are checked and converted once; then the compiled core takes whole epochs.

>>> import numpy as np, fusedelta as fd
>>> X = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
>>> y = X[:, :1] * X[:, 1:2]
>>> def net():
...     return fd.Sequential([fd.Dense(16, "tanh"), fd.Dense(1)], "mean_squared_error", seed=0)
>>> history = net().fit(X, y, epochs=3, batch_size=50, verbose=0)

**Data on disk**: a `numpy.memmap` (what ``numpy.load(path, mmap_mode="r")`` returns), or a data set
of h5py or zarr. More than 32 MiB of them are never in memory as a whole: each epoch reads all once,
checks and converts some MiB at a time, and reads on while it trains. With `shuffle` the order is
not quite random, because disks are far slower here and there than in a row: blocks of rows that lie
together (1 MiB) come in random order, and the rows of some 32 of them are shuffled among each
other. That also mixes what is sorted, classes one after another for instance, if there are many
blocks. With ``shuffle=False`` the weights are those of the same data in memory, to the last bit.
What will be read next is asked for beforehand: on two processors of 2.5 GHz a network of 64-8-1
trained as fast as a disk read that gave 1 GB/s, and shuffled at 0.8 of that (``python -m
benchmarks.disk`` in a checkout). `sample_weight` may be on disk too.

>>> import os, tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> path = os.path.join(folder.name, "X.npy")
>>> table = np.lib.format.open_memmap(path, "w+", np.float32, (3_000_000, 5))  # 60 MB
>>> for start in range(0, len(table), 1000):
...     table[start : start + 1000] = np.hstack([X, y])
>>> table = np.load(path, mmap_mode="r")
>>> history = net().fit(table[:, :4], table[:, 4], batch_size=1000, verbose=0)
>>> del table
>>> folder.cleanup()

**Batches**: any iterable of pairs ``(X, y)``, or with weights of the samples ``(X, y, weights)``,
such as a list, a PyTorch DataLoader or a generator; each is one step. An iterable that can be gone
through again, which a generator cannot, is gone through once an epoch. With `steps_per_epoch` an
epoch is so many steps, and the next one goes on where it ended; what never ends needs it.

>>> def batches(rng):
...     while True:
...         X = rng.normal(size=(50, 4))
...         yield X, X[:, 0] * X[:, 1]
>>> endless = batches(np.random.default_rng(0))
>>> history = net().fit(endless, epochs=3, steps_per_epoch=20, verbose=0)

An error in a chunk or a batch (a shape, nan) is raised before the weights move for it; those before
it have moved them. `partial_fit` is one pass over what there is at the moment. Where samples come
one by one, `train_step` takes a twentieth of its time, but minds no loss that is nan.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sized
from copy import copy
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from fusedelta import validation, weighting
from fusedelta.fetching import expect, read_ahead
from fusedelta.history import Tally

if TYPE_CHECKING:
    from fusedelta._watch import Watch
    from fusedelta.arrays import Prepare
    from fusedelta.engine import Engine
    from fusedelta.losses import Loss

__all__ = [
    "Batches",
    "Piece",
    "Rows",
    "Samples",
    "Source",
    "draw_orders",
    "shuffled_by",
]

#: Random orders are drawn for several epochs at a time, up to so many indices of samples.
ORDERS_SIZE = 65536

#: Data on disk come into memory so many bytes at a time; smaller data do as a whole.
CHUNK_BYTES = 32 * 2**20

#: As they lie, fewer: the rows are still in the processor's cache when they are trained on. That
#: makes small networks a third faster; with shuffling, few rows at a time would be mixed badly.
NEAR_BYTES = 8 * 2**20
#: With shuffling they are read from random places, so many bytes at each.
BLOCK_BYTES = 2**20

#: Inputs, targets and, where there are some, weights of samples, as an engine takes them.
Ready: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray | None]

#: Rows on disk: the first, and the one after the last.
Ranges: TypeAlias = list[tuple[int, int]]

END = object()  # of an iterator


class Piece(NamedTuple):
    """Ready arrays that make one or more whole steps of an epoch.

    Attributes
    ----------
    X, y : ndarray
    order : None or ndarray of intp, shape (1, samples)
        Which rows in which order; None: all, as they lie.
    batch_size : int
    weights : ndarray of shape (samples,), optional
        Of the rows of X.
    """

    X: np.ndarray
    y: np.ndarray
    order: np.ndarray | None
    batch_size: int
    weights: np.ndarray | None = None

    @property
    def m(self) -> int:
        """Number of samples."""
        return len(self.X) if self.order is None else self.order.shape[1]

    @property
    def steps(self) -> int:
        """Number of batches."""
        return -(-self.m // self.batch_size)

    def train(self, engine: Engine, result: np.ndarray) -> int:
        """All its steps; how many had a finite loss."""
        engine.train(self.X, self.y, self.batch_size, self.order, result, self.weights)
        return engine.trained

    def batches(self) -> Iterator[Piece]:
        """The same step by step."""
        for first in range(0, self.m, self.batch_size):
            batch = slice(first, first + self.batch_size)
            if self.order is None:
                weights = None if self.weights is None else self.weights[batch]
                yield self._replace(X=self.X[batch], y=self.y[batch], weights=weights)
            else:
                yield self._replace(order=np.ascontiguousarray(self.order[:, batch]))


class Samples:
    """Samples in memory.

    Every source has `steps` of an epoch (None: not known), `most_epochs` that may be trained in one
    call (None: any number), and `shortage`: what was missing, if the samples did not last.

    Parameters
    ----------
    X, y : ndarray
        Ready arrays.
    batch_size : int
    rng : Generator or None
        Draws the orders of the samples; None: they are taken as they lie.
    weights : ndarray, optional
        Of the samples, ready.
    rows : ndarray of intp, optional
        Which samples, any number of times each; by default all.
    """

    shortage: str | None = None

    def __init__(
        self,
        X: np.ndarray,
        y: np.ndarray,
        batch_size: int,
        rng: np.random.Generator | None,
        weights: np.ndarray | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self._X, self._y, self._batch_size, self._rng = X, y, batch_size, rng
        self._weights, self._rows = weights, rows
        #: Number of samples.
        self.m = len(X) if rows is None else len(rows)
        self.steps: int = -(-self.m // batch_size)
        in_order = rng is None and rows is None
        self.most_epochs: int | None = None if in_order else max(1, ORDERS_SIZE // self.m)

    def drawn(self, rows: np.ndarray) -> Samples:
        """Some of these samples in their place; they are not copied."""
        batch_size = min(self._batch_size, len(rows))
        rng = self._rng if batch_size < len(rows) else None
        return Samples(self._X, self._y, batch_size, rng, self._weights, rows)

    def train(self, engine: Engine, results: np.ndarray, **watch: Watch) -> None:
        """The next epochs, as many as there are results to fill, in one call of the engine."""
        orders = self._orders(len(results))
        engine.train(self._X, self._y, self._batch_size, orders, results, self._weights, **watch)

    def skip(self, epochs: int) -> None:
        """Draw the orders of so many epochs, for nothing."""
        self._orders(epochs)

    def pieces(self) -> Generator[Piece]:
        """The next epoch, in one piece."""
        yield Piece(self._X, self._y, self._orders(1), self._batch_size, self._weights)

    def _orders(self, epochs: int) -> np.ndarray | None:
        if self._rng is None:
            return None if self._rows is None else np.tile(self._rows, (epochs, 1))
        orders = draw_orders(self._rng, epochs, self.m)
        return orders if self._rows is None else self._rows[orders]


class Rows:
    """Rows on disk, some at a time in memory.

    Parameters
    ----------
    X, y : array_like
        Anything with a shape that gives rows by slices; y may be in memory.
    first, last : int
        The rows to use: first .. last - 1.
    batch_size : int
    rng : Generator or None
        Draws the order of blocks, and of rows in memory; None: as they lie.
    prepare : Prepare
    sample_weight : array_like, optional
        As y.
    by_class : ndarray, optional
        The weight of each class.
    """

    shortage: str | None = None
    most_epochs: int | None = 1

    def __init__(
        self,
        X: Any,
        y: Any,
        first: int,
        last: int,
        batch_size: int,
        rng: np.random.Generator | None,
        prepare: Prepare,
        sample_weight: Any = None,
        by_class: np.ndarray | None = None,
    ) -> None:
        self._X, self._y, self._first, self._last = X, y, first, last
        self._sample_weight, self._by_class = sample_weight, by_class
        self._batch_size, self._rng, self._prepare = batch_size, rng, prepare
        self.m = last - first
        self.steps = -(-self.m // batch_size)
        row_bytes = X.shape[1] * prepare.dtype.itemsize
        chunk_bytes = min(CHUNK_BYTES, NEAR_BYTES) if rng is None else CHUNK_BYTES
        self._chunk = max(1, chunk_bytes // row_bytes // batch_size) * batch_size
        self._block = max(1, BLOCK_BYTES // row_bytes)

    def pieces(self) -> Generator[Piece]:
        """The next epoch, in chunks of whole batches; one is read ahead."""
        return read_ahead(self._read())

    def _read(self) -> Iterator[Piece]:
        for ranges in self._expected(self._chunks()):
            X, y, weights = self._load(ranges)
            order = None if self._rng is None else draw_orders(self._rng, 1, len(X))
            yield Piece(X, y, order, self._batch_size, weights)

    def _chunks(self) -> Iterator[Ranges]:
        """What is together in memory; all chunks but the last are equally large."""
        chunk: Ranges = []
        room = self._chunk
        for first, last in self._blocks():
            while last - first >= room:
                yield [*chunk, (first, first + room)]
                first, chunk, room = first + room, [], self._chunk
            if first < last:
                chunk.append((first, last))
                room -= last - first
        if chunk:
            yield chunk

    def _blocks(self) -> Iterator[tuple[int, int]]:
        if self._rng is None:
            yield self._first, self._last
            return
        starts = np.arange(self._first, self._last, self._block)
        for start in self._rng.permutation(starts).tolist():
            yield start, min(start + self._block, self._last)

    def _expected(self, chunks: Iterator[Ranges]) -> Iterator[Ranges]:
        """The same chunks; the system is told of each one before the one ahead of it is used."""
        ahead: Ranges | None = None
        for chunk in chain(chunks, [None]):
            for first, last in chunk or []:
                for data in (self._X, self._y, self._sample_weight):
                    expect(data, first, last)
            if ahead is not None:
                yield ahead
            ahead = chunk

    def _load(self, ranges: Ranges) -> Ready:
        if len(ranges) == 1:
            return self._part(*ranges[0])
        shape = (sum(last - first for first, last in ranges), self._X.shape[1])
        X, at = np.empty(shape, self._prepare.dtype), 0
        parts = []
        for first, last in ranges:
            parts.append(self._part(first, last, X[at : at + last - first]))
            at += last - first
        _, y, weights = zip(*parts, strict=True)
        return X, np.concatenate(y), None if weights[0] is None else np.concatenate(weights)

    def _part(self, first: int, last: int, room: np.ndarray | None = None) -> Ready:
        """Rows, ready; in `room` if that is given, so that they are copied once."""
        rows = slice(first, last)
        X, y = self._X[rows], self._y[rows]
        given = None if self._sample_weight is None else self._sample_weight[rows]
        try:
            ready, y = self._prepare.pair(X, y, room)
            return ready, y, weighting.combine(self._prepare, y, given, self._by_class)
        except ValueError as error:
            raise among(first, last, error) from None

    def evaluate(self, engine: Engine, loss: Loss) -> tuple[float, float]:
        """Loss, without penalties, and accuracy of all rows."""
        tally = Tally(loss)
        for piece in self.pieces():
            tally.add(engine.evaluate(piece.X, piece.y, piece.weights), piece.m)
        return tally.means


def among(first: int, last: int, error: ValueError) -> ValueError:
    """The same error, told among which rows it is."""
    return ValueError(f"rows {first} to {last - 1}, counted from 0 there: {error}")


class Batches:
    """Batches that come from an iterable, one a step.

    Parameters
    ----------
    batches : iterable of (X, y) or (X, y, sample_weight)
    steps : int or None
        Steps of an epoch; None: as many as there are.
    epochs : int
        So many epochs are wanted.
    prepare : Prepare
    by_class : ndarray, optional
        The weight of each class.

    Raises
    ------
    TypeError, ValueError
        If the first batch is wrong, or the batches cannot be enough.

    Attributes
    ----------
    n_inputs : int
        Features of the first batch.
    """

    most_epochs: int | None = 1

    def __init__(
        self,
        batches: Iterable[Any],
        steps: int | None,
        epochs: int,
        prepare: Prepare,
        by_class: np.ndarray | None = None,
    ) -> None:
        items = iter(batches)
        self._batches, self._limit, self._prepare = batches, steps, prepare
        self._by_class = by_class
        self._can_restart = items is not batches
        if not (self._can_restart or steps or epochs == 1):
            raise ValueError(
                f"epochs: expected 1 for an iterator, which ends after one, got {epochs}; give it "
                "steps_per_epoch, or an iterable that can be gone through again"
            )
        first = next(items, END)
        if first is END:
            raise ValueError("X: expected at least one batch (X, y), got none")
        self.n_inputs = self._ready(first, 0)[0].shape[1]
        self._prepare = prepare if prepare.n_inputs else replace(prepare, n_inputs=self.n_inputs)
        self._items: Iterator[Any] | None = chain([first], items)
        self.steps = len(batches) if steps is None and isinstance(batches, Sized) else steps
        self.shortage: str | None = None

    def pieces(self) -> Generator[Piece]:
        """The next epoch, batch by batch."""
        step = 0
        while step != self._limit:
            batch = self._next()
            if batch is END:
                break
            X, y, weights = self._ready(batch, step)
            yield Piece(X, y, None, len(X), weights)
            step += 1
        if self._limit is None:
            self._items = None
        if step < (self._limit or 1):
            self.shortage = f"the batches ended after {step} of {self._limit or 'all'} steps"

    def _next(self) -> Any:
        """The next batch or, at the end of an epoch without a limit and of all there is, `END`."""
        if self._items is None:
            self._items = iter(self._batches)
        batch = next(self._items, END)
        if batch is END and self._limit is not None and self._can_restart:
            self._items = iter(self._batches)
            batch = next(self._items, END)
        return batch

    def _ready(self, batch: Any, step: int) -> Ready:
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise TypeError(
                "X: expected batches that are tuples (X, y) or (X, y, sample_weight), got "
                f"{validation.shown(batch)} as batch {step + 1}"
            )
        try:
            X, y = self._prepare.pair(*batch[:2])
            given = batch[2] if len(batch) == 3 else None
            return X, y, weighting.combine(self._prepare, y, given, self._by_class)
        except (TypeError, ValueError) as error:
            raise type(error)(f"batch {step + 1}: {error}") from None


#: Where the samples of a fit come from.
Source: TypeAlias = Samples | Rows | Batches


def shuffled_by(rng: np.random.Generator, source: Samples | Rows) -> Samples | Rows:
    """The same samples in the orders of another generator, if they are shuffled at all."""
    other = copy(source)
    other._rng = None if source._rng is None else rng
    return other


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
