"""The activations of the NumPy twin: forward(Z, slope) -> Y, backward(G, Z, Y, slope) -> D.

Z are logits, Y outputs, G = dLoss/dY and D = dLoss/dZ, all of shape (m, n). Formulae and sources:
`fusedelta.activations`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

__all__ = ["ACTIVATIONS", "sigmoid", "softmax", "softmax_backward"]

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def sigmoid(Z: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``1 / (1 + exp(-Z))``, written so that exp never overflows."""
    E = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1, E) / (1 + E)


def softmax(Z: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``exp(Z) / sum(exp(Z))`` along each row, shifted so that exp never overflows."""
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)


def softmax_backward(G: np.ndarray, Z: np.ndarray, Y: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``Y * (G - sum(G Y))``: softmax's Jacobian applied to G."""
    return Y * (G - (G * Y).sum(axis=1, keepdims=True))


def elu(Z: np.ndarray, slope: float) -> np.ndarray:
    """``Z`` where it is above zero, else ``slope * (exp(Z) - 1)``."""
    return np.where(Z > 0, Z, slope * np.expm1(np.minimum(Z, 0)))


def selu(Z: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``elu`` with the alpha and the scale that keep mean 0 and variance 1."""
    return (SELU_SCALE * elu(Z, SELU_ALPHA)).astype(Z.dtype)


def softplus(Z: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``log(1 + exp(Z))``."""
    return np.maximum(Z, 0) + np.log1p(np.exp(-np.abs(Z)))


def silu(Z: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``Z sigmoid(Z)``."""
    return Z * sigmoid(Z)


def silu_backward(G: np.ndarray, Z: np.ndarray, Y: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``G`` times ``sigmoid(Z) + Z sigmoid(Z) sigmoid(-Z)``."""
    return G * (sigmoid(Z) + Y * sigmoid(-Z))


def mish(Z: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``Z tanh(softplus(Z))``."""
    return Z * np.tanh(softplus(Z))


def mish_backward(G: np.ndarray, Z: np.ndarray, Y: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``G`` times ``T + Z (1 - T^2) sigmoid(Z)`` with ``T = tanh(softplus(Z))``."""
    T = np.tanh(softplus(Z))
    return G * (T + Z * (1 - T * T) * sigmoid(Z))


def normal_distribution(Z: np.ndarray) -> np.ndarray:
    """``erfc(-Z / sqrt(2)) / 2``, value by value: NumPy has no error function."""
    values = [0.5 * math.erfc(z) for z in (Z.ravel() * -math.sqrt(0.5)).tolist()]
    return np.array(values, Z.dtype).reshape(Z.shape)


def gelu(Z: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``Z P(Z)`` with the normal distribution P."""
    return Z * normal_distribution(Z)


def gelu_backward(G: np.ndarray, Z: np.ndarray, Y: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``G`` times ``P(Z) + Z p(Z)`` with the normal density p."""
    density = np.exp(-0.5 * Z * Z) / math.sqrt(2 * math.pi)
    return G * (normal_distribution(Z) + Z * density)


def gelu_tanh(Z: np.ndarray, slope: float = 0.0) -> np.ndarray:
    """``Z (1 + tanh(U)) / 2 = Z sigmoid(2 U)`` with ``U = sqrt(2 / pi) (Z + 0.044715 Z^3)``."""
    return Z * sigmoid(_twice_u(Z))


def gelu_tanh_backward(
    G: np.ndarray, Z: np.ndarray, Y: np.ndarray, slope: float = 0.0
) -> np.ndarray:
    """``G`` times ``P + Z P (1 - P) 2 dU/dZ`` with ``P = sigmoid(2 U)``."""
    Z = np.clip(Z, -100, 100)  # from where on 1 - P is 0, or P
    W = _twice_u(Z)
    gradient = math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * Z * Z)
    return G * (sigmoid(W) + Z * sigmoid(W) * sigmoid(-W) * gradient)


def _twice_u(Z: np.ndarray) -> np.ndarray:
    return math.sqrt(8 / math.pi) * (Z + 0.044715 * Z * Z * Z)


ACTIVATIONS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "linear": (lambda Z, slope: Z, lambda G, Z, Y, slope: G),
    "sigmoid": (sigmoid, lambda G, Z, Y, slope: G * (Y * (1 - Y))),
    "tanh": (lambda Z, slope: np.tanh(Z), lambda G, Z, Y, slope: G * (1 - Y * Y)),
    "relu": (lambda Z, slope: np.maximum(Z, 0), lambda G, Z, Y, slope: G * (Y > 0)),
    "leaky_relu": (
        lambda Z, slope: np.where(Z > 0, Z, slope * Z),
        lambda G, Z, Y, slope: np.where(Y > 0, G, slope * G),
    ),
    "elu": (elu, lambda G, Z, Y, slope: G * np.where(Y > 0, 1, Y + slope)),
    "selu": (
        selu,
        lambda G, Z, Y, slope: G * np.where(Y > 0, SELU_SCALE, Y + SELU_SCALE * SELU_ALPHA),
    ),
    "softplus": (softplus, lambda G, Z, Y, slope: G * sigmoid(Z)),
    "exponential": (lambda Z, slope: np.exp(Z), lambda G, Z, Y, slope: G * Y),
    "silu": (silu, silu_backward),
    "mish": (mish, mish_backward),
    "gelu": (gelu, gelu_backward),
    "gelu_tanh": (gelu_tanh, gelu_tanh_backward),
    "hard_sigmoid": (
        lambda Z, slope: np.clip(Z + 3, 0, 6) / 6,
        lambda G, Z, Y, slope: G * ((Y > 0) & (Y < 1)) / 6,
    ),
    "hard_tanh": (
        lambda Z, slope: np.clip(Z, -1, 1),
        lambda G, Z, Y, slope: G * ((Y > -1) & (Y < 1)),
    ),
    "softmax": (softmax, softmax_backward),
}
