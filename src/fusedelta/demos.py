"""The four networks that the package was built from, each trained and reported as in its text.

`DEMOS` describes them, `build` makes one ready to train, `run` trains it and prints what happened:
``python -m fusedelta demo spiral``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from os import PathLike

import fusedelta as fd
from fusedelta import datasets, plots, text
from fusedelta._frozen import frozen
from fusedelta.datasets import Problem
from fusedelta.progress import show

__all__ = ["DEMOS", "Demo", "build", "run"]


@frozen
class Demo:
    """How a text sets up, trains and reports its network.

    Attributes
    ----------
    about : str
        The network in a line.
    problem : callable
        Draws data and starting weights from a seed.
    layers : tuple of Dense
    loss : str
    learning_rate : float
    epochs : int
        Steps of gradient descent, each on the full batch.
    shown : tuple of int
        The epochs to report.
    details : callable, optional
        Further figures of the trained network, as text.
    """

    about: str
    problem: Callable[..., Problem]
    layers: tuple[fd.Dense, ...]
    loss: str
    learning_rate: float
    epochs: int
    shown: tuple[int, ...]
    details: Callable[[fd.Sequential, Problem], str] | None = None


def build(
    name: str, dtype: str = "float64", seed: int | None = None
) -> tuple[fd.Sequential, Problem]:
    """Make the network of a demo with its starting weights.

    Parameters
    ----------
    name : str
        A key of `DEMOS`.
    dtype : {"float64", "float32"}, default "float64"
        The network's dtype.
    seed : int, optional
        Draws data and starting weights; by default the one that gives the published figures.

    Returns
    -------
    net : Sequential
    problem : Problem
        Its data.

    Raises
    ------
    TypeError, ValueError
        If the seed is no integer from 0 to 2^32 - 1.
    """
    demo = DEMOS[name]
    problem = demo.problem() if seed is None else demo.problem(seed=seed)
    net = fd.Sequential(
        list(demo.layers),
        loss=demo.loss,
        optimizer=fd.SGD(demo.learning_rate),
        input_shape=problem.X.shape[1:],
        dtype=dtype,
    )
    net.set_weights(problem.weights)
    return net, problem


def run(
    name: str,
    dtype: str = "float64",
    seed: int | None = None,
    plot: str | PathLike[str] | None = None,
) -> None:
    """Train a demo's network, print its figures and draw its picture if wanted.

    Parameters
    ----------
    name : str
        A key of `DEMOS`.
    dtype, seed
        As in `build`.
    plot : path-like, optional
        Where to draw: the four panels of the spiral, the loss curve of the others.

    Raises
    ------
    ModuleNotFoundError
        If a plot is wanted and matplotlib is not installed.
    ValueError
        If the plot's suffix is not .png, .pdf or .svg.
    OSError
        If the plot cannot be written.
    """
    if plot is not None:
        plots.check_path(plot)
    demo = DEMOS[name]
    net, problem = build(name, dtype, seed)
    show(f"{demo.about}\n{demo.loss}, learning rate {demo.learning_rate:g}, {dtype}\n")
    start = time.perf_counter()
    history = net.fit(problem.X, problem.y, epochs=demo.epochs, verbose=0)
    seconds = time.perf_counter() - start
    show(_epochs(history, demo.shown))
    show(f"\n{_summary(net, problem, history)}")
    show(f"{demo.epochs} steps in {text.duration(seconds)}")
    if demo.details is not None:
        show(f"\n{demo.details(net, problem)}")
    if plot is not None:
        _draw(name, net, problem, history, plot)
        show(f"\nplot: {plot}")


def _epochs(history: fd.History, shown: tuple[int, ...]) -> str:
    """Return a table of some epochs.

    An epoch's loss and accuracy are those before its update, as in the texts: the forward pass of
    epoch 100 of the spiral gives 0.0972, the network after that epoch's update 0.0948.
    """
    names = list(history.history)
    rows = [
        [str(epoch), *(text.figure(history.history[name][epoch - 1]) for name in names)]
        for epoch in shown
    ]
    return text.table(["epoch", *names], rows)


def _summary(net: fd.Sequential, problem: Problem, history: fd.History) -> str:
    """Return a line on the loss before the first update and the figures after the last."""
    final = net.evaluate(problem.X, problem.y)
    line = f"loss {history.loss[0]:.5g} before training, {final['loss']:.5g} after"
    return line if "accuracy" not in final else f"{line}; accuracy {final['accuracy']:.4f}"


def _outputs(net: fd.Sequential, problem: Problem) -> str:
    """Return a table of each output beside its target."""
    pairs = zip(net.predict(problem.X).ravel(), problem.y.ravel(), strict=True)
    return text.table(["output", "target"], [[f"{a:.4f}", f"{y:.4f}"] for a, y in pairs])


def _gradient_flow(net: fd.Sequential, problem: Problem) -> str:
    """Return the norms of weights and gradients, layer by layer."""
    return f"gradient flow\n{fd.gradient_flow(net, problem.X, problem.y)}"


def _draw(
    name: str, net: fd.Sequential, problem: Problem, history: fd.History, path: str | PathLike[str]
) -> None:
    if name == "spiral":
        plots.draw_classifier(net, problem.X, problem.y, history, path)
    else:
        plots.draw_history(history, path, name)


DEMOS = {
    "xor": Demo(
        about="xor: 2-2-1, sigmoid everywhere, four samples",
        problem=datasets.xor,
        layers=(fd.Dense(2, "sigmoid"), fd.Dense(1, "sigmoid")),
        loss="half_sum_squared_error",
        learning_rate=0.1,
        epochs=10_000,
        shown=(1, 10, 100, 1000, 2000, 5000, 10_000),
        details=_outputs,
    ),
    "spiral": Demo(
        about="spiral: 2-16-8-1, tanh and a sigmoid output, 400 points of two classes",
        problem=datasets.spiral,
        layers=(fd.Dense(16, "tanh"), fd.Dense(8, "tanh"), fd.Dense(1, "sigmoid")),
        loss="binary_crossentropy",
        learning_rate=0.5,
        epochs=1000,
        shown=tuple(range(100, 1001, 100)),
        details=_gradient_flow,
    ),
    "jumping-back": Demo(
        about="jumping-back: 5-3-5-4, leaky relu and sigmoid, one sample",
        problem=datasets.jumping_back,
        layers=(fd.Dense(3, fd.LeakyReLU(0.1)), fd.Dense(5, "sigmoid"), fd.Dense(4, "sigmoid")),
        loss="mean_squared_error",
        learning_rate=0.01,
        epochs=10_000,
        shown=(1, 10, 100, 1000, 2000, 5000, 10_000),
        details=_outputs,
    ),
    "softmax": Demo(
        about="softmax: 6-10-4, relu and a softmax output, 96 samples of four classes",
        problem=datasets.softmax,
        layers=(fd.Dense(10, "relu"), fd.Dense(4, "softmax")),
        loss="categorical_crossentropy",
        learning_rate=0.2,
        epochs=200,
        shown=(1, 2, 50, 100, 150, 200),
    ),
}
"""The networks by their names on the command line."""
