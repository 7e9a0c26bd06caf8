"""Optimisers as data, and the steps they take."""

import numpy as np
import pytest

import fusedelta as fd


def test_sgd_is_a_checked_value():
    assert fd.SGD() == fd.SGD(learning_rate=0.01)
    assert fd.SGD(np.float32(0.5)) == fd.SGD(0.5)
    assert fd.SGD(1).learning_rate == 1.0


@pytest.mark.parametrize("rate", [0, -0.1, np.inf, np.nan])
def test_senseless_rates_are_refused(rate):
    with pytest.raises(ValueError, match=f"learning_rate: .* above 0, got {rate}"):
        fd.SGD(rate)


@pytest.mark.parametrize("rate", ["0.1", None, True, 1j])
def test_rates_that_are_no_numbers_are_refused(rate):
    with pytest.raises(TypeError, match="learning_rate: expected a finite number above 0, got"):
        fd.SGD(rate)


def test_name_stands_for_the_defaults(sequential):
    net = sequential([fd.Dense(1)], "mean_squared_error", "sgd")
    assert net.optimizer == fd.SGD(0.01)


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        ("adamant", ValueError, "optimizer: expected one of 'sgd'; got 'adamant'"),
        (0.1, TypeError, r"optimizer: expected one of 'sgd'; got 0.1 \(float\)"),
        (fd.SGD, TypeError, "optimizer: expected one of 'sgd'"),
    ],
)
def test_refused_optimizers(sequential, optimizer, error, message):
    with pytest.raises(error, match=message):
        sequential([fd.Dense(1)], "mean_squared_error", optimizer)


def test_sgd_steps_against_the_gradient(sequential, rng):
    X, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    net = sequential(
        [fd.Dense(4, "tanh"), fd.Dense(2)],
        "mean_squared_error",
        fd.SGD(0.3),
        input_shape=(3,),
        dtype="float64",
        seed=0,
    )
    before = net.get_weights()
    loss, gradients = net.gradients(X, y)
    assert net.train_step(X, y) == pytest.approx(loss, rel=1e-13)
    for weight, start, gradient in zip(net.weights, before, gradients, strict=True):
        np.testing.assert_allclose(weight, start - 0.3 * gradient, rtol=1e-12, atol=1e-15)
    net.reset_optimizer()
    assert net.gradients(X, y)[0] < loss
