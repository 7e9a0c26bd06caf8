"""Whether data on disk are trained on at the disk's speed: ``python -m benchmarks.disk``.

A file is written into a temporary folder and read four ways, each time after the system has been
asked to forget it: piece by piece, as fast as that goes; then by one epoch of a network so small
that it costs little beside, as the rows lie and shuffled; and by `evaluate`. From the cache, too:
there the processor is the limit. The best of some tries, which take turns, because disks differ
from one moment to the next. Memory is that of the process itself, without the file's pages, at its
peak beyond what it was before.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fusedelta as fd
from fusedelta import text

INPUTS, HIDDEN, BATCH = 64, 8, 256
MEGABYTES = 512
TRIES = 5
MB = 1_000_000
PIECE = 2**20


class Pass(NamedTuple):
    """One way through the file."""

    name: str
    cached: bool
    seconds: float
    nbytes: int
    memory: int | None  #: bytes at the peak, where the system tells

    @property
    def rate(self) -> float:
        """MB/s."""
        return self.nbytes / self.seconds / MB


def write(path: Path, rows: int) -> None:
    """Random numbers, and a last column to learn from the others."""
    table = np.lib.format.open_memmap(path, "w+", np.float32, (rows, INPUTS + 1))
    block = np.random.default_rng(0).standard_normal((PIECE // 256, INPUTS + 1), dtype=np.float32)
    block[:, -1] = block[:, 0] * block[:, 1]
    for first in range(0, rows, len(block)):
        table[first : first + len(block)] = block[: rows - first]
    table.flush()


def forget(path: Path) -> bool:
    """Ask the system to drop the file from its cache; whether it can be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def read(path: Path) -> None:
    """All of it, in order, into one small buffer."""
    buffer = bytearray(PIECE)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def build() -> fd.Sequential:
    layers = [fd.Dense(HIDDEN, "relu"), fd.Dense(1)]
    return fd.Sequential(layers, "mean_squared_error", fd.SGD(1e-3), (INPUTS,), seed=0)


def train(path: Path, shuffle: bool) -> None:
    """One epoch."""
    table = np.load(path, mmap_mode="r")
    build().fit(table[:, :-1], table[:, -1], 1, BATCH, shuffle, verbose=0)


def evaluate(path: Path) -> None:
    table = np.load(path, mmap_mode="r")
    build().evaluate(table[:, :-1], table[:, -1])


WAYS: dict[str, Callable[[Path], None]] = {
    "read": read,
    "fit as it lies": lambda path: train(path, shuffle=False),
    "fit shuffled": lambda path: train(path, shuffle=True),
    "evaluate": evaluate,
}


class Peak(threading.Thread):
    """Looks at the process's own memory, again and again, until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._done = threading.Event()
        self.start_bytes = self.most = own_bytes()

    def run(self) -> None:
        while not self._done.wait(0.005):
            self.most = max(self.most, own_bytes())

    def stop(self) -> int | None:
        """The most that it was beyond what it was at first."""
        self._done.set()
        self.join()
        return self.most - self.start_bytes if self.start_bytes else None


def own_bytes() -> int:
    """Resident memory without the pages of files; 0 where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            found = [line.split()[1] for line in lines if line.startswith("RssAnon")]
    except OSError:
        return 0
    return int(found[0]) * 1024 if found else 0


def measure(name: str, path: Path, cached: bool) -> Pass:
    """Go through the file once."""
    if cached:
        read(path)
    else:
        forget(path)
    peak = Peak()
    peak.start()
    start = time.perf_counter()
    WAYS[name](path)
    seconds = time.perf_counter() - start
    return Pass(name, cached, seconds, path.stat().st_size, peak.stop())


def best(path: Path, tries: int) -> list[Pass]:
    """The fastest pass of each way and place, with the most memory that any took."""
    kinds = [(name, cached) for cached in (False, True) for name in WAYS]
    all_tries = [[measure(name, path, cached) for name, cached in kinds] for _ in range(tries)]
    passes = []
    for several in zip(*all_tries, strict=True):
        fastest = min(several, key=lambda each: each.seconds)
        known = [each.memory for each in several if each.memory is not None]
        passes.append(fastest._replace(memory=max(known, default=None)))
    return passes


def table(passes: Sequence[Pass]) -> str:
    """Figures, with the rate beside that of reading alone."""
    alone = {each.cached: each.rate for each in passes if each.name == "read"}
    rows = [
        (
            each.name,
            "cache" if each.cached else "disk",
            text.duration(each.seconds),
            f"{each.rate:.0f}",
            f"{each.rate / alone[each.cached]:.2f}",
            "?" if each.memory is None else f"{each.memory / MB:.0f}",
        )
        for each in passes
    ]
    return text.table(("", "from", "time", "MB/s", "to reading", "memory, MB"), rows)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.disk", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="of data (%(default)s)")
    parser.add_argument("--folder", help="on the disk to measure (default: the temporary one)")
    parser.add_argument("--tries", type=int, default=TRIES, help="the best counts (%(default)s)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "table.npy"
        write(path, max(1, options.megabytes * MB // (4 * (INPUTS + 1))))
        if not forget(path):
            print("this system cannot be asked to forget a file: all is from its cache")
        print(f"{INPUTS}-{HIDDEN}-1 relu, float32, batches of {BATCH}\n")
        print(table(best(path, options.tries)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
