"""The data and starting weights of the four texts that the package was built from.

Each function returns a `Problem`: inputs, targets and the starting weights of the network that its
text trains, all drawn with NumPy's legacy generator (``np.random.RandomState``) in the order in
which the text draws them, so that a run repeats the published figures. All arrays are float64.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fusedelta import validation

__all__ = ["Problem", "jumping_back", "softmax", "spiral", "xor"]


class Problem(NamedTuple):
    """A small data set with the weights from which its text starts to train.

    Attributes
    ----------
    X : ndarray of shape (m, k), float64
        Inputs, one sample a row.
    y : ndarray of shape (m, n), float64
        Targets.
    weights : list of ndarray, float64
        ``[W0, b0, W1, b1, ...]``, W of shape (inputs, outputs): ready for ``net.set_weights``.
    """

    X: np.ndarray
    y: np.ndarray
    weights: list[np.ndarray]


def xor(seed: int = 0) -> Problem:
    """Four samples that no straight line separates, for a 2-2-1 network.

    The fourth sample is (-1, 1), as in the text, not the (1, 1) of the usual truth table.

    Parameters
    ----------
    seed : int, default 0
        Draws the weights and biases, uniform in [0, 1).

    Returns
    -------
    Problem
        X of shape (4, 2), y of shape (4, 1).

    References
    ----------
    "Backpropagation hand by hand": sigmoid everywhere, ``0.5 * sum((a - y)**2)``, full batch,
    learning rate 0.1, 10,000 epochs.

    Examples
    --------
    >>> xor().X.tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 1.0]]
    """
    random = _random(seed)
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 1.0]])
    y = np.array([[0.0], [1.0], [1.0], [0.0]])
    W = [random.rand(2, 2), random.rand(2, 1)]
    b = [random.rand(2), random.rand(1)]
    return Problem(X, y, _interleave(W, b))


def spiral(samples_per_class: int = 200, noise: float = 0.3, seed: int = 42) -> Problem:
    """Two noisy spirals wound around each other, standardised, for a 2-16-8-1 network.

    A point of class 0 lies at radius ``r = 2 t + pi`` and angle ``t = 2 pi sqrt(u)``, u uniform in
    [0, 1); class 1 is its mirror image in the origin. Every coordinate gets normal noise.

    Parameters
    ----------
    samples_per_class : int, default 200
        Points of each class; class 0 comes first.
    noise : float, default 0.3
        Standard deviation of the noise, before the coordinates are standardised.
    seed : int, default 42
        Draws the points and then the weights: normal with variance ``1 / inputs``, biases zero.

    Returns
    -------
    Problem
        X of shape (2 * samples_per_class, 2), y of shape (2 * samples_per_class, 1).

    References
    ----------
    "Backpropagation from scratch": tanh, tanh, sigmoid; binary cross-entropy; full batch,
    learning rate 0.5, 1000 epochs.

    Examples
    --------
    >>> X, y, weights = spiral()
    >>> X.shape, y.shape, [w.shape for w in weights[::2]]
    ((400, 2), (400, 1), [(2, 16), (16, 8), (8, 1)])
    """
    n = validation.integer("samples_per_class", samples_per_class, bits=24)
    random = _random(seed)
    angle = np.sqrt(random.rand(n)) * 2 * np.pi
    radius = 2 * angle + np.pi
    arm = radius * np.cos(angle), radius * np.sin(angle)
    classes = [[sign * axis + random.randn(n) * noise for axis in arm] for sign in (1, -1)]
    points = np.hstack(classes)  # (2, 2 n): summed along a row, as the text does, to the last bit
    points = (points - points.mean(1, keepdims=True)) / points.std(1, keepdims=True)
    y = np.repeat([0.0, 1.0], n)[:, np.newaxis]
    sizes = [2, 16, 8, 1]
    W = [random.randn(n, k).T * np.sqrt(1 / k) for k, n in pairwise(sizes)]
    b = [np.zeros(n) for n in sizes[1:]]
    return Problem(np.ascontiguousarray(points.T), y, _interleave(W, b))


def jumping_back(seed: int = 42) -> Problem:
    """One sample of five inputs and four targets in [0.01, 0.99], for a 5-3-5-4 network.

    Parameters
    ----------
    seed : int, default 42
        Draws inputs, targets (whole hundredths) and the weights, uniform in [0, 1); biases zero.

    Returns
    -------
    Problem
        X of shape (1, 5), y of shape (1, 4).

    References
    ----------
    "Backpropagation made super easy": leaky relu (0.1), sigmoid, sigmoid; mean squared error;
    learning rate 0.01, 10,000 steps.

    Examples
    --------
    >>> jumping_back().y.tolist()
    [[0.21, 0.83, 0.87, 0.75]]
    """
    random = _random(seed)
    X = random.randint(1, 100, size=(1, 5)) / 100
    y = random.randint(1, 100, size=(1, 4)) / 100
    sizes = [5, 3, 5, 4]
    W = [random.random_sample((n, k)).T for k, n in pairwise(sizes)]
    b = [np.zeros(n) for n in sizes[1:]]
    return Problem(X, y, _interleave(W, b))


def softmax(seed: int = 7) -> Problem:
    """Random points with random one-hot labels in four classes, for a 6-10-4 network.

    There is nothing to learn but the samples themselves: what the fit shows is the arithmetic of
    softmax and cross-entropy, not generalisation.

    Parameters
    ----------
    seed : int, default 7
        Draws inputs (standard normal), labels and the weights (normal, 0.4); biases zero.

    Returns
    -------
    Problem
        X of shape (96, 6), y of shape (96, 4).

    References
    ----------
    "Backpropagation" (an encyclopaedia page), the network with one hidden layer: relu, softmax;
    categorical cross-entropy; here full batch, learning rate 0.2, 200 steps.

    Examples
    --------
    >>> softmax().y.sum(axis=1).tolist() == [1.0] * 96
    True
    """
    random = _random(seed)
    X = random.randn(96, 6)
    y = np.eye(4)[random.randint(0, 4, 96)]
    W = [random.randn(6, 10) * 0.4, random.randn(10, 4) * 0.4]
    b = [np.zeros(10), np.zeros(4)]
    return Problem(X, y, _interleave(W, b))


def _interleave(W: list[np.ndarray], b: list[np.ndarray]) -> list[np.ndarray]:
    """Return ``[W0, b0, W1, b1, ...]``, each C-contiguous."""
    return [np.ascontiguousarray(array) for pair in zip(W, b, strict=True) for array in pair]


def _random(seed: int) -> np.random.RandomState:
    """The generator of the texts."""
    return np.random.RandomState(validation.integer("seed", seed, minimum=0, below=2**32))
