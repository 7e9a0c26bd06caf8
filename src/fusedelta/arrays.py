"""The one place that turns a user's arrays into what the engines take, or says what is wrong.

Every error names the argument, what was given and what was expected. Nothing here changes anything:
an array that is ready passes as it is, any other is copied once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from fusedelta import targets
from fusedelta._frozen import frozen
from fusedelta.targets import place
from fusedelta.text import shown

if TYPE_CHECKING:
    from fusedelta._screen import Screen
    from fusedelta.losses import Loss

__all__ = ["Prepare", "check_out", "check_weights"]

#: What to do with names of classes.
NUMBERED = "; numpy.unique(y, return_inverse=True) gives classes and their numbers"

#: What to do with inputs of one and of more than two dimensions.
SHAPED = {
    1: "; X.reshape(1, -1) makes it one sample, X.reshape(-1, 1) samples of one feature",
    3: "; X.reshape(len(X), -1) makes a row of each sample",
}

#: So many values are looked at together.
CHUNK = 1 << 16


def check_weights(
    weights: Sequence[Any],
    shapes: Sequence[tuple[int, ...]],
    dtype: np.dtype,
    name: str = "weights",
) -> list[np.ndarray]:
    """Weights as ready arrays: right in number, in shapes, finite.

    Parameters
    ----------
    weights : sequence of array_like
        ``[W0, b0, W1, b1, ...]``.
    shapes : sequence of tuple
        The expected shapes.
    dtype : numpy.dtype
        The network's.
    name : str, default "weights"
        Theirs in an error message.

    Raises
    ------
    TypeError, ValueError
        With the index of the first array that is wrong.
    """
    if not isinstance(weights, list | tuple):
        raise TypeError(f"{name}: expected a list of arrays, got {shown(weights)}")
    if len(weights) != len(shapes):
        raise ValueError(
            f"{name}: expected {len(shapes)} arrays (W and b of each layer), got {len(weights)}"
        )
    return [
        _weight(f"{name}[{i}]", weight, shape, dtype)
        for i, (weight, shape) in enumerate(zip(weights, shapes, strict=True))
    ]


def _weight(name: str, weight: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    array = _numbers(name, weight)
    if array.shape != shape:
        hint = ", its transpose" if array.shape == shape[::-1] else ""
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}{hint}")
    return _ready(name, array, dtype)


def check_out(
    out: Any, shape: tuple[int, ...], dtype: np.dtype, inputs: np.ndarray | None = None
) -> np.ndarray:
    """`out`, if results of that shape and dtype can be written into it.

    Parameters
    ----------
    out : ndarray
    shape : tuple of int
    dtype : numpy.dtype
    inputs : ndarray, optional
        What the results are computed from; it must not share memory with `out`.

    Raises
    ------
    TypeError
        If it is not an array of the network's dtype.
    ValueError
        If it has another shape, is not C-contiguous, aligned and writable, or overlaps the inputs.
    """
    expected = f"expected a C-contiguous, writable array of shape {shape} and dtype {dtype}"
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        raise TypeError(f"out: {expected}; got {shown(out)}")
    if out.shape != shape:
        raise ValueError(f"out: {expected}; got shape {out.shape}")
    for wrong, told in (
        (not out.flags.writeable, "read-only"),
        (not out.flags.c_contiguous, "not C-contiguous"),
        (not out.flags.aligned, "not aligned"),
    ):
        if wrong:
            raise ValueError(f"out: {expected}; got one that is {told}")
    if inputs is not None and np.may_share_memory(out, inputs):
        raise ValueError("out: expected memory of its own, got an array that overlaps the inputs")
    return out


@frozen
class Prepare:
    """Turns a user's X and y into arrays that an engine can use as they are.

    Parameters
    ----------
    n_inputs : int or None
        Number of features that X must have; None: any number.
    n_outputs : int
        Number of units of the output layer.
    dtype : numpy.dtype
        The network's dtype.
    loss : Loss
        Says what y holds.
    screen_type : type, optional
        Makes what knows most ready arrays without a call of NumPy: the compiled engine's `Screen`.
    """

    n_inputs: int | None
    n_outputs: int
    dtype: np.dtype
    loss: Loss
    screen_type: type[Screen] | None = None
    screen: Screen | None = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        screen = None
        if self.screen_type is not None and self.n_inputs is not None:
            screen = self.screen_type(self.n_inputs, self.n_outputs, self.dtype, self.loss)
        object.__setattr__(self, "screen", screen)

    def __call__(self, X: Any, y: Any = None) -> tuple[np.ndarray, np.ndarray | None]:
        """X of shape (m, k) and y, checked and converted; without y only X.

        Returns
        -------
        X : ndarray of shape (m, k)
            C-contiguous, aligned, finite, of the network's dtype; `X` itself if it is so already.
        y : ndarray of shape (m, n), or (m,) int64 labels for sparse categorical cross-entropy

        Raises
        ------
        TypeError
            If the data are not numbers.
        ValueError
            If a shape, a length or a value is wrong.
        """
        return (self._inputs(X), None) if y is None else self.pair(X, y)

    def pair(self, X: Any, y: Any, room: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """X and y as a call returns them, where y is not optional; X in `room`, if it is given."""
        X = self._inputs(X, room)
        return X, self.targets(y, len(X))

    def sample(self, x: Any) -> np.ndarray:
        """One sample x of shape (k,), checked and converted like X."""
        if self.screen is not None and (ready := self.screen.sample(x)) is not None:
            return ready
        array = _numbers("x", x)
        if array.shape != (self.n_inputs,):
            raise ValueError(
                f"x: expected one sample of shape ({self.n_inputs},), got {array.shape}"
            )
        return _ready("x", array, self.dtype)

    def weights(self, sample_weight: Any, m: int) -> np.ndarray:
        """Weights of m samples: finite, not negative, in the network's dtype."""
        if self.screen is not None and (ready := self.screen.weights(sample_weight, m)) is not None:
            return ready
        if self.loss.function is not None:
            raise ValueError(
                "sample_weight: expected None, because a loss of your own weighs the samples itself"
            )
        array = _numbers("sample_weight", sample_weight)
        array = array[:, 0] if array.shape == (m, 1) else array
        if array.shape != (m,):
            raise ValueError(
                f"sample_weight: expected one weight a sample, shape ({m},), got {array.shape}"
            )
        array = _ready("sample_weight", array, self.dtype)
        if array.min() < 0:
            at = array.argmin()
            raise ValueError(f"sample_weight: expected values >= 0, got {array[at]} at row {at}")
        return array

    def _inputs(self, X: Any, room: np.ndarray | None = None) -> np.ndarray:
        if (
            self.screen is not None
            and room is None
            and (ready := self.screen.inputs(X)) is not None
        ):
            return ready
        array = _numbers("X", X)
        features = "features" if self.n_inputs is None else self.n_inputs
        expected = f"X: expected shape (samples, {features})"
        if array.ndim != 2:
            raise ValueError(f"{expected}, got {array.shape}{SHAPED.get(min(array.ndim, 3), '')}")
        if len(array) == 0:
            raise ValueError(f"{expected} with at least one sample, got {array.shape}")
        if array.shape[1] == 0 or self.n_inputs not in (None, array.shape[1]):
            raise ValueError(f"{expected}, got {array.shape}")
        return _ready("X", array, self.dtype, room)

    def targets(self, y: Any, m: int) -> np.ndarray:
        """The y of m samples, checked and converted."""
        if self.screen is not None and (ready := self.screen.targets(y, m)) is not None:
            return ready
        array = _numbers("y", y, NUMBERED if self.loss.is_classification else "")
        if array.ndim and len(array) != m:
            raise ValueError(f"y: expected as many targets as X has samples, {m}, got {len(array)}")
        if self.loss.targets == "labels":
            return targets.labels(array, m, self.n_outputs)
        array = _ready("y", self._columns(array, m), self.dtype)
        if self.loss.targets == "probabilities":
            targets.check_probabilities(array)
        elif self.loss.targets == "distributions":
            targets.check_distributions(array)
        elif self.loss.targets == "counts":
            targets.check_not_negative(array)
        elif self.loss.targets == "signs":
            return targets.signs(array)
        return array

    def _columns(self, array: np.ndarray, m: int) -> np.ndarray:
        """Targets of shape (m, n); (m,) is accepted where n is 1."""
        if self.n_outputs == 1 and array.shape == (m,):
            return array.reshape(m, 1)
        if array.shape == (m, self.n_outputs):
            return array
        hint = ""
        if self.loss.targets == "distributions" and array.size == m:
            hint = "; for integer labels use loss 'sparse_categorical_crossentropy'"
        raise ValueError(f"y: expected shape ({m}, {self.n_outputs}), got {array.shape}{hint}")


