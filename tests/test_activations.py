"""Activations: how exact the compiled ones are, their edges, the objects and their names."""

import sys
from itertools import product

import numpy as np
import pytest
from cases import ELEMENTWISE, FUSED_ISAS, ISAS, LATE, SLOPED
from exact import ACTIVATIONS, SLOPE, SLOPES, has_extended_precision, twice_u

import fusedelta as fd
from fusedelta import activations
from fusedelta._kernels import apply

EXTENDED = pytest.mark.skipif(
    not has_extended_precision(), reason=f"no extended precision on {sys.platform}"
)

# Where each is tried beside the neighbourhood of zero; the left ends reach into the denormals
RANGES = {
    "exp": (-110, 95),
    "log1p": (0, 1e6),
    "root": (0, 1e6),
    "sigmoid": (-110, 40),
    "tanh": (-12, 12),
    "elu": (-20, 20),
    "selu": (-20, 20),
    "exponential": (-110, 95),
    "softplus": (-110, 40),
    "silu": (-110, 40),
    "mish": (-110, 40),
    "gelu": (-14.5, 10),
    "gelu_tanh": (-4, 10),
    "hard_sigmoid": (-4, 4),
    "hard_tanh": (-2, 2),
}
# The largest errors that are allowed, in units in the last place: a little more than those that
# benchmarks.accuracy finds, which stand in csrc/elementary.h
ULPS = {
    "exp": 1.0,
    "log1p": 1.1,
    "root": 0.8,
    "sigmoid": 1.8,
    "tanh": 1.9,
    "elu": 1.5,
    "selu": 3.0,
    "exponential": 1.0,
    "softplus": 2.0,
    "silu": 3.0,
    "mish": 4.0,
    "gelu": 7.0,
    "gelu_tanh": 24.0,
    "hard_sigmoid": 1.0,
    "hard_tanh": 0.0,
}
# Where products are rounded before a sum
UNFUSED_ULPS = {"root": 1.25, "exp": 1.3, "exponential": 1.3}
EXACT = {"exp": np.exp, "log1p": np.log1p, "root": np.sqrt, **ACTIVATIONS}
POSITIVE = "log1p", "root"  # which are for no others


def allowed(kind, isa):
    """Return the largest error that is allowed on an instruction set."""
    return ULPS[kind] if isa in FUSED_ISAS else UNFUSED_ULPS.get(kind, ULPS[kind])


