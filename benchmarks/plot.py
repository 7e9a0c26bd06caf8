"""The picture of a race: time of a step on a log scale, a point for each rival of a workload."""

from __future__ import annotations

from os import PathLike

from benchmarks.report import Duel, count_threads, duels, entries, time
from benchmarks.rivals import OURS, RIVALS

# Okabe, Ito: Color universal design (2008), in the order of RIVALS
COLOURS = (
    "#0072B2", "#999999", "#000000", "#E69F00", "#D55E00", "#CC79A7", "#009E73", "#56B4E9",
    "#F0E442",
)  # fmt: skip
BAR = 0.8  # of the place of a rival


def draw(report: dict, path: str | PathLike[str]) -> None:
    """Bars of the medians, grouped by workload, in one column of groups.

    Parameters
    ----------
    report : dict
        As written by ``--json``.
    path : path-like
        Where to draw; its suffix is the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    results = [result for result in report["results"] if result["rivals"]]
    present = [rival for rival in RIVALS if any(rival in result["rivals"] for result in results)]
    found = {duel.workload: duel for duel in duels(results)}
    columns = 3 if len(results) > 4 else max(1, len(results))
    rows = -(-len(results) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(4.4 * columns, 0.5 + rows * (0.7 + 0.2 * len(present))),
        squeeze=False,
        layout="constrained",
    )
    for panel, result in zip(axes.flat, results, strict=False):
        draw_workload(panel, result, found.get(result["workload"]))
    for panel in axes.flat[len(results) :]:
        panel.set_axis_off()
    figure.suptitle(
        f"Time of a step (log scale), {count_threads(report)}, {report['machine']['processor']}"
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_workload(panel, result: dict, duel: Duel | None) -> None:
    """The bars of a workload, fastest at the top, each with its time."""
    ranked = entries(result)
    times = [entry.median for entry in ranked]
    names = [entry.rival for entry in ranked]
    colours = [COLOURS[RIVALS.index(name)] for name in names]
    low, high = min(times) / 3, max(max(times) * 5, min(times) * 30)
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    panel.barh(names, [t - low for t in times], BAR, left=low, color=colours)
    for place, entry in enumerate(ranked):
        weight = "bold" if entry.rival == OURS else "normal"
        panel.text(
            entry.median * 1.06, place, label(entry.median), va="center", fontsize=8, weight=weight
        )
    for name in panel.get_yticklabels():
        name.set_fontsize(8)
        name.set_weight("bold" if name.get_text() == OURS else "normal")
    panel.invert_yaxis()
    panel.spines[["top", "right"]].set_visible(False)
    panel.xaxis.set_major_formatter(lambda microseconds, _: label(microseconds))
    panel.xaxis.set_minor_formatter("")
    panel.tick_params(axis="x", labelsize=7)
    panel.set_title(f"{result['workload']}{verdict(duel)}", fontsize=10, loc="left")


def label(microseconds: float) -> str:
    """A time as it is printed, with the proper sign for micro."""
    return time(microseconds).replace("us", "µs")


def verdict(duel: Duel | None) -> str:
    """How this package fares against the strongest rival."""
    if duel is None:
        return ""
    if duel.ratio >= 1:
        return f": {duel.ratio:.2g}× faster than {duel.strongest.rival}"
    return f": {1 / duel.ratio:.2g}× slower than {duel.strongest.rival}"
