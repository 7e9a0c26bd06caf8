"""What was built and what it runs on."""

from __future__ import annotations

import platform
import sys
from typing import Any

import numpy as np

from fusedelta import _cpu, threads
from fusedelta._version import __version__


class Config(dict[str, Any]):
    """A dict that reads as a table."""

    def __str__(self) -> str:
        width = max(map(len, self))
        values = (" ".join(v) if isinstance(v, list) else str(v) for v in self.values())
        lines = zip(self, values, strict=True)
        return "\n".join(f"{key:<{width}}  {value}" for key, value in lines)

    __repr__ = __str__


def show_config() -> Config:
    """Versions, machine and instruction set, as a dict that prints as a table.

    Returns
    -------
    Config
        With the keys ``version``, ``isa`` (the instruction set whose kernels new networks take),
        ``available`` (those this machine runs, best first), ``compiler``, ``numpy``, ``python``,
        ``machine`` and ``threads`` (what networks use at the most, see `fusedelta.threads`).

    Notes
    -----
    The best instruction set is taken at import. The environment variable ``FUSEDELTA_ISA`` names
    another of the available ones; any other name makes the import fail.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.show_config()["isa"] in fd.show_config()["available"]
    True
    """
    return Config(
        version=__version__,
        isa=_cpu.current_isa(),
        available=_cpu.available_isas(),
        compiler=_cpu.compiler(),
        numpy=np.__version__,
        python=platform.python_version(),
        machine=f"{sys.platform} {platform.machine()}",
        threads=threads.available(),
    )
