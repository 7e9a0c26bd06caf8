"""All parameters of a network in one flat, aligned block, and views of its pieces.

A dense layer with k inputs and n outputs owns k + 1 rows of `stride` elements: W's rows, then the
bias. The stride is n in whole blocks of 64 bytes, and wide rows have an odd number of them
(`rows.stride_of`); what lies beyond column n is padding and stays zero. Of layers with few outputs
and more inputs (`rows.Row.is_tall`) W lies transposed: n rows of k elements in whole blocks, then
the bias. A normalisation owns a row each for gamma and beta. Its moving means and variances are in
a block of their own, of the same layout, which no optimiser sees: the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fusedelta import text
from fusedelta.rows import ALIGNMENT, Part, Row

__all__ = [
    "Tensor",
    "all_views",
    "allocate",
    "allocate_state",
    "clear_padding",
    "names",
    "shapes",
    "state_views",
    "tensors",
    "views",
]


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
    return _aligned(rows[-1].end * dtype.itemsize, dtype)


def allocate_state(rows: Sequence[Row], dtype: np.dtype) -> np.ndarray:
    """The same for their state; of size 0 where they have none."""
    return _aligned(rows[-1].state_end * dtype.itemsize, dtype)


def _aligned(n_bytes: int, dtype: np.dtype) -> np.ndarray:
    try:
        raw = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    except (MemoryError, ValueError):
        raise ValueError(
            f"layers: expected parameters that fit into memory, got {text.size(n_bytes)} of them"
        ) from None
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[start : start + n_bytes].view(dtype)


class Tensor(NamedTuple):
    """One array of parameters with its padding, as a run of elements of the flat block."""

    first: int
    last: int  #: the element behind its last
    stride: int  #: of its lines
    is_transposed: bool  #: whether lines are columns
    l1: float  #: of its penalty ``l1 sum(abs(w)) + l2 sum(w^2)``
    l2: float
    max_norm: float  #: of each column


def tensors(rows: Sequence[Row]) -> list[Tensor]:
    """Every W, every b and so on, in the order of `views`; together they are the whole block.

    Parameters
    ----------
    rows : sequence of Row

    Returns
    -------
    tensors : list of Tensor
    """
    found = []
    for row in rows:
        for part, at, stride, _ in _places(row, row.offset, row.parts):
            settings = row.transposes(part), *part.penalty, part.max_norm
            found.append(Tensor(at.start, at.stop, stride, *settings))
    return found


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
    return [view for row in rows for view in _cut(row, row.offset, row.parts, block)]


def state_views(rows: Sequence[Row], block: np.ndarray) -> list[np.ndarray]:
    """The same for a block of their state: moving means and variances."""
    return [view for row in rows for view in _cut(row, row.state_offset, row.state, block)]


def all_views(rows: Sequence[Row], params: np.ndarray, state: np.ndarray) -> list[np.ndarray]:
    """Both, row by row, the state of each behind its parameters: the order of Keras."""
    return [view for row in rows for view in (*views([row], params), *state_views([row], state))]


def _cut(row: Row, at: int, parts: Sequence[Part], block: np.ndarray) -> list[np.ndarray]:
    pieces = []
    for part, place, stride, used in _places(row, at, parts):
        lines = block[place].reshape(-1, stride)[:, :used]
        piece = lines[0] if len(part.shape) == 1 else lines
        pieces.append(piece.T if row.transposes(part) else piece)
    return pieces


def _places(row: Row, at: int, parts: Sequence[Part]) -> Iterator[tuple[Part, slice, int, int]]:
    """Each part, where it lies, the distance of its lines, and the elements of each in use."""
    for part in parts:
        lines, stride, used = row.lines_of(part)
        yield part, slice(at, at + lines * stride), stride, used
        at += lines * stride


def clear_padding(rows: Sequence[Row], block: np.ndarray) -> None:
    """Zero what lies beyond the elements in use of each line."""
    for row in rows:
        for _, at, stride, used in _places(row, row.offset, row.parts):
            block[at].reshape(-1, stride)[:, used:] = 0


def names(rows: Sequence[Row], pattern: str, *, with_state: bool = False) -> list[str]:
    """Names of the pieces, in the order of `views`, or of `all_views`.

    Parameters
    ----------
    rows : sequence of Row
    pattern : str
        With ``{name}`` where "W" or "b" goes, and ``{path}`` for the place of the layer.
    with_state : bool, default False

    Returns
    -------
    names : list of str
    """
    return [
        pattern.format(name=part.name, path=row.path)
        for row in rows
        for part in row.parts + row.state * with_state
    ]


def shapes(rows: Sequence[Row]) -> list[tuple[int, ...]]:
    """Shapes of all pieces, in the order of `all_views`."""
    return [part.shape for row in rows for part in row.parts + row.state]