def values(kind, dtype, rng):
    """Numbers all over the range, dense near zero, and of every size."""
    low, high = RANGES[kind]
    few = 10 if kind.startswith("gelu") else 1  # whose oracle is slow
    if dtype == "float64" and low == -110:
        low = -750
    elif dtype == "float64" and kind == "gelu":
        low = -38.6
    x = [rng.uniform(low, high, 200_000 // few), rng.standard_normal(100_000 // few)]
    x += [10.0 ** rng.uniform(-30, 0, 50_000 // few) * rng.choice([-1, 1], 50_000 // few)]
    x = np.concatenate([*x, x[1] * 0.1]).astype(dtype)
    return np.abs(x) if kind in POSITIVE else x


@EXTENDED
@pytest.mark.any_isa
@pytest.mark.parametrize("kind", RANGES)
def test_errors_in_units_in_the_last_place(dtype, kind, rng):
    x = values(kind, dtype, rng)
    exact = EXACT[kind](x.astype(np.longdouble))  # which takes longer than all the kernels
    with np.errstate(over="ignore", under="ignore"):
        spacing = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
    good = np.isfinite(spacing)
    for isa in ISAS:
        got = apply(isa, kind, x, SLOPE).astype(np.longdouble)
        error = np.abs(got - exact)[good] / spacing[good]
        assert error.max() <= allowed(kind, isa), isa


@EXTENDED
def test_the_left_tail_of_gelu_by_tanh(isa, dtype, rng):
    x = rng.uniform(-10 if dtype == "float32" else -20, 0, 50_000).astype(dtype)
    exact = ACTIVATIONS["gelu_tanh"](x.astype(np.longdouble))
    spacing = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
    error = np.abs(apply(isa, "gelu_tanh", x).astype(np.longdouble) - exact) / spacing
    assert np.all(error <= 4 + 3 * np.abs(twice_u(x.astype(np.longdouble))))


@EXTENDED
@pytest.mark.any_isa
@pytest.mark.parametrize("kind", SLOPED)
def test_slopes_are_exact_relative_to_their_terms(dtype, kind, rng):
    x = values(kind, dtype, rng)
    terms = SLOPES[kind](x.astype(np.longdouble))
    size, exact = sum(map(np.abs, terms)) + np.finfo(dtype).tiny, sum(terms)
    for isa in ISAS:
        error = np.abs(apply(isa, kind, x, slopes=True).astype(np.longdouble) - exact) / size
        assert error.max() <= (20 if kind == "gelu_tanh" else 4) * np.finfo(dtype).eps, isa


INF = np.inf
EDGES = np.array([0.0, INF, -INF, np.nan, 1e-40, -1e-40, 1e30, -1e30, -0.0])
AT_EDGES = {  # None: as the values themselves
    "exp": [1, INF, 0, np.nan, 1, 1, INF, 0, 1],
    "exponential": [1, INF, 0, np.nan, 1, 1, INF, 0, 1],
    "sigmoid": [0.5, 1, 0, np.nan, 0.5, 0.5, 1, 0, 0.5],
    "tanh": [0, 1, -1, np.nan, None, None, 1, -1, 0],
    "relu": [0, INF, 0, np.nan, None, 0, None, 0, 0],
    "elu": [0, INF, -1, np.nan, None, None, None, -1, 0],
    "softplus": [np.log(2), INF, 0, np.nan, np.log(2), np.log(2), None, 0, np.log(2)],
    "silu": [0, INF, 0, np.nan, 5e-41, -5e-41, None, 0, 0],
    "mish": [0, INF, 0, np.nan, 6e-41, -6e-41, None, 0, 0],
    "gelu": [0, INF, 0, np.nan, 5e-41, -5e-41, None, 0, 0],
    "gelu_tanh": [0, INF, 0, np.nan, 5e-41, -5e-41, None, 0, 0],
    "hard_sigmoid": [0.5, 1, 0, np.nan, 0.5, 0.5, 1, 0, 0.5],
    "hard_tanh": [0, 1, -1, np.nan, None, None, 1, -1, 0],
}


def test_roots_at_the_edges(isa, dtype):
    x = np.array([0, np.finfo(dtype).tiny, 1, 4, np.finfo(dtype).max, INF, np.nan], dtype)
    np.testing.assert_allclose(apply(isa, "root", x), np.sqrt(x), rtol=np.finfo(dtype).eps)


def test_edges(isa, dtype):
    x, info = EDGES.astype(dtype), np.finfo(dtype)
    rounding = {"rtol": 2 * info.eps, "atol": info.smallest_subnormal}
    for kind, values in AT_EDGES.items():
        expected = [x[i] if y is None else y for i, y in enumerate(values)]
        got = apply(isa, kind, x, 1.0)
        np.testing.assert_allclose(got, np.array(expected, dtype), **rounding, err_msg=kind)


def test_slopes_at_the_edges(isa, dtype):
    for kind in SLOPED:
        got = apply(isa, kind, EDGES.astype(dtype), slopes=True)
        middle = 0.6 if kind == "mish" else 0.5
        expected = [middle, 1, 0, np.nan, middle, middle, 1, 0, middle]
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-37, err_msg=kind)


def test_signs_of_zero(isa, dtype):
    assert np.signbit(apply(isa, "tanh", np.array([-0.0], dtype)))[0]
    np.testing.assert_array_equal(
        apply(isa, "log1p", np.array([0.0, INF], dtype)), np.array([0, INF], dtype)
    )


def test_no_value_depends_on_its_place(isa, dtype):
    for kind, value in product(["exp", "log1p", *ELEMENTWISE], (0.3, 1.7, 5.1, -0.9)):
        x = np.full(37, abs(value) if kind == "log1p" else value, dtype)
        assert len(set(apply(isa, kind, x, SLOPE).tolist())) == 1, kind
        if kind in SLOPED:
            assert len(set(apply(isa, kind, x, slopes=True).tolist())) == 1, kind


@pytest.mark.parametrize("kind", RANGES)
def test_instruction_sets_give_the_same_bits(fused_isas, dtype, kind, rng):
    x = np.concatenate([values(kind, dtype, rng), np.abs(EDGES).astype(dtype)])
    first, *others = (apply(isa, kind, x, SLOPE) for isa in fused_isas)
    for other in others:
        np.testing.assert_array_equal(first, other)
    if kind in SLOPED:
        first, *others = (apply(isa, kind, x, slopes=True) for isa in fused_isas)
        for other in others:
            np.testing.assert_array_equal(first, other)


# ---- in networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(9, 5), (40, 20)], ids=["thin", "wide"])
def test_a_sample_has_the_same_outputs_alone_and_in_any_batch(isa, dtype, widths):
    for kind in LATE:
        check_samples(dtype, kind, widths, np.random.default_rng(7))


def check_samples(dtype, kind, widths, rng):
    layers = [fd.Dense(widths[0], kind), fd.Dense(widths[1], kind)]
    net = fd.Sequential(layers, "mean_squared_error", input_shape=(6,), dtype=dtype, seed=2)
    X = rng.standard_normal((300, 6)).astype(dtype) * 0.3
    net.train_step(X, np.zeros((300, widths[1])))
    whole = net.predict(X)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(net.predict(X[100:107]), whole[100:107])
    np.testing.assert_array_equal(net.predict_one(X[17]), whole[17])
    assert net.evaluate(X, whole)["loss"] == 0


@pytest.mark.any_isa
@pytest.mark.parametrize("kind", LATE)
def test_threads_and_instruction_sets_do_not_change_a_bit(dtype, kind, rng):
    X = rng.standard_normal((256, 30)).astype(dtype)
    y = rng.random((256, 150)).astype(dtype)
    results = []
    for isa in FUSED_ISAS or ISAS:
        before = fd._cpu.use_isa(isa)
        for n_threads in (1, 2):
            layers = [fd.Dense(150, kind), fd.Dense(150, kind)]
            net = fd.Sequential(
                layers, "mean_squared_error", dtype=dtype, seed=1, n_threads=n_threads
            )
            net.fit(X, y, epochs=2, batch_size=200, verbose=0)
            results.append(net.params.copy())
        fd._cpu.use_isa(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# ---- as data -------------------------------------------------------------------------------------


def test_names_and_objects():
    assert activations.resolve("swish") == ("silu", 0.0)
    assert activations.resolve(None) == ("linear", 0.0)
    assert activations.resolve("elu") == activations.resolve(fd.ELU()) == ("elu", 1.0)
    assert activations.resolve(fd.ELU(0.5)) == ("elu", 0.5)
    assert activations.resolve("gelu") == activations.resolve(fd.GELU()) == ("gelu", 0.0)
    assert activations.resolve("gelu_tanh") == activations.resolve(fd.GELU(approximate=True))
    for name in activations.ACTIVATIONS:
        assert activations.resolve(name)[0] == name


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fd.ELU(-0.1), ValueError, "alpha: expected a finite number >= 0, got -0.1"),
        (lambda: fd.ELU(INF), ValueError, "alpha: .* got inf"),
        (lambda: fd.ELU("x"), TypeError, r"alpha: .* got 'x' \(str\)"),
        (lambda: fd.GELU("tanh"), TypeError, r"approximate: expected True or False, got 'tanh'"),
        (lambda: fd.Dense(3, "gelo"), ValueError, "activation: .*'gelu', .* got 'gelo'"),
    ],
)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("activation", [fd.ELU(0.5), fd.GELU(approximate=True), "gelu", "swish"])
def test_they_survive_a_file(sequential, activation, tmp_path, rng):
    net = sequential(
        [fd.Dense(4, activation), fd.Dense(1)], "mean_squared_error", input_shape=(3,), seed=0
    )
    net.save(tmp_path / "net.npz")
    other = sequential.load(tmp_path / "net.npz")
    assert other.layers == net.layers
    X = rng.standard_normal((5, 3))
    np.testing.assert_array_equal(other.predict(X), net.predict(X))
