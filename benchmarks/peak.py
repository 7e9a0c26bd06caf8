"""The most multiply-adds a second that the machine can do, measured by a loop of nothing else.

The loop is ``peak.c``, compiled when it is needed; without a C compiler for this machine the
peak is unknown.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("peak.c")
OPTIMISE = ["-O3", "-ffp-contract=fast", "-fno-trapping-math", "-shared", "-fPIC"]

#: Width of the vectors in bytes, and the compiler's flags, by instruction set.
ISAS = {
    "avx512": (64, ["-mavx512f", "-mprefer-vector-width=512"]),
    "avx2": (32, ["-mavx2", "-mfma"]),
    "neon": (16, []),
    "base": (16, ["-ffp-contract=off"]),
}
C_TYPES = {"float32": "float", "float64": "double"}
SECONDS = 0.01


@cache
def load(isa: str, dtype: str) -> ctypes.CDLL | None:
    """Compile the loop; None where that is not possible."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or isa not in ISAS:
        return None
    width, flags = ISAS[isa]
    defines = [f"-DBYTES={width}", f"-DREAL={C_TYPES[dtype]}"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = Path(folder, "peak.so")
        command = [compiler, *OPTIMISE, *flags, *defines, str(SOURCE), "-o", str(library)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        try:
            loop = ctypes.CDLL(str(library))
        except OSError:  # the compiler's machine is another than the interpreter's
            return None
    loop.multiply_add.argtypes = [ctypes.c_long, ctypes.c_double, ctypes.c_double]
    loop.multiply_add.restype = ctypes.c_double
    loop.flops_per_time.restype = ctypes.c_long
    return loop


def measure(isa: str, dtype: str, threads: int = 1) -> float | None:
    """GFLOP/s of so many threads together, the best of a few tries; None if unknown."""
    loop = load(isa, dtype)
    if loop is None:
        return None
    times = 1000
    while (seconds := _seconds(loop, times)) < SECONDS:
        times *= 2
    with ThreadPoolExecutor(threads) as pool:  # ctypes lets go of the GIL
        best = min(max(pool.map(lambda _: _seconds(loop, times), range(threads))) for _ in range(4))
    return threads * times * loop.flops_per_time() / min(best, seconds) / 1e9


def _seconds(loop: ctypes.CDLL, times: int) -> float:
    start = time.perf_counter()
    loop.multiply_add(times, 0.5, 1.0)
    return time.perf_counter() - start
