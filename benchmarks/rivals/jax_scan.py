"""JAX: all epochs in one jitted call, ``lax.scan`` over the batches of each, buffers donated.

Several members are one more dimension of parameters and optimiser state, and a ``vmap``.
"""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jax import nn
from jax import numpy as jnp

from benchmarks.rivals import Predictor, Rival
from benchmarks.workloads import ADAM_EPSILON, LEAKY_SLOPE, Workload

ACTIVATIONS = {
    "linear": lambda Z: Z,
    "sigmoid": nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": nn.relu,
    "leaky_relu": lambda Z: nn.leaky_relu(Z, LEAKY_SLOPE),
}


def labels_crossentropy(Z, labels):
    return -jnp.take_along_axis(nn.log_softmax(Z), labels[:, None], axis=1).mean()


#: Of logits, where it is a cross-entropy.
LOSSES = {
    "half_sum_squared_error": lambda Y, T: 0.5 * jnp.sum((Y - T) ** 2),
    "mean_squared_error": lambda Y, T: jnp.mean((Y - T) ** 2),
    "binary_crossentropy": lambda Z, T: jnp.mean(nn.softplus(Z) - T * Z),
    "sparse_categorical_crossentropy": labels_crossentropy,
}


def forward(workload, parameters, X):
    """Outputs, or the logits where the loss takes those."""
    activations = list(workload.activations)
    if workload.is_classification:
        activations[-1] = "linear"
    for W, b, act in zip(parameters[::2], parameters[1::2], activations, strict=True):
        X = ACTIVATIONS[act](X @ W + b)
    return X


def sgd(rate, parameters, gradients, state):
    return [p - rate * g for p, g in zip(parameters, gradients, strict=True)], state


def adam(rate, parameters, gradients, state, beta1=0.9, beta2=0.999, epsilon=ADAM_EPSILON):
    """Kingma, Ba: Adam, a method for stochastic optimization (2015)."""
    steps, first, second = state
    steps = steps + 1
    first = [beta1 * m + (1 - beta1) * g for m, g in zip(first, gradients, strict=True)]
    second = [beta2 * v + (1 - beta2) * g * g for v, g in zip(second, gradients, strict=True)]
    rate, scale = rate / (1 - beta1**steps), 1 / jnp.sqrt(1 - beta2**steps)
    moved = [
        p - rate * m / (scale * jnp.sqrt(v) + epsilon)
        for p, m, v in zip(parameters, first, second, strict=True)
    ]
    return moved, (steps, first, second)


def make_state(workload, parameters):
    if workload.optimizer == "sgd":
        return ()
    return jnp.zeros((), workload.dtype), *(list(map(jnp.zeros_like, parameters)) for _ in "mv")


class Scan:
    """Training as one compiled function of parameters, optimiser state and number of epochs."""

    def __init__(self, workload: Workload) -> None:
        X, y, weights = workload.batched()
        self.batches = jnp.asarray(X), jnp.asarray(y)
        if workload.members > 1:
            weights = [np.stack(each) for each in zip(*workload.all_weights, strict=True)]
        parameters = list(map(jnp.asarray, weights))
        self.carry = parameters, make_state(workload, parameters)
        optimizer = {"sgd": sgd, "adam": adam}[workload.optimizer]

        def loss_of(parameters, X, y):
            return LOSSES[workload.loss](forward(workload, parameters, X), y)

        derive = jax.value_and_grad(loss_of)
        if workload.members > 1:
            derive = jax.vmap(derive, in_axes=(0, None, None))

        def step(carry, batch):
            parameters, state = carry
            loss, gradients = derive(parameters, *batch)
            return optimizer(workload.rate, parameters, gradients, state), loss.mean()

        @partial(jax.jit, donate_argnums=0)
        def train(carry, batches, epochs):
            def epoch(_, carry_and_loss):
                carry, losses = jax.lax.scan(step, carry_and_loss[0], batches)
                return carry, losses.mean()

            return jax.lax.fori_loop(0, epochs, epoch, (carry, jnp.zeros((), workload.dtype)))

        self.train = train

    def run(self, epochs: int) -> None:
        self.carry, self._loss = jax.block_until_ready(self.train(self.carry, self.batches, epochs))

    def loss(self) -> float:
        return float(self._loss)


def build(workload: Workload) -> Rival:
    """Train, or predict, with jitted functions."""
    if workload.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    if not workload.predicts:
        return Scan(workload)
    apply = jax.jit(partial(forward, workload))
    parameters = list(map(jnp.asarray, workload.data().weights))
    return Predictor(lambda X: np.asarray(apply(parameters, X)), list(workload.batched().X))
