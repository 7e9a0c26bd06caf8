"""The kernels of the losses, on each instruction set, against NumPy in extended precision."""

from functools import reduce
from itertools import product
from operator import add

import numpy as np
import pytest
from cases import ACTIVATIONS, ELEMENTWISE, SLOPED
from exact import SLOPE, assert_padding_zero, assert_within, derivative, sigmoid, softplus

from fusedelta._kernels import POINTWISE_KERNELS, Matrices, rescale, zeros

DELTA, Q, GAMMA, ONES, ZEROS = 0.75, 0.25, 1.5, 0.5, 2.0
PARAMETERS = {
    "huber": (DELTA, 0, 0),
    "quantile": (Q, 0, 0),
    "binary_focal": (GAMMA, ONES, ZEROS),
    "categorical_focal": (GAMMA, ONES, 0),
}


def log_cosh(e):
    a = np.abs(e)
    return np.where(
        a < 1,
        np.log1p(np.sinh(np.minimum(a, 1)) ** 2) / 2,
        a + np.log1p(np.exp(-2 * a)) - np.log(np.longdouble(2)),
    )


def entropy(z, t):
    return t * softplus(-z) + (1 - t) * softplus(z)


def focal(z, t):
    q = t * sigmoid(-z) + (1 - t) * sigmoid(z)
    factor = (t * ONES + (1 - t) * ZEROS) * q**GAMMA
    along = GAMMA * (1 - 2 * t) * sigmoid(z) * sigmoid(-z) / q
    return factor * entropy(z, t), factor * (
        along * entropy(z, t) + (1 - t) * sigmoid(z) - t * sigmoid(-z)
    )


#: (value, slope as the kernel leaves it) of outputs y and targets t.
EXACT = {
    "squared_error": lambda y, t: ((y - t) ** 2, y - t),
    "absolute_error": lambda y, t: (np.abs(y - t), np.sign(y - t)),
    "huber": lambda y, t: (
        np.where(
            np.abs(y - t) <= DELTA,
            (y - t) ** 2 / 2,
            DELTA * (np.abs(y - t) - np.longdouble(DELTA) / 2),
        ),
        np.clip(y - t, -DELTA, DELTA),
    ),
    "log_cosh": lambda y, t: (log_cosh(y - t), np.tanh(y - t)),
    "quantile": lambda y, t: (
        np.maximum(-Q * (y - t), (1 - Q) * (y - t)),
        np.where(y < t, -Q, (1 - Q) * (y > t)),
    ),
    "poisson": lambda y, t: (y - t * np.log(y + 1e-7), 1 - t / (y + 1e-7)),
    "hinge": lambda y, t: (np.maximum(0, 1 - t * y), np.where(t * y < 1, -t, 0)),
    "squared_hinge": lambda y, t: (np.maximum(0, 1 - t * y) ** 2, -t * np.maximum(0, 1 - t * y)),
    "poisson_logits": lambda y, t: (np.exp(y) - t * y, np.exp(y) - t),
    "binary_crossentropy": lambda z, t: (entropy(z, t), sigmoid(z) - t),
    "binary_focal": focal,
}
TARGETS = {
    "poisson": lambda rng, shape: rng.poisson(2, shape),
    "poisson_logits": lambda rng, shape: rng.poisson(2, shape),
    "hinge": lambda rng, shape: rng.choice([-1, 1], shape),
    "squared_hinge": lambda rng, shape: rng.choice([-1, 1], shape),
    "binary_crossentropy": lambda rng, shape: rng.random(shape),
    "binary_focal": lambda rng, shape: rng.choice([0, 1, 0.25], shape),
}
LOGITS = {"poisson_logits", "binary_crossentropy", "binary_focal"}


def filled(isa, dtype, kernel, m, n, rng, narrow=False):
    """Matrices with outputs, targets and weights, and the first two sample-major in longdouble."""
    matrices = Matrices(isa, dtype, m, 1, n, narrow=narrow)
    Y = rng.standard_normal((m, n)) * 2
    Y = np.abs(Y) if kernel == "poisson" else Y
    T = TARGETS.get(kernel, lambda rng, shape: rng.standard_normal(shape))(rng, (m, n))
    matrices.Y[...], matrices.D[...] = 7, 7  # what lies in the padding must not matter
    matrices.weights[:m] = rng.random(m) * 2
    if narrow:
        matrices.Y[:n, :m], matrices.T[:, :m] = Y.T, T.T
        return matrices, *(a[:n, :m].T.astype(np.longdouble) for a in (matrices.Y, matrices.T))
    matrices.Y[:, :n], matrices.T[:, :n] = Y, T
    return matrices, *(a[:, :n].astype(np.longdouble) for a in (matrices.Y, matrices.T))


