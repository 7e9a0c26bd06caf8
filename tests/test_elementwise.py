"""The kernels of rows without parameters, against NumPy and against the published generator."""

import numpy as np
import pytest
from cases import EARLY, SLOPED, crossed
from exact import SLOPE, SLOPES, activation, assert_padding_zero, assert_within, derivative

from fusedelta._kernels import Matrices, zeros
from fusedelta.reference_layers import Walk, keep_mask, threefry

KINDS = [*EARLY, "elu", "gelu"]
SHAPES = [(1, 1), (2, 8), (3, 16), (7, 17), (13, 100)]
NOISE = {"rate": 0.3, "threshold": round(0.3 * 2**32), "number": 2, "key": 2**63 + 5, "step": 2**33}
KEPT = Walk(training=True, key=NOISE["key"], step=NOISE["step"])


def test_the_generator_gives_the_published_words():
    """Known answers of Random123, the authors' library, for Threefry-4x32-13."""
    pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0, 0x082EFA98]
    pi.append(0xEC4E6C89)
    answers = {
        (0,) * 8: [0x531C7E4F, 0x39491EE5, 0x2C855A92, 0x3D6ABF9A],
        (0xFFFFFFFF,) * 8: [0xC4189358, 0x1C9CC83A, 0xD5881C67, 0x6A0A89E0],
        tuple(pi): [0x4AA71D8F, 0x734738C2, 0x431FC6A8, 0xAE6DEBF1],
    }
    for given, expected in answers.items():
        words = threefry([np.array([word], np.uint32) for word in given[:4]], given[4:])
        assert [int(word[0]) for word in words] == expected


each_shape_and_kind = pytest.mark.parametrize(
    ("shape", "kind"), crossed(SHAPES, KINDS, [(7, 17)], ["tanh"]), ids=str
)


def filled(isa, dtype, m, n, kind, rng):
    """Matrices of a row of n values with that activation on both sides; X, D and act' of X."""
    below = "linear" if kind == "softmax" else kind
    matrices = Matrices(isa, dtype, m, n, n, act=kind, act_below=below, slope=SLOPE)
    matrices.X[:, :n] = rng.standard_normal((m, n)) * (rng.random((m, n)) > 0.2)
    matrices.D[:, :n] = rng.standard_normal((m, n))
    matrices.Sx[...] = rng.standard_normal(matrices.Sx.shape)
    X = matrices.X[:, :n].astype(np.longdouble)
    slope = matrices.Sx[:, :n].astype(np.longdouble) if kind in SLOPED else derivative(below, X)
    return matrices, X, matrices.D[:, :n].astype(np.longdouble), slope


@each_shape_and_kind
def test_activation(isa, dtype, shape, kind, rng):
    m, n = shape
    matrices, X, D, slope = filled(isa, dtype, m, n, kind, rng)
    matrices.run_elementwise("activation_forward")
    assert_within(matrices.Y[:, :n], activation(kind, X), 1, 4)
    if kind in SLOPED:
        assert_within(matrices.S[:, :n], sum(SLOPES[kind](X)), 1, 8)
    matrices.run_elementwise("activation_backward")
    assert_within(matrices.Dx[:, :n], D * slope, np.abs(D) * (1 + np.abs(slope)), 4)
    assert_padding_zero(matrices.Dx[:, n:])


@pytest.mark.parametrize("kind", ["linear", "tanh"])
def test_additions_and_forks(isa, dtype, kind, rng):
    for shape in SHAPES:
        check_additions(isa, dtype, shape, kind, rng)


def check_additions(isa, dtype, shape, kind, rng):
    m, n = shape
    matrices, X, D, slope = filled(isa, dtype, m, n, kind, rng)
    more = zeros(matrices.Y.shape, dtype)
    more[:, :n] = rng.standard_normal((m, n))
    matrices.run_elementwise("activation_forward", more=more)
    assert_within(matrices.Y[:, :n], activation(kind, X + more[:, :n]), 1, 4)
    matrices.run_elementwise("activation_backward", more=more)
    assert_within(matrices.Dx[:, :n], (D + more[:, :n]) * slope, 4 * (1 + np.abs(slope)), 4)
    assert_padding_zero(matrices.Dx[:, n:])


