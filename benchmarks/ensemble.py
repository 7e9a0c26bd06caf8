"""Many networks at once: ``python -m benchmarks.ensemble``, in the manner of `benchmarks.__main__`.

Ensembles of 16 and of 64 members train on the same data, each from its own weights: `fd.Ensemble`,
JAX with the members in one ``vmap``, and JAX and torch one network after the other. Losses must
agree before anything is timed. Times are those of a step of one member.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benchmarks import machine, report
from benchmarks.race import Race, Settings
from benchmarks.workloads import named
from fusedelta import text

OURS = "ensemble"
RIVALS = (OURS, "jax-vmap", "jax-each", "torch-each")
WORKLOADS = ("spiral", "policy")
MEMBERS = (16, 64)
THREADS = (1, 2)


def race(workload: str, members: int, settings: Settings, rivals: Sequence[str]) -> dict:
    """The figures of one race; microseconds are those of a step of all members."""
    result = Race(named(f"{workload}*{members}"), settings, report_line).run(rivals)
    return {**result, "members": members, "threads": settings.threads}


def per_member(result: dict) -> dict[str, float]:
    """Microseconds of a step of one member, the median of the rounds."""
    return {
        rival: median(figures["microseconds"]) / result["members"]
        for rival, figures in result["rivals"].items()
    }


def row(result: dict) -> list[str]:
    """Ours, each rival's time with how many times ours it is, and the least of those."""
    times = per_member(result)
    ours = times.get(OURS)
    cells = [result["workload"].partition("*")[0], str(result["members"]), str(result["threads"])]
    cells.append(report.time(ours) if ours else "?")
    ratios = []
    for rival in RIVALS[1:]:
        if rival not in times:
            cells.append("left out")
        elif ours is None:
            cells.append(report.time(times[rival]))
        else:
            ratios.append(times[rival] / ours)
            cells.append(f"{report.time(times[rival])} ({ratios[-1]:.1f})")
    return [*cells, f"{min(ratios):.1f}" if ratios else "?"]


def table(results: Sequence[dict]) -> str:
    """A line per race."""
    header = ["workload", "members", "threads", "ours", *RIVALS[1:], "least ratio"]
    return text.table(header, map(row, results))


def report_line(line: str) -> None:
    print(line, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ensemble", description=__doc__)
    defaults = Settings(rounds=5)
    parser.add_argument("workloads", nargs="*", metavar="workload", help=f"of {WORKLOADS}")
    parser.add_argument("--members", type=int, nargs="+", default=MEMBERS, help="%(default)s")
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS, help="%(default)s")
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=RIVALS, metavar="RIVAL")
    parser.add_argument("--rounds", type=int, default=defaults.rounds, help="%(default)s")
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="of a round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options = parser.parse_args(argv)
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    if min(*options.members, *options.threads, options.rounds, options.seconds) <= 0:
        parser.error("--members, --threads, --rounds and --seconds must be above zero")
    described = machine.describe()
    results = []
    for workload in options.workloads or WORKLOADS:
        for members in options.members:
            for threads in options.threads:
                settings = Settings(options.rounds, options.seconds, threads)
                results.append(race(workload, members, settings, options.rivals))
    print(table(results))
    if options.json:
        figures = {"machine": described, "settings": asdict(settings), "results": results}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
