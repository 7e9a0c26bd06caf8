"""What `fit` is given, checked: where its samples come from, and what it measures them on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

from fusedelta import sources, validation, weighting
from fusedelta.sources import Batches, Rows, Samples

if TYPE_CHECKING:
    from fusedelta.engine import Engine
    from fusedelta.losses import Loss
    from fusedelta.network import Sequential
    from fusedelta.validation import Prepare

__all__ = ["Data", "Measure", "is_large", "measure_on", "open_data", "predict_in_chunks"]

#: ``measure(engine)`` gives loss and accuracy on some data.
Measure: TypeAlias = "Callable[[Engine], Sequence[float]]"


class Data(NamedTuple):
    """What a fit trains on, and what it measures after each epoch."""

    source: Samples | Rows | Batches
    measure: Measure | None
    n_inputs: int


def open_data(
    net: Sequential,
    X: Any,
    y: Any,
    epochs: int,
    batch_size: int | None,
    shuffle: bool,
    steps_per_epoch: int | None,
    validation_split: float,
    validation_data: Any,
    sample_weight: Any,
    class_weight: Any,
) -> Data:
    """Check what `fit` is given; parameters as for `fusedelta.Sequential.fit`.

    Raises
    ------
    TypeError, ValueError
        If anything is wrong, as far as that can be known before the training.
    """
    part = validation.number("validation_split", validation_split, minimum=0, below=1)
    if part and validation_data is not None:
        raise ValueError("validation_split: expected it without validation_data, got both")
    weighted = sample_weight is not None or class_weight is not None
    if weighted and (y is None or is_large(X, net._prepare)):
        _refuse_weights("sample_weight" if sample_weight is not None else "class_weight")
    if y is None:
        data = _open_batches(net, X, epochs, batch_size, steps_per_epoch, part)
    else:
        if steps_per_epoch is not None:
            raise ValueError("steps_per_epoch: expected it only with batches, got it with y")
        rng = net._rng_shuffle if shuffle else None
        data = _open_arrays(net, X, y, batch_size, rng, part, sample_weight, class_weight)
    if validation_data is None:
        return data
    held_out = _given(net._preparation(data.n_inputs), net._loss, validation_data)
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
        weights = weighting.combine(prepare, y, sample_weight)
        return lambda engine: engine.evaluate(X, y, weights)
    if sample_weight is not None:
        _refuse_weights("sample_weight")
    rows = Rows(*_checked(X, y, prepare), 0, len(X), 1, None, prepare)
    return lambda engine: rows.evaluate(engine, loss)


def predict_in_chunks(
    engine: Engine, prepare: Prepare, X: Any, out: np.ndarray | None
) -> np.ndarray:
    """The outputs for data on disk; parameters as for `fusedelta.Sequential.predict`."""
    prepare(X[:1])
    rows = max(1, sources.CHUNK_BYTES // (math.prod(X.shape[1:]) * prepare.dtype.itemsize))
    shape = (X.shape[0], prepare.n_outputs)
    out = np.empty(shape, prepare.dtype) if out is None else out
    validation.check_out(out, shape, prepare.dtype)
    for first in range(0, shape[0], rows):
        chunk, _ = prepare(X[first : first + rows])
        engine.predict(chunk, out[first : first + rows])
    return out


def _open_batches(
    net: Sequential,
    batches: Any,
    epochs: int,
    batch_size: int | None,
    steps: int | None,
    part: float,
) -> Data:
    if isinstance(batches, np.ndarray | str | bytes | dict) or not isinstance(batches, Iterable):
        raise TypeError(
            "y: expected real numbers, got None (NoneType); X alone would have to be batches (X, y)"
        )
    if batch_size is not None:
        raise ValueError("batch_size: expected none with batches, which have their own sizes")
    if part:
        raise ValueError(
            "validation_split: expected arrays with it; got batches, for which "
            "validation_data can be given"
        )
    if steps is not None:
        steps = validation.integer("steps_per_epoch", steps)
    source = Batches(batches, steps, epochs, net._prepare)
    return Data(source, None, source.n_inputs)


def _open_arrays(
    net: Sequential,
    X: Any,
    y: Any,
    batch_size: int | None,
    rng: np.random.Generator | None,
    part: float,
    sample_weight: Any,
    class_weight: Any,
) -> Data:
    if is_large(X, net._prepare):
        return _open_rows(net, X, y, batch_size, rng, part)
    X, y = net._prepare.pair(X, y)
    m = _cut(len(X), part)
    batch_size = min(batch_size or m, m)
    given = weighting.combine(net._prepare, y, sample_weight)
    first, rest = (None, None) if given is None else (given[:m], given[m:])
    weights = weighting.combine(net._prepare, y[:m], first, class_weight)
    source = Samples(X[:m], y[:m], batch_size, rng if batch_size < m else None, weights)
    held_out = (lambda engine: engine.evaluate(X[m:], y[m:], rest)) if part else None
    return Data(source, held_out, X.shape[1])


def _open_rows(
    net: Sequential,
    X: Any,
    y: Any,
    batch_size: int | None,
    rng: np.random.Generator | None,
    part: float,
) -> Data:
    if batch_size is None:
        raise ValueError(
            "batch_size: expected an integer with data on disk, which are too large for one batch"
        )
    X, y = _checked(X, y, net._prepare)
    m, n_inputs = X.shape
    prepare = net._preparation(n_inputs)
    cut = _cut(m, part)
    source = Rows(X, y, 0, cut, min(batch_size, cut), rng, prepare)
    if not part:
        return Data(source, None, n_inputs)
    rows = Rows(X, y, cut, m, 1, None, prepare)
    return Data(source, lambda engine: rows.evaluate(engine, net._loss), n_inputs)


def is_large(X: Any, prepare: Prepare) -> bool:
    """Whether data are on disk and must not come into memory as a whole."""
    return (
        sources.is_on_disk(X) and math.prod(X.shape) * prepare.dtype.itemsize > sources.CHUNK_BYTES
    )


def _checked(X: Any, y: Any, prepare: Prepare) -> tuple[Any, Any]:
    """Data on disk, of which the first row and the shapes are right."""
    y = y if sources.is_on_disk(y) else np.asarray(y)
    if len(X.shape) != 2:
        raise ValueError(f"X: expected shape (samples, features), got {X.shape}")
    if len(y.shape) == 0 or y.shape[0] != X.shape[0]:
        raise ValueError(
            f"y: expected as many targets as X has samples, {X.shape[0]}, got shape {y.shape}"
        )
    prepare.pair(X[:1], y[:1])
    return X, y


def _cut(m: int, part: float) -> int:
    """How many of m samples are trained on if the last part is held out."""
    cut = int(m * (1 - part) + 1e-9)  # 10 * (1 - 0.9) is less than 1
    if part and cut in (0, m):
        raise ValueError(
            f"validation_split: expected samples on both sides, got {part} of {m} samples"
        )
    return cut


def _refuse_weights(name: str) -> NoReturn:
    raise ValueError(f"{name}: expected None with batches and with data on disk; got one")


def _given(prepare: Prepare, loss: Loss, data: Any) -> Measure:
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"validation_data: expected a tuple (X, y), got {validation.shown(data)}")
    try:
        return measure_on(prepare, loss, *data)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation_data: {error}") from None
