"""All parameters of a network in one flat, aligned block, and views of its pieces.

A layer with k inputs and n outputs owns k + 1 rows of `stride` elements: W's rows, then the bias.
The stride is n rounded up to 64 bytes; what lies beyond column n is padding and stays zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusedelta import text
from fusedelta.layers import ALIGNMENT, Row

__all__ = ["allocate", "views"]


def allocate(rows: Sequence[Row], dtype: np.dtype) -> np.ndarray:
    """A zeroed flat block for the parameters of `rows`, aligned to 64 bytes.

    Parameters
    ----------
    rows : sequence of Row
    dtype : numpy.dtype
        float32 or float64.

    Returns
    -------
    block : ndarray of shape (size,)

    Raises
    ------
    ValueError
        If there is not enough memory.
    """
    last = rows[-1]
    n_bytes = (last.offset + (last.n_inputs + 1) * last.stride) * dtype.itemsize
    try:
        raw = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    except (MemoryError, ValueError):
        raise ValueError(
            f"layers: expected parameters that fit into memory, got {text.size(n_bytes)} of them"
        ) from None
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[start : start + n_bytes].view(dtype)


def views(rows: Sequence[Row], block: np.ndarray) -> list[np.ndarray]:
    """The pieces of a flat block as arrays that share its memory.

    Parameters
    ----------
    rows : sequence of Row
    block : ndarray of shape (size,)
        Parameters, gradients, or anything else of that layout.

    Returns
    -------
    pieces : list of ndarray
        ``[W0, b0, W1, b1, ...]``, W of shape (inputs, outputs), b of shape (outputs,).
    """
    pieces = []
    for row in rows:
        end = row.offset + (row.n_inputs + 1) * row.stride
        piece = block[row.offset : end].reshape(row.n_inputs + 1, row.stride)[:, : row.n_outputs]
        pieces += [piece[:-1], piece[-1]]
    return pieces
