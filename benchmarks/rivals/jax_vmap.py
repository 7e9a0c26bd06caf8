"""JAX: the jitted training of `jax_scan`, with all members in one ``vmap``."""

from benchmarks.rivals import Rival, jax_scan
from benchmarks.workloads import Workload


def build(workload: Workload) -> Rival:
    """All members in one call."""
    return jax_scan.build(workload)
