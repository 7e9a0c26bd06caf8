"""The kernels that finish an optimiser's step, against NumPy in extended precision."""

from itertools import pairwise

import numpy as np
import pytest
from cases import FUSED_ISAS

from fusedelta._kernels import FINISH_KERNELS, finish, zeros

RATE, BETA_1, BETA_2, EPSILON = 0.125, 0.9, 0.999, 1e-7
NUMBERS = {"rate": RATE, "beta_1": BETA_1, "beta_2": BETA_2, "epsilon": EPSILON}


def optimizer_blocks(dtype, rng, size=320):
    """w, g, m and v of an optimiser: gradients of all sizes, and a quarter of padding."""
    blocks = [zeros((size,), dtype) for _ in range(4)]
    for block in blocks:
        block[: 3 * size // 4] = rng.standard_normal(3 * size // 4)
    _, g, m, v = blocks
    g *= 10.0 ** rng.integers(-8, 3, size)
    g[:3] = m[:3] = v[:3] = 0
    v[:] = v * v * np.abs(g)
    return blocks


def expected_finish(kernel, w, g, m, v):
    """The blocks afterwards, in longdouble, with the numbers rounded as the kernel has them."""
    dtype = w.dtype
    rate, b1, b2, eps = (np.longdouble(dtype.type(x)) for x in (RATE, BETA_1, BETA_2, EPSILON))
    r1, r2 = np.longdouble(dtype.type(1 - BETA_1)), np.longdouble(dtype.type(1 - BETA_2))
    w, g, m, v = (block.astype(np.longdouble) for block in (w, g, m, v))
    if kernel == "momentum_finish":
        return w - rate * m, m, v
    if kernel == "nesterov_finish":
        m = b1 * m + g
        return w - rate * (g + b1 * m), m, v
    m, v = b1 * m + r1 * g, b2 * v + r2 * g * g
    return w - rate * m / (np.sqrt(v) + eps), m, v


@pytest.mark.parametrize("kernel", FINISH_KERNELS)
def test_finish(isa, dtype, kernel, rng):
    w, g, m, v = optimizer_blocks(dtype, rng)
    expected = expected_finish(kernel, w, g, m, v)
    step = np.abs(expected[0] - w)
    sizes = step + np.abs(w), np.abs(m) + np.abs(g), v
    gradient = g.copy()
    finish(isa, kernel, w, g, m, v, **NUMBERS)
    eps = np.finfo(dtype).eps
    for got, exact, size in zip((w, m, v), expected, sizes, strict=True):
        assert np.all(np.abs(got - exact) <= 2 * eps * (size + np.abs(exact)))
    np.testing.assert_array_equal(g, gradient)
    assert not any(block[240:].any() for block in (w, m, v))


def test_steps_of_adam_are_exact_to_three_roundings(isa, dtype, rng):
    """The step alone, from weights and gradients of zero."""
    w, g, m, v = optimizer_blocks(dtype, rng)
    w[:] = g[:] = 0
    expected, mean, square = expected_finish("adam_finish", w, g, m, v)
    finish(isa, "adam_finish", w, g, m, v, **NUMBERS)
    np.testing.assert_allclose(w, expected.astype(dtype), rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(m, mean.astype(dtype), rtol=np.finfo(dtype).eps)
    np.testing.assert_allclose(v, square.astype(dtype), rtol=np.finfo(dtype).eps)


@pytest.mark.parametrize("kernel", FINISH_KERNELS)
def test_finish_in_pieces_and_on_other_instruction_sets_gives_the_same_bits(dtype, kernel):
    results = []
    for isa in FUSED_ISAS or ["base"]:
        for borders in ((0, 320), (0, 16, 64, 320)):
            w, g, m, v = optimizer_blocks(dtype, np.random.default_rng(3))
            for first, last in pairwise(borders):
                finish(isa, kernel, w, g, m, v, **NUMBERS, first=first, last=last)
            results.append((w, m, v))
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kernel", FINISH_KERNELS)
def test_what_has_decayed_becomes_zero(isa, dtype, kernel):
    """Denormal numbers would stay for good, and are slow; what is no number stays as it is."""
    w, g, m, v = (zeros((16,), dtype) for _ in range(4))
    smallest = np.finfo(dtype).tiny
    m[:5] = smallest / 2, -smallest / 4, 4 * smallest, np.nan, np.inf
    v[:2] = smallest, 4 * smallest
    finish(isa, kernel, w, g, m, v, **NUMBERS)
    left = 1 if kernel == "momentum_finish" else np.dtype(dtype).type(BETA_1)
    expected = np.array([0, 0, 4 * smallest * left, np.nan, np.inf], dtype)
    np.testing.assert_array_equal(m[:5], expected)
    if kernel == "adam_finish":
        assert v[0] == 0
        assert v[1] > 0
