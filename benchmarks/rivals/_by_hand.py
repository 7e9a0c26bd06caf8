"""Backpropagation written out, on operations that a library supplies: NumPy and torch by hand.

Letters: X (m, k) inputs, W (k, n) weights, b (n) biases, Y (m, n) outputs, D (m, n) deltas. Buffers
are allocated once; products, activations and updates work in place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from benchmarks.rivals import Predictor, Rival
from benchmarks.workloads import Workload

Array = Any  # numpy.ndarray or torch.Tensor


class ByHand(ABC):
    """The walk over the layers, forward, back and update."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        X, y, weights = (self.convert(part) for part in workload.batched())
        self.batches = list(zip(X, y, strict=True))
        self.W, self.b = weights[::2], weights[1::2]
        shapes = [(workload.batch, n) for n in workload.sizes[1:]]
        self.Y = [self.empty(shape) for shape in shapes]
        self.D = [self.empty(shape) for shape in shapes]

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            total = 0.0
            for X, y in self.batches:
                total += self.step(X, y)
        self._loss = total / len(self.batches)

    def loss(self) -> float:
        return float(self._loss)

    def forward(self, X: Array) -> Array:
        """Outputs of the last layer; those of all layers are kept."""
        for W, b, act, Y in zip(self.W, self.b, self.workload.activations, self.Y, strict=True):
            self.affine(X, W, b, Y)
            self.activate(act, Y)
            X = Y
        return X

    def step(self, X: Array, y: Array) -> Any:
        """One update; the loss before it."""
        outputs = self.forward(X)
        loss = getattr(self, self.workload.loss)(outputs, y, self.D[-1])
        if not self.workload.is_classification:
            self.derivative(self.workload.activations[-1], outputs, self.D[-1])
        for i in range(len(self.W) - 1, -1, -1):
            if i > 0:
                self.delta_below(self.D[i], self.W[i], self.D[i - 1])
                self.derivative(self.workload.activations[i - 1], self.Y[i - 1], self.D[i - 1])
            self.update(i, self.Y[i - 1] if i > 0 else X, self.D[i])
        self.finish()
        return loss

    # Each loss fills D with the gradient, of a cross-entropy with respect to the logits.

    def half_sum_squared_error(self, Y: Array, T: Array, D: Array) -> Any:
        self.subtract(Y, T, D)
        return 0.5 * self.dot(D, D)

    def mean_squared_error(self, Y: Array, T: Array, D: Array) -> Any:
        self.subtract(Y, T, D)
        count = D.shape[0] * D.shape[1]
        loss = self.dot(D, D) / count
        D *= 2 / count
        return loss

    # ------------------------------------------------------------- what the library has to supply

    @abstractmethod
    def convert(self, part: Any) -> Any:
        """The library's array of a NumPy array, or a list of them of a list."""

    @abstractmethod
    def empty(self, shape: tuple[int, int]) -> Array: ...

    @abstractmethod
    def subtract(self, A: Array, B: Array, out: Array) -> None: ...

    @abstractmethod
    def dot(self, A: Array, B: Array) -> Any: ...

    @abstractmethod
    def affine(self, X: Array, W: Array, b: Array, Y: Array) -> None:
        """``Y = X W + b``."""

    @abstractmethod
    def activate(self, act: str, Y: Array) -> None:
        """``Y = act(Y)``."""

    @abstractmethod
    def derivative(self, act: str, Y: Array, D: Array) -> None:
        """``D *= act'``, from the output Y."""

    @abstractmethod
    def delta_below(self, D: Array, W: Array, D_below: Array) -> None:
        """``D_below = D W^T``."""

    @abstractmethod
    def update(self, i: int, X: Array, D: Array) -> None:
        """Change weights and biases of layer i, whose gradients are ``X^T D`` and ``sum D``."""

    @abstractmethod
    def finish(self) -> None:
        """After the last update of a step."""


def build(workload: Workload, cls: type[ByHand], to_numpy=lambda outputs: outputs) -> Rival:
    """Train with the class, or predict with its forward pass."""
    net = cls(workload)
    if not workload.predicts:
        return net
    inputs = list(workload.batched().X)
    return Predictor(lambda X: to_numpy(net.forward(net.convert(X))), inputs)
