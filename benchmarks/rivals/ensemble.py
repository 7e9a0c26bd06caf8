"""This package's `Ensemble`."""

from __future__ import annotations

import numpy as np

import fusedelta as fd
from benchmarks.rivals import Rival
from benchmarks.rivals.fusedelta import make_network
from benchmarks.workloads import Workload


class Fit:
    """Trains all members through `fit`."""

    def __init__(self, workload: Workload) -> None:
        networks = [make_network(each, fd.Sequential) for each in workload.alone]
        self._ensemble = fd.Ensemble.from_members(networks, workload.threads)
        self._data = workload.data()[:2]
        self._batch = workload.batch

    def run(self, epochs: int) -> None:
        self._history = self._ensemble.fit(
            *self._data, epochs=epochs, batch_size=self._batch, shuffle=False, verbose=0
        )

    def loss(self) -> float:
        return float(np.mean(self._history.loss[-1]))


def build(workload: Workload) -> Rival:
    """The members as one ensemble."""
    return Fit(workload)