def _numbers(name: str, data: Any, hint: str = "") -> np.ndarray:
    """Anything array-like as an array of real numbers."""
    if hasattr(data, "filled") and np.ma.is_masked(data):
        raise ValueError(f"{name}: expected numbers in all places, got masked ones")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{name}: expected a rectangular array of numbers: {error}") from None
    if array.dtype.kind == "O" and array.ndim:
        return _of_objects(name, array, hint)
    if array.dtype.kind not in "fiub":
        given = f"dtype {array.dtype}" if array.ndim else shown(data)
        hint = "; its toarray() gives them" if hasattr(data, "toarray") else hint
        raise TypeError(f"{name}: expected real numbers, got {given}{hint}")
    return array


def _of_objects(name: str, array: np.ndarray, hint: str) -> np.ndarray:
    """Python's numbers, as those of a table whose columns are of several types, as float64."""
    for at, value in np.ndenumerate(array):
        if not isinstance(value, Real | np.bool_):
            raise TypeError(
                f"{name}: expected real numbers, got {shown(value)} at {place(at)}{hint}"
            )
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name}: expected numbers within the range of float64") from None


def _ready(
    name: str, array: np.ndarray, dtype: np.dtype, room: np.ndarray | None = None
) -> np.ndarray:
    """C-contiguous, aligned, finite and of the dtype; the array itself if it is so already.

    A copy in `room`, if that is given, which is so.
    """
    with np.errstate(over="ignore"):
        if room is None:
            ready = np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])
        else:
            room[...] = array
            ready = room
    flat = ready.reshape(-1)
    for start in range(0, flat.size, CHUNK):  # so that the check takes no memory to speak of
        finite = np.isfinite(flat[start : start + CHUNK])
        if not finite.all():
            at = np.unravel_index(start + finite.argmin(), ready.shape)
            where = f"column {at[0]}" if name == "x" else place(at)  # of one sample
            raise ValueError(f"{name}: {_not_finite(array[at], dtype)} at {where}")
    return ready


def _not_finite(value: Any, dtype: np.dtype) -> str:
    if np.isfinite(value):
        return f"expected numbers within the range of {dtype}, got {value}"
    return f"expected finite numbers, got {value}"
