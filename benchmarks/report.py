"""The figures of a race as tables: for the terminal, and in Markdown for the README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.rivals import OURS
from fusedelta import text

MARKERS = "<!-- benchmarks -->", "<!-- /benchmarks -->"


@dataclass(frozen=True)
class Entry:
    """One rival on one workload; times in microseconds a step."""

    rival: str
    median: float
    best: float
    gflops: float
    share: float | None


@dataclass(frozen=True)
class Duel:
    """This package against the fastest of the others, by the medians."""

    workload: str
    about: str
    ours: Entry
    strongest: Entry

    @property
    def ratio(self) -> float:
        return self.strongest.median / self.ours.median

    @property
    def best_ratio(self) -> float:
        return self.strongest.best / self.ours.best


def entries(result: dict) -> list[Entry]:
    """The rivals of a workload, fastest first. The share of the peak is that of the best rounds."""
    peaks = result["peak_gflops"]
    found = []
    for rival, figures in result["rivals"].items():
        times = figures["microseconds"]
        gflops = result["flops"] / min(times) / 1e3
        share = gflops / max(peaks) if peaks else None
        found.append(Entry(rival, median(times), min(times), gflops, share))
    return sorted(found, key=lambda entry: entry.median)


def duels(results: list[dict]) -> Iterator[Duel]:
    """The workloads on which this package had an opponent."""
    for result in results:
        ranked = entries(result)
        ours = [entry for entry in ranked if entry.rival == OURS]
        others = [entry for entry in ranked if entry.rival != OURS]
        if ours and others:
            yield Duel(result["workload"], result["about"], ours[0], others[0])


def workload_table(result: dict) -> str:
    """Every rival on a workload."""
    ranked = entries(result)
    ours = {entry.rival: entry for entry in ranked}.get(OURS)
    header = ["", "median", "best", "GFLOP/s", "of peak", "times ours"]
    rows = [
        [
            entry.rival,
            time(entry.median),
            time(entry.best),
            f"{entry.gflops:.3g}",
            percent(entry.share),
            f"{entry.median / ours.median:.2f}" if ours else "",
        ]
        for entry in ranked
    ]
    return f"{result['workload']}: {result['about']}\n{text.table(header, rows)}\n"


DUEL_HEADER = [
    "workload",
    "ours",
    "best",
    "strongest rival",
    "its time",
    "its best",
    "ratio",
    "GFLOP/s",
    "of peak",
]


def duel_row(duel: Duel) -> list[str]:
    """Cells under `DUEL_HEADER`."""
    ours, strongest = duel.ours, duel.strongest
    return [
        duel.workload,
        time(ours.median),
        time(ours.best),
        strongest.rival,
        time(strongest.median),
        time(strongest.best),
        f"{duel.ratio:.2f}",
        f"{ours.gflops:.3g}",
        percent(ours.share),
    ]


def summary(results: list[dict]) -> str:
    """A line per workload."""
    return text.table(DUEL_HEADER, map(duel_row, duels(results)))


def markdown(report: dict) -> str:
    """The README's table, with what it was measured on."""
    header = ["workload", "network", "fusedelta", "strongest rival", "its time", "ratio", "of peak"]
    rule = ["---", "---", "--:", "---", "--:", "--:", "--:"]
    rows = [
        [
            duel.workload,
            duel.about,
            time(duel.ours.median),
            duel.strongest.rival,
            time(duel.strongest.median),
            f"**{duel.ratio:.1f}**",
            percent(duel.ours.share),
        ]
        for duel in duels(report["results"])
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows])
    return f"{table}\n\n{conditions(report)}"


def conditions(report: dict) -> str:
    """What the figures mean and where they come from, in a paragraph."""
    machine, settings = report["machine"], report["settings"]
    packages = [name for name in ("numpy", "torch", "jax", "scikit-learn") if name in machine]
    versions = ", ".join(f"{name} {machine[name]}" for name in packages)
    return (
        "Time of one optimiser step (of one call, where it predicts), median of "
        f"{settings['rounds']} rounds, {count_threads(report)}; every rival in a pinned process of "
        "its own, taking turns, after all had reached the same losses. "
        f"{machine['processor']}, {machine['isa']}; {versions}; {machine['date']}. "
        "The whole table of rivals: `python -m benchmarks`."
    )


def count_threads(report: dict) -> str:
    """``1 thread``, ``2 threads``."""
    threads = report["settings"]["threads"]
    return f"{threads} thread{'s' if threads > 1 else ''}"


def write_between_markers(path: Path, content: str) -> None:
    """Replace what stands between the two marker comments of a file."""
    start, end = MARKERS
    old = path.read_text(encoding="utf-8")
    new, count = re.subn(
        f"({start}).*({end})", lambda match: f"{start}\n{content}\n{end}", old, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{path}: expected {start} ... {end} in it, once")
    path.write_text(new, encoding="utf-8")


def time(microseconds: float) -> str:
    """A time with three digits; where rounding reaches a thousand, without an exponent."""
    return text.duration(microseconds / 1e6).replace("e+03", "000")


def percent(share: float | None) -> str:
    """A share, or a question mark where the peak is unknown."""
    return "?" if share is None else f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
