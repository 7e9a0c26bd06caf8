"""Gradient checks and gradient flow."""

import numpy as np
import pytest
from cases import crossed

import fusedelta as fd
from fusedelta.activations import ACTIVATIONS

HIDDEN = ["linear", "tanh", "relu", fd.LeakyReLU(0.1), fd.ELU(0.5), "gelu"]
PAIRS = [
    *((loss, out) for loss in ("half_sum_squared_error", "mean_squared_error")
      for out in ACTIVATIONS),
    ("binary_crossentropy", "sigmoid"),
    ("categorical_crossentropy", "softmax"),
    ("sparse_categorical_crossentropy", "softmax"),
]  # fmt: skip


def problem(loss, rng, m=5):
    """Inputs of 3 features, and targets that suit a loss with 3 outputs."""
    X = rng.normal(size=(m, 3))
    if loss == "sparse_categorical_crossentropy":
        return X, rng.integers(3, size=m)
    if loss == "categorical_crossentropy":
        return X, rng.dirichlet(np.ones(3), size=m)
    return X, rng.random((m, 3))


def build(sequential, loss, output, hidden="tanh", **settings):
    layers = [
        fd.Dense(4, hidden, bias_initializer=fd.RandomNormal(stddev=0.5)),
        fd.Dense(3, output, bias_initializer=fd.RandomNormal(stddev=0.5)),
    ]
    return sequential(layers, loss, input_shape=(3,), seed=2, **settings)


@pytest.mark.parametrize(("pair", "hidden"), crossed(PAIRS, HIDDEN, PAIRS[-1:], ["tanh"]), ids=str)
def test_gradients_are_right(sequential, pair, hidden, rng):
    loss, output = pair
    net = build(sequential, loss, output, hidden, dtype="float64")
    before = net.params.copy()
    check = fd.gradient_check(net, *problem(loss, rng))
    assert check.passed, str(check)
    assert 0 < check.worst < 1e-6
    assert [row.name for row in check.rows] == ["W0", "b0", "W1", "b1"]
    assert [row.shape for row in check.rows] == [(3, 4), (4,), (4, 3), (3,)]
    assert not any(row.kinks for row in check.rows)
    np.testing.assert_array_equal(net.params, before)


def test_single_precision_is_checked_in_double(sequential, rng):
    net = build(sequential, "mean_squared_error", "linear", dtype="float32")
    assert fd.gradient_check(net, *problem("mean_squared_error", rng)).worst < 1e-6


def test_a_wrong_gradient_is_found(sequential, rng, monkeypatch):
    net = build(sequential, "mean_squared_error", "linear")
    right = sequential.gradients

    def wrong(self, X, y):
        loss, gradients = right(self, X, y)
        gradients[2][1, 1] *= 1 + 1e-3
        return loss, gradients

    monkeypatch.setattr(sequential, "gradients", wrong)
    check = fd.gradient_check(net, *problem("mean_squared_error", rng))
    assert not check.passed
    assert [row.difference > 1e-5 for row in check.rows] == [False, False, True, False]
    assert check.worst == check.rows[2].difference
    assert str(check).splitlines()[-1].startswith("WARNING: FAILED: largest relative difference")
    assert repr(check).startswith("GradientCheck(passed=False, worst=")


def test_blocks_without_any_gradient_pass(sequential):
    net = sequential(
        [fd.Dense(2, "relu", kernel_initializer="zeros", bias_initializer=fd.Constant(-1)),
         fd.Dense(1)],
        "mean_squared_error",
        input_shape=(2,),
    )  # fmt: skip
    check = fd.gradient_check(net, [[1, 2], [3, 4]], [1, 2])
    assert [row.difference for row in check.rows[:3]] == [0, 0, 0]
    assert check.rows[3].gradient_norm > 0
    assert check.passed


def test_kinks_are_counted_and_left_out(sequential):
    net = sequential(
        [fd.Dense(2, "relu", kernel_initializer="ones"), fd.Dense(1, kernel_initializer="ones")],
        "half_sum_squared_error",
        input_shape=(2,),
    )
    check = fd.gradient_check(net, [[1, -1]], [5])  # z = 0 in both units
    assert [row.kinks for row in check.rows] == [4, 2, 0, 0]
    assert check.passed, str(check)


def test_the_table_of_a_check(rng):
    net = build(fd.Sequential, "mean_squared_error", "linear")
    check = fd.gradient_check(net, *problem("mean_squared_error", rng))
    lines = str(check).splitlines()
    assert lines[0].split("  ")[0] == "Block"
    assert lines[2].startswith("W0     (3, 4)  ")
    assert lines[-1].startswith("passed: largest relative difference ")
    assert lines[-1].endswith("tolerance 1e-05")


@pytest.mark.parametrize(("epsilon", "error"), [(0, ValueError), ("x", TypeError)])
def test_refused_steps(epsilon, error, rng):
    net = build(fd.Sequential, "mean_squared_error", "linear")
    with pytest.raises(error, match="epsilon: expected a finite number above 0, got"):
        fd.gradient_check(net, *problem("mean_squared_error", rng), epsilon=epsilon)


@pytest.mark.parametrize("function", [fd.gradient_check, fd.gradient_flow, fd.compare])
def test_something_else_than_a_network(function):
    with pytest.raises(TypeError, match=r"net: expected a Sequential, got 'net' \(str\)"):
        function("net", [[1.0]], [1.0])
    ensemble = fd.Ensemble([fd.Dense(1)], 2, "mean_squared_error", input_shape=(1,))
    with pytest.raises(TypeError, match=r"net: expected a Sequential, got Ensemble\("):
        function(ensemble, [[1.0]], [1.0])


def test_infinite_losses_are_refused(sequential):
    net = sequential([fd.Dense(1)], "mean_squared_error", input_shape=(1,), dtype="float64")
    net.set_weights([[[1e200]], [0]])
    message = "net: expected weights at which the loss is finite, got a loss of inf"
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=message):
        fd.gradient_check(net, [[1e100]], [0])


# ------------------------------------------------------------------------------------------ flow


def test_flow_of_a_net(sequential, dtype, rng):
    net = build(sequential, "mean_squared_error", "linear", dtype=dtype)
    X, y = problem("mean_squared_error", rng)
    loss, gradients = net.gradients(X, y)
    flow = fd.gradient_flow(net, X, y)
    assert flow.loss == loss
    assert [row.layer for row in flow.rows] == [1, 2]
    assert [row.shape for row in flow.rows] == [(3, 4), (4, 3)]
    for row, W, dW in zip(flow.rows, net.weights[::2], gradients[::2], strict=True):
        assert row.weight_norm == pytest.approx(np.sqrt((W.astype(float) ** 2).sum()))
        assert row.gradient_norm == pytest.approx(np.sqrt((dW.astype(float) ** 2).sum()))
        assert row.ratio == row.gradient_norm / row.weight_norm
    lines = str(flow).splitlines()
    assert lines[0].split() == ["Layer", "Shape", "Weight", "norm", "Gradient", "norm", "Ratio"]
    assert lines[2].startswith(f"1      (3, 4)       {flow.rows[0].weight_norm:.4f}  ")
    assert repr(flow) == f"GradientFlow(2 layers, loss={loss:.6g})"


def test_flow_with_weights_of_zero(sequential):
    layers = [fd.Dense(1, kernel_initializer="zeros")]
    net = sequential(layers, "mean_squared_error", input_shape=(1,))
    (row,) = fd.gradient_flow(net, [[1.0]], [1.0]).rows
    assert row.weight_norm == 0
    assert row.gradient_norm == 2
    assert np.isnan(row.ratio)
