"""A workload's network in torch's own classes, for eager and for compiled torch."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals import Predictor
from benchmarks.workloads import LEAKY_SLOPE, Workload

ACTIVATIONS = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
}

#: The cross-entropies take logits, so those networks end with a linear layer.
LOSSES = {
    "half_sum_squared_error": lambda Y, T: 0.5 * (Y - T).square().sum(),
    "mean_squared_error": functional.mse_loss,
    "binary_crossentropy": functional.binary_cross_entropy_with_logits,
    "sparse_categorical_crossentropy": functional.cross_entropy,
}


def make_model(workload: Workload) -> nn.Sequential:
    """``nn.Sequential`` with the workload's starting weights."""
    modules: list[nn.Module] = []
    weights = iter(workload.data().weights)
    for k, n, act in workload.layers:
        linear = nn.Linear(k, n, dtype=getattr(torch, workload.dtype))
        linear.weight.data.copy_(torch.from_numpy(next(weights).T))
        linear.bias.data.copy_(torch.from_numpy(next(weights)))
        modules.append(linear)
        if act != "linear":
            modules.append(ACTIVATIONS[act]() if act in ACTIVATIONS else nn.Softmax(1))
    return nn.Sequential(*(modules[:-1] if workload.is_classification else modules))


class Trainer(ABC):
    """A training loop around a step, which subclasses supply."""

    def __init__(self, workload: Workload) -> None:
        self.model = make_model(workload)
        self.loss_function = LOSSES[workload.loss]
        X, y = (torch.from_numpy(array) for array in workload.batched()[:2])
        self.batches = list(zip(X, y, strict=True))

    @abstractmethod
    def step(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One update; the loss before it."""

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            total = torch.zeros(())
            for X, y in self.batches:
                total = total + self.step(X, y)
        self._loss = total / len(self.batches)

    def loss(self) -> float:
        return float(self._loss)


def predictor(workload: Workload, model) -> Predictor:
    """Calls of the model on NumPy arrays."""

    @torch.inference_mode()
    def predict(X):
        return model(torch.from_numpy(X)).numpy()

    return Predictor(predict, list(workload.batched().X))
