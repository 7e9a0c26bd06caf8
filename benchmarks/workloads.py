"""The networks of the race: architecture, loss, data and starting weights, the same for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fusedelta import datasets

LEAKY_SLOPE = 0.1
ADAM_EPSILON = 1e-8  # that of most of the packages; betas are 0.9 and 0.999 in all

HALF_SSE = "half_sum_squared_error"
MSE = "mean_squared_error"
BCE = "binary_crossentropy"
LABELS = "sparse_categorical_crossentropy"

#: Losses that are computed from the logits of the last layer.
CROSS_ENTROPIES = (BCE, LABELS)


class Data(NamedTuple):
    """Inputs, targets (labels: int64) and starting weights ``[W0, b0, W1, b1, ...]``."""

    X: np.ndarray
    y: np.ndarray
    weights: list[np.ndarray]


@dataclass(frozen=True)
class Workload:
    """A network, how it is trained or used, and on how much data.

    Attributes
    ----------
    name : str
    sizes : tuple of int
        Inputs, then units of each layer.
    activations : tuple of str
        One for each layer.
    batch, batches : int
        Samples in a step, steps in an epoch. An epoch takes the samples as they lie.
    loss : str
    rate : float
        Learning rate.
    optimizer : {"sgd", "adam"}
    dtype : {"float32", "float64"}
    zeros : float
        Share of the inputs that are zero.
    problem : callable, optional
        Gives data and weights; otherwise they are drawn.
    checked_epochs : int
        After so many epochs the losses of all rivals must agree.
    predicts : bool
        Whether a step predicts a batch, NumPy array in, NumPy array out, instead of training.
    threads : int
        How many a rival may use.
    members : int
        How many such networks are trained, on the same data.
    member : int
        Which of them this one is: each has starting weights of its own.
    """

    name: str
    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    batch: int
    batches: int = 1
    loss: str = MSE
    rate: float = 0.01
    optimizer: str = "sgd"
    dtype: str = "float32"
    zeros: float = 0.0
    problem: Callable[[], datasets.Problem] | None = None
    checked_epochs: int = 2
    predicts: bool = False
    threads: int = 1
    members: int = 1
    member: int = 0

    @property
    def alone(self) -> list[Workload]:
        """Each member by itself."""
        return [replace(self, members=1, member=i) for i in range(self.members)]

    @property
    def all_weights(self) -> list[list[np.ndarray]]:
        """The starting weights of each member."""
        return [each.data().weights for each in self.alone]

    @property
    def layers(self) -> list[tuple[int, int, str]]:
        """(inputs, units, activation) of each layer."""
        return [
            (k, n, act) for (k, n), act in zip(pairwise(self.sizes), self.activations, strict=True)
        ]

    @property
    def is_classification(self) -> bool:
        """Whether the targets are classes."""
        return self.loss in CROSS_ENTROPIES

    @property
    def about(self) -> str:
        """The network in a line."""
        acts = "/".join(dict.fromkeys(self.activations))
        words = ["-".join(map(str, self.sizes)), acts, f"batch {self.batch}"]
        if self.predicts:
            words.append("predict")
        else:
            words += [self.loss.replace("_", " "), self.optimizer]
        if self.zeros:
            words.append(f"{self.zeros:.0%} of the inputs zero")
        return ", ".join([*words, self.dtype])

    @property
    def flops(self) -> float:
        """Useful operations of a step: its matrix products, without the inputs that are zero."""
        products = [2 * self.batch * k * n for k, n in pairwise(self.sizes)]
        products[0] *= 1 - self.zeros
        if self.predicts:
            return sum(products)
        return 3 * sum(products) - products[0]  # nothing goes back through the first layer

    @property
    def tolerance(self) -> float:
        """Up to which relative difference losses agree."""
        return 3e-4 if self.dtype == "float32" else 1e-9

    def data(self) -> Data:
        """Draw or look up the data, in the workload's dtype; every call gives the same."""
        X, y, weights = self.problem() if self.problem is not None else self._draw()
        y = y if y.dtype == np.int64 else y.astype(self.dtype)
        scale = 1 + self.member / 100
        weights = [(scale * array).astype(self.dtype) for array in weights]
        return Data(X.astype(self.dtype), y, weights)

    def batched(self) -> Data:
        """The same with X and y cut into batches: (batches, batch, ...)."""
        X, y, weights = self.data()
        shape = (self.batches, self.batch)
        return Data(X.reshape(*shape, *X.shape[1:]), y.reshape(*shape, *y.shape[1:]), weights)

    def _draw(self) -> Data:
        rng = np.random.default_rng(0)
        m, n = self.batch * self.batches, self.sizes[-1]
        X = rng.standard_normal((m, self.sizes[0]), dtype=np.float32)
        X *= rng.random(X.shape, dtype=np.float32) >= self.zeros
        y = rng.integers(0, n, m) if self.loss == LABELS else rng.standard_normal((m, n))
        y = y > 0 if self.loss == BCE else y
        weights = []
        for k, n, act in self.layers:
            gain = 2 if act == "relu" else 1
            weights.append(rng.standard_normal((k, n), dtype=np.float32) * np.sqrt(gain / k))
            weights.append(np.zeros(n))
        return Data(X, y, weights)


