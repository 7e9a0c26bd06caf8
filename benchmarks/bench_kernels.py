"""Every kernel alone: ``python -m benchmarks.bench_kernels``, by instruction set, dtype and shape.

The shapes are those of the tests (``tests/cases.py``), of the networks that race, and a few samples
of wide layers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from benchmarks import machine, peak
from benchmarks.race import ROOT
from benchmarks.workloads import WORKLOADS
from fusedelta import text
from fusedelta._kernels import (
    ELEMENTWISE_KERNELS,
    FINISH_KERNELS,
    LAYER_KERNELS,
    LOSS_KERNELS,
    NORMALIZE_KERNELS,
    POINTWISE_KERNELS,
    STEP_KERNELS,
    TENSOR_KERNELS,
    Matrices,
    apply,
    condition,
    finish,
    max_norm,
    penalty,
    rescale,
    shrink,
    zeros,
)
from fusedelta.rows import NARROW, TALL

sys.path.append(str(ROOT / "tests"))
from cases import DENSE_SHAPES, ELEMENTWISE, ISAS, NARROW_SHAPES, ONLINE_SHAPES, TALL_SHAPES

SECONDS, TRIES = 0.02, 5
FINISH_SIZES = 1 << 10, 1 << 20  # weights: in the nearest cache, in the farthest
APPLIED = ["exp", "log1p", "root", *ELEMENTWISE]
APPLIED_SIZE = 4096  # values: in the nearest cache


class Case(NamedTuple):
    """A kernel on matrices of m samples, k inputs and n outputs."""

    kernel: str
    isa: str
    dtype: str
    shape: tuple[int, int, int]

    @property
    def is_product(self) -> bool:
        """Whether it multiplies matrices; the others go over values, one by one."""
        return self.kernel in (*LAYER_KERNELS, *STEP_KERNELS)

    @property
    def work(self) -> float:
        """Operations of the product, or the number of values."""
        m, k, n = self.shape
        if self.kernel in STEP_KERNELS:
            return 4 * m * k * n  # forward and update: there is no layer below
        if self.kernel == "narrow_gather":
            return m * k
        return 2 * m * k * n if self.is_product else m * n


#: Samples, inputs, outputs; what few samples gain is said at kernels by these.
FEW_SAMPLES = [(4, 256, 256), (8, 256, 256), (2, 1024, 1024), (32, 1024, 1024)]


#: Where W comes together on the way forward, or lies an odd number of blocks apart.
MANY_WEIGHTS = [(64, 2048, 2048), (512, 2048, 2048), (512, 2048, 256), (512, 2048, 512)]

#: What layers of one output gain, on the path of others and on theirs.
ONE_OUTPUT = [(1000, 30, 1), (256, 256, 1)]


def shapes() -> dict[str, list[tuple[int, int, int]]]:
    """Shapes by path: dense (batch-major), online (one sample), narrow (feature-major), tall."""
    found = {
        "dense": [*DENSE_SHAPES, *FEW_SAMPLES, *MANY_WEIGHTS, *ONE_OUTPUT],
        "online": [*ONLINE_SHAPES, (1, 1000, 1)],
        "narrow": [*NARROW_SHAPES],
        "tall": [*TALL_SHAPES, *ONE_OUTPUT],
    }
    for workload in WORKLOADS:
        widest = max(workload.sizes)
        path = "online" if workload.batch == 1 else "narrow" if widest <= NARROW else "dense"
        for k, n, _ in workload.layers:
            found["tall" if k > NARROW and n <= TALL else path].append((workload.batch, k, n))
    return {path: list(dict.fromkeys(listed)) for path, listed in found.items()}


def cases(isas: list[str], dtypes: list[str]) -> Iterator[Case]:
    """All of them, the kernels of layers first."""
    by_path = shapes()
    for isa in isas:
        for dtype in dtypes:
            for kernel in (*LAYER_KERNELS, *STEP_KERNELS):
                for shape in by_path[kernel.partition("_")[0]]:
                    yield Case(kernel, isa, dtype, shape)
            for shape in by_path["narrow"]:
                yield Case("narrow_gather", isa, dtype, shape)
            for kind in APPLIED:
                yield Case(f"apply_{kind}", isa, dtype, (1, 1, APPLIED_SIZE))
            for kernel in (*ELEMENTWISE_KERNELS, *NORMALIZE_KERNELS):
                yield Case(kernel, isa, dtype, (128, 256, 256))
            for kernel in (*LOSS_KERNELS, "through_output", "rescale"):
                yield Case(kernel, isa, dtype, (128, 1, 10))
            for kernel in POINTWISE_KERNELS:
                yield Case(kernel, isa, dtype, (1000, 1, 1))
            for kernel in (*FINISH_KERNELS, *TENSOR_KERNELS):
                for size in FINISH_SIZES:
                    yield Case(kernel, isa, dtype, (1, 1, size))


def make_bench(case: Case) -> Callable[[int], None]:
    """What runs a case so many times, in one call without the GIL."""
    if case.kernel.startswith("apply_"):
        return Applied(case).run
    if case.kernel in TENSOR_KERNELS:
        return Tensor(case).run
    return (Finish(case) if case.kernel in FINISH_KERNELS else Layer(case)).run


class Applied:
    """An elementary function or activation."""

    def __init__(self, case: Case) -> None:
        self.isa, self.kind = case.isa, case.kernel.removeprefix("apply_")
        self.x = np.random.default_rng(0).uniform(0, 2, case.shape[-1]).astype(case.dtype)

    def run(self, times: int) -> None:
        apply(self.isa, self.kind, self.x, 0.125, times=times)


class Finish:
    """A finish of an optimiser on a block of weights."""

    def __init__(self, case: Case) -> None:
        self.case = case
        names = ("w", "g", "velocity", "m", "v", "u", "d")
        self.blocks = {name: zeros(case.shape[-1:], case.dtype) for name in names}
        for block in self.blocks.values():
            block[:] = np.random.default_rng(0).random(len(block))

    def run(self, times: int) -> None:
        numbers = {"rate": 1e-6, "decay": 0.0, "epsilon": 1e-8, "momentum": 0.9, "rho": 0.9}
        numbers |= {"beta_1": 0.9, "beta_2": 0.999, "mean_part": 0.5, "gradient_part": 0.5}
        finish(self.case.isa, self.case.kernel, self.blocks, numbers, times=times)


class Tensor:
    """A kernel of penalties, clipping or constraints, on weights that it leaves as they are."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.w, self.g = (zeros(case.shape[-1:], case.dtype) for _ in range(2))
        self.w[:] = np.random.default_rng(0).random(len(self.w))

    def run(self, times: int) -> None:
        isa = self.case.isa
        if self.case.kernel == "penalty":
            penalty(isa, self.w, 0.1, 0.1, times=times)
        elif self.case.kernel == "condition":
            condition(isa, self.w, self.g, 0.1, 0.1, 1.0, times=times)
        elif self.case.kernel == "shrink":
            shrink(isa, self.w, 1.0, times=times)
        else:
            max_norm(isa, self.w.reshape(-1, 64), 1e6, times=times)


