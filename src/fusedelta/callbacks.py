"""Callbacks: what is to happen while a network trains.

A callback is an object with methods that `fit` calls at certain moments; pass them as
``net.fit(..., callbacks=[...])``. They are named and behave as in Keras. Ready ones:

=======================  ===========================================================================
`EarlyStopping`          ends the training when a figure no longer improves
`ModelCheckpoint`        saves the network after each epoch, or after each that is the best so far
`ReduceLROnPlateau`      lowers the learning rate when a figure no longer improves
`LearningRateScheduler`  sets the learning rate of each epoch
`CSVLogger`              writes the figures of each epoch to a table
`ProgressBar`            draws a bar, with tqdm where that is installed
`LambdaCallback`         calls functions of yours
`Callback`               the base class, for callbacks of your own
=======================  ===========================================================================

>>> import numpy as np, fusedelta as fd
>>> X = np.random.default_rng(0).normal(size=(200, 3))
>>> y = X[:, 0] * X[:, 1]
>>> net = fd.Sequential([fd.Dense(16, "tanh"), fd.Dense(1)], "mean_squared_error",
...                     optimizer=fd.SGD(0.1), seed=0)
>>> stopping = fd.EarlyStopping(patience=20, restore_best_weights=True)
>>> history = net.fit(X, y, epochs=1000, batch_size=10, validation_split=0.2,
...                   callbacks=[stopping], verbose=0)
>>> len(history) == stopping.best_epoch + 1 + 20
True
>>> bool(history.val_loss.min() == net.evaluate(X[160:], y[160:])["loss"])
True

**What it costs.** Whole epochs, as many as possible, are one call of the compiled core, with
validation data in memory and one `EarlyStopping`, too. Any other callback with
`Callback.on_epoch_begin` or `on_epoch_end` brings training back to Python after each epoch, one
with `on_batch_end` after each step: about 5 us an epoch and 5 to 10 us a step, beside what the
callback itself takes, which only very small networks feel. So do validation data on disk, and
penalties on weights beside validation data. The weights are the same to the last bit in every case.

To end a training from within, set ``self.model.stop_training = True``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import Parameter, isroutine, signature
from typing import TYPE_CHECKING, Any, TypeVar

from fusedelta import progress, validation
from fusedelta.history import numbers

if TYPE_CHECKING:
    from fusedelta.network import Sequential

__all__ = [
    "CSVLogger",
    "Callback",
    "LambdaCallback",
    "LearningRateScheduler",
    "ProgressBar",
]

#: What every callback can be asked to do, and what with.
MOMENTS = {
    "on_train_begin": ("logs",),
    "on_train_end": ("logs",),
    "on_epoch_begin": ("epoch", "logs"),
    "on_epoch_end": ("epoch", "logs"),
    "on_batch_end": ("step", "logs"),
}

Method = TypeVar("Method", bound=Callable[..., None])


def adds(*figures: str) -> Callable[[Method], Method]:
    """Say of an `on_epoch_end` that it adds these figures to the logs, and no others."""

    def mark(method: Method) -> Method:
        vars(method)["adds"] = figures
        return method

    return mark


class Callback:
    """Base class of callbacks: override the methods whose moment you want.

    Attributes
    ----------
    model : Sequential
        The network in training, set by `fit`.
    params : dict
        About the training, set by `fit`: ``"epochs"``, ``"steps"`` an epoch (None if that is not
        known), ``"verbose"``, and ``"metrics"``, the names of the figures in `logs`.
    """

    model: Sequential
    params: dict[str, Any]

    def __repr__(self) -> str:
        """The call that would make it, without what is the default anyway."""
        shown = []
        for name, parameter in signature(type(self)).parameters.items():
            value = vars(self).get(name, parameter.default)
            if value is Parameter.empty:  # a class of a user, which keeps it elsewhere
                return super().__repr__()
            text = value.__qualname__ if isroutine(value) else repr(value)
            if text != repr(parameter.default):
                shown.append(f"{name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """After the last epoch; not after an exception, such as Ctrl-C's.

        Parameters
        ----------
        logs : dict
            Those of the last epoch.
        """

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Before an epoch.

        Parameters
        ----------
        epoch : int
            Its number, from 0.
        logs : dict
            Empty.
        """

    @adds()
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """After an epoch. Not after one that diverged: its weights are undone.

        Parameters
        ----------
        epoch : int
            Its number, from 0.
        logs : dict
            Its figures: ``"loss"``, ``"accuracy"`` of a classification, and with validation data
            ``"val_loss"`` and ``"val_accuracy"``. What a callback adds to it, later callbacks see,
            whatever it is; numbers the history keeps, too.
        """

    def on_batch_end(self, step: int, logs: dict[str, float] | None = None) -> None:
        """After a step. A callback that overrides it slows the training of very small networks.

        Parameters
        ----------
        step : int
            Its number in the epoch, from 0.
        logs : dict
            Loss, and accuracy of a classification, of the epoch up to here.
        """

    def _expect(self, figures: list[str], more: bool) -> None:
        """First of all: what the logs of epochs will hold, and whether there may be more."""

    def _close(self) -> None:
        """After the training, however it ended."""