@pytest.mark.parametrize("layout", ["samples", "features"])
@pytest.mark.parametrize("kernel", POINTWISE_KERNELS)
def test_pointwise(isa, dtype, kernel, layout, rng):
    eps, narrow = np.finfo(dtype).eps, layout == "features"
    shapes = (1, 1), (70, 3), (5, 40), (130, 16)
    for (m, n), weighted in product(shapes, (False, True)):
        matrices, Y, T = filled(isa, dtype, kernel, m, n, rng, narrow)
        total, correct = matrices.evaluate(
            kernel, weighted=weighted, parameters=PARAMETERS.get(kernel, (0, 0, 0))
        )
        values, slopes = EXACT[kernel](Y, T)
        w = matrices.weights[:m, np.newaxis].astype(np.longdouble) if weighted else 1
        size = float(np.abs(values * w).sum()) + float(np.abs(w * np.ones((m, n))).sum())
        assert abs(total - float((values * w).sum())) <= 70 * eps * size
        D = matrices.D[:n, :m].T if narrow else matrices.D[:, :n]
        bound = 30 * eps * (np.abs(slopes) + 1 + (np.abs(T / Y) if kernel == "poisson" else 0)) * w
        assert np.all(np.abs(D - slopes * w) <= bound)
        assert not (matrices.D[:, m:] if narrow else matrices.D[:, n:]).any()
        if "hinge" in kernel:
            assert correct == np.count_nonzero((Y > 0) == (T > 0))
        elif kernel.startswith("binary"):
            assert correct == np.count_nonzero((Y > 0) == (T > 0.5))
        else:
            assert correct == 0


@pytest.mark.parametrize("kernel", ["absolute_error", "huber", "log_cosh", "quantile"])
def test_no_error_no_slope(isa, dtype, kernel):
    matrices = Matrices(isa, dtype, 3, 1, 2)
    matrices.Y[:] = matrices.T[:] = 1.25
    assert matrices.evaluate(kernel, parameters=PARAMETERS.get(kernel, (0, 0, 0))) == (0, 0)
    assert not matrices.D.any()


def test_log_cosh_is_exact_where_it_is_small(isa, dtype):
    for e in (1e-12, 1e-5, 0.01, 0.9, 1.1, 30.0):
        matrices = Matrices(isa, dtype, 1, 1, 1)
        matrices.Y[0, 0] = e
        exact = float(log_cosh(matrices.Y[0, 0].astype(np.longdouble)))
        total, _ = matrices.evaluate("log_cosh")
        np.testing.assert_allclose(total, exact, rtol=10 * np.finfo(dtype).eps)


