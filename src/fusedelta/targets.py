"""What the targets of each kind of loss must be. Every error says where one is not.

See `fusedelta.losses.Loss.targets` for the kinds; arrays are `y` of an engine's dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "check_distributions",
    "check_not_negative",
    "check_probabilities",
    "labels",
    "place",
    "signs",
]

#: How far from 1 the sum of a row of class probabilities may be.
SUM_TOLERANCE = 1e-3


def place(at: tuple[Any, ...]) -> str:
    """Where in an array, for a message."""
    return ", ".join(f"{axis} {i}" for axis, i in zip(("row", "column"), at, strict=False))


def check_probabilities(y: np.ndarray) -> None:
    """Refuse any outside 0 to 1."""
    outside = (y < 0) | (y > 1)
    if outside.any():
        at = np.unravel_index(outside.argmax(), y.shape)
        raise ValueError(f"y: expected values in 0 to 1, got {y[at]} at {place(at)}")


def check_not_negative(y: np.ndarray) -> None:
    """Refuse any below 0."""
    negative = y < 0
    if negative.any():
        at = np.unravel_index(negative.argmax(), y.shape)
        raise ValueError(f"y: expected values >= 0, got {y[at]} at {place(at)}")


def signs(y: np.ndarray) -> np.ndarray:
    """Targets -1 and 1 as they are, 0 and 1 as -1 and 1."""
    least = 0 if (y == 0).any() else -1
    wrong = (y != 1) & (y != least)
    if wrong.any():
        at = np.unravel_index(wrong.argmax(), y.shape)
        raise ValueError(f"y: expected -1 and 1, or 0 and 1, got {y[at]} at {place(at)}")
    return y if least else 2 * y - 1


def check_distributions(y: np.ndarray) -> None:
    """Refuse rows that are no probabilities of classes."""
    check_not_negative(y)
    sums = y.sum(axis=1, dtype=np.float64)
    off = abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        row = off.argmax()
        raise ValueError(f"y: expected rows that sum to 1, got {sums[row]:.6g} in row {row}")


def labels(array: np.ndarray, m: int, n: int) -> np.ndarray:
    """Integer labels of shape (m,), 0 to n - 1; (m, 1) is accepted."""
    if array.shape not in ((m,), (m, 1)):
        hint = (
            "; for one-hot targets use loss 'categorical_crossentropy'" if array.ndim == 2 else ""
        )
        raise ValueError(f"y: expected labels of shape ({m},), got {array.shape}{hint}")
    array = array.reshape(m)
    wrong = ~((array >= 0) & (array < n) & (array == np.floor(array)))
    if wrong.any():
        row = wrong.argmax()
        raise ValueError(f"y: expected integer labels 0 to {n - 1}, got {array[row]} at row {row}")
    return np.require(array, np.int64, ["C_CONTIGUOUS", "ALIGNED"])
