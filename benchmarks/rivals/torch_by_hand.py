"""torch without autograd: ``addmm_`` updates the weights with the learning rate folded in."""

from __future__ import annotations

import torch
from torch.nn import functional

from benchmarks.rivals import Rival, _by_hand
from benchmarks.workloads import LEAKY_SLOPE, Workload

aten = torch.ops.aten

ACTIVATIONS = {
    "linear": lambda Y: None,
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
    "relu": torch.relu_,
    "leaky_relu": lambda Y: functional.leaky_relu_(Y, LEAKY_SLOPE),
    "softmax": lambda Y: torch.softmax(Y, 1, out=Y),
}

DERIVATIVES = {
    "linear": lambda D, Y: None,
    "sigmoid": lambda D, Y: aten.sigmoid_backward(D, Y, grad_input=D),
    "tanh": lambda D, Y: aten.tanh_backward(D, Y, grad_input=D),
    "relu": lambda D, Y: aten.threshold_backward(D, Y, 0, grad_input=D),
    "leaky_relu": lambda D, Y: aten.leaky_relu_backward(D, Y, LEAKY_SLOPE, True, grad_input=D),
}


class Torch(_by_hand.ByHand):
    """The operations in torch."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.rows = torch.arange(workload.batch)
        self.ones = torch.full((workload.batch,), 1.0, dtype=getattr(torch, workload.dtype))
        self.adam = None
        if workload.optimizer == "adam":
            parameters = [*self.W, *self.b]
            self.adam = torch.optim.Adam(parameters, lr=workload.rate, fused=True)
            for parameter in parameters:
                parameter.grad = torch.empty_like(parameter)

    @torch.inference_mode()
    def run(self, epochs):
        super().run(epochs)

    def convert(self, part):
        return (
            list(map(torch.from_numpy, part)) if isinstance(part, list) else torch.from_numpy(part)
        )

    def empty(self, shape):
        return torch.empty(shape, dtype=getattr(torch, self.workload.dtype))

    def subtract(self, A, B, out):
        torch.sub(A, B, out=out)

    def dot(self, A, B):
        return torch.dot(A.view(-1), B.view(-1))

    def affine(self, X, W, b, Y):
        torch.addmm(b, X, W, out=Y)

    def activate(self, act, Y):
        ACTIVATIONS[act](Y)

    def derivative(self, act, Y, D):
        DERIVATIVES[act](D, Y)

    def delta_below(self, D, W, D_below):
        torch.mm(D, W.T, out=D_below)

    def binary_crossentropy(self, Y, T, D):
        torch.sub(Y, T, out=D).div_(D.numel())
        return functional.binary_cross_entropy(Y, T)

    def sparse_categorical_crossentropy(self, Y, labels, D):
        loss = Y[self.rows, labels].log_().mean().neg_()
        D.copy_(Y)
        D[self.rows, labels] -= 1
        D.div_(len(D))
        return loss

    def update(self, i, X, D):
        if self.adam is None:
            self.W[i].addmm_(X.T, D, alpha=-self.workload.rate)
            self.b[i].addmv_(D.T, self.ones, alpha=-self.workload.rate)
        else:
            torch.mm(X.T, D, out=self.W[i].grad)
            torch.sum(D, 0, out=self.b[i].grad)

    def finish(self):
        if self.adam is not None:
            self.adam.step()


def build(workload: Workload) -> Rival:
    """Train, or predict, with torch's kernels."""
    return _by_hand.build(workload, Torch, torch.Tensor.numpy)
