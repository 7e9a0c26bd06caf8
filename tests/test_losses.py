"""Losses: values, reductions, accuracy, pairings with output activations."""

import math

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import losses
from fusedelta.activations import ACTIVATIONS

CROSS_ENTROPIES = {
    "binary_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "sparse_categorical_crossentropy": "softmax",
}


def through(sequential, n, activation, loss, dtype="float64"):
    """A network whose logits are its inputs."""
    net = sequential([fd.Dense(n, activation)], loss, input_shape=(n,), dtype=dtype)
    net.set_weights([np.eye(n), np.zeros(n)])
    return net


def test_squared_errors(sequential):
    X, y = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[0.0, 2.0], [1.0, 2.0]])
    errors = np.array([[1.0, 0.0], [2.0, 3.0]])
    half = through(sequential, 2, "linear", "half_sum_squared_error")
    mean = through(sequential, 2, "linear", "mean_squared_error")
    assert half.evaluate(X, y) == {"loss": pytest.approx(0.5 * 14, rel=1e-15)}
    assert mean.evaluate(X, y) == {"loss": pytest.approx(14 / 4, rel=1e-15)}
    np.testing.assert_allclose(half.gradients(X, y)[1][1], errors.sum(0), rtol=1e-15)
    np.testing.assert_allclose(mean.gradients(X, y)[1][1], errors.sum(0) / 2, rtol=1e-15)


def test_binary_crossentropy_is_the_mean_over_samples_and_outputs(sequential, rng):
    Z, y = rng.normal(size=(5, 3)), rng.random((5, 3))
    p = 1 / (1 + np.exp(-Z))
    net = through(sequential, 3, "sigmoid", "binary_crossentropy")
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert net.evaluate(Z, y)["loss"] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(net.gradients(Z, y)[1][1], (p - y).sum(0) / 15, rtol=1e-12)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_categorical_crossentropy_is_the_mean_over_samples(sequential, rng, loss):
    Z, labels = rng.normal(size=(6, 4)), np.array([0, 3, 1, 2, 3, 3])
    p = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
    one_hot = np.eye(4)[labels]
    net = through(sequential, 4, "softmax", loss)
    y = labels if loss.startswith("sparse") else one_hot
    expected = -np.log(p[np.arange(6), labels]).mean()
    assert net.evaluate(Z, y)["loss"] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(net.gradients(Z, y)[1][1], (p - one_hot).sum(0) / 6, rtol=1e-10)


def test_soft_targets_of_categorical_crossentropy(sequential, rng):
    Z, y = rng.normal(size=(6, 4)), rng.dirichlet(np.ones(4), size=6)
    p = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
    net = through(sequential, 4, "softmax", "categorical_crossentropy")
    assert net.evaluate(Z, y)["loss"] == pytest.approx(-(y * np.log(p)).sum(1).mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("z", "y", "expected"),
    [
        (70.0, 1, math.log1p(math.exp(-70))),  # 4e-31: 1 - p is 0
        (-70.0, 0, math.log1p(math.exp(-70))),
        (700.0, 1, math.exp(-700)),
        (70.0, 0, 70.0),
        (-1000.0, 1, 1000.0),
        (1000.0, 1, 0.0),
    ],
)
def test_binary_crossentropy_is_exact_where_it_saturates(sequential, z, y, expected):
    net = through(sequential, 1, "sigmoid", "binary_crossentropy")
    assert net.evaluate([[z]], [y])["loss"] == pytest.approx(expected, rel=1e-12, abs=1e-320)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize(
    ("logits", "label", "expected"),
    [
        ([70.0, 0.0, 0.0], 0, math.log1p(2 * math.exp(-70))),
        ([1000.0, 0.0, 930.0], 0, math.log1p(math.exp(-70))),
        ([70.0, 0.0, -5.0], 1, 70.0),
        ([-2000.0, 2000.0, 0.0], 0, 4000.0),
        ([800.0, 800.0, 800.0], 2, math.log(3)),
    ],
)
def test_categorical_crossentropy_is_exact_where_it_saturates(
    sequential, loss, logits, label, expected
):
    net = through(sequential, 3, "softmax", loss)
    y = [label] if loss.startswith("sparse") else np.eye(3)[[label]]
    assert net.evaluate([logits], y)["loss"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
def test_predictions_stay_finite_with_huge_logits(sequential, dtype, loss):
    net = through(sequential, 2, CROSS_ENTROPIES[loss], loss, dtype)
    Z = np.array([[1e30, -1e30], [-1e4, 1e4], [0, 0]])
    expected = [[1, 0], [0, 1], [0.5, 0.5]]
    np.testing.assert_array_equal(net.predict(Z), expected)


def test_accuracy_of_binary_counts_outputs(sequential):
    net = through(sequential, 2, "sigmoid", "binary_crossentropy")
    Z = [[3.0, -3.0], [3.0, 0.0], [-1.0, 2.0]]  # classes 1 0, 1 0 (0.5 is not above 0.5), 0 1
    y = [[1, 0], [0, 0], [0, 0]]
    assert net.evaluate(Z, y)["accuracy"] == pytest.approx(4 / 6)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_accuracy_of_categorical_counts_samples(sequential, loss):
    net = through(sequential, 3, "softmax", loss)
    Z = [[3.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 2.0], [5.0, 5.0, 5.0]]  # 0, 1, 2, 0
    labels = np.array([0, 1, 1, 0])
    y = labels if loss.startswith("sparse") else np.eye(3)[labels]
    assert net.evaluate(Z, y)["accuracy"] == 0.75


def test_regressions_have_no_accuracy(sequential):
    net = through(sequential, 2, "sigmoid", "mean_squared_error")
    assert list(net.evaluate([[0.0, 0.0]], [[0.0, 1.0]])) == ["loss"]
    assert not net.is_classification


@pytest.mark.parametrize("loss", ["half_sum_squared_error", "mean_squared_error"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_squared_errors_pair_with_every_output(sequential, loss, activation):
    net = sequential([fd.Dense(2, activation)], loss, input_shape=(2,), seed=1)
    assert math.isfinite(net.train_step([[1, 2]], [[0, 1]]))


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_cross_entropies_pair_with_their_own_output(sequential, loss, activation):
    needed = CROSS_ENTROPIES[loss]
    layers = [fd.Dense(2, activation)]
    if activation == needed:
        assert sequential(layers, loss).loss == loss
        return
    message = (
        f"loss: '{loss}' needs an output layer with activation '{needed}', because it is computed "
        f"from the logits of a {needed}; got '{activation}'"
    )
    with pytest.raises(ValueError, match=message):
        sequential(layers, loss)


@pytest.mark.parametrize(
    ("loss", "error"), [("mse", ValueError), (None, TypeError), (np.square, TypeError)]
)
def test_unknown_losses_are_refused(sequential, loss, error):
    with pytest.raises(error, match=r"loss: expected one of 'half_sum_squared_error', .*; got"):
        sequential([fd.Dense(1)], loss)


def test_the_list_of_losses():
    assert list(losses.LOSSES) == [
        "half_sum_squared_error",
        "mean_squared_error",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
    ]
