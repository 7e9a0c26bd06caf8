"""The losses of the NumPy twin: loss(rule, Z, Y, T) -> (values, G).

Z are logits, Y outputs, T targets or labels, `rule` is the `fusedelta.losses.Loss`. The values are
those of outputs, shape (m, n), or of samples, shape (m,); neither they nor the gradients G are
divided by anything yet. G is dvalue/dY, or dvalue/dZ where the rule takes logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fusedelta.losses import Loss
from fusedelta.user_loss import check_result

__all__ = ["LOSSES", "of_user", "smoothed"]

Values = tuple[np.ndarray, np.ndarray]

#: What `poisson` adds to outputs, as in Keras.
EPSILON = 1e-7


# ------------------------------------------------------------------------------------ of quantities


def squared_error(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``(Y - T)^2`` and ``2 (Y - T)``."""
    E = Y - T
    return E * E, 2 * E


def absolute_error(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``|Y - T|`` and its sign."""
    E = Y - T
    return np.abs(E), np.sign(E)


def huber(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``E^2 / 2`` near zero, ``delta (|E| - delta / 2)`` far from it."""
    E, delta = Y - T, rule.parameters[0]
    far = delta * (np.abs(E) - 0.5 * delta)
    return np.where(np.abs(E) <= delta, 0.5 * E * E, far), np.clip(E, -delta, delta)


def log_cosh(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``log cosh E`` and ``tanh E``."""
    E = Y - T
    A = np.abs(E)
    near = 0.5 * np.log1p(np.sinh(np.minimum(A, 1)) ** 2)  # exact where E is small
    return np.where(A < 1, near, A + np.log1p(np.exp(-2 * A)) - math.log(2)), np.tanh(E)


def quantile(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``max(-q E, (1 - q) E)``."""
    E, q = Y - T, rule.parameters[0]
    return np.maximum(-q * E, (1 - q) * E), np.where(E < 0, -q, (1 - q) * (E > 0)).astype(Y.dtype)


def poisson(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``Y - T log(Y + epsilon)``; from logits ``exp(Z) - T Z``."""
    if rule.takes_logits:
        return Y - T * Z, Y - T
    return Y - T * np.log(Y + EPSILON), 1 - T / (Y + EPSILON)


def of_user(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """A loss of the user's own: a mean already, which the engine divides by m later."""
    assert rule.function is not None
    value, G = check_result(rule.function(T.copy(), Y.copy()), Y)
    return np.full(len(Y), value), G * Y.dtype.type(len(Y))


# --------------------------------------------------------------------------------------- of classes


def hinge(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``max(0, 1 - T Y)``."""
    lack = np.maximum(0, 1 - T * Y)
    return lack, -T * (lack > 0)


def squared_hinge(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``max(0, 1 - T Y)^2``."""
    lack = np.maximum(0, 1 - T * Y)
    return lack * lack, -2 * T * lack


def binary_crossentropy(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``T softplus(-Z) + (1 - T) softplus(Z)`` and ``Y - T``."""
    tail = np.log1p(np.exp(-np.abs(Z)))  # softplus(Z) = max(Z, 0) + tail
    return T * (np.maximum(-Z, 0) + tail) + (1 - T) * (np.maximum(Z, 0) + tail), Y - T


def binary_focal(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """Binary cross-entropy times ``q^gamma`` and a weight, ``q = T (1 - Y) + (1 - T) Y``."""
    gamma, ones, zeros = rule.parameters
    entropy, _ = binary_crossentropy(rule, Z, Y, T)
    rest = np.where(Z < 0, 1, np.exp(-np.abs(Z))) / (1 + np.exp(-np.abs(Z)))  # 1 - Y, exactly
    q = T * rest + (1 - T) * Y
    along = (1 - 2 * T) * Y * rest / np.maximum(q, np.finfo(q.dtype).tiny)  # d log q / dZ
    factor = (T * ones + (1 - T) * zeros) * q**gamma
    return factor * entropy, factor * (gamma * along * entropy + (1 - T) * Y - T * rest)


def categorical_crossentropy(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``sum T (logsumexp(Z) - Z)`` and ``Y sum(T) - T``."""
    below, tail = _below_maximum(Z)
    total = T.sum(axis=1, keepdims=True)
    return (T * below).sum(axis=1) + total[:, 0] * tail, Y * total - T


def sparse_categorical_crossentropy(
    rule: Loss, Z: np.ndarray, Y: np.ndarray, labels: np.ndarray
) -> Values:
    """Categorical cross-entropy of the one-hot rows that integer labels stand for."""
    if rule.smoothing:
        T = smoothed(np.eye(Y.shape[1], dtype=Y.dtype)[labels], rule)
        return categorical_crossentropy(rule, Z, Y, T)
    below, tail = _below_maximum(Z)
    at = np.arange(len(labels)), labels
    G = Y.copy()
    G[at] -= 1
    return below[at] + tail, G


def kl_divergence(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``sum T log T`` more than categorical cross-entropy."""
    values, G = categorical_crossentropy(rule, Z, Y, T)
    return values + (T * np.log(np.where(T > 0, T, 1))).sum(axis=1), G


def categorical_focal(rule: Loss, Z: np.ndarray, Y: np.ndarray, T: np.ndarray) -> Values:
    """``sum alpha (1 - Y)^gamma T (-log Y)``."""
    gamma, alpha, _ = rule.parameters
    below, tail = _below_maximum(Z)
    log_y = -below - tail[:, np.newaxis]
    rest = 1 - Y
    at = np.arange(len(Z)), Z.argmax(axis=1)
    rest[at] = -np.expm1(log_y[at])
    ratio = np.where(rest > 0, Y * log_y / np.where(rest > 0, rest, 1), -1)
    H = alpha * T * rest**gamma * (gamma * ratio - 1)  # Y dvalue/dY
    return (-alpha * T * rest**gamma * log_y).sum(axis=1), H - Y * H.sum(axis=1, keepdims=True)


def _below_maximum(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``max(Z) - Z`` and ``logsumexp(Z) - max(Z)`` by rows, the latter exact when it is tiny."""
    below = Z.max(axis=1, keepdims=True) - Z
    E = np.exp(-below)
    E[np.arange(len(Z)), Z.argmax(axis=1)] = 0
    return below, np.log1p(E.sum(axis=1))


def smoothed(T: np.ndarray, rule: Loss) -> np.ndarray:
    """``T (1 - s) + s / n``, n being 2 where each output decides by itself."""
    n_classes = 2 if rule.is_binary else T.shape[1]
    return T * (1 - rule.smoothing) + rule.smoothing / n_classes


LOSSES: dict[str, Callable[..., Values]] = {
    "half_sum_squared_error": squared_error,
    "mean_squared_error": squared_error,
    "mean_absolute_error": absolute_error,
    "huber": huber,
    "log_cosh": log_cosh,
    "quantile": quantile,
    "poisson": poisson,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "binary_crossentropy": binary_crossentropy,
    "binary_focal_crossentropy": binary_focal,
    "categorical_crossentropy": categorical_crossentropy,
    "sparse_categorical_crossentropy": sparse_categorical_crossentropy,
    "categorical_focal_crossentropy": categorical_focal,
    "kl_divergence": kl_divergence,
}
