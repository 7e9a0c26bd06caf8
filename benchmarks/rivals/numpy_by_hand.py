"""NumPy as a careful user writes it: everything in place, nothing computed twice."""

from __future__ import annotations

import numpy as np

from benchmarks.rivals import Rival, _by_hand
from benchmarks.workloads import ADAM_EPSILON, LEAKY_SLOPE, Workload


def sigmoid(Y):
    np.negative(Y, out=Y)
    np.exp(Y, out=Y)
    Y += 1
    np.reciprocal(Y, out=Y)


def softmax(Y):
    Y -= Y.max(axis=1, keepdims=True)
    np.exp(Y, out=Y)
    Y /= Y.sum(axis=1, keepdims=True)


ACTIVATIONS = {
    "linear": lambda Y: None,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "tanh": lambda Y: np.tanh(Y, out=Y),
    "relu": lambda Y: np.maximum(Y, 0, out=Y),
    "leaky_relu": lambda Y: np.maximum(Y, LEAKY_SLOPE * Y, out=Y),
}

DERIVATIVES = {
    "sigmoid": lambda Y: Y * (1 - Y),
    "tanh": lambda Y: 1 - Y * Y,
    "relu": lambda Y: Y > 0,
    "leaky_relu": lambda Y: np.where(Y > 0, Y.dtype.type(1), Y.dtype.type(LEAKY_SLOPE)),
}


class NumPy(_by_hand.ByHand):
    """The operations in NumPy."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.parameters = [array for pair in zip(self.W, self.b, strict=True) for array in pair]
        self.gradients = [np.empty_like(array) for array in self.parameters]
        self.rows = np.arange(workload.batch)
        self.tiny = np.finfo(workload.dtype).tiny  # keeps log off zero
        self.optimize = self.adam if workload.optimizer == "adam" else self.sgd
        self.moments = [(np.zeros_like(a), np.zeros_like(a)) for a in self.parameters]
        self.steps = 0

    def convert(self, part):
        return part

    def empty(self, shape):
        return np.empty(shape, self.workload.dtype)

    def subtract(self, A, B, out):
        np.subtract(A, B, out=out)

    def dot(self, A, B):
        return np.vdot(A, B)

    def affine(self, X, W, b, Y):
        np.matmul(X, W, out=Y)
        Y += b

    def activate(self, act, Y):
        ACTIVATIONS[act](Y)

    def derivative(self, act, Y, D):
        if act != "linear":
            D *= DERIVATIVES[act](Y)

    def delta_below(self, D, W, D_below):
        np.matmul(D, W.T, out=D_below)

    def binary_crossentropy(self, Y, T, D):
        np.subtract(Y, T, out=D)
        loss = -np.log(1 - np.abs(D) + self.tiny).mean()
        D /= D.size
        return loss

    def sparse_categorical_crossentropy(self, Y, labels, D):
        loss = -np.log(Y[self.rows, labels] + self.tiny).mean()
        D[...] = Y
        D[self.rows, labels] -= 1
        D /= len(D)
        return loss

    def update(self, i, X, D):
        dW, db = self.gradients[2 * i : 2 * i + 2]
        np.matmul(X.T, D, out=dW)
        np.sum(D, axis=0, out=db)
        for j in (2 * i, 2 * i + 1):
            self.optimize(self.parameters[j], self.gradients[j], *self.moments[j])

    def finish(self):
        self.steps += 1

    def sgd(self, w, g, first, second):
        g *= self.workload.rate
        w -= g

    def adam(self, w, g, first, second, beta1=0.9, beta2=0.999, epsilon=ADAM_EPSILON):
        """Kingma, Ba: Adam, a method for stochastic optimization (2015)."""
        first *= beta1
        first += (1 - beta1) * g
        g *= g
        g *= 1 - beta2
        second *= beta2
        second += g
        np.sqrt(second, out=g)
        g /= np.sqrt(1 - beta2 ** (self.steps + 1))
        g += epsilon
        np.divide(first, g, out=g)
        g *= self.workload.rate / (1 - beta1 ** (self.steps + 1))
        w -= g


def build(workload: Workload) -> Rival:
    """Train, or predict, with NumPy."""
    return _by_hand.build(workload, NumPy)
