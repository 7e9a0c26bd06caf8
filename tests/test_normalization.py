"""Normalisation: its kernels against NumPy in extended precision, its states, its use."""

import numpy as np
import pytest
from exact import assert_padding_zero, assert_within

import fusedelta as fd
from fusedelta._kernels import Matrices, zeros

SHAPES = [(1, 3), (2, 1), (7, 17), (16, 16), (33, 100)]
EPSILON = 1e-3


def filled(isa, dtype, m, n, rng, act="linear"):
    """Matrices of a row that normalises n values, and what is in them in longdouble."""
    matrices = Matrices(isa, dtype, m, n, n, act=act, act_below="tanh")
    matrices.X[...] = 0.5  # what a sigmoid leaves in the padding
    matrices.X[:, :n] = np.tanh(rng.standard_normal((m, n)))
    matrices.D[:, :n] = rng.standard_normal((m, n))
    matrices.W[:2, :n] = rng.standard_normal((2, n))
    parts = matrices.X[:, :n], matrices.D[:, :n], matrices.W[0, :n], matrices.W[1, :n]
    return matrices, *(part.astype(np.longdouble) for part in parts)


def check(isa, dtype, shape, kind, axis, rng):
    """Forward, backward and update, with means over an axis."""
    m, n = shape
    matrices, X, D, gamma, beta = filled(isa, dtype, m, n, rng)
    statistics = zeros((max(7, m), matrices.Y.shape[1]), dtype)
    if kind == "batch":
        matrices.run_normalization("batch_statistics", statistics)
    matrices.run_normalization(f"{kind}_forward", statistics)
    inverse = 1 / np.sqrt(X.var(axis, keepdims=True) + np.longdouble(dtype(EPSILON)))
    N = (X - X.mean(axis, keepdims=True)) * inverse
    depth = 4 * X.shape[axis]
    assert_within(matrices.Y[:, :n], gamma * N + beta, inverse * (1 + np.abs(gamma)), depth)

    if kind == "batch":
        matrices.run_normalization("batch_sums", statistics)
    matrices.run_normalization(f"{kind}_backward", statistics)
    G = gamma * D
    along = (G * N).mean(axis, keepdims=True)
    expected = (G - G.mean(axis, keepdims=True) - N * along) * inverse * (1 - X * X)
    size = inverse**2 * (1 + np.abs(G).max())
    assert_within(matrices.Dx[:, :n], expected, size, depth)
    assert_padding_zero(matrices.Dx[:, n:])

    for parts in ((True, True), (True, False), (False, True)):
        matrices.target[:] = 0
        matrices.target[:2, :n] = 1
        settings = dict(zip(("scale", "center"), parts, strict=True))
        matrices.run_normalization(f"{kind}_update", statistics, alpha=-0.5, beta=2.0, **settings)
        sums = [s for s, wanted in zip(((D * N).sum(0), D.sum(0)), parts, strict=True) if wanted]
        for got, total in zip(matrices.target, sums, strict=False):
            size = np.abs(D).sum(0) * inverse.max()
            assert_within(got[:n], 2 - total / 2, size + 2, 8 * max(m, n))
        assert_padding_zero(matrices.target[:, n:])


@pytest.mark.parametrize(("kind", "axis"), [("batch", 0), ("layer", 1)])
def test_kernels(isa, dtype, kind, axis, rng):
    for shape in SHAPES:
        check(isa, np.dtype(dtype).type, shape, kind, axis, rng)


def test_moving_statistics(isa, dtype, rng):
    matrices, X, *_ = filled(isa, dtype, 9, 5, rng)
    statistics, moving = (
        zeros((7, matrices.Y.shape[1]), dtype),
        zeros((2, matrices.Y.shape[1]), dtype),
    )
    moving[0, :5], moving[1, :5] = 2, 3
    matrices.run_normalization("batch_statistics", statistics)
    matrices.run_normalization("batch_settle", statistics, moving, momentum=0.75)
    assert_within(moving[0, :5], 1.5 + 0.25 * X.mean(0), 2, 9)
    assert_within(moving[1, :5], 2.25 + 0.25 * X.var(0), 3, 9)
    assert_padding_zero(moving[:, 5:])
    matrices.run_normalization("moving_statistics", statistics, moving)
    np.testing.assert_array_equal(statistics[0], moving[0])
    inverse = 1 / np.sqrt(moving[1].astype(np.longdouble) + np.dtype(dtype).type(EPSILON))
    assert_within(statistics[1], inverse, 1, 4)


