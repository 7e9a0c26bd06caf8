"""How exact the elementary functions are: ``python -m benchmarks.accuracy``, over all of float32.

Every float32 there is (2^32, without the nans) goes through exp, log1p, roots, sigmoid and tanh of
an instruction set, and is compared with float64: a few minutes a function. Others are named on the
command line; ``--every N`` takes each N-th number, for a slow oracle such as gelu's. In float64 a
sample of the same spread is compared with extended precision. The suite does so on every run
(``tests/test_activations.py``); functions, oracles and the errors that are allowed are its own.
What it found stands at the top of ``csrc/elementary.h``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.race import ROOT
from fusedelta import text
from fusedelta._kernels import apply

sys.path.append(str(ROOT / "tests"))
from cases import ISAS
from exact import SLOPE, has_extended_precision
from test_activations import EXACT, POSITIVE, ULPS, allowed

DEFAULT = ("exp", "log1p", "root", "sigmoid", "tanh")
CHUNK = 1 << 20
#: Bit patterns, the wider type that is exact beside it, and how far apart float64's sample lies:
#: an odd number, so that all bits of the mantissa vary.
FORMATS = {
    "float32": (np.uint32, np.float64, 1),
    "float64": (np.uint64, np.longdouble, (1 << 40) + 12345),
}


@dataclass
class Worst:
    """The largest error found, in units in the last place of the exact value, and where it is."""

    ulps: float = 0.0
    x: float = 0.0
    count: int = 0
    wrong: int = 0  #: results that are nan or infinite where the exact one is not, or the reverse

    def look(self, x: np.ndarray, got: np.ndarray, exact: np.ndarray) -> None:
        """Take part of the inputs into account."""
        rounded = exact.astype(x.dtype)
        finite = np.isfinite(rounded) & np.isfinite(got)
        spacing = np.spacing(np.abs(rounded))
        with np.errstate(invalid="ignore"):
            error = np.abs(got.astype(exact.dtype) - exact) / spacing.astype(exact.dtype)
        error[~finite] = 0
        at = int(error.argmax())
        if error[at] > self.ulps:
            self.ulps, self.x = float(error[at]), float(x[at])
        self.count += x.size
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        near_overflow = np.abs(exact) >= np.finfo(x.dtype).max * (1 - 4 * np.finfo(x.dtype).eps)
        self.wrong += int(np.count_nonzero(~(finite | same | near_overflow)))


def inputs(dtype: str, every: int) -> Iterator[np.ndarray]:
    """All numbers of a dtype, or every so many, a chunk at a time."""
    bits, _, step = FORMATS[dtype]
    step *= every
    for start in range(0, 1 << (8 * np.dtype(dtype).itemsize), step * CHUNK):
        end = min(start + step * CHUNK, 1 << (8 * np.dtype(dtype).itemsize))
        numbers = np.arange(-(-(end - start) // step), dtype=bits) * bits(step) + bits(start)
        numbers = numbers.view(dtype)
        yield numbers[~np.isnan(numbers)]


def check(kind: str, dtype: str, isa: str, every: int = 1) -> Worst:
    """Go through the numbers with one function."""
    wide = FORMATS[dtype][1]
    worst = Worst()
    for x in inputs(dtype, every):
        x = x[x >= 0] if kind in POSITIVE else x  # where losses and optimisers need it
        if kind == "root":  # of what has been freed of denormals
            x = x[(x == 0) | (x >= np.finfo(dtype).tiny)]
        if x.size:
            with np.errstate(all="ignore"):
                worst.look(x, apply(isa, kind, x, SLOPE), EXACT[kind](x.astype(wide)))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="function", help=f"default: {DEFAULT}")
    parser.add_argument("--isa", choices=ISAS, default=ISAS[0])
    parser.add_argument("--dtype", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each N-th number only")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(ULPS):
        parser.error(f"no function {', '.join(sorted(unknown))}; there are {', '.join(ULPS)}")
    if options.every < 1:
        parser.error("--every must be at least 1")
    rows, exceeded = [], 0
    for dtype in options.dtype:
        if dtype == "float64" and not has_extended_precision():
            print("float64 left out: no extended precision on this machine")
            continue
        for kind in options.kinds or DEFAULT:
            worst = check(kind, dtype, options.isa, options.every)
            limit = allowed(kind, options.isa)
            exceeded += worst.ulps > limit or worst.wrong > 0
            found = f"{worst.ulps:.3f}", f"{worst.x:.9g}", f"{limit:g}", str(worst.wrong)
            rows.append([kind, options.isa, dtype, f"{worst.count:,}", *found])
            print(f"{kind} {dtype}: {found[0]} ulp", file=sys.stderr, flush=True)
    header = ["function", "isa", "dtype", "inputs", "largest error, ulp", "at", "allowed", "wrong"]
    print(text.table(header, rows, left=3))
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main())