def test_binary_focal_is_exact_where_it_saturates(isa, dtype):
    for z, t in ((20.0, 1.0), (-20.0, 0.0), (30.0, 0.0), (-30.0, 1.0)):
        matrices = Matrices(isa, dtype, 1, 1, 1)
        matrices.Y[0, 0], matrices.T[0, 0] = z, t
        total, _ = matrices.evaluate("binary_focal", parameters=(GAMMA, ONES, ZEROS))
        value, slope = focal(np.longdouble(z), np.longdouble(t))
        np.testing.assert_allclose(total, float(value), rtol=200 * np.finfo(dtype).eps)
        np.testing.assert_allclose(matrices.D[0, 0], float(slope), rtol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_losses_stay_finite(isa, dtype, gamma):
    for logits, target in product((200.0, -200.0, 1e30), (0.0, 1.0)):
        matrices = Matrices(isa, dtype, 1, 1, 3)
        matrices.Y[0, :3], matrices.T[0, :3] = (logits, 0, 1), (target, 1 - target, 0)
        for kernel in ("binary_focal", "categorical_focal"):
            total, _ = matrices.evaluate(kernel, parameters=(gamma, 1, 1))
            assert np.isfinite(total)
            assert np.isfinite(matrices.D).all()


@pytest.mark.parametrize(
    "kernel", ["categorical_crossentropy", "kl_divergence", "categorical_focal"]
)
def test_categorical(isa, dtype, kernel, rng):
    eps = np.finfo(dtype).eps
    for n, weighted in product((2, 10, 33), (False, True)):
        m = 20
        matrices = Matrices(isa, dtype, m, 1, n)
        matrices.Y[:, :n] = rng.standard_normal((m, n)) * 3
        matrices.T[:, :n] = rng.dirichlet(np.ones(n), m) * (rng.random((m, n)) > 0.2)
        matrices.weights[:m] = rng.random(m)
        z, t = (a[:, :n].astype(np.longdouble) for a in (matrices.Y, matrices.T))
        log_p = z - z.max(1, keepdims=True)
        log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
        p = np.exp(log_p)
        if kernel == "categorical_focal":
            values = -ONES * t * (1 - p) ** GAMMA * log_p
            h = ONES * t * (1 - p) ** GAMMA * (GAMMA * p * log_p / (1 - p) - 1)
            slopes = h - p * h.sum(1, keepdims=True)
        else:
            values, slopes = -t * log_p, p * t.sum(1, keepdims=True) - t
        if kernel == "kl_divergence":
            values = values + t * np.log(np.where(t > 0, t, 1))
        w = matrices.weights[:m, np.newaxis].astype(np.longdouble) if weighted else 1
        total, correct = matrices.evaluate(
            kernel, weighted=weighted, parameters=PARAMETERS.get(kernel, (0, 0, 0))
        )
        size = float((np.abs(t * log_p) * w).sum()) + m
        assert abs(total - float((values * w).sum())) <= 40 * eps * size
        assert np.all(np.abs(matrices.D[:, :n] - slopes * w) <= 40 * eps)
        assert correct == np.count_nonzero(z.argmax(1) == t.argmax(1))
        assert not matrices.D[:, n:].any()


@pytest.mark.parametrize("kernel", ["categorical_crossentropy", "kl_divergence", "labels"])
def test_a_row_alone_has_the_bits_of_any_batch(isa, dtype, kernel, rng):
    labels, kernel = kernel == "labels", kernel.replace("labels", "categorical_crossentropy")
    for n in (2, 3, 10, 17, 64, 65):
        m = 37
        whole, alone = Matrices(isa, dtype, m, 1, n), Matrices(isa, dtype, 1, 1, n)
        whole.Y[:, :n] = rng.integers(-3, 3, (m, n))  # some rows have two largest logits
        whole.T[:, :n] = rng.dirichlet(np.ones(n), m)
        whole.labels[:], whole.weights[:m] = rng.integers(0, n, m), rng.random(m)
        for weighted in (False, True):
            total, correct = whole.evaluate(kernel, labels=labels, weighted=weighted)
            parts = []
            for i in range(m):
                for name in ("Y", "T"):
                    getattr(alone, name)[0] = getattr(whole, name)[i]
                alone.labels[0], alone.weights[0] = whole.labels[i], whole.weights[i]
                parts.append(alone.evaluate(kernel, labels=labels, weighted=weighted))
                np.testing.assert_array_equal(whole.D[i], alone.D[0])
            values, decisions = zip(*parts, strict=True)
            in_turn = reduce(add, values)  # Python 3.12's sum compensates what is rounded off
            assert (total, correct) == (in_turn, sum(decisions))


@pytest.mark.parametrize("kernel", POINTWISE_KERNELS)
def test_instruction_sets_give_the_same_bits(fused_isas, dtype, kernel):
    results = []
    for isa, narrow in product(fused_isas, (False, True)):
        rng = np.random.default_rng(4)
        matrices, *_ = filled(isa, dtype, kernel, 130, 13, rng, narrow)
        for weighted in (False, True):
            score = matrices.evaluate(
                kernel, weighted=weighted, parameters=PARAMETERS.get(kernel, (0, 0, 0))
            )
            results.append((score, matrices.D.copy()))
    half = len(results) // len(fused_isas)
    for got, expected in zip(results[half:], results[:half], strict=True):
        assert got[0] == expected[0]
        np.testing.assert_array_equal(got[1], expected[1])


def test_rescale(isa, dtype):
    x = zeros((48,), dtype)
    x[:] = np.arange(48)
    rescale(isa, x, 0.5, 0.25)
    np.testing.assert_array_equal(x, np.arange(48) * 0.5 + 0.25)


def test_through_output(isa, dtype):
    for kind in ACTIVATIONS:
        check_through_output(isa, dtype, kind, np.random.default_rng(7))


def check_through_output(isa, dtype, kind, rng):
    matrices = Matrices(isa, dtype, 7, 1, 5, act=kind, slope=SLOPE)
    matrices.Y[:, :5] = rng.dirichlet(np.ones(5), 7)
    matrices.S[:, :5], matrices.D[:, :5] = rng.random((7, 5)), rng.standard_normal((7, 5))
    matrices.Y[:, 5:] = matrices.S[:, 5:] = 0 if kind == "softmax" else 0.5
    y, s, g = (a[:, :5].astype(np.longdouble) for a in (matrices.Y, matrices.S, matrices.D))
    if kind == "softmax":
        expected = y * (g - (g * y).sum(1, keepdims=True))
    else:
        expected = g * derivative(kind, s if kind in SLOPED else y)
    matrices.through_output()
    eps = np.finfo(dtype).eps
    got = matrices.D[:, :5].astype(float)
    np.testing.assert_allclose(got, expected.astype(float), atol=30 * eps, err_msg=kind)
    assert not matrices.D[:, 5:].any()


# ---- one by one ----------------------------------------------------------------------------------

SOME_LOGITS = [0.0, 1e-8, -0.3, 2.0, -5.0, 30.0, -69.0, 80.0]


def loss_matrices(isa, dtype, n, logits, act="linear"):
    """Matrices whose Y holds the given rows."""
    matrices = Matrices(isa, dtype, len(logits), 1, n, act=act)
    matrices.Y[:, :n] = logits
    return matrices


@pytest.mark.parametrize("n", [1, 5, 40])
def test_squared_error(isa, dtype, n, rng):
    for kind in ELEMENTWISE:
        check_squared_error(isa, dtype, n, kind, rng)


def check_squared_error(isa, dtype, n, kind, rng):
    matrices = Matrices(isa, dtype, 70, 1, n, act=kind, slope=SLOPE)
    matrices.Y[:, :n], matrices.T[:, :n] = rng.random((70, n)), rng.random((70, n))
    matrices.S[:, :n] = rng.random((70, n))
    matrices.Y[:, n:] = matrices.S[:, n:] = 0.5  # what a sigmoid leaves in the padding
    gap = matrices.Y[:, :n].astype(np.longdouble) - matrices.T[:, :n]
    total, _ = matrices.evaluate("squared_error")
    np.testing.assert_allclose(total, float((gap**2).sum()), rtol=70 * np.finfo(dtype).eps)
    slope = matrices.S if kind in SLOPED else matrices.Y
    slope = derivative(kind, slope[:, :n].astype(np.longdouble))
    assert_within(matrices.D[:, :n], gap * slope, 1, 4)
    assert_padding_zero(matrices.D[:, n:])


def test_squared_error_through_softmax(isa, dtype, rng):
    p = rng.dirichlet(np.ones(11), 30)
    matrices = loss_matrices(isa, dtype, 11, p, act="softmax")
    matrices.T[:, :11] = rng.dirichlet(np.ones(11), 30)
    p = matrices.Y[:, :11].astype(np.longdouble)
    g = p - matrices.T[:, :11]
    matrices.evaluate("squared_error")
    assert_within(matrices.D[:, :11], p * (g - (g * p).sum(1, keepdims=True)), 1, 11)
    assert_padding_zero(matrices.D[:, 11:])


@pytest.mark.parametrize("target", [0.0, 1.0, 0.25])
def test_binary_crossentropy(isa, dtype, target):
    eps = np.finfo(dtype).eps
    for logit in SOME_LOGITS:
        matrices = loss_matrices(isa, dtype, 1, [[logit]])
        matrices.T[0, 0] = target
        z = np.longdouble(matrices.Y[0, 0])
        total, correct = matrices.evaluate("binary_crossentropy")
        expected = target * softplus(-z) + (1 - target) * softplus(z)
        np.testing.assert_allclose(total, float(expected), rtol=8 * eps)
        expected = 1 / (1 + np.exp(-z)) - target
        np.testing.assert_allclose(matrices.D[0, 0], float(expected), rtol=8 * eps, atol=2 * eps)
        assert correct == ((1 / (1 + np.exp(-z)) > 0.5 + float(eps) / 4) == (target > 0.5))
        assert_padding_zero(matrices.D[:, 1:])


@pytest.mark.parametrize("logits", ["around 0", "certain", "even"])
@pytest.mark.parametrize("n", [1, 3, 40, 1030])
def test_binary_crossentropy_adds_up(isa, dtype, n, logits, rng):
    scale, away = {"around 0": (4, 0), "certain": (4, 30), "even": (0, 0)}[logits]
    T = rng.random((130, n)) > 0.5
    matrices = loss_matrices(
        isa, dtype, n, rng.standard_normal(T.shape) * scale + (2 * T - 1) * away
    )
    matrices.T[:, :n] = T
    z = matrices.Y[:, :n].astype(np.longdouble)
    total, correct = matrices.evaluate("binary_crossentropy")
    expected = (T * softplus(-z) + (1 - T) * softplus(z)).sum()
    np.testing.assert_allclose(total, float(expected), rtol=64 * np.finfo(dtype).eps)
    assert correct == np.count_nonzero((z > 0) == T)


def test_binary_crossentropy_is_finite_of_finite_logits_only(isa, dtype):
    for n, bad in product((1, 40), (np.nan, np.inf)):
        matrices = loss_matrices(isa, dtype, n, np.zeros((130, n)))
        matrices.Y[77, n - 1] = bad
        total, _ = matrices.evaluate("binary_crossentropy")
        assert not np.isfinite(total)


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("n", [2, 10, 33])
def test_categorical_crossentropy(isa, dtype, n, labels, rng):
    m = 50
    matrices = loss_matrices(isa, dtype, n, rng.standard_normal((m, n)) * 5)
    matrices.labels[:] = rng.integers(0, n, m)
    matrices.T[np.arange(m), matrices.labels] = 1
    z, t = matrices.Y[:, :n].astype(np.longdouble), matrices.T[:, :n]
    e = np.exp(z - z.max(1, keepdims=True))
    total, correct = matrices.evaluate("categorical_crossentropy", labels)
    expected = -(t * np.log(e / e.sum(1, keepdims=True))).sum()
    np.testing.assert_allclose(total, float(expected), rtol=40 * np.finfo(dtype).eps)
    p = e / e.sum(1, keepdims=True)
    assert_within(matrices.D[:, :n], p - t, p + t, 20)
    assert_padding_zero(matrices.D[:, n:])
    assert correct == np.count_nonzero(z.argmax(1) == matrices.labels)


def test_categorical_crossentropy_where_it_is_certain(isa, dtype):
    """A clipped probability would say 1e-15 or 0 here."""
    eps = np.finfo(dtype).eps
    matrices = loss_matrices(isa, dtype, 3, [[70.0, 0.5, 0.0]])
    z = matrices.Y[0, :3].astype(np.longdouble)
    total, correct = matrices.evaluate("categorical_crossentropy", True)
    assert correct == 1
    np.testing.assert_allclose(total, float(np.exp(z[1:] - z[0]).sum()), rtol=100 * eps)
    matrices.labels[0] = 2
    total, correct = matrices.evaluate("categorical_crossentropy", True)
    assert correct == 0
    np.testing.assert_allclose(total, 70.0, rtol=eps)


def test_ties_go_to_the_first_class(isa, dtype):
    matrices = loss_matrices(isa, dtype, 4, np.zeros((4, 4)))
    matrices.labels[:] = range(4)
    assert matrices.evaluate("categorical_crossentropy", True)[1] == 1


def test_soft_targets_weigh_the_classes(isa, dtype):
    matrices = loss_matrices(isa, dtype, 3, [[1.0, -1.0, 0.5]])
    matrices.T[0, :3] = 0.2, 0.3, 0.5
    z, t = matrices.Y[0, :3].astype(np.longdouble), matrices.T[0, :3].astype(np.longdouble)
    p = np.exp(z) / np.exp(z).sum()
    total, _ = matrices.evaluate("categorical_crossentropy")
    np.testing.assert_allclose(total, float(-(t * np.log(p)).sum()), rtol=8 * np.finfo(dtype).eps)
    assert_within(matrices.D[0, :3], p * t.sum() - t, 1, 4)


@pytest.mark.parametrize("kernel", ["categorical_crossentropy", "binary_crossentropy"])
@pytest.mark.parametrize("m", [3, 40])
def test_deltas_are_no_denormal_numbers(isa, dtype, kernel, m):
    """Classes that are ruled out have none: products with them would take very long."""
    matrices = Matrices(isa, dtype, m, 1, 3, act="linear")
    gap = np.log(np.finfo(dtype).tiny) - 3  # its exponential is denormal
    matrices.Y[:, :3] = 0, gap, gap / 2
    matrices.T[:, 0] = 1
    value, _ = matrices.evaluate(kernel)
    assert np.isfinite(value)
    assert not matrices.D[:, 1].any()
    assert np.all(matrices.D[:, 2] > np.finfo(dtype).tiny)
    matrices.Y[0, 1] = np.nan
    matrices.evaluate(kernel)
    assert np.isnan(matrices.D[0, 1])