def test_a_large_mean_costs_no_digits(isa):
    """One pass, or the raw mean of float32, would lose the variance."""
    rng = np.random.default_rng(1)
    matrices, *_ = filled(isa, "float32", 1000, 16, rng)
    matrices.X[:, :16] = 4096 + rng.integers(-8, 8, (1000, 16)) / 8
    statistics = zeros((7, 16), "float32")
    matrices.run_normalization("batch_statistics", statistics)
    X = matrices.X[:, :16].astype(np.longdouble)
    np.testing.assert_allclose(statistics[0], X.mean(0).astype(float), rtol=1e-7)
    inverse = 1 / np.sqrt(X.var(0) + EPSILON)
    np.testing.assert_allclose(statistics[1], inverse.astype(float), rtol=1e-5)


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_instruction_sets_give_the_same_bits(fused_isas, dtype, kind):
    for shape in SHAPES:
        results = []
        for isa in fused_isas:
            matrices, *_ = filled(isa, dtype, *shape, np.random.default_rng(3), "tanh")
            statistics = zeros((max(7, shape[0]), matrices.Y.shape[1]), dtype)
            passes = ("statistics", "forward", "sums", "backward", "update")
            for each in passes if kind == "batch" else passes[1::2] + passes[4:]:
                matrices.run_normalization(f"{kind}_{each}", statistics)
            n = shape[1]
            results.append((matrices.Y[:, :n], matrices.Dx[:, :n], matrices.target))
        for got, expected in zip(*results, strict=True):
            np.testing.assert_array_equal(got, expected)


# ---- states --------------------------------------------------------------------------------------


def build(sequential, layers=None, **settings):
    layers = layers or [fd.Dense(4), fd.BatchNormalization(momentum=0.9), fd.Dense(1)]
    settings = {"input_shape": (3,), "seed": 1, "optimizer": fd.SGD(0.01), **settings}
    return sequential(layers, "mean_squared_error", **settings)


def test_weights_are_in_the_order_of_keras(sequential):
    net = build(sequential)
    assert [w.shape for w in net.get_weights()] == [
        (3, 4),
        (4,),
        (4,),
        (4,),
        (4,),
        (4,),
        (4, 1),
        (1,),
    ]
    gamma, beta, mean, variance = net.get_weights()[2:6]
    assert [gamma.tolist(), beta.tolist()] == [[1] * 4, [0] * 4]
    assert [mean.tolist(), variance.tolist()] == [[0] * 4, [1] * 4]
    assert [w.shape for w in net.trainable_weights] == [(3, 4), (4,), (4,), (4,), (4, 1), (1,)]
    assert all(a is not None and a.base is not None for a in net.non_trainable_weights)
    values = [np.full(w.shape, i + 1.0) for i, w in enumerate(net.weights)]
    net.set_weights(values)
    assert [w.flat[0] for w in net.non_trainable_weights] == [5, 6]
    gradients = net.gradients([[1, 2, 3], [3, 1, 2]], [1, 2])[1]
    assert [g.shape for g in gradients] == [w.shape for w in net.trainable_weights]


def test_moving_averages_follow_the_batches_and_nothing_else_moves_them(sequential, dtype, rng):
    """Not even weight decay."""
    net = build(sequential, dtype=dtype, optimizer=fd.AdamW(0.01, weight_decay=0.5))
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    W, b = net.weights[:2]
    H = X @ W + b
    for call in (net.predict, lambda X: net.evaluate(X, y), lambda X: net.gradients(X, y)):
        call(X)
        assert [w.tolist() for w in net.non_trainable_weights] == [[0] * 4, [1] * 4]
    net.train_step(X, y)
    mean, variance = net.non_trainable_weights
    np.testing.assert_allclose(mean, 0.1 * H.mean(0), atol=1e-6)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * H.var(0), rtol=1e-6)


def test_gradients_leave_averages_alone_even_where_a_variance_overflows(sequential):
    net = build(sequential, [fd.BatchNormalization(), fd.Dense(1)])
    with np.errstate(all="ignore"):
        net.gradients([[1e30, 1, 1], [-1e30, 2, 2]], [0, 1])
        fd.gradient_check(net, [[1e30, 1, 1], [-1e30, 2, 2]], [0, 1])
    assert [w.tolist() for w in net.non_trainable_weights] == [[0] * 3, [1] * 3]


