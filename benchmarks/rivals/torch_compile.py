"""torch.compile of the whole step: loss, gradients and update of the parameters in one graph."""

from __future__ import annotations

import torch

from benchmarks.rivals import Rival, Unsuited, _torch_model
from benchmarks.workloads import Workload


class Compiled(_torch_model.Trainer):
    """One compiled function a step; it changes the parameters in place."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.parameters = {name: p.detach() for name, p in self.model.named_parameters()}
        rate, loss_function, model = workload.rate, self.loss_function, self.model

        def loss_of(parameters, X, y):
            return loss_function(torch.func.functional_call(model, parameters, X), y)

        def step(parameters, X, y):
            gradients, loss = torch.func.grad_and_value(loss_of)(parameters, X, y)
            for name, parameter in parameters.items():
                parameter.sub_(gradients[name], alpha=rate)
            return loss

        self.compiled = torch.compile(step, fullgraph=True, dynamic=False)

    @torch.no_grad()
    def step(self, X, y):
        return self.compiled(self.parameters, X, y)


def build(workload: Workload) -> Rival:
    """Train, or predict, with the compiled function."""
    if workload.predicts:
        model = torch.compile(_torch_model.make_model(workload), dynamic=False)
        return _torch_model.predictor(workload, model)
    if workload.optimizer != "sgd":
        raise Unsuited("the compiled step is written for SGD")
    return Compiled(workload)
