"""Whether training stays in proportion to the data: ``python -m benchmarks.scaling``.

One network is fitted to more and more rows, shuffled, and for more and more epochs on few rows. The
time of a sample should stay the same, but for where the data no longer fit into a cache; memory
beside the data should be that of one batch, and 8 bytes a row for the order of the samples. With
``--thin`` a network of thin layers takes more and more rows as one batch.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import fusedelta as fd
from benchmarks import machine
from fusedelta import text

ROWS = (1_000, 10_000, 100_000, 1_000_000)
EPOCHS = (1, 10, 100, 1_000)
FEW_ROWS = 1_000
SIZES = (32, 64, 64, 1)  # inputs, units
BATCH = 32
THIN = (2, 16, 8, 1)  # the same
THIN_ROWS = (32, 400, 4_096, 16_000, 100_000)
THIN_SAMPLES = 2_000_000  # in all epochs of a try
TRIES = 3


class Fit(NamedTuple):
    """One cell of the tables."""

    rows: int
    epochs: int
    seconds: float  #: the least of some tries

    @property
    def per_sample(self) -> float:
        """Seconds of a sample in an epoch."""
        return self.seconds / (self.rows * self.epochs)


def build() -> fd.Sequential:
    layers = [*(fd.Dense(units, "relu") for units in SIZES[1:-1]), fd.Dense(SIZES[-1])]
    return fd.Sequential(layers, "mean_squared_error", fd.SGD(1e-3), SIZES[:1], seed=0)


def data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, SIZES[0]), dtype=np.float32)
    return X, X[:, :1] * X[:, 1:2]


def measure(rows: int, epochs: int, tries: int = TRIES) -> Fit:
    """Time a fit, after one that brings memory and caches into their usual state."""
    X, y = data(rows)
    net = build()
    net.fit(X, y, epochs=1, batch_size=BATCH, verbose=0)
    seconds = []
    for _ in range(tries):
        start = time.perf_counter()
        net.fit(X, y, epochs=epochs, batch_size=BATCH, verbose=0)
        seconds.append(time.perf_counter() - start)
    return Fit(rows, epochs, min(seconds))


def measure_thin(rows: int, dtype: str, tries: int = TRIES) -> Fit:
    """The same for all rows as one batch."""
    layers = [*(fd.Dense(units, "tanh") for units in THIN[1:-1]), fd.Dense(THIN[-1], "sigmoid")]
    net = fd.Sequential(layers, "binary_crossentropy", fd.SGD(0.1), THIN[:1], dtype, seed=0)
    X = np.random.default_rng(0).standard_normal((rows, THIN[0])).astype(dtype)
    y = (X[:, :1] > 0).astype(dtype)
    epochs, seconds = max(2, THIN_SAMPLES // rows), []
    for _ in range(tries + 1):
        start = time.perf_counter()
        net.fit(X, y, epochs=epochs, shuffle=False, verbose=0)
        seconds.append(time.perf_counter() - start)
    return Fit(rows, epochs, min(seconds[1:]))


def table(fits: Sequence[Fit]) -> str:
    """Figures, with the time of a sample beside that of the first fit."""
    header = ("rows", "epochs", "time", "time of a sample", "to the first")
    rows = [
        (
            f"{fit.rows:,}",
            f"{fit.epochs:,}",
            text.duration(fit.seconds),
            text.duration(fit.per_sample),
            f"{fit.per_sample / fits[0].per_sample:.2f}",
        )
        for fit in fits
    ]
    return text.table(header, rows, left=0)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--most-rows", type=int, default=ROWS[-1], help="%(default)s")
    parser.add_argument("--most-epochs", type=int, default=EPOCHS[-1], help="%(default)s")
    parser.add_argument("--thin", action="store_true", help="thin layers, all rows as one batch")
    options = parser.parse_args(argv)
    machine.pin(machine.cores(1))
    if options.thin:
        for dtype in ("float32", "float64"):
            print(f"{'-'.join(map(str, THIN))} tanh, {dtype}, all rows as one batch, one thread\n")
            rows = [rows for rows in THIN_ROWS if rows <= options.most_rows]
            print(table([measure_thin(count, dtype) for count in rows]), end="\n\n")
        return 0
    about = "-".join(map(str, SIZES))
    print(f"{about} relu, float32, batches of {BATCH}, one thread, shuffled\n")
    print(table([measure(rows, 1) for rows in ROWS if rows <= options.most_rows]))
    print()
    print(table([measure(FEW_ROWS, n) for n in EPOCHS if n <= options.most_epochs]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