def test_a_diverging_fit_brings_the_averages_back(sequential):
    X, y = np.array([[1.0, 2, 3], [3, 1, 2], [2, 3, 1]]), np.array([1.0, 2, 3])
    wild = np.where(X == 1, 1e30, X)  # its variance is infinite
    for run in (
        lambda net: net.fit(wild, y, 2, 3, verbose=0),
        lambda net: net.fit([(X, y), (wild, y)], epochs=2, verbose=0),
    ):
        net = build(sequential, [fd.BatchNormalization(), fd.Dense(1)])
        net.fit(X, y, verbose=0)
        before = net.get_weights()
        with pytest.warns(fd.DivergenceWarning), np.errstate(all="ignore"):
            run(net)
        for got, expected in zip(net.get_weights(), before, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_predictions_use_moving_averages(sequential):
    layers = [fd.Dense(2, kernel_initializer="ones"), fd.BatchNormalization(epsilon=0.5)]
    net = build(sequential, layers, input_shape=(1,), dtype="float64")
    net.set_weights([[[1, 1]], [0, 0], [2, 3], [1, -1], [4, 5], [1.5, 3.5]])
    expected = [2 * (7 - 4) / np.sqrt(2) + 1, 3 * (7 - 5) / np.sqrt(4) - 1]
    np.testing.assert_allclose(net.predict([[7]]), [expected], rtol=1e-15)


def test_negative_variances_are_refused(sequential):
    net = build(sequential)
    weights = net.get_weights()
    weights[5][1] = -1
    with pytest.raises(ValueError, match=r"weights\[5\]: expected variances >= 0, got -1"):
        net.set_weights(weights)
    assert net.weights[5].min() == 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fd.BatchNormalization(1.0), ValueError, "momentum: .*>= 0 and below 1, got 1.0"),
        (lambda: fd.BatchNormalization(epsilon=0), ValueError, "epsilon: .* above 0, got 0"),
        (lambda: fd.BatchNormalization(center=1), TypeError, r"center: .* got 1 \(int\)"),
        (lambda: fd.LayerNormalization(epsilon="x"), TypeError, r"epsilon: .* got 'x' \(str\)"),
        (lambda: fd.LayerNormalization(scale=None), TypeError, "scale: expected True or False"),
        (
            lambda: fd.Residual(fd.Dense(3)),
            TypeError,
            "layers: expected a list of layers, got Dense",
        ),
        (lambda: fd.Residual([]), ValueError, "layers: expected at least one layer"),
        (lambda: fd.Residual([3]), TypeError, r"layers\[0\]: expected a layer such as .* got 3"),
    ],
)
def test_refused_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_residuals_must_keep_the_width(sequential):
    message = r"layers\[1\]: Residual adds .* expected as many of these as inputs, 4, got 5"
    with pytest.raises(ValueError, match=message):
        build(sequential, [fd.Dense(4), fd.Residual([fd.Dense(5)])])
    message = r"layers\[0\]: Residual adds .* as inputs, 3, got 4"
    net = build(sequential, [fd.Residual([fd.Dense(4)]), fd.Dense(1)], input_shape=None)
    with pytest.raises(ValueError, match=message):
        net.fit([[1, 2, 3]], [1], verbose=0)
    net.fit([[1, 2, 3, 4]], [1], verbose=0)
    message = r"layers\[1.0\]: softmax is for the output layer"
    with pytest.raises(ValueError, match=message):
        build(sequential, [fd.Dense(4), fd.Residual([fd.Dense(4, "softmax")])])


def test_a_residual_adds_its_inputs(sequential):
    net = build(sequential, [fd.Residual([fd.Dense(3, "relu"), fd.Dense(3)])], dtype="float64")
    W0, b0, W1, b1 = net.get_weights()
    X = np.array([[1.0, -2, 3], [0.5, 0.25, -1]])
    expected = X + np.maximum(X @ W0 + b0, 0) @ W1 + b1
    np.testing.assert_allclose(net.predict(X), expected, rtol=1e-14)


# ---- what it is good for -------------------------------------------------------------------------


def flow_ratio(sequential, middle):
    """Gradient norm of the first of many layers in relation to the last."""
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((64, 8)), rng.standard_normal(64)
    layers = [fd.Dense(16, "sigmoid"), *middle, fd.Dense(1)]
    net = build(sequential, layers, input_shape=(8,), dtype="float64")
    rows = fd.gradient_flow(net, X, y).rows
    return rows[0].gradient_norm / rows[-1].gradient_norm


def test_cures_of_vanishing_gradients(sequential):
    """Ten layers of sigmoids: nearly nothing comes back to the first, but for these."""
    plain = flow_ratio(sequential, [fd.Dense(16, "sigmoid")] * 10)
    assert plain < 1e-6
    assert flow_ratio(sequential, [fd.Residual([fd.Dense(16, "sigmoid")])] * 10) > 1e5 * plain
    for normalization in (fd.BatchNormalization(), fd.LayerNormalization()):
        block = [fd.Dense(16), normalization, fd.Activation("sigmoid")]
        assert flow_ratio(sequential, block * 10) > 1e2 * plain
