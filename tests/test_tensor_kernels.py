"""The kernels of single tensors: penalties, clipping, norms."""

from itertools import product

import numpy as np
import pytest

from fusedelta._kernels import condition, max_norm, penalty, shrink, zeros


def block(dtype, values):
    """Values in an aligned array of whole 64-byte blocks."""
    array = zeros((-(-len(values) // 16) * 16,), dtype)
    array[: len(values)] = values
    return array


def test_penalty(isa, dtype, rng):
    for size, (l1, l2) in product((1, 15, 16, 17, 1000), ((0, 1), (1, 0), (0.3, 0.7))):
        x = block(dtype, rng.standard_normal(size))
        exact = x.astype(np.longdouble)
        expected = l1 * abs(exact).sum() + l2 * (exact**2).sum()
        np.testing.assert_allclose(penalty(isa, x, l1, l2), float(expected), rtol=1e-14)


def test_squares_of_float32_do_not_overflow(isa):
    x = block("float32", [1e30, -1e30])
    assert penalty(isa, x, 0, 1) == pytest.approx(2e60, rel=1e-6)
    assert np.isnan(penalty(isa, block("float32", [np.nan]), 0, 1))


def test_condition(isa, dtype, rng):
    w, g = (block(dtype, rng.standard_normal(40)) for _ in range(2))
    w[:3] = 0
    w64, g64 = w.astype(np.float64), g.astype(np.float64)
    condition(isa, w, g, 0.25, 0.125, 1.5)
    expected = np.clip(g64 + 0.25 * np.sign(w64) + 0.25 * w64, -1.5, 1.5)
    np.testing.assert_allclose(g, expected, rtol=0, atol=4 * np.finfo(dtype).eps)
    assert abs(g).max() == 1.5
    assert not g[40:].any()


def test_conditions_leave_other_gradients_alone(isa, dtype, rng):
    w, g = (block(dtype, rng.standard_normal(40)) for _ in range(2))
    g[:3] = np.nan, np.inf, -np.inf
    before = g.copy()
    condition(isa, w, g, 0, 0, np.inf)
    np.testing.assert_array_equal(g, before)
    condition(isa, w, g, 0, 0, 5.0)
    np.testing.assert_array_equal(g[:3], [np.nan, 5, -5])


def test_shrink(isa, dtype, rng):
    x = block(dtype, rng.standard_normal(40))
    before = x.copy()
    shrink(isa, x, 0.3)
    np.testing.assert_array_equal(x, before * np.dtype(dtype).type(0.3))


def test_max_norm(isa, dtype, rng):
    W = zeros((7, 32), dtype)
    W[:, :20] = rng.standard_normal((7, 20)) * 10.0 ** rng.integers(-3, 3, 20)
    W[:, 5] = 0
    exact = W.astype(np.longdouble)
    norms = np.sqrt((exact**2).sum(axis=0))
    expected = exact * np.minimum(norms, 1.5) / (norms + 1e-7)
    halves = W.copy()
    max_norm(isa, W, 1.5)
    np.testing.assert_allclose(W, expected.astype(dtype), rtol=16 * np.finfo(dtype).eps)
    part = zeros((7, 32), dtype)
    part[:] = halves
    max_norm(isa, part, 1.5, 16, 32)
    np.testing.assert_array_equal(part[:, 16:], W[:, 16:])
    np.testing.assert_array_equal(part[:, :16], halves[:, :16])


def test_instruction_sets_give_the_same_bits(fused_isas, dtype, rng):
    values = rng.standard_normal((3, 1000))
    results = []
    for isa in fused_isas:
        w, g, W = block(dtype, values[0]), block(dtype, values[1]), zeros((10, 112), dtype)
        W[:, :100] = values[2].reshape(10, 100)
        condition(isa, w, g, 0.1, 0.2, 1.0)
        max_norm(isa, W, 1.0)
        results.append((penalty(isa, w, 0.1, 0.2), g, W))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(got, expected)
