"""This package's twin in plain NumPy, the specification of the compiled engine."""

from __future__ import annotations

from benchmarks.rivals import Rival, fusedelta
from benchmarks.workloads import Workload
from fusedelta import reference


def build(workload: Workload) -> Rival:
    """The same network on the NumPy engine."""
    return fusedelta.build(workload, reference.Sequential)
