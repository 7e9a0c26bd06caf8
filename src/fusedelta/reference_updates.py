"""The steps of the optimisers in NumPy, for the twin. Formulae and sources: `fusedelta.optimizers`.

Each rule's function takes the rule, the gradients g, the moments that the rule keeps, which it
brings up to date, and the number of the step t = 1, 2, ...; it returns what, times the learning
rate, the parameters lose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fusedelta import parameters
from fusedelta.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    NAdam,
    Optimizer,
    RMSprop,
)
from fusedelta.parameters import Tensor
from fusedelta.rows import Row

__all__ = ["reset", "update"]

Moments = dict[str, np.ndarray]

#: Beside 1.
NEGLIGIBLE = 1e-20


def update(
    rule: Optimizer, w: np.ndarray, g: np.ndarray, moments: Moments, t: int, rate: float
) -> None:
    """Step t on the flat block w of parameters, in place: weight decay, then the rule."""
    decay = rule.weight_decay or 0.0
    step = STEPS[type(rule)](rule, g, moments, t)
    w -= rate * decay * w
    w -= rate * step


def reset(rule: Optimizer, moments: Moments, rows: Sequence[Row]) -> None:
    """Set the moments to what they start with, and their padding to zero."""
    for block in moments.values():
        block.fill(0)
    if isinstance(rule, Adagrad):
        for piece in parameters.views(rows, moments["v"]):
            piece.fill(rule.initial_accumulator_value)


# ------------------------------------------------------------------------- before and after a step


def penalty(penalized: Sequence[Tensor], w: np.ndarray) -> float:
    """``l1 sum(abs(w)) + l2 sum(w^2)`` over the tensors that have one."""
    total = 0.0
    for first, last, _, _, l1, l2, _ in penalized:
        piece = w[first:last].astype(np.float64)
        total += float((l1 * abs(piece) + l2 * piece * piece).sum())
    return total


def add_penalties(penalized: Sequence[Tensor], w: np.ndarray, g: np.ndarray) -> None:
    """Make the gradient g of the loss that of the loss with its penalties."""
    for first, last, _, _, l1, l2, _ in penalized:
        at = slice(first, last)
        g[at] += 2 * l2 * w[at] + l1 * np.sign(w[at])


def accumulate(rule: Optimizer, g: np.ndarray, moments: Moments, count: int) -> np.ndarray:
    """Gradient number `count` into the mean of those that make an update."""
    mean = moments["gradient"]
    mean[:] = g / (rule.gradient_accumulation_steps or 1) + (mean if count > 1 else 0)
    return mean


def clip(rule: Optimizer, tensors: Sequence[Tensor], g: np.ndarray) -> None:
    """Clip the gradients by value, or by the norm of each tensor or of all."""
    if rule.clipvalue:
        np.clip(g, -rule.clipvalue, rule.clipvalue, out=g)
    if rule.clipnorm:
        for tensor in tensors:
            _clip_norm(g[tensor.first : tensor.last], rule.clipnorm)
    if rule.global_clipnorm:
        _clip_norm(g, rule.global_clipnorm)


def _clip_norm(g: np.ndarray, largest: float) -> None:
    norm = float(np.linalg.norm(g.astype(np.float64)))
    if norm > largest:
        g *= largest / norm


def constrain(constrained: Sequence[Tensor], w: np.ndarray) -> None:
    """Bring the columns of each W that has a largest norm down to it."""
    for first, last, stride, is_transposed, *_, largest in constrained:
        lines = w[first:last].reshape(-1, stride)
        W = lines.T if is_transposed else lines
        norms = np.sqrt((W * W).sum(axis=0))
        W *= np.minimum(norms, largest) / (1e-7 + norms)


# --------------------------------------------------------------------------------------- the rules


def sgd(rule: SGD, g: np.ndarray, moments: Moments, t: int) -> np.ndarray:
    """The gradient, or a velocity."""
    if not rule.momentum:
        return g
    v = moments["velocity"]
    v[:] = rule.momentum * v + g
    return g + rule.momentum * v if rule.nesterov else v


def lion(rule: Lion, g: np.ndarray, moments: Moments, t: int) -> np.ndarray:
    """Signs."""
    m = moments["m"]
    step = np.sign(rule.beta_1 * m + (1 - rule.beta_1) * g)
    _mean(m, rule.beta_2, g)
    return step


def adam(rule: Adam, g: np.ndarray, moments: Moments, t: int) -> np.ndarray:
    """Adam, with its bias corrections folded into step and epsilon."""
    m, v = moments["m"], moments["v"]
    _mean(m, rule.beta_1, g)
    _mean(v, rule.beta_2, g * g)
    if rule.amsgrad:
        v = np.maximum(moments["u"], v, out=moments["u"])
    root = math.sqrt(1 - rule.beta_2**t)
    return root / (1 - rule.beta_1**t) * (m / (np.sqrt(v) + _above_zero(rule.epsilon * root, v)))


def nadam(rule: NAdam, g: np.ndarray, moments: Moments, t: int) -> np.ndarray:
    """Adam with Nesterov's momentum, its corrections folded alike."""
    m, v = moments["m"], moments["v"]
    _mean(m, rule.beta_1, g)
    _mean(v, rule.beta_2, g * g)
    mu, ahead = _mu(rule, t), _mu(rule, t + 1)
    product = _product_of_mu(rule, t)
    root = math.sqrt(1 - rule.beta_2**t)
    step = ahead / (1 - product * ahead) * m + (1 - mu) / (1 - product) * g
    return root * step / (np.sqrt(v) + _above_zero(rule.epsilon * root, v))


