"""What `fit` is given, checked: where its samples come from, and what it measures them on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from fusedelta import sources, validation, weighting
from fusedelta._frozen import frozen
from fusedelta.arrays import check_out
from fusedelta.fetching import is_on_disk
from fusedelta.sources import Batches, Rows, Samples

if TYPE_CHECKING:
    from fusedelta.arrays import Prepare
    from fusedelta.engine import Engine
    from fusedelta.losses import Loss
    from fusedelta.network import Sequential

__all__ = [
    "Data",
    "Given",
    "Measure",
    "OnArrays",
    "is_large",
    "measure_on",
    "open_data",
    "predict_in_chunks",
]

#: ``measure(engine)`` gives loss and accuracy on some data.
Measure: TypeAlias = "Callable[[Engine], Sequence[float]]"


class Data(NamedTuple):
    """What a fit trains on, and what it measures after each epoch."""

    source: Samples | Rows | Batches
    measure: Measure | None
    n_inputs: int


class Given(NamedTuple):
    """The data that `fit` is given, and how to go through them; as its parameters."""

    X: Any
    y: Any
    epochs: int
    batch_size: int | None
    shuffle: bool
    validation_split: float
    validation_data: Any
    sample_weight: Any
    class_weight: Any
    steps_per_epoch: int | None = None


def open_data(net: Sequential, given: Given) -> Data:
    """Check what `fit` is given.

    Raises
    ------
    TypeError, ValueError
        If anything is wrong, as far as that can be known before the training.
    """
    part = validation.number("validation_split", given.validation_split, minimum=0, below=1)
    if part and given.validation_data is not None:
        raise ValueError("validation_split: expected it without validation_data, got both")
    if given.y is None:
        data = _open_batches(net, given, part)
    elif given.steps_per_epoch is not None:
        raise ValueError("steps_per_epoch: expected it only with batches, got it with y")
    elif is_large(given.X, net._prepare):
        data = _open_rows(net, given, part)
    else:
        data = _open_arrays(net, given, part)
    if given.validation_data is None:
        return data
    held_out = _held_out(net._preparation(data.n_inputs), net._loss, given.validation_data)
    return data._replace(measure=held_out)


def measure_on(prepare: Prepare, loss: Loss, X: Any, y: Any, sample_weight: Any = None) -> Measure:
    """Loss and accuracy on data in memory or on disk.

    Raises
    ------
    TypeError, ValueError
        If the data are wrong; what is on disk is looked at when it is measured.
    """
    if not is_large(X, prepare):
        X, y = prepare.pair(X, y)
        return OnArrays(X, y, weighting.combine(prepare, y, sample_weight))
    X, y, sample_weight = _checked(X, y, sample_weight, prepare)
    return _measure_rows(Rows(X, y, 0, len(X), 1, None, prepare, sample_weight), loss)


@frozen
class OnArrays:
    """A `Measure` on ready arrays."""

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None

    def __call__(self, engine: Engine) -> tuple[float, float]:
        """Loss and accuracy."""
        return _with_penalty(engine, *engine.evaluate(self.X, self.y, self.weights))


def _measure_rows(rows: Rows, loss: Loss) -> Measure:
    return lambda engine: _with_penalty(engine, *rows.evaluate(engine, loss))


def _with_penalty(engine: Engine, loss: float, accuracy: float) -> tuple[float, float]:
    return loss + engine.penalty, accuracy


def predict_in_chunks(
    engine: Engine, prepare: Prepare, X: Any, out: np.ndarray | None
) -> np.ndarray:
    """The outputs for data on disk; parameters as for `fusedelta.Sequential.predict`."""
    prepare(X[:1])
    rows = max(1, sources.CHUNK_BYTES // (math.prod(X.shape[1:]) * prepare.dtype.itemsize))
    shape = (X.shape[0], prepare.n_outputs)
    out = np.empty(shape, prepare.dtype) if out is None else out
    check_out(out, shape, prepare.dtype, X if isinstance(X, np.ndarray) else None)
    for first in range(0, shape[0], rows):
        chunk, _ = prepare(X[first : first + rows])
        engine.predict(chunk, out[first : first + rows])
    return out


def _open_batches(net: Sequential, given: Given, part: float) -> Data:
    batches, steps = given.X, given.steps_per_epoch
    is_data = isinstance(batches, str | bytes | dict) or hasattr(batches, "shape")
    if is_data or not isinstance(batches, Iterable):
        raise TypeError(
            "y: expected real numbers, got None (NoneType); X alone would have to be batches (X, y)"
        )
    if given.batch_size is not None:
        raise ValueError("batch_size: expected none with batches, which have their own sizes")
    if part:
        raise ValueError(
            "validation_split: expected arrays with it; got batches, for which "
            "validation_data can be given"
        )
    if given.sample_weight is not None:
        raise ValueError(
            "sample_weight: expected None with batches, which bring their own as "
            f"(X, y, sample_weight); got {validation.shown(given.sample_weight)}"
        )
    if steps is not None:
        steps = validation.integer("steps_per_epoch", steps)
    by_class = weighting.of_classes(net._prepare, given.class_weight, None)
    source = Batches(batches, steps, given.epochs, net._prepare, by_class)
    return Data(source, None, source.n_inputs)


def _open_arrays(net: Sequential, given: Given, part: float) -> Data:
    X, y = net._prepare.pair(given.X, given.y)
    m = _cut(len(X), part)
    batch_size = min(given.batch_size or m, m)
    rng = net._rng_shuffle if given.shuffle and batch_size < m else None
    own = weighting.combine(net._prepare, y, given.sample_weight)
    first, rest = (None, None) if own is None else (own[:m], own[m:])
    by_class = weighting.of_classes(net._prepare, given.class_weight, [y[:m]])
    weights = weighting.combine(net._prepare, y[:m], first, by_class)
    if weights is not None and not weights.any():
        raise ValueError("sample_weight: expected some above 0, got zeros, which train nothing")
    source = Samples(X[:m], y[:m], batch_size, rng, weights)
    held_out = OnArrays(X[m:], y[m:], rest) if part else None
    return Data(source, held_out, X.shape[1])


def _open_rows(net: Sequential, given: Given, part: float) -> Data:
    if given.batch_size is None:
        raise ValueError(
            "batch_size: expected an integer with data on disk, which are too large for one batch"
        )
    X, y, weights = _checked(given.X, given.y, given.sample_weight, net._prepare)
    m, n_inputs = X.shape
    prepare = net._preparation(n_inputs)
    cut = _cut(m, part)
    rng = net._rng_shuffle if given.shuffle else None
    by_class = weighting.of_classes(prepare, given.class_weight, _targets(prepare, y, cut))
    source = Rows(X, y, 0, cut, min(given.batch_size, cut), rng, prepare, weights, by_class)
    if not part:
        return Data(source, None, n_inputs)
    held_out = Rows(X, y, cut, m, 1, None, prepare, weights)
    return Data(source, _measure_rows(held_out, net._loss), n_inputs)


def _targets(prepare: Prepare, y: Any, m: int) -> Iterator[np.ndarray]:
    """The first m targets of data on disk, ready, some at a time."""
    rows = max(1, sources.CHUNK_BYTES // (8 * prepare.n_outputs))
    for first in range(0, m, rows):
        last = min(first + rows, m)
        try:
            yield prepare.targets(y[first:last], last - first)
        except ValueError as error:
            raise sources.among(first, last, error) from None


def is_large(X: Any, prepare: Prepare) -> bool:
    """Whether data are on disk and must not come into memory as a whole."""
    return is_on_disk(X) and math.prod(X.shape) * prepare.dtype.itemsize > sources.CHUNK_BYTES


def _checked(X: Any, y: Any, sample_weight: Any, prepare: Prepare) -> tuple[Any, Any, Any]:
    """Data on disk, of which shapes and first row are right. Weights in memory are made ready."""
    y = y if is_on_disk(y) else np.asarray(y)
    if len(X.shape) != 2:
        raise ValueError(f"X: expected shape (samples, features), got {X.shape}")
    if len(y.shape) == 0 or y.shape[0] != X.shape[0]:
        raise ValueError(
            f"y: expected as many targets as X has samples, {X.shape[0]}, got shape {y.shape}"
        )
    prepare.pair(X[:1], y[:1])
    if sample_weight is None:
        return X, y, None
    if not is_on_disk(sample_weight):
        return X, y, prepare.weights(sample_weight, X.shape[0])
    if tuple(sample_weight.shape) != (X.shape[0],):
        raise ValueError(
            f"sample_weight: expected one weight a sample, shape ({X.shape[0]},), "
            f"got {sample_weight.shape}"
        )
    prepare.weights(sample_weight[:1], 1)
    return X, y, sample_weight


def _cut(m: int, part: float) -> int:
    """How many of m samples are trained on if the last part is held out."""
    cut = int(m * (1 - part) + 1e-9)  # 10 * (1 - 0.9) is less than 1
    if part and cut in (0, m):
        raise ValueError(
            f"validation_split: expected samples on both sides, got {part} of {m} samples"
        )
    return cut


def _held_out(prepare: Prepare, loss: Loss, data: Any) -> Measure:
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise TypeError(
            "validation_data: expected a tuple (X, y) or (X, y, sample_weight), got "
            f"{validation.shown(data)}"
        )
    try:
        return measure_on(prepare, loss, *data)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation_data: {error}") from None
