"""What a loss of the user's own returns, checked. `fusedelta.losses` says what it must be."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusedelta import validation
from fusedelta.validation import shown

__all__ = ["check_result"]


def check_result(result: Any, y_pred: np.ndarray) -> tuple[float, np.ndarray]:
    """What a loss of the user's own returned for `y_pred`, as a float and a ready array.

    Raises
    ------
    TypeError, ValueError
        If it is not a pair of a finite number and a finite array of the shape of `y_pred`.
    """
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError(f"loss: expected it to return (value, gradient), got {shown(result)}")
    value, gradient = result
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    value = validation.number("loss: its value", value)
    gradient = np.asarray(gradient)
    if gradient.dtype.kind not in "fiu":
        raise TypeError(f"loss: expected a gradient of real numbers, got {shown(gradient)}")
    if gradient.shape != y_pred.shape:
        raise ValueError(
            f"loss: expected a gradient of the shape of y_pred, {y_pred.shape}, "
            f"got {gradient.shape}"
        )
    with np.errstate(over="ignore"):
        ready = np.require(gradient, y_pred.dtype, ["C_CONTIGUOUS", "ALIGNED"])
    if not np.isfinite(ready).all():
        at = tuple(map(int, np.unravel_index(np.isfinite(ready).argmin(), ready.shape)))
        raise ValueError(f"loss: expected a finite gradient, got {gradient[at]} at {at}")
    return value, ready
