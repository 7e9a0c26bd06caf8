"""The race's networks for asv: seconds of an epoch, of this package alone."""

from benchmarks import rivals
from benchmarks.workloads import WORKLOADS, named


class Epoch:
    """One epoch through `fit` (or of predictions), small networks first."""

    params = tuple(workload.name for workload in WORKLOADS if workload.name != "huge")
    param_names = ("workload",)

    def setup(self, name):
        self.network = rivals.build(rivals.OURS, named(name))
        self.network.run(1)

    def time_epoch(self, name):
        self.network.run(1)
