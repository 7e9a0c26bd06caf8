"""The layers of the NumPy twin, one class for each kind of row.

With X (m, k) inputs, Z what the layer makes of them, Y = activation(Z), D = dLoss/dZ and
G = dLoss/dX. Sources of the formulae: `fusedelta.layers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fusedelta.layers import Dropout
from fusedelta.normalization import BatchNormalization, LayerNormalization
from fusedelta.rows import Row

__all__ = ["LAYERS", "ReferenceLayer", "Walk", "keep_mask", "threefry"]

Activation = tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]


@dataclass
class Walk:
    """What the layers of a network know of the walk over them."""

    training: bool = False
    key: int = 0  #: of the masks of dropout
    step: int = 0  #: training steps so far


class ReferenceLayer:
    """One row, on views of its parameters and of their gradients.

    Parameters
    ----------
    row : Row
    pieces, gradients : list of ndarray
        As `parameters.views` gives them for this row.
    state : list of ndarray
        As `parameters.state_views` gives it.
    activation : (forward, backward)
        As `reference_activations.ACTIVATIONS` holds them.
    walk : Walk
        Shared by the layers of a network.
    """

    def __init__(
        self,
        row: Row,
        pieces: Sequence[np.ndarray],
        gradients: Sequence[np.ndarray],
        state: Sequence[np.ndarray],
        activation: Activation,
        walk: Walk,
    ) -> None:
        self.row, self.pieces, self.gradients, self.walk = row, pieces, gradients, walk
        self.state = state
        self.partner: ReferenceLayer | None = None
        self.slope = row.slope
        self._activate, self._derive = activation

    def forward(self, X: np.ndarray) -> np.ndarray:
        """``Y = activation(Z)``; keeps X, Z and Y for the way back."""
        self.X = X
        self.Z = self.transform(X)
        self.Y = self._activate(self.Z, self.slope)
        return self.Y

    def through_activation(self, G: np.ndarray) -> np.ndarray:
        """``D = dLoss/dZ`` from ``dLoss/dY``."""
        return self._derive(G, self.Z, self.Y, self.slope)

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Z from X."""
        return X

    def update(self, D: np.ndarray) -> None:
        """Fill the gradients."""

    def backward(self, D: np.ndarray) -> np.ndarray:
        """G from D."""
        return D

    def settle(self) -> None:
        """Bring up to date, at the end of a step, what it keeps beside its parameters."""


