"""Every kernel alone: ``python -m benchmarks.bench_kernels``, by instruction set, dtype and shape.

The shapes are those of the tests (``tests/cases.py``) and of the networks that race.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from benchmarks import machine, peak
from benchmarks.race import ROOT
from benchmarks.workloads import WORKLOADS
from fusedelta import text
from fusedelta._kernels import LAYER_KERNELS, LOSS_KERNELS, Matrices

sys.path.append(str(ROOT / "tests"))
from cases import DENSE_SHAPES, ISAS, NARROW_SHAPES, ONLINE_SHAPES

SECONDS, TRIES = 0.02, 5
NARROW = 16  # the widest layer of a network that trains feature-major


class Case(NamedTuple):
    """A kernel on matrices of m samples, k inputs and n outputs."""

    kernel: str
    isa: str
    dtype: str
    shape: tuple[int, int, int]

    @property
    def flops(self) -> float:
        """Of the product; of a loss the number of outputs, for want of a better measure."""
        m, k, n = self.shape
        return m * n if self.kernel in LOSS_KERNELS else 2 * m * k * n


def shapes() -> dict[str, list[tuple[int, int, int]]]:
    """Shapes by path: dense (batch-major), online (one sample), narrow (feature-major)."""
    found = {"dense": DENSE_SHAPES, "online": ONLINE_SHAPES, "narrow": NARROW_SHAPES}
    found = {path: list(listed) for path, listed in found.items()}
    for workload in WORKLOADS:
        widest = max(workload.sizes)
        path = "online" if workload.batch == 1 else "narrow" if widest <= NARROW else "dense"
        found[path] += [(workload.batch, k, n) for k, n, _ in workload.layers]
    return {path: list(dict.fromkeys(listed)) for path, listed in found.items()}


def cases(isas: list[str], dtypes: list[str]) -> Iterator[Case]:
    """All of them, the kernels of layers first."""
    by_path = shapes()
    for isa in isas:
        for dtype in dtypes:
            for kernel in LAYER_KERNELS:
                for shape in by_path[kernel.partition("_")[0]]:
                    yield Case(kernel, isa, dtype, shape)
            for kernel in LOSS_KERNELS:
                yield Case(kernel, isa, dtype, (128, 1, 10))


class Bench:
    """A case with its matrices, filled so that nothing grows or is skipped."""

    def __init__(self, case: Case) -> None:
        m, k, n = case.shape
        self.kernel = case.kernel
        narrow = case.kernel.startswith("narrow")
        act = {"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}
        self.matrices = Matrices(
            case.isa, case.dtype, m, k, n, act.get(case.kernel, "relu"), "relu", narrow=narrow
        )
        rng = np.random.default_rng(0)
        X = self.matrices.X[:k, :m] if narrow else self.matrices.X[:, :k]
        D = self.matrices.D[:, :m] if narrow else self.matrices.D[:, :n]
        X[...] = rng.random(X.shape) + 0.1
        D[...] = rng.standard_normal(D.shape)
        self.matrices.Y[...] = 1 / n
        self.matrices.W[:, :n] = rng.standard_normal((k + 1, n)) / np.sqrt(k)

    def run(self, times: int) -> None:
        """So many times, in one call without the GIL."""
        if self.kernel in LOSS_KERNELS:
            self.matrices.evaluate(self.kernel, times=times)
        else:
            self.matrices.run(self.kernel, alpha=-1e-6, beta=1.0, times=times)


def measure(bench: Bench) -> float:
    """Seconds of one run, the best of some tries."""
    times = 1
    while (seconds := _seconds(bench, times)) < SECONDS / 2:
        times = int(times * min(10, SECONDS / max(seconds, 1e-7))) + 1
    return min(_seconds(bench, times) for _ in range(TRIES)) / times


def _seconds(bench: Bench, times: int) -> float:
    start = time.perf_counter()
    bench.run(times)
    return time.perf_counter() - start


def row(case: Case, seconds: float, peak_gflops: float | None) -> list[str]:
    """Cells of the table."""
    gflops = case.flops / seconds / 1e9
    is_loss = case.kernel in LOSS_KERNELS
    share = "" if is_loss else f"{gflops / peak_gflops:.0%}" if peak_gflops else "?"
    rate = f"{1 / gflops:.2f} ns/output" if is_loss else f"{gflops:.3g}"
    shape = " x ".join(map(str, case.shape))
    return [case.kernel, case.isa, case.dtype, shape, text.duration(seconds), rate, share]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_kernels", description=__doc__)
    parser.add_argument("kernels", nargs="*", metavar="kernel", help="parts of names; default all")
    parser.add_argument("--isa", nargs="+", choices=ISAS, default=ISAS)
    parser.add_argument("--dtype", nargs="+", choices=peak.C_TYPES, default=list(peak.C_TYPES))
    options = parser.parse_args()
    machine.pin(machine.cores(1))
    peaks: dict[tuple[str, str], float | None] = {}
    rows = []
    for case in cases(options.isa, options.dtype):
        if options.kernels and not any(part in case.kernel for part in options.kernels):
            continue
        if (case.isa, case.dtype) not in peaks:
            peaks[case.isa, case.dtype] = peak.measure(case.isa, case.dtype)
        rows.append(row(case, measure(Bench(case)), peaks[case.isa, case.dtype]))
    header = ["kernel", "isa", "dtype", "m x k x n", "time", "GFLOP/s", "of peak"]
    print(text.table(header, rows, left=4))


if __name__ == "__main__":
    main()