class Layer:
    """A kernel of a layer or of a loss on matrices in which nothing grows or is skipped."""

    def __init__(self, case: Case) -> None:
        m, k, n = case.shape
        self.kernel, self.isa = case.kernel, case.isa
        narrow, tall = case.kernel.startswith("narrow"), case.kernel.startswith("tall")
        act = {"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}
        inner = "tanh" if narrow else "relu"
        acts = act.get(case.kernel, inner), inner
        self.matrices = Matrices(case.isa, case.dtype, m, k, n, *acts, narrow=narrow, tall=tall)
        rng = np.random.default_rng(0)
        X = self.matrices.X[:k, :m] if narrow else self.matrices.X[:, :k]
        D = self.matrices.D[:, :m] if narrow else self.matrices.D[:, :n]
        X[...] = rng.random(X.shape) + 0.1
        D[...] = rng.standard_normal(D.shape)
        self.matrices.Y[...] = 1 / n
        W = self.matrices.W[:n, :k] if tall else self.matrices.W[: k + 1, :n]
        W[...] = rng.standard_normal(W.shape) / np.sqrt(k)
        self.samples = rng.standard_normal((m, k)).astype(case.dtype)
        self.order = rng.permutation(m)
        self.statistics = zeros((max(7, m), self.matrices.Y.shape[1]), case.dtype)
        self.moving = zeros((2, self.matrices.Y.shape[1]), case.dtype)

    def run(self, times: int) -> None:
        if self.kernel in LOSS_KERNELS:
            self.matrices.evaluate(self.kernel, times=times)
        elif self.kernel in STEP_KERNELS:
            self.matrices.step(self.kernel, alpha=-1e-6, times=times)
        elif self.kernel in ELEMENTWISE_KERNELS:
            self.matrices.run_elementwise(self.kernel, rate=0.5, threshold=2**31, times=times)
        elif self.kernel in NORMALIZE_KERNELS:
            arrays = self.statistics, self.moving
            self.matrices.run_normalization(self.kernel, *arrays, momentum=0.9, times=times)
        elif self.kernel == "through_output":
            self.matrices.through_output(times)
        elif self.kernel == "rescale":
            rescale(self.isa, self.matrices.T, 1.0, 0.0, times)
        elif self.kernel == "narrow_gather":
            self.matrices.narrow_gather(self.samples, self.order, times=times)
        else:
            self.matrices.run(self.kernel, alpha=-1e-6, beta=1.0, times=times)


def measure(run: Callable[[int], None]) -> float:
    """Seconds of one run, the best of some tries."""
    times = 1
    while (seconds := _seconds(run, times)) < SECONDS / 2:
        times = int(times * min(10, SECONDS / max(seconds, 1e-7))) + 1
    return min(_seconds(run, times) for _ in range(TRIES)) / times


def _seconds(run: Callable[[int], None], times: int) -> float:
    start = time.perf_counter()
    run(times)
    return time.perf_counter() - start


def row(case: Case, seconds: float, peak_gflops: float | None) -> list[str]:
    """Cells of the table."""
    shape = " x ".join(map(str, case.shape))
    cells = [case.kernel, case.isa, case.dtype, shape, text.duration(seconds)]
    if not case.is_product:
        return [*cells, f"{1e9 * seconds / case.work:.2f} ns/value", ""]
    gflops = case.work / seconds / 1e9
    return [*cells, f"{gflops:.3g}", f"{gflops / peak_gflops:.0%}" if peak_gflops else "?"]


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
        rows.append(row(case, measure(make_bench(case)), peaks[case.isa, case.dtype]))
    header = ["kernel", "isa", "dtype", "m x k x n", "time", "GFLOP/s", "of peak"]
    print(text.table(header, rows, left=4))


if __name__ == "__main__":
    main()
