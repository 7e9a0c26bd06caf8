"""torch as its users write it: ``nn.Sequential``, a loss, ``backward`` and ``torch.optim``."""

from __future__ import annotations

import torch

from benchmarks.rivals import Rival, _torch_model
from benchmarks.workloads import Workload

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


class Eager(_torch_model.Trainer):
    """The step of the tutorials."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        make_optimizer = OPTIMIZERS[workload.optimizer]
        self.optimizer = make_optimizer(self.model.parameters(), lr=workload.rate)

    def step(self, X, y):
        self.optimizer.zero_grad()
        loss = self.loss_function(self.model(X), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def build(workload: Workload) -> Rival:
    """Train, or predict, with the module."""
    if workload.predicts:
        return _torch_model.predictor(workload, _torch_model.make_model(workload))
    return Eager(workload)
