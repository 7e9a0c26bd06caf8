"""Initialisers: distributions, names, refusals."""

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import initializers

FAN_IN, FAN_OUT = 300, 200
NORMAL = {
    fd.GlorotNormal(): (2 / (FAN_IN + FAN_OUT)) ** 0.5,
    fd.HeNormal(): (2 / FAN_IN) ** 0.5,
    fd.LecunNormal(): (1 / FAN_IN) ** 0.5,
    fd.RandomNormal(stddev=0.3): 0.3,
}
UNIFORM = {
    fd.GlorotUniform(): (6 / (FAN_IN + FAN_OUT)) ** 0.5,
    fd.HeUniform(): (6 / FAN_IN) ** 0.5,
    fd.RandomUniform(-0.7, 0.7): 0.7,
}


@pytest.mark.parametrize(("initializer", "std"), NORMAL.items())
def test_normal(initializer, std, rng):
    values = initializer(rng, FAN_IN, FAN_OUT)
    assert values.shape == (FAN_IN, FAN_OUT)
    assert values.dtype == np.float64
    assert values.std() == pytest.approx(std, rel=0.02)
    assert abs(values.mean()) < 0.02 * std
    assert abs(values).max() > 3 * std, "not truncated"


@pytest.mark.parametrize(("initializer", "limit"), UNIFORM.items())
def test_uniform(initializer, limit, rng):
    values = initializer(rng, FAN_IN, FAN_OUT)
    assert values.shape == (FAN_IN, FAN_OUT)
    assert values.dtype == np.float64
    assert values.std() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert 0.99 * limit < values.max() <= limit
    assert -limit <= values.min() < -0.99 * limit


def test_uniform_between_its_bounds(rng):
    values = fd.RandomUniform(2, 3)(rng, FAN_IN, FAN_OUT)
    assert 2 <= values.min() < 2.01
    assert 2.99 < values.max() < 3


def test_normal_around_its_mean(rng):
    assert fd.RandomNormal(5, 0.1)(rng, FAN_IN, FAN_OUT).mean() == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize(
    ("initializer", "value"), [(fd.Zeros(), 0), (fd.Ones(), 1), (fd.Constant(-2.5), -2.5)]
)
def test_constants(initializer, value, rng):
    values = initializer(rng, 3, 4)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, np.full((3, 4), value))


def test_every_name_stands_for_its_class():
    expected = {
        "glorot_normal": fd.GlorotNormal,
        "glorot_uniform": fd.GlorotUniform,
        "he_normal": fd.HeNormal,
        "he_uniform": fd.HeUniform,
        "lecun_normal": fd.LecunNormal,
        "random_uniform": fd.RandomUniform,
        "random_normal": fd.RandomNormal,
        "constant": fd.Constant,
        "zeros": fd.Zeros,
        "ones": fd.Ones,
    }
    assert expected == initializers.INITIALIZERS
    for name, cls in expected.items():
        assert initializers.resolve("kernel_initializer", name) == cls()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fd.RandomUniform(1, 1), ValueError, "maxval: expected a finite number above 1"),
        (lambda: fd.RandomUniform("0", 1), TypeError, r"minval: .* got '0' \(str\)"),
        (lambda: fd.RandomNormal(0, -1), ValueError, "stddev: expected a finite number >= 0"),
        (lambda: fd.RandomNormal(np.inf), ValueError, "mean: expected a finite number, got inf"),
        (lambda: fd.Constant(np.nan), ValueError, "value: expected a finite number, got nan"),
        (lambda: fd.Constant(True), TypeError, r"value: .* got True \(bool\)"),
    ],
)
def test_refused_parameters(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("activation", "initializer"),
    [
        ("relu", fd.HeNormal()),
        ("leaky_relu", fd.HeNormal()),
        (fd.LeakyReLU(0.1), fd.HeNormal()),
        *((name, fd.HeNormal()) for name in ("elu", "gelu", "gelu_tanh", "silu", "mish")),
        ("softplus", fd.HeNormal()),
        ("selu", fd.LecunNormal()),
        ("hard_tanh", fd.GlorotUniform()),
        ("tanh", fd.GlorotUniform()),
        ("sigmoid", fd.GlorotUniform()),
        ("linear", fd.GlorotUniform()),
    ],
)
def test_default_suits_the_activation(sequential, activation, initializer):
    def kernel(**settings):
        layers = [fd.Dense(40, activation, **settings)]
        net = sequential(layers, "mean_squared_error", input_shape=(30,), seed=1)
        return net.get_weights()[0]

    np.testing.assert_array_equal(kernel(), kernel(kernel_initializer=initializer))
    other = "he_uniform" if initializer == fd.GlorotUniform() else "glorot_uniform"
    assert (kernel() != kernel(kernel_initializer=other)).any()
