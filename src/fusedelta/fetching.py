"""Data on disk: what they are, and how they come into memory while there is other work."""

from __future__ import annotations

import mmap
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import numpy as np

__all__ = ["expect", "is_on_disk", "read_ahead"]

#: The system is asked for so many bytes at a time: the usual limit of Linux, for pages of any size.
FETCH_BYTES = max(128 << 10, mmap.PAGESIZE)

Item = TypeVar("Item")


def is_on_disk(data: Any) -> bool:
    """Whether an array lies in a file: a memmap, or a data set of h5py or zarr."""
    if isinstance(data, np.memmap):
        return True
    wanted = ("shape", "dtype", "chunks", "__getitem__")
    return not isinstance(data, np.ndarray) and all(hasattr(data, name) for name in wanted)


def expect(data: Any, first: int, last: int) -> None:
    """Tell the system that rows of a memmap will be read: it may fetch them all at once.

    In small pieces, because of a large one Linux would only fetch the start.
    """
    mapped = getattr(data, "_mmap", None)
    if mapped is None or not hasattr(mmap, "MADV_WILLNEED"):
        return
    part = data[first:last]
    steps = [(n - 1) * step for n, step in zip(part.shape, part.strides, strict=True)]
    start = part.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    low = start + sum(step for step in steps if step < 0)
    high = start + sum(step for step in steps if step > 0) + part.itemsize
    for at in range(low - low % FETCH_BYTES, high, FETCH_BYTES):
        mapped.madvise(mmap.MADV_WILLNEED, at, min(FETCH_BYTES, high - at))


def read_ahead(pieces: Iterator[Item]) -> Generator[Item]:
    """The same pieces; while one is in use, a thread makes the next."""
    from concurrent.futures import ThreadPoolExecutor  # here, because it takes long to import

    with ThreadPoolExecutor(1, "fusedelta-reader") as reader:
        future = reader.submit(next, pieces, None)
        while (piece := future.result()) is not None:
            future = reader.submit(next, pieces, None)
            yield piece
