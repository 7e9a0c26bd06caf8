"""The machine: what it is, and how to keep a process to a part of it."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata

import fusedelta as fd

PACKAGES = ("numpy", "torch", "jax", "scikit-learn", "keras")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: They would keep NumPy from the kernels that OpenBLAS takes for this processor.
BLAS_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def cores(threads: int) -> list[int]:
    """The cores to use: the last ones, since the first serve most interrupts."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    available = sorted(os.sched_getaffinity(0))
    if threads > len(available):
        raise ValueError(f"--threads: {threads} given, this machine lends {len(available)} cores")
    return available[-threads:]


def pin(to: list[int]) -> None:
    """Keep this process to those cores, where the system can."""
    if to:
        os.sched_setaffinity(0, to)


def environment(threads: int) -> dict[str, str]:
    """Variables for a process that may use so many threads."""
    variables = {key: value for key, value in os.environ.items() if key not in BLAS_OVERRIDES}
    variables.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    variables.update(JAX_PLATFORMS="cpu", CUDA_VISIBLE_DEVICES="")
    variables.setdefault("KERAS_BACKEND", "jax")
    if threads == 1:
        single = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        variables["XLA_FLAGS"] = f"{variables.get('XLA_FLAGS', '')} {single}".strip()
    return variables


def describe() -> dict[str, object]:
    """Processor, versions, and how busy the machine was at the start."""
    config = fd.show_config()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "fusedelta": config["version"],
        "isa": config["isa"],
        "compiler": config["compiler"],
        **{name: version for name in PACKAGES if (version := _version(name))},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
