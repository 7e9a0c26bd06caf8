"""JAX: the jitted training of `jax_scan`, one network after the other."""

from benchmarks.rivals import Rival, _each, jax_scan
from benchmarks.workloads import Workload


def build(workload: Workload) -> Rival:
    """The members in turn."""
    return _each.Each(workload, jax_scan.build)
