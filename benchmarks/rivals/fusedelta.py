"""This package through its public API: `fit`, `predict` and `predict_one`."""

from __future__ import annotations

import fusedelta as fd
from benchmarks.rivals import Predictor, Rival
from benchmarks.workloads import ADAM_EPSILON, LEAKY_SLOPE, Workload


def make_network(workload: Workload, cls: type[fd.Sequential]) -> fd.Sequential:
    """The workload's network with its starting weights."""
    rate = workload.rate
    optimizer = fd.SGD(rate) if workload.optimizer == "sgd" else fd.Adam(rate, epsilon=ADAM_EPSILON)
    activations = {"leaky_relu": fd.LeakyReLU(LEAKY_SLOPE)}
    net = cls(
        [fd.Dense(n, activations.get(act, act)) for _, n, act in workload.layers],
        loss=workload.loss,
        optimizer=optimizer,
        input_shape=workload.sizes[:1],
        dtype=workload.dtype,
        n_threads=workload.threads,
    )
    net.set_weights(workload.data().weights)
    return net


class Fit:
    """Trains through `fit`."""

    def __init__(self, workload: Workload, cls: type[fd.Sequential]) -> None:
        self._net = make_network(workload, cls)
        self._data = workload.data()[:2]
        self._batch = workload.batch

    def run(self, epochs: int) -> None:
        self._history = self._net.fit(
            *self._data, epochs=epochs, batch_size=self._batch, shuffle=False, verbose=0
        )

    def loss(self) -> float:
        return float(self._history.loss[-1])


def build(workload: Workload, cls: type[fd.Sequential] = fd.Sequential) -> Rival:
    """The network of one of the two engines, to train or to predict with."""
    if not workload.predicts:
        return Fit(workload, cls)
    net = make_network(workload, cls)
    if workload.batch == 1:
        return Predictor(net.predict_one, list(workload.data().X))
    return Predictor(net.predict, list(workload.batched().X))
