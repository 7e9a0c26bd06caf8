"""The speed check that noise cannot break: instructions of a training step, counted by valgrind.

``python -m benchmarks.instructions`` compares three small workloads with the committed figures and
fails where a step takes more than `SLACK` more; ``--write`` renews the figures, after a change that
is worth its instructions. A step's count is the difference of two runs that differ in their number
of steps alone. Valgrind has no AVX-512, so AVX2 runs. Where there is no valgrind, no AVX2, or
another compiler than that of the figures, it says so and fails nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fusedelta as fd
from benchmarks import machine
from benchmarks.race import ROOT
from fusedelta import text

FIGURES = Path(__file__).with_name("instructions.json")
SLACK = 0.03
ISA = "avx2"

#: Epochs more in the second run: enough to drown what differs between two starts of Python.
EPOCHS = {"xor": 20_000, "jumping-back": 20_000, "policy": 20}

TRAINING = """
import sys
from benchmarks.rivals import build
from benchmarks.workloads import named
for argument in sys.argv[1:]:
    name, _, epochs = argument.partition("=")
    build("fusedelta", named(name)).run(int(epochs))
"""


def count(longer: str | None) -> int:
    """Instructions of a process that trains all workloads for an epoch, and one of them longer."""
    epochs = {name: 1 + (more if name == longer else 0) for name, more in EPOCHS.items()}
    done = subprocess.run(
        [
            *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"),
            *(sys.executable, "-c", TRAINING),
            *(f"{name}={number}" for name, number in epochs.items()),
        ],
        cwd=ROOT,
        env={**machine.environment(threads=1), "FUSEDELTA_ISA": ISA, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Collected *: (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(f"under valgrind: {done.stderr.strip()[-500:]}")
    return int(found[1])


def per_step() -> dict[str, float]:
    """Instructions of a step of each workload."""
    from benchmarks.workloads import named

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        start, *counts = pool.map(count, [None, *EPOCHS])
    return {
        name: round((total - start) / (more * named(name).batches), 1)
        for (name, more), total in zip(EPOCHS.items(), counts, strict=True)
    }


def check(counted: dict[str, float], expected: dict[str, float]) -> bool:
    """Print both; whether none is above the slack."""
    rows = [
        [name, f"{steps:,.1f}", f"{expected[name]:,.1f}", f"{steps / expected[name] - 1:+.1%}"]
        for name, steps in counted.items()
    ]
    print(text.table(["instructions of a step", "now", "committed", "change"], rows))
    return all(steps <= expected[name] * (1 + SLACK) for name, steps in counted.items())


def missing() -> str | None:
    """What this machine lacks for counting, if anything."""
    if shutil.which("valgrind") is None:
        return "there is no valgrind on this machine"
    available = fd.show_config()["available"]
    if ISA not in available:
        return f"this machine runs {', '.join(available)}, the figures are those of {ISA}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew the committed figures")
    options = parser.parse_args()
    if reason := missing():
        print(f"instructions not counted: {reason}")
        return 2 if options.write else 0
    compiler = fd.show_config()["compiler"]
    counted = per_step()
    if options.write:
        figures = {"compiler": compiler, "isa": ISA, "instructions_per_step": counted}
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    is_within = check(counted, figures["instructions_per_step"])
    if figures["compiler"] != compiler:
        print(f"no verdict: {compiler} built this, {figures['compiler']} what the figures are of")
        return 0
    print(f"within {SLACK:.0%}" if is_within else f"MORE than {SLACK:.0%} above the figures")
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
