"""torch without autograd, as in `torch_by_hand`, one network after the other."""

from benchmarks.rivals import Rival, _each, torch_by_hand
from benchmarks.workloads import Workload


def build(workload: Workload) -> Rival:
    """The members in turn."""
    return _each.Each(workload, torch_by_hand.build)
