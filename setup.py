"""Builds the compiled modules; everything else about the package is said in pyproject.toml.

Each ``src/fusedelta/*.pyx`` becomes one module; a new one, or a new instruction set, needs no
edit here.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Who links what of the C core; the other modules reach kernels through the table.
CORE = {
    "_cpu": [*sorted(glob("csrc/kernels_*.c")), "csrc/dispatch.c"],
    "_program": ["csrc/team.c"],
    "_kernels": ["csrc/team.c"],
}

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "freethreading_compatible": True,
}

# Rounding is part of the contract: no -ffast-math, and no contraction, so that compilers agree to
# the last bit.  The instruction sets open their own target regions inside the sources, so no file
# needs flags of its own.
OPTIMISE = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
UNIX_FLAGS = ["-std=c11", *OPTIMISE, "-fvisibility=hidden", "-g0", "-pthread", "-Wall", "-Wextra"]
# Added for what Cython writes, whose loops call kernels: -O3 makes it a tenth larger, and no step
# faster. csrc has no such allowance for warnings (CI builds with CFLAGS=-Werror).
GENERATED = "build/cython"
GENERATED_FLAGS = [
    "-O2",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-Wno-missing-field-initializers",
]
# Compiled to be small: what tests, benchmarks and profiles alone call. -Os for all would take 70 KB
# more off the wheel, but a prediction of one sample would take 1.14 of the time.
SMALL = {"_kernels", "_profile"}
# What not every compiler and processor has: the first of each line that works is taken.
OPTIONAL = [
    # Intel processors from Skylake to Cascade Lake decode branches at 32-byte boundaries anew (the
    # JCC erratum): a step of a small network took up to a fifth longer, by chance. Assemblers can
    # keep the branches off the boundaries. How clang and how GCC ask for it.
    ["-mbranches-within-32B-boundaries", "-Wa,-mbranches-within-32B-boundaries"],
    # Before it gives out registers, GCC for ARM moves loads ahead, for which it then spills sums
    # of the largest tiles; for x86 it does not. clang has no such flag, and no such need.
    ["-fno-schedule-insns"],
    # GCC makes a copy of a loop for each outcome of what does not change in it, a twentieth of all
    # code. Where that is worth it, the sources do it themselves.
    ["-fno-unswitch-loops"],
]
# MSVC has neither vector extensions nor target regions: on Windows its clang-cl does the work.
WINDOWS_FLAGS = ["/std:c11", *(f"/clang:{flag}" for flag in OPTIMISE)]
WINDOWS_TARGETS = {"win-amd64": "x86_64-pc-windows-msvc", "win-arm64": "aarch64-pc-windows-msvc"}


def extensions() -> list[Extension]:
    """One extension per .pyx file; paths are relative, as setuptools wants them."""
    depends = sorted(glob("csrc/*.h") + glob("src/fusedelta/*.pxd"))
    return [
        Extension(
            f"fusedelta.{Path(pyx).stem}",
            [pyx, *CORE.get(Path(pyx).stem, [])],
            include_dirs=["csrc", numpy.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            depends=depends,
        )
        for pyx in sorted(glob("src/fusedelta/*.pyx"))
    ]


class BuildExt(build_ext):
    """Flags by compiler, and every C file compiled in parallel."""

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "msvc":
            compile_flags, generated_flags, link_flags, libraries = self.use_clang_cl(), [], [], []
        else:
            compile_flags, generated_flags = UNIX_FLAGS + self.optional_flags(), GENERATED_FLAGS
            link_flags, libraries = ["-pthread"], ["m"]
        for extension in self.extensions:
            extension.extra_compile_args = compile_flags
            extension.extra_link_args = link_flags + self.strip_flags(extension)
            extension.libraries = libraries

        self.parallel = self.parallel or os.cpu_count() or 1
        compile_files = self.compiler.compile
        with ThreadPoolExecutor(self.parallel) as pool:

            def compile_in_parallel(sources, *, extra_postargs, **kwargs):
                def compile_one(source):
                    generated = Path(source).is_relative_to(GENERATED)
                    flags = extra_postargs + (generated_flags if generated else [])
                    flags += ["-Os"] if Path(source).stem in SMALL else []
                    return compile_files([source], extra_postargs=flags, **kwargs)

                return [name for names in pool.map(compile_one, sources) for name in names]

            self.compiler.compile = compile_in_parallel
            super().build_extensions()

    def strip_flags(self, extension: Extension) -> list[str]:
        """Leave out of a wheel, whose size it is 3 % of, what Cython calls its own functions.

        A profiler still finds the kernels by their names, and in a checkout all of them.
        """
        keep = self.inplace or extension.name == "fusedelta._cpu"
        return ["-Wl,-s"] if sys.platform == "linux" and not keep else []

    def optional_flags(self) -> list[str]:
        """Those in OPTIONAL that this compiler has for the processor it compiles for."""
        with TemporaryDirectory() as folder:
            source = Path(folder, "empty.c")
            source.touch()

            def works(flag):
                command = [*self.compiler.compiler_so, "-Werror", flag, "-c", source]
                return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0

            flags = [next(filter(works, alternatives), None) for alternatives in OPTIONAL]
        return [flag for flag in flags if flag]

    def use_clang_cl(self) -> list[str]:
        """Put clang-cl in the place of cl.exe; return its flags."""
        clang_cl = shutil.which("clang-cl")
        if clang_cl is None:
            raise SystemExit(
                "fusedelta: building on Windows needs clang-cl on PATH (it comes with LLVM and "
                "with Visual Studio's 'C++ Clang tools'); MSVC cannot compile the kernels"
            )
        self.compiler.initialize(self.plat_name)
        self.compiler.cc = clang_cl
        target = WINDOWS_TARGETS.get(self.plat_name)
        return WINDOWS_FLAGS + ([f"--target={target}"] if target else [])


setup(
    ext_modules=cythonize(extensions(), compiler_directives=DIRECTIVES, build_dir=GENERATED),
    cmdclass={"build_ext": BuildExt},
)
