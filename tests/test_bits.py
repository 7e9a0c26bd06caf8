"""The bits that trainings end with, recorded once and the same on every machine (golden/README.md).

The instruction sets with FMA have one record, whether of x86-64 or of ARM; base has another, also
everywhere.  ``python tests/test_bits.py`` writes it anew, when rounding changes on purpose.
"""

import hashlib
import json
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from cases import ELEMENTWISE, MIXED, OPTIMIZERS

import fusedelta as fd
from fusedelta import _cpu
from fusedelta._kernels import Matrices

TESTS = Path(__file__).parent
RECORD = TESTS / "golden" / "bits.json"
MSE, LABELS = "mean_squared_error", "sparse_categorical_crossentropy"
NARROW, TILES = [7, 9, 4], [50, 70, 33, 4]
LOSSES = {
    "half_sum_squared_error": "linear",
    "mean_absolute_error": "linear",
    "huber": "linear",
    "log_cosh": "linear",
    "quantile": "gelu",
    "poisson": "softplus",
    "hinge": "linear",
    "squared_hinge": "tanh",
    "binary_crossentropy": "sigmoid",
    "binary_focal_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "categorical_focal_crossentropy": "softmax",
    "kl_divergence": "softmax",
}


def dense(widths, hidden, last):
    return [*(fd.Dense(n, hidden) for n in widths[1:-1]), fd.Dense(widths[-1], last)]


def cases():
    """Yield a name, layers, loss, optimizer, widths from inputs to outputs, and batch size."""
    sgd = OPTIMIZERS[0]
    for widths in ([2, 16, 8, 1], [7, 33, 20, 5], [130, 1030, 3], [20, 64, 1]):
        for size in (1, 2, 16, 60):
            name = f"{'-'.join(map(str, widths))} by {size}"
            yield name, dense(widths, "relu", "linear"), MSE, sgd, widths, size
    for kind in ELEMENTWISE:
        if kind != "exponential":  # one of an exponential overflows
            for widths in (NARROW, TILES):
                name = f"{kind} in {'-'.join(map(str, widths))}"
                yield name, dense(widths, kind, "linear"), MSE, sgd, widths, 16
    for loss, last in LOSSES.items():
        for widths in (NARROW, TILES):
            name = f"{loss} of {'-'.join(map(str, widths))}"
            yield name, dense(widths, "tanh", last), loss, sgd, widths, 16
    for rule in OPTIMIZERS:
        if not isinstance(rule, fd.NAdam):  # its momentum is a power by the system's library
            yield str(rule), dense(TILES, "tanh", "softmax"), LABELS, rule, TILES, 16
    for name, layers in MIXED.items():
        yield name, layers, LABELS, fd.Adam(0.01), [11, 4], 16


CASES = {name: case for name, *case in cases()}


def data(loss, k, n, rng):
    """Return inputs and targets, computed without a library whose last digits may differ."""
    X, labels = rng.random((60, k)) - 0.5, rng.integers(0, n, 60)
    if loss == LABELS:
        return X, labels
    if "categorical" in loss or loss == "kl_divergence":
        return X, np.eye(n)[labels]
    if "binary" in loss or "hinge" in loss:
        low = -1.0 if "hinge" in loss else 0.0
        return X, np.where(rng.random((60, n)) > 0.5, 1.0, low)
    return X, rng.random((60, n))


def trained(name):
    """Return a digest of the weights after some steps, and of the outputs, in both dtypes."""
    layers, loss, optimizer, widths, batch_size = CASES[name]
    digest = hashlib.sha256()
    for dtype in ("float32", "float64"):
        rng = np.random.default_rng(5)
        net = fd.Sequential(layers, loss, optimizer, (widths[0],), dtype, seed=3)
        starts = (
            (rng.random(w.shape) - 0.5) / np.sqrt(len(w)) if w.ndim == 2 else w
            for w in net.get_weights()
        )
        net.set_weights(list(starts))
        X, y = data(loss, widths[0], widths[-1], rng)
        net.fit(X, y, 3, batch_size, verbose=0)
        for array in (*net.get_weights(), net.predict(X)):
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("name", CASES)
def test_trainings_end_with_the_recorded_bits(isa, name):
    record = json.loads(RECORD.read_text())["base" if isa == "base" else "fused"]
    assert trained(name) == record[name], "rounding changed: see the top of this file"


@pytest.mark.any_isa
def test_the_program_without_python_knows_every_field():
    """Its structs are filled by hand: a new field would be zero there, or NULL."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler called cc")
    command = [compiler, "-std=c11", "-fsyntax-only", "-Icsrc", ".ci/bits.c"]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def nearest_cache(large):
    found = _cpu.assume_large_l1(large)
    try:
        yield
    finally:
        assert _cpu.assume_large_l1(found) is large


@pytest.mark.parametrize(
    "shape",
    [
        (70, 410, 70),
        (130, 450, 140),
        (33, 2010, 140),
        (60, 90, 1100),
        (5, 1100, 530),
        (50, 1100, 250),
        (5, 1100, 125),
    ],
    ids=str,
)
@pytest.mark.parametrize("kernel", ["dense_forward", "dense_backward", "dense_update"])
def test_passes_have_the_bits_of_any_nearest_cache(isa, dtype, kernel, shape, rng):
    """In a large one all stays where it is, else operands are brought together."""
    m, k, n = shape
    with nearest_cache(large=False):  # which takes more scratch
        matrices = Matrices(isa, dtype, m, k, n)
    matrices.X[:, :k] = rng.standard_normal((m, k))
    matrices.D[:, :n] = rng.standard_normal((m, n))
    matrices.W[:, :n] = rng.standard_normal((k + 1, n))
    start, results = matrices.target.copy(), []
    for large in (False, True):
        with nearest_cache(large):
            matrices.target[:] = start
            matrices.run(kernel, alpha=0.5, beta=1.0)
        results.append([matrices.Y.copy(), matrices.Dx.copy(), matrices.target.copy()])
    assert sum((array != 0).any() for array in results[0]) == 1
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("m", range(2, 9))
def test_a_few_samples_have_the_bits_of_one_backward(isa, dtype, m, rng):
    k, n = 37, 16 * m + 3
    batch, alone = (Matrices(isa, dtype, rows, k, n, act_below="tanh") for rows in (m, 1))
    batch.X[:, :k] = rng.standard_normal((m, k))
    batch.D[:, :n] = rng.standard_normal((m, n))
    batch.W[:, :n] = alone.W[:, :n] = rng.standard_normal((k + 1, n))
    batch.run("dense_backward")
    for i in range(m):
        alone.X[0], alone.D[0] = batch.X[i], batch.D[i]
        alone.run("online_backward")
        assert alone.Dx[0, :k].all()
        np.testing.assert_array_equal(batch.Dx[i], alone.Dx[0])


def main():
    """Write the record with this machine's base and its best instruction set."""
    record = {}
    for kind, isa in ("base", "base"), ("fused", _cpu.available_isas()[0]):
        _cpu.use_isa(isa)
        record[kind] = {name: trained(name) for name in CASES}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