def relu_classifier(name: str, *sizes: int, **settings) -> Workload:
    """Relu layers and a softmax, trained on labels."""
    acts = ("relu",) * (len(sizes) - 2) + ("softmax",)
    return Workload(name, sizes, acts, loss=LABELS, **settings)


def relu_regression(name: str, *sizes: int, **settings) -> Workload:
    """Relu layers and a linear output, trained on squared errors."""
    return Workload(name, sizes, ("relu",) * (len(sizes) - 2) + ("linear",), **settings)


def xor(name: str, dtype: str) -> Workload:
    return Workload(
        name,
        (2, 2, 1),
        ("sigmoid", "sigmoid"),
        batch=4,
        loss=HALF_SSE,
        rate=0.1,
        dtype=dtype,
        problem=datasets.xor,
        checked_epochs=100,
    )


def spiral(name: str, dtype: str) -> Workload:
    return Workload(
        name,
        (2, 16, 8, 1),
        ("tanh", "tanh", "sigmoid"),
        batch=400,
        loss=BCE,
        rate=0.5,
        dtype=dtype,
        problem=datasets.spiral,
        checked_epochs=30,
    )


def small_predictions(name: str, batch: int, batches: int) -> Workload:
    acts = ("tanh", "tanh", "linear")
    return Workload(name, (8, 64, 64, 4), acts, batch=batch, batches=batches, predicts=True)


MNIST = (784, 128, 64, 10)

WORKLOADS = [
    xor("xor", "float32"),
    xor("xor-f64", "float64"),
    Workload(
        "jumping-back",
        (5, 3, 5, 4),
        ("leaky_relu", "sigmoid", "sigmoid"),
        batch=1,
        problem=datasets.jumping_back,
        checked_epochs=200,
    ),
    spiral("spiral", "float32"),
    spiral("spiral-f64", "float64"),
    Workload("policy", (8, 64, 64, 4), ("tanh", "tanh", "linear"), batch=64, batches=16),
    relu_classifier("mnist32", *MNIST, batch=32, batches=64),
    relu_classifier("mnist128", *MNIST, batch=128, batches=16),
    relu_classifier("mnist32-adam", *MNIST, batch=32, batches=64, optimizer="adam", rate=1e-4),
    relu_classifier("mnist128-adam", *MNIST, batch=128, batches=16, optimizer="adam", rate=1e-4),
    relu_regression("tabular", 32, 256, 256, 1, batch=256, batches=8, rate=0.003),
    relu_regression(
        "tabular-adam", 32, 256, 256, 1, batch=256, batches=8, optimizer="adam", rate=1e-4
    ),
    Workload("logistic", (30, 1), ("sigmoid",), batch=256, batches=64, loss=BCE),
    relu_classifier("online", 784, 128, 10, batch=1, batches=1024, rate=0.001),
    relu_classifier("online-zeros", 784, 128, 10, batch=1, batches=1024, rate=0.001, zeros=0.8),
    relu_regression("wide", 1024, 1024, 1024, 1024, batch=256, batches=2),
    relu_regression("huge", 4096, 4096, 4096, batch=512, batches=2, rate=0.1),
    small_predictions("predict-one", batch=1, batches=1000),
    small_predictions("predict-32", batch=32, batches=100),
]


def named(name: str) -> Workload:
    """The workload of that name; ``spiral*16`` is that of 16 members."""
    one, _, members = name.partition("*")
    workload = {workload.name: workload for workload in WORKLOADS}[one]
    return replace(workload, name=name, members=int(members)) if members else workload
