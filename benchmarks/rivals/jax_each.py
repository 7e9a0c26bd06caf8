"""JAX: the jitted training of `jax_scan`, one network after the other."""

from __future__ import annotations

import jax
import numpy as np
from jax import numpy as jnp

from benchmarks.rivals import Rival, jax_scan
from benchmarks.workloads import Workload


class Each:
    """The members in turn, all through one function that is compiled once."""

    def __init__(self, workload: Workload) -> None:
        self._scan = jax_scan.Scan(workload.alone[0])
        self._carries = []
        for weights in workload.all_weights:
            parameters = list(map(jnp.asarray, weights))
            self._carries.append((parameters, jax_scan.make_state(workload, parameters)))

    def run(self, epochs: int) -> None:
        scan = self._scan
        trained = [scan.train(carry, scan.batches, epochs) for carry in self._carries]
        trained = jax.block_until_ready(trained)
        self._carries = [carry for carry, _ in trained]
        self._losses = [loss for _, loss in trained]

    def loss(self) -> float:
        return float(np.mean(self._losses))


def build(workload: Workload) -> Rival:
    """The members one after the other."""
    return Each(workload)
