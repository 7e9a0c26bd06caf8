"""This package's twin in plain NumPy, the specification of the compiled engine."""

from __future__ import annotations

from fusedelta import reference

from benchmarks.rivals import Rival, fusedelta
from benchmarks.workloads import Workload


def build(workload: Workload) -> Rival:
    """The same network on the NumPy engine."""
    return fusedelta.build(workload, reference.Sequential)
