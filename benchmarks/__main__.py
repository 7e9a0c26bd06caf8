"""The race: ``python -m benchmarks``, from a checkout, against every rival that is installed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import machine, report
from benchmarks.race import ROOT, Race, Settings
from benchmarks.rivals import RIVALS
from benchmarks.workloads import WORKLOADS, named


def main(argv: Sequence[str] | None = None) -> int:
    """Race or read earlier figures, then show and write what is asked for."""
    options = parse(argv)
    if options.list:
        print(*(f"{workload.name:<15} {workload.about}" for workload in WORKLOADS), sep="\n")
        return 0
    try:
        if options.figures:
            figures = json.loads(options.figures.read_text(encoding="utf-8"))
        else:
            figures = race(options)
        write(figures, options)
    except (OSError, ValueError) as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    defaults = Settings()
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="workload", help="all by default; --list shows them"
    )
    parser.add_argument(
        "--rivals", nargs="+", choices=RIVALS, default=RIVALS, metavar="RIVAL",
        help=f"by default all that are installed of {', '.join(RIVALS)}",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=int, default=defaults.rounds, help="turns of each (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=defaults.seconds, help="of a round (%(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=defaults.threads, help="of each (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument(
        "--from", dest="figures", type=Path, metavar="FILE", help="figures of --json, not a race"
    )
    parser.add_argument(
        "--readme", type=Path, nargs="?", const=ROOT / "README.md", metavar="FILE",
        help="write the table between the marker comments",
    )  # fmt: skip
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the picture")
    parser.add_argument("--list", action="store_true", help="show the workloads")
    options = parser.parse_args(argv)
    if unknown := set(options.workloads) - set(names):
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if min(options.rounds, options.seconds, options.threads) <= 0:
        parser.error("--rounds, --seconds and --threads must be above zero")
    options.workloads = options.workloads or names
    return options


def race(options: argparse.Namespace) -> dict:
    """Run the workloads, printing as they end."""
    settings = Settings(options.rounds, options.seconds, options.threads)
    described = machine.describe()
    machine.pin(machine.cores(settings.threads))  # for the measurement of the peak
    results = []
    for name in options.workloads:
        result = Race(named(name), settings, say).run(options.rivals)
        results.append(result)
        say(f"\n{report.workload_table(result)}")
    return {"machine": described, "settings": asdict(settings), "results": results}


def write(figures: dict, options: argparse.Namespace) -> None:
    """Show the summary; write JSON, README and picture."""
    print(report.summary(figures["results"]))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.readme:
        report.write_between_markers(options.readme, report.markdown(figures))
    if options.plot:
        from benchmarks import plot

        plot.draw(figures, options.plot)


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