def _mu(rule: NAdam, t: int) -> float:
    return rule.beta_1 * (1 - 0.5 * 0.96 ** (rule.momentum_decay * t))


def _product_of_mu(rule: NAdam, t: int) -> float:
    product = 1.0
    for i in range(1, t + 1):
        product *= _mu(rule, i)
        if product < NEGLIGIBLE:
            return 0.0
    return product


def adamax(rule: Adamax, g: np.ndarray, moments: Moments, t: int) -> np.ndarray:
    """Adam with the largest gradient."""
    m, u = moments["m"], moments["u"]
    _mean(m, rule.beta_1, g)
    np.maximum(rule.beta_2 * u, abs(g), out=u)
    return m / (u + _above_zero(rule.epsilon, u)) / (1 - rule.beta_1**t)


def rmsprop(rule: RMSprop, g: np.ndarray, moments: Moments, t: int) -> np.ndarray:
    """Gradients over their root mean square, or over their deviation."""
    v = moments["v"]
    _mean(v, rule.rho, g * g)
    square = v
    if rule.centered:
        m = moments["m"]
        _mean(m, rule.rho, g)
        square = np.maximum(v - m * m, 0)
    step = g / (np.sqrt(square) + _above_zero(rule.epsilon, v))
    if rule.momentum:
        velocity = moments["velocity"]
        velocity[:] = rule.momentum * velocity + step
        return velocity
    return step


def adagrad(rule: Adagrad, g: np.ndarray, moments: Moments, t: int) -> np.ndarray:
    """Gradients over the root of the sum of their squares."""
    v = moments["v"]
    v += g * g
    return g / (np.sqrt(v) + _above_zero(rule.epsilon, v))


def adadelta(rule: Adadelta, g: np.ndarray, moments: Moments, t: int) -> np.ndarray:
    """Gradients over their root mean square, times that of the steps."""
    v, d = moments["v"], moments["d"]
    epsilon = _above_zero(rule.epsilon, v)
    _mean(v, rule.rho, g * g)
    step = np.sqrt(d + epsilon) / np.sqrt(v + epsilon) * g
    _mean(d, rule.rho, step * step)
    return step


def _mean(mean: np.ndarray, left: float, new: np.ndarray) -> None:
    mean[:] = left * mean + (1 - left) * new


def _above_zero(epsilon: float, block: np.ndarray) -> float:
    """Epsilon as the dtype can hold it: 0 / 0 would be no step."""
    return max(epsilon, float(np.finfo(block.dtype).tiny))


STEPS: dict[type[Optimizer], Callable[..., np.ndarray]] = {
    SGD: sgd,
    Adam: adam,
    AdamW: adam,
    NAdam: nadam,
    Adamax: adamax,
    RMSprop: rmsprop,
    Adagrad: adagrad,
    Adadelta: adadelta,
    Lion: lion,
}
