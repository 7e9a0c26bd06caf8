"""Who races: a module each, with ``build(workload)``.

It returns an object with ``run(epochs)``, which trains (or, if ``workload.predicts``, predicts) so
many epochs from where the last call ended, and ``loss()``: the mean over the batches of the last
epoch of each batch's loss before its update (of predictions: the mean of all outputs). The loss is
part of the work, as it is of the training that users write. ``build`` raises ImportError where a
package is not installed, and `Unsuited` where it cannot train the network.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

import numpy as np

from benchmarks.workloads import Workload

#: Every rival, by the name of its module; the first is the one that the others race against, the
#: second the specification whose losses the others must reach.
OURS, TWIN = "fusedelta", "numpy-twin"
RIVALS = (
    OURS,
    TWIN,
    "numpy-by-hand",
    "torch-eager",
    "torch-by-hand",
    "torch-compile",
    "jax-scan",
    "sklearn-mlp",
    "keras-fit",
)


class Rival(Protocol):
    """What ``build`` returns."""

    def run(self, epochs: int) -> None: ...

    def loss(self) -> float: ...


class Unsuited(Exception):  # noqa: N818 - a reason, not an error
    """The package has no such network; says why."""


class Predictor:
    """Calls a function for each input array in turn, as a loop of a user's program does."""

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray], inputs: list[np.ndarray]):
        self._predict, self._inputs = predict, inputs

    def run(self, epochs: int) -> None:
        predict, inputs = self._predict, self._inputs
        for _ in range(epochs):
            for x in inputs:
                predict(x)

    def loss(self) -> float:
        return float(np.mean([self._predict(x).mean() for x in self._inputs]))


def build(name: str, workload: Workload) -> Rival:
    """Make the rival of that name ready to run."""
    return import_module(f"benchmarks.rivals.{name.replace('-', '_')}").build(workload)