@each_shape_and_kind
def test_dropout(isa, dtype, shape, kind, rng):
    m, n = shape
    matrices, X, D, slope = filled(isa, dtype, m, n, kind, rng)
    keep = keep_mask(KEPT, NOISE["number"], m, n, NOISE["threshold"])
    Z = X * keep / np.longdouble(1 - NOISE["rate"])
    matrices.run_elementwise("dropout_forward", **NOISE)
    assert_within(matrices.Y[:, :n], activation(kind, Z), 2 * np.abs(Z) + 1, 4)
    matrices.run_elementwise("dropout_backward", **NOISE)
    Dx = D * keep / np.longdouble(1 - NOISE["rate"]) * slope
    assert_within(matrices.Dx[:, :n], Dx, 2 * np.abs(D) * (1 + np.abs(slope)), 4)
    assert_padding_zero(matrices.Dx[:, n:])


def test_softmax_of_a_row_that_is_no_product(isa, dtype, rng):
    matrices, X, _, _ = filled(isa, dtype, 5, 11, "softmax", rng)
    matrices.run_elementwise("activation_forward")
    e = np.exp(X - X.max(1, keepdims=True))
    assert_within(matrices.Y[:, :11], e / e.sum(1, keepdims=True), 1e-3, 40)


@pytest.mark.parametrize("passes", ["forward", "backward"])
@pytest.mark.parametrize("kernel", ["activation", "dropout"])
def test_split_work_gives_the_bits_of_the_whole(isa, dtype, kernel, passes, rng):
    matrices, *_ = filled(isa, dtype, 23, 37, "tanh", rng)
    to = matrices.Y if passes == "forward" else matrices.Dx
    noise = NOISE if kernel == "dropout" else {}
    matrices.run_elementwise(f"{kernel}_{passes}", **noise)
    whole = to.copy()
    to[:] = 0
    for first, last in ((9, 23), (0, 1), (1, 3), (3, 9)):
        matrices.run_elementwise(f"{kernel}_{passes}", first, last, **noise)
    np.testing.assert_array_equal(to, whole)


def test_masks_drop_as_much_as_they_should():
    """Each of many masks, each feature and each sample on its own; no two masks alike."""
    m, n, rate = 200, 150, 0.25
    masks = [
        keep_mask(Walk(True, key, step), number, m, n, round(rate * 2**32))
        for key in (1, 2**32, 2**40 + 1)
        for step in (0, 1, 2**32)
        for number in (0, 1)
    ]
    deviation = np.sqrt(rate * (1 - rate))
    for i, mask in enumerate(masks):
        for axis, count in ((None, m * n), (0, m), (1, n)):
            assert np.abs(mask.mean(axis) - (1 - rate)).max() < 5 * deviation / np.sqrt(count)
        for other in masks[:i]:
            agree = 1 - 2 * rate * (1 - rate)  # chance that two independent values are the same
            assert abs((mask == other).mean() - agree) < 5 * 0.5 / np.sqrt(m * n)


def test_a_rate_of_zero_keeps_all(isa, dtype, rng):
    matrices, X, _, _ = filled(isa, dtype, 6, 9, "linear", rng)
    matrices.run_elementwise("dropout_forward", rate=0.0, threshold=0)
    np.testing.assert_array_equal(matrices.Y[:, :9], X)


def test_what_is_dropped_is_zero_whatever_it_was(isa, dtype, rng):
    matrices, *_ = filled(isa, dtype, 6, 9, "linear", rng)
    matrices.X[:, :9] = np.nan
    matrices.run_elementwise("dropout_forward", **NOISE)
    keep = keep_mask(KEPT, NOISE["number"], 6, 9, NOISE["threshold"])
    np.testing.assert_array_equal(np.isnan(matrices.Y[:, :9]), keep)
    assert not matrices.Y[:, :9][~keep].any()
