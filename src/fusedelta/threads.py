"""Threads: how many share a piece of work, and who decides.

One call of `fit`, `train_step`, `predict` or `evaluate` is shared by as many threads as

* the network may use: its ``n_threads``, by default as many as `available` says;
* the process allows at the moment: ``threadpoolctl.threadpool_limits(limits=1)`` holds here too,
  where threadpoolctl was imported before the network was made (``user_api="fusedelta"`` limits
  this package alone; without a limit its ``num_threads`` is 32768);
* find enough to do: 12.5 million floating-point operations each, counted as 2 times weights times
  samples for a pass and three passes for a training step. So a step has a second thread from 25
  million on, which is 100 to 200 microseconds of one core; below, sharing costs more than it gains.
  The environment variable ``FUSEDELTA_THREAD_FLOPS`` sets another figure, at import.

Thin networks (at most 16 wide) train on one thread, and so do networks with a loss of your own, and
single samples. The threads are the network's own: they start with the first work that wants them,
and sleep between calls. Cores need not be equally fast: how long the threads took for their last
parts decides how large the next ones are. Samples, features and rows of weights are split, never a
sum, so that results are the same for any number of threads and any parts, to the last bit.

**Threads of your own** may share a network. One at a time uses it, in the order in which they come:
`predict`, `train_step`, `evaluate`, `gradients`, and all that reads or sets whole states
(`get_weights`, `set_weights`, `optimizer_state`, `save`, `copy`, `pickle`) wait until another
thread's prediction or step is done. While a `fit` trains they raise RuntimeError, and so does a
second `fit`: callbacks are the place for what is to be done meanwhile. `params` and `weights` are
live and wait for nobody. Threads that predict side by side want a copy each. A process that is
forked has networks of its own.

>>> import fusedelta as fd
>>> fd.threads.available() >= 1
True
"""

from __future__ import annotations

import math
import os
import sys
from typing import Any

from fusedelta import _threads

__all__ = ["available"]

#: What a container may use of its processors a period of time: both in microseconds, or "max".
QUOTA = "/sys/fs/cgroup/cpu.max"


def available() -> int:
    """The threads that this process may use.

    Returns
    -------
    threads : int
        The least of: the processors that it may run on, those that a container's quota pays for,
        and the first number in the environment variable ``OMP_NUM_THREADS``.
    """
    limits = [_processors(), _quota(), _openmp()]
    return min(limit for limit in limits if limit)


def resolve(n_threads: int | None) -> int:
    """A network's `n_threads` as a number, when its engine is made."""
    _tell_threadpoolctl()
    return available() if n_threads is None else n_threads


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota() -> int | None:
    try:
        with open(QUOTA, encoding="ascii") as file:
            quota, period = file.read().split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no Linux, no quota
        return None


def _openmp() -> int | None:
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else None


# ----------------------------------------------------------------------------------- threadpoolctl


def _tell_threadpoolctl() -> None:
    """Be one of the libraries whose threads threadpoolctl limits, if it is there."""
    threadpoolctl: Any = sys.modules.get("threadpoolctl")
    if threadpoolctl is None or getattr(threadpoolctl, "_knows_fusedelta", False):
        return

    class FusedeltaController(threadpoolctl.LibController):  # type: ignore[misc]
        """Stands for the compiled module of that file name; its figure is the process's limit."""

        user_api = internal_api = "fusedelta"
        filename_prefixes = (os.path.basename(_threads.__file__),)

        def get_num_threads(self) -> int:
            return _threads.limit()

        def set_num_threads(self, num_threads: int) -> None:
            _threads.use_limit(min(max(1, num_threads), 2**15))

        def get_version(self) -> str | None:
            from fusedelta._version import __version__

            return __version__

    threadpoolctl.register(FusedeltaController)
    threadpoolctl._knows_fusedelta = True