def product(A: np.ndarray, B: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """A B, without a warning of an invalid operation: a nan in it tells by itself.

    OpenBLAS 0.3.31 reads beyond a row of five float32; what lies there does not count, but may be
    a signalling nan, and NumPy then warns of a product that is right.
    """
    with np.errstate(invalid="ignore"):
        return np.matmul(A, B, out=out)


class DenseLayer(ReferenceLayer):
    """``Z = X W + b``; ``dW = X^T D``, ``db = sum D``; ``G = D W^T``."""

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Z from X."""
        W, b = self.pieces
        return product(X, W) + b

    def update(self, D: np.ndarray) -> None:
        """Fill the gradients."""
        dW, db = self.gradients
        product(self.X.T, D, out=dW)
        D.sum(axis=0, out=db)

    def backward(self, D: np.ndarray) -> np.ndarray:
        """G from D."""
        return product(D, self.pieces[0].T)


# ------------------------------------------------------------------------------------------ dropout

#: The rotations of Threefry-4x32, two a round, over and over.
ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
ROUNDS = 13


def threefry(counter: Sequence[np.ndarray], key: Sequence[int]) -> list[np.ndarray]:
    """Threefry-4x32-13 of Salmon et al. (2011): four random words for four of a counter.

    Parameters
    ----------
    counter : sequence of 4 arrays of uint32, of one shape
    key : sequence of 4 ints below 2^32

    Returns
    -------
    words : list of 4 arrays of uint32
    """
    keys = [*key, 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]]
    x = [word + np.uint32(k) for word, k in zip(counter, keys, strict=False)]
    for turn in range(ROUNDS):
        left, right = ROTATIONS[turn % 8]
        b, d = (1, 3) if turn % 2 == 0 else (3, 1)
        x[0], x[2] = x[0] + x[b], x[2] + x[d]
        x[b], x[d] = rotate(x[b], left) ^ x[0], rotate(x[d], right) ^ x[2]
        if turn % 4 == 3:
            shift = turn // 4 + 1
            x = [word + np.uint32(keys[(shift + i) % 5]) for i, word in enumerate(x)]
            x[3] = x[3] + np.uint32(shift)
    return x


def rotate(x: np.ndarray, by: int) -> np.ndarray:
    """Rotate words of 32 bits to the left."""
    return (x << np.uint32(by)) | (x >> np.uint32(32 - by))


def keep_mask(walk: Walk, number: int, m: int, n: int, threshold: int) -> np.ndarray:
    """Which values (m, n) the layer of that number keeps at the walk's step.

    The counter is (feature, sample // 4, step), word ``sample % 4`` of the four is the value's.
    """
    quads = np.arange((m + 3) // 4, dtype=np.uint32)[:, np.newaxis]
    features = np.arange(n, dtype=np.uint32)
    low, high = (np.uint32(part) for part in (walk.step & 0xFFFFFFFF, walk.step >> 32))
    counter = np.broadcast_arrays(features, quads, low, high)
    words = threefry(counter, (walk.key & 0xFFFFFFFF, walk.key >> 32, number, 0))
    return np.stack(words, axis=1).reshape(-1, n)[:m] >= np.uint32(threshold)


class DropoutLayer(ReferenceLayer):
    """``Z = X mask / (1 - rate)`` in training; ``G`` from D likewise."""

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Z from X."""
        if not self.walk.training:
            return X
        assert isinstance(self.row.layer, Dropout)
        m, n = X.shape
        self._keep = keep_mask(self.walk, self.row.number, m, n, self.row.layer.threshold)
        self._scale = X.dtype.type(1 / (1 - self.row.layer.rate))
        return np.where(self._keep, X * self._scale, X.dtype.type(0))

    def backward(self, D: np.ndarray) -> np.ndarray:
        """G from D."""
        return np.where(self._keep, D * self._scale, D.dtype.type(0))


# ----------------------------------------------------------------------------------------- residual


class ForkLayer(ReferenceLayer):
    """``Z = X``; what comes back is ``G`` of the layers, and the addition's D."""

    def backward(self, D: np.ndarray) -> np.ndarray:
        """G from D."""
        assert isinstance(self.partner, AddLayer)
        return D + self.partner.D


class AddLayer(ReferenceLayer):
    """``Z = X + X of the fork``."""

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Z from X."""
        assert self.partner is not None
        return X + self.partner.X

    def backward(self, D: np.ndarray) -> np.ndarray:
        """G from D, which the fork adds to its own."""
        self.D = D
        return D


# ------------------------------------------------------------------------------------ normalisation


class LayerNormalizationLayer(ReferenceLayer):
    """``Z = gamma N + beta``, N the normalised X; ``dgamma = sum D N``, ``dbeta = sum D``.

    ``G = (H - mean(H) - N mean(H N)) / sqrt(variance + epsilon)`` with ``H = gamma D``.
    """

    axis = 1

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Z from X."""
        self.mean, self.variance = self.moments(X)
        epsilon = max(self._settings.epsilon, float(np.finfo(X.dtype).tiny))
        self.inverse = 1 / np.sqrt(self.variance + X.dtype.type(epsilon))
        self.N = (X - self.mean) * self.inverse
        Z = self.N * self.pieces[0] if self._settings.scale else self.N
        return Z + self.pieces[-1] if self._settings.center else Z

    def moments(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance to normalise by."""
        return X.mean(self.axis, keepdims=True), X.var(self.axis, keepdims=True)

    def update(self, D: np.ndarray) -> None:
        """Fill the gradients."""
        if self._settings.scale:
            (D * self.N).sum(axis=0, out=self.gradients[0])
        if self._settings.center:
            D.sum(axis=0, out=self.gradients[-1])

    def backward(self, D: np.ndarray) -> np.ndarray:
        """G from D."""
        H = D * self.pieces[0] if self._settings.scale else D
        along = (H * self.N).mean(self.axis, keepdims=True)
        return (H - H.mean(self.axis, keepdims=True) - self.N * along) * self.inverse

    @property
    def _settings(self) -> BatchNormalization | LayerNormalization:
        assert isinstance(self.row.layer, BatchNormalization | LayerNormalization)
        return self.row.layer


class BatchNormalizationLayer(LayerNormalizationLayer):
    """The same over the samples of a batch; in predictions by the moving averages."""

    axis = 0

    def moments(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance to normalise by."""
        mean, variance = self.state
        return super().moments(X) if self.walk.training else (mean, variance)

    def settle(self) -> None:
        """Move the averages."""
        assert isinstance(self.row.layer, BatchNormalization)
        momentum = self.row.layer.momentum
        for moving, batch in zip(self.state, (self.mean, self.variance), strict=True):
            moving[:] = momentum * moving + (1 - momentum) * batch[0]


#: The class for every kind of row.
LAYERS: dict[str, type[ReferenceLayer]] = {
    "dense": DenseLayer,
    "activation": ReferenceLayer,
    "dropout": DropoutLayer,
    "fork": ForkLayer,
    "add": AddLayer,
    "layer_normalization": LayerNormalizationLayer,
    "batch_normalization": BatchNormalizationLayer,
}
