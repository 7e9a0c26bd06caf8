"""The activations and their derivatives in extended precision: the oracle of the kernels' tests."""

import math

import numpy as np

SLOPE = 0.125  # of leaky relu, and elu's alpha: without a rounding of its own
SELU_SCALE = np.longdouble("1.0507009873554804934193349852946")
SELU_ALPHA = np.longdouble("1.6732632423543772848170429916717")
PI = np.longdouble("3.14159265358979323846264338327950288")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softplus(z):
    """Return log(1 + exp(z)), exact at both ends."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def tanh_softplus(z):
    """Return tanh(softplus(z)), exact at the left end."""
    n = np.expm1(2 * softplus(np.minimum(z, 0)))
    return np.where(z < 0, n / (n + 2), np.tanh(softplus(np.maximum(z, 0))))


def density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * PI)


def normal(z):
    """Return the normal distribution: a series of positive terms near 0, a fraction beyond."""
    a = np.abs(z)
    near = np.minimum(a, 2)
    term, total = near.copy(), near.copy()
    for i in range(1, 40):
        term = term * near * near / (2 * i + 1)
        total = total + term
    tail = np.longdouble(0.5) - total * density(near)
    far = np.maximum(a, 1)
    fraction = far * 0
    for i in range(400, 0, -1):
        fraction = i / (far + fraction)
    tail = np.where(a < 1, tail, density(far) / (far + fraction))
    return np.where(z < 0, tail, 1 - tail)


def twice_u(z):
    """Return 2 sqrt(2 / pi) (z + 0.044715 z^3)."""
    return np.sqrt(8 / PI) * (z + np.longdouble("0.044715") * z**3)


ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, np.longdouble(SLOPE) * z),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "elu": lambda z: np.where(z > 0, z, np.longdouble(SLOPE) * np.expm1(np.minimum(z, 0))),
    "selu": lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0))),
    "softplus": softplus,
    "exponential": np.exp,
    "silu": lambda z: z * sigmoid(z),
    "mish": lambda z: z * tanh_softplus(z),
    "gelu": lambda z: z * normal(z),
    "gelu_tanh": lambda z: z * sigmoid(twice_u(z)),
    "hard_sigmoid": lambda z: np.clip(z + 3, 0, 6) / 6,
    "hard_tanh": lambda z: np.clip(z, -1, 1),
}

#: From the outputs y.
DERIVATIVES = {
    "linear": lambda y: y * 0 + 1,
    "relu": lambda y: (y > 0) * 1.0,
    "leaky_relu": lambda y: np.where(y > 0, 1.0, SLOPE),
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y * y,
    "elu": lambda y: np.where(y > 0, 1, y + SLOPE),
    "selu": lambda y: np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA),
    "exponential": lambda y: y,
    "hard_sigmoid": lambda y: ((y > 0) & (y < 1)) / np.longdouble(6),
    "hard_tanh": lambda y: ((y > -1) & (y < 1)) * 1.0,
}

#: From the logits z: two terms, which may cancel.
SLOPES = {
    "softplus": lambda z: (sigmoid(z), z * 0),
    "silu": lambda z: (sigmoid(z), z * sigmoid(z) * sigmoid(-z)),
    "mish": lambda z: (tanh_softplus(z), z * (1 - tanh_softplus(z) ** 2) * sigmoid(z)),
    "gelu": lambda z: (normal(z), z * density(z)),
    "gelu_tanh": lambda z: (
        sigmoid(twice_u(z)),
        z
        * sigmoid(twice_u(z))
        * sigmoid(-twice_u(z))
        * np.sqrt(8 / PI)
        * (1 + 3 * np.longdouble("0.044715") * z * z),
    ),
}


def activation(kind, z):
    """Return act(z) of a longdouble array."""
    return ACTIVATIONS[kind](z)


def derivative(kind, y):
    """Return act'(z) from what the kernels take it from: y = act(z), or the slopes themselves."""
    return y if kind in SLOPES else DERIVATIVES[kind](y)


def has_extended_precision():
    return np.finfo(np.longdouble).nmant > 52 and math.isfinite(PI)


def assert_within(got, expected, scale, depth):
    """Assert an error of at most a rounding per term: (depth + 8) eps times the terms' size."""
    bound = (depth + 8) * np.finfo(got.dtype).eps * (scale + np.abs(expected) + 1e-30)
    assert np.all(np.abs(got - expected) <= bound)


def assert_padding_zero(*arrays):
    for array in arrays:
        assert not array.any()
