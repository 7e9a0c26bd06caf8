"""Pictures of training: loss curves, and the four panels of a classifier in the plane.

They need matplotlib (``pip install 'fusedelta[plot]'``), which is imported only here and only when
something is drawn. Nothing touches pyplot's global state, so no display is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusedelta import outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fusedelta.history import History
    from fusedelta.network import Sequential

__all__ = ["check_path", "draw_classifier", "draw_history"]

BLUE, ORANGE, INK = "#0072b2", "#d55e00", "#333333"  # told apart with any colour vision: Okabe, Ito
FORMATS = (".png", ".pdf", ".svg")
DPI = 200
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "axes.axisbelow": True,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
}


def check_path(path: str | PathLike[str]) -> None:
    """Make sure, before a long training, that a picture can be drawn to a file afterwards.

    Parameters
    ----------
    path : path-like
        The picture's file.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed, with the command that installs it.
    ValueError
        If the suffix is not .png, .pdf or .svg.
    OSError
        If the file cannot be written.
    """
    _matplotlib("figure")
    if Path(path).suffix.lower() not in FORMATS:
        raise ValueError(f"plot: expected a file ending in .png, .pdf or .svg; got '{path}'")
    outputs.check_writable(path)


def draw_history(history: History, path: str | PathLike[str], title: str) -> None:
    """Draw the loss of each epoch on a log scale and, if there is one, the accuracy below it.

    Figures of validation data are drawn beside those of the training.

    Parameters
    ----------
    history : History
        What ``fit`` returned.
    path : path-like
        The picture's file; its suffix is .png, .pdf or .svg.
    title : str
        Stands above the picture.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    ValueError, OSError
        If the suffix is unknown, or the file cannot be written.
    """
    curves = history.history
    names = [name for name in curves if name.removeprefix("val_") == name]
    with _style():
        figure, axes = _figure((5.0, 3.0 * len(names)), len(names), 1)
        for panel, name in zip(axes, names, strict=True):
            _draw_curve(panel, name, curves[name], curves.get(f"val_{name}"))
        axes[0].set_title(title, wrap=True)
        figure.savefig(path)


def draw_classifier(
    net: Sequential,
    X: np.ndarray,
    y: np.ndarray,
    history: History,
    path: str | PathLike[str],
) -> None:
    """Draw a binary classifier of points in the plane in four panels.

    The data; the decision boundary, with the probability of class 1 as colour; the loss on a log
    scale; the accuracy.

    Parameters
    ----------
    net : Sequential
        A trained network with two inputs and one sigmoid output.
    X : ndarray of shape (m, 2)
        Points.
    y : ndarray of shape (m, 1) or (m,)
        Their classes, 0 or 1.
    history : History
        What ``fit`` returned.
    path : path-like
        The picture's file; its suffix is .png, .pdf or .svg.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    ValueError, OSError
        If the suffix is unknown, or the file cannot be written.
    """
    classes = np.asarray(y).ravel() > 0.5
    with _style():
        figure, (data, boundary, loss, accuracy) = _figure((8.0, 7.0), 2, 2)
        _draw_points(data, X, classes)
        data.legend(loc="upper right", handletextpad=0.1, borderaxespad=0.0)
        _draw_boundary(boundary, net, X)
        _draw_points(boundary, X, classes)
        _draw_curve(loss, "loss", history.history["loss"])
        _draw_curve(accuracy, "accuracy", history.history["accuracy"])
        titles = ("a  Data", "b  Decision boundary", "c  Loss, log scale", "d  Accuracy")
        for panel, title in zip(figure.axes, titles, strict=False):
            panel.set_title(title)
        figure.savefig(path)


def _matplotlib(module: str) -> Any:
    """Import a module of matplotlib, or say how to install it."""
    try:
        return import_module(f"matplotlib.{module}")
    except ModuleNotFoundError:
        raise ModuleNotFoundError("plots need matplotlib: pip install 'fusedelta[plot]'") from None


def _style() -> Any:
    return _matplotlib("style").context(STYLE)


def _figure(inches: tuple[float, float], rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """Make a figure and its axes, as a flat array."""
    figure = _matplotlib("figure").Figure(inches, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, hspace=0.05, wspace=0.05)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def _limits(X: np.ndarray) -> np.ndarray:
    """Return the frame around points, ``[[low1, low2], [high1, high2]]``."""
    margin = 0.06 * np.ptp(X, axis=0)
    return np.array([X.min(axis=0) - margin, X.max(axis=0) + margin])


def _draw_points(axes: Axes, X: np.ndarray, classes: np.ndarray) -> None:
    """Scatter the two classes, in the plane's true proportions."""
    for label, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "^")):
        points = X[classes == label]
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=16,
            c=colour,
            marker=marker,
            edgecolors="white",
            linewidths=0.4,
            label=f"class {label}",
        )
    (left, bottom), (right, top) = _limits(X)
    axes.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(left, right), ylim=(bottom, top))
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)


