"""One network after the other, each trained by another rival."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.rivals import Rival
from benchmarks.workloads import Workload


class Each:
    """Every member trains all its epochs before the next one does."""

    def __init__(self, workload: Workload, build: Callable[[Workload], Rival]) -> None:
        self._racers = [build(each) for each in workload.alone]

    def run(self, epochs: int) -> None:
        for racer in self._racers:
            racer.run(epochs)

    def loss(self) -> float:
        return float(np.mean([racer.loss() for racer in self._racers]))
