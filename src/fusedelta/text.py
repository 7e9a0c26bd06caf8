"""Figures and values as text: tables, durations, sizes. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["digits", "duration", "figure", "shown", "size", "table"]


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table of plain text, with a line under its header.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequences of str
    left : int, default 1
        How many of the first columns are aligned to the left; the others are to the right.

    Returns
    -------
    text : str
    """
    lines = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(_line(cells, widths, left) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = [
        cell.ljust(width) if i < left else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def figure(value: float) -> str:
    """A loss or a norm: four decimals, or four digits and an exponent where those say little."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def duration(seconds: float) -> str:
    """A time for people: ``350 ns``, ``12.5 us``, ``3.1 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if seconds >= 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
    if seconds >= 60:
        return f"{seconds // 60:.0f} min {int(seconds % 60):02d} s"
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def size(n_bytes: float) -> str:
    """A number of bytes for people: ``512 B``, ``3.4 KiB``, ``1.2 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} GiB"


def shown(value: Any) -> str:
    """A value as an error message shows it: short, with its type."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, tuple | list) and any(isinstance(each, np.ndarray) for each in value):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(map(shown, value[:4]))}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = digits(value) if isinstance(value, int) else " ".join(repr(value).split())
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{text} ({type(value).__name__})"


def digits(value: Any) -> str:
    """A number as a message shows it: Python refuses to write integers of thousands of digits."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"about {'-' if value < 0 else ''}2^{value.bit_length()}"
    return str(value)