def _draw_boundary(axes: Axes, net: Sequential, X: np.ndarray) -> None:
    """Colour the plane by the probability of class 1, with the contour of 0.5."""
    (left, bottom), (right, top) = _limits(X)
    x1, x2 = np.linspace(left, right, 400), np.linspace(bottom, top, 400)
    grid = np.stack(np.meshgrid(x1, x2), axis=-1).reshape(-1, 2)
    probability = net.predict(grid).reshape(len(x2), len(x1))
    image = axes.imshow(
        probability,
        extent=(left, right, bottom, top),
        origin="lower",
        cmap=_colours(),
        vmin=0,
        vmax=1,
        interpolation="bilinear",
    )
    axes.contour(x1, x2, probability, [0.5], colors=INK, linewidths=1.2)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02, ticks=[0, 0.5, 1])
    bar.set_label("probability of class 1")
    bar.outline.set_visible(False)


def _colours() -> Any:
    """Return a scale from pale blue over white to pale orange."""
    colours = _matplotlib("colors").LinearSegmentedColormap
    return colours.from_list("blue to orange", ["#6fb0d6", "#f7f7f7", "#e8a26f"])


def _draw_curve(
    axes: Axes, name: str, values: Sequence[float], validation: Sequence[float] | None = None
) -> None:
    """Draw a figure of each epoch, and that of validation data; a loss on a log scale."""
    marker = "o" if len(values) == 1 else None
    epochs = np.arange(1, len(values) + 1)
    axes.plot(epochs, values, color=INK, marker=marker, label="training")
    if validation is not None:
        axes.plot(epochs, validation, color=ORANGE, marker=marker, label="validation")
        axes.legend()
    axes.set(xlabel="epoch", ylabel=name, xlim=(0, max(2, 1.02 * len(values))))
    axes.xaxis.set_major_locator(_round_numbers("auto", integer=True))
    if name == "loss":
        _scale_by_logarithm(axes, [*values, *(validation or ())])
    axes.grid(color="#dddddd", linewidth=0.6)


def _scale_by_logarithm(axes: Axes, values: Sequence[float]) -> None:
    """Make the vertical scale logarithmic, with plain numbers where decades alone say little."""
    positive = [value for value in values if value > 0]
    if not positive:
        return
    axes.set_yscale("log")
    if max(positive) < 100 * min(positive):
        ticker = _matplotlib("ticker")
        few = max(positive) < 10 * min(positive)
        axes.yaxis.set_major_locator(
            _round_numbers(6) if few else ticker.LogLocator(subs=(1, 2, 5))
        )
        if few:
            axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def _round_numbers(most: int | str, **options: Any) -> Any:
    """Return what puts ticks at multiples of 1, 2 or 5 times a power of ten."""
    return _matplotlib("ticker").MaxNLocator(most, steps=[1, 2, 5, 10], **options)