class LambdaCallback(Callback):
    """Calls functions of yours; those that are not given cost nothing.

    Parameters
    ----------
    on_train_begin, on_train_end : callable, optional
        Called with `logs`.
    on_epoch_begin, on_epoch_end : callable, optional
        Called with `epoch` and `logs`.
    on_batch_end : callable, optional
        Called with `step` and `logs`. See `Callback` for all of them.

    Raises
    ------
    TypeError
        If something else than a function is given.

    Examples
    --------
    >>> import fusedelta as fd
    >>> losses = fd.LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs["loss"]))
    """

    def __init__(
        self,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_batch_end: Callable[..., Any] | None = None,
    ) -> None:
        given = (on_train_begin, on_train_end, on_epoch_begin, on_epoch_end, on_batch_end)
        for moment, function in zip(MOMENTS, given, strict=True):
            if function is None:
                continue
            setattr(self, moment, checked_function(moment, function))


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)``, with the number of the epoch from 0 and the rate so
        far, returns the rate of the epoch, or one of `fusedelta.schedules` or a function of the
        step, whose rates it then has.

    Raises
    ------
    TypeError, ValueError
        If `schedule` is no function; by `fit`, before the epoch, if what it returns is neither a
        finite number above zero nor a schedule.

    Notes
    -----
    The rate of each epoch is added to the logs as ``"learning_rate"``, and so to the history. It
    takes the place of a schedule of the optimiser.

    Examples
    --------
    >>> import fusedelta as fd
    >>> halve = fd.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch % 50 == 49 else rate)
    """

    def __init__(self, schedule: Callable[[int, float], float]) -> None:
        self.schedule = checked_function("schedule", schedule)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Set the rate."""
        self.model.learning_rate = self.schedule(epoch, self.model.learning_rate)

    @adds("learning_rate")
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Tell the rate."""
        if logs is not None:
            logs["learning_rate"] = self.model.learning_rate


class CSVLogger(Callback):
    """Writes the figures of each epoch to a table, as soon as the epoch ends.

    Parameters
    ----------
    filename : str or path-like
        The first line names the columns: ``epoch``, from 0, and the figures of the first epoch.
    separator : str, default ","
        One character between two columns.
    append : bool, default False
        Whether a file that is there already is continued; otherwise it is replaced.

    Raises
    ------
    TypeError, ValueError
        If a parameter is wrong.
    OSError
        By `fit`, before a weight moves: if the file cannot be written.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename = checked_path("filename", filename)
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(
                f"separator: expected one character, got {validation.shown(separator)}"
            )
        self.separator = separator
        self.append = validation.boolean("append", append)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Make the file, or read the columns of the one that is there."""
        with open(self.filename, "a+" if self.append else "w+", encoding="utf-8") as file:
            file.seek(0)
            header = file.readline().rstrip("\n")
        self._columns = header.split(self.separator) if header else []

    @adds()
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add a line."""
        figures = {"epoch": epoch, **(logs or {})}
        lines = []
        if not self._columns:
            self._columns = list(figures)
            lines.append(self._columns)
        lines.append([str(figures.get(column, "")) for column in self._columns])
        with open(self.filename, "a", encoding="utf-8") as file:
            file.writelines(f"{self.separator.join(line)}\n" for line in lines)


class ProgressBar(Callback):
    """Draws a bar of the epochs on stderr: tqdm's where that is installed, else a plain one.

    Best with ``verbose=0``, so that no lines come between. Its line is ended when the training is,
    also where an exception ends it.
    """

    _bar: Any = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Draw it empty."""
        self._bar = progress.bar(self.params["epochs"])

    @adds()
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Move it on."""
        self._bar.set_postfix_str(progress.figures(numbers(logs or {})), refresh=False)
        self._bar.update()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave it as it is."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def checked_function(name: str, function: Any) -> Callable[..., Any]:
    """`function`, if it can be called."""
    if not callable(function):
        raise TypeError(f"{name}: expected a function, got {validation.shown(function)}")
    return function


def checked_path(name: str, value: Any) -> str:
    """`value` as a str, if it is the path of a file."""
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str):
        raise TypeError(f"{name}: expected a str or a path, got {validation.shown(value)}")
    return path
