"""Callbacks: what is to happen while a network trains.

A callback is an object with methods that `fit` calls at certain moments; pass them as
``net.fit(..., callbacks=[...])``. They are named and behave as in Keras. Ready ones:

=======================  ===========================================================================
`EarlyStopping`          ends the training when a figure no longer improves
`ModelCheckpoint`        saves the network after each epoch, or after each that is the best so far
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

**What it costs.** Without callbacks and validation data, whole epochs, as many as possible, are one
call of the compiled core. A callback with `Callback.on_epoch_begin` or `on_epoch_end`, and
validation data, bring training back to Python after each epoch; one with `on_batch_end` after each
step: some microseconds each time, which only very small networks feel. The weights are the same to
the last bit in every case.

To end a training from within, set ``self.model.stop_training = True``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fusedelta import progress, validation

if TYPE_CHECKING:
    import numpy as np

    from fusedelta.network import Sequential

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "LambdaCallback",
    "ModelCheckpoint",
    "ProgressBar",
]

#: What every callback can be asked to do.
MOMENTS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_end",
)


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

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """After an epoch. Not after one that diverged: its weights are undone.

        Parameters
        ----------
        epoch : int
            Its number, from 0.
        logs : dict
            Its figures: ``"loss"``, ``"accuracy"`` of a classification, and with validation data
            ``"val_loss"`` and ``"val_accuracy"``. What a callback adds to it, later callbacks see,
            and the history keeps.
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


class CallbackList:
    """Several callbacks as one.

    Parameters
    ----------
    callbacks : Callback or iterable of Callback or None
    model : Sequential
    params : dict
        Become theirs.

    Raises
    ------
    TypeError
        If something else than callbacks is given.
    """

    def __init__(self, callbacks: Any, model: Sequential, params: dict[str, Any]) -> None:
        self._callbacks = _listed(callbacks)
        self._last_logs: dict[str, float] = {}
        for callback in self._callbacks:
            callback.model, callback.params = model, params
        #: Whether one wants to be called for each batch, or for each epoch.
        self.want_batches = self._any_overrides("on_batch_end")
        self.want_epochs = (
            self.want_batches
            or self._any_overrides("on_epoch_begin")
            or self._any_overrides("on_epoch_end")
        )

    def on_train_begin(self) -> None:
        """Call it for all."""
        for callback in self._callbacks:
            callback.on_train_begin({})

    def on_train_end(self) -> None:
        """Call it for all."""
        for callback in self._callbacks:
            callback.on_train_end(self._last_logs)

    def on_epoch_begin(self, epoch: int) -> None:
        """Call it for all."""
        for callback in self._callbacks:
            callback.on_epoch_begin(epoch, {})

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Call it for all."""
        self._last_logs = logs
        for callback in self._callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_batch_end(self, step: int, logs: dict[str, float]) -> None:
        """Call it for all."""
        for callback in self._callbacks:
            callback.on_batch_end(step, logs)

    def _any_overrides(self, moment: str) -> bool:
        unchanged = getattr(Callback, moment)
        methods = [getattr(callback, moment) for callback in self._callbacks]
        return any(getattr(method, "__func__", method) is not unchanged for method in methods)


def _listed(callbacks: Any) -> list[Callback]:
    if callbacks is None:
        return []
    if isinstance(callbacks, Callback):
        return [callbacks]
    if not isinstance(callbacks, Iterable):
        raise TypeError(
            f"callbacks: expected a list of callbacks, got {validation.shown(callbacks)}"
        )
    listed = list(callbacks)
    for i, callback in enumerate(listed):
        if not isinstance(callback, Callback):
            raise TypeError(
                f"callbacks[{i}]: expected an instance of fusedelta.Callback, "
                f"got {validation.shown(callback)}"
            )
    return listed


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
            if not callable(function):
                raise TypeError(f"{moment}: expected a function, got {validation.shown(function)}")
            setattr(self, moment, function)


# ------------------------------------------------------------------------ those that watch a figure


class Monitor(Callback):
    """Base of the callbacks that watch a figure of the epochs.

    Parameters
    ----------
    monitor : str
        Its name in `logs`.
    mode : {"auto", "min", "max"}
        Which direction is better; "auto": up for an accuracy, down for all else.
    min_delta : float
        A change of less is no improvement.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if not isinstance(monitor, str):
            raise TypeError(
                f"monitor: expected the name of a figure, got {validation.shown(monitor)}"
            )
        self.monitor = monitor
        self.mode = validation.choice("mode", mode, ("auto", "min", "max"))
        self.min_delta = validation.number("min_delta", min_delta, minimum=0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(monitor={self.monitor!r}, mode={self.mode!r})"

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Refuse a figure that this training will not have, before it starts."""
        validated = self.monitor.removeprefix("val_") in ("loss", "accuracy")
        if validated and self.monitor not in self.params["metrics"]:
            raise ValueError(self._missing(self.params["metrics"]))

    def value(self, logs: dict[str, float] | None) -> float:
        """The figure, out of an epoch's logs."""
        if logs is None or self.monitor not in logs:
            raise ValueError(self._missing(logs or ()))
        return float(logs[self.monitor])

    def improves(self, value: float, best: float | None) -> bool:
        """Whether a value is better, by `min_delta`, than the best so far, if there is one."""
        rises = self.mode == "max" or (self.mode == "auto" and self.monitor.endswith("accuracy"))
        if best is None:
            best = -math.inf if rises else math.inf
        return value - self.min_delta > best if rises else value + self.min_delta < best

    def _missing(self, available: Iterable[str]) -> str:
        hint = "; give fit validation_data or validation_split" if "val_" in self.monitor else ""
        return (
            f"monitor: {type(self).__name__} expected one of {', '.join(map(repr, available))}; "
            f"got {self.monitor!r}{hint}"
        )


class EarlyStopping(Monitor):
    """Ends the training when a figure has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        ``"loss"``, ``"accuracy"``, ``"val_loss"``, ``"val_accuracy"``, or what another callback
        adds to the logs.
    min_delta : float, default 0.0
        A change of less is no improvement.
    patience : int, default 0
        End after so many epochs without an improvement.
    mode : {"auto", "min", "max"}, default "auto"
        Which direction is better; "auto": up for an accuracy, down for all else.
    baseline : float, optional
        A value that has to be improved on: improvements short of it do not renew the patience.
    restore_best_weights : bool, default False
        Whether the network ends with the weights of the best epoch instead of the last one. They
        are restored however the training ends, but for an exception. What the optimiser remembers
        stays that of the last epoch.
    start_from_epoch : int, default 0
        Watch from this epoch on, counted from 0.

    Attributes
    ----------
    best : float or None
        The best value.
    best_epoch : int
        Its epoch, from 0.
    stopped_epoch : int
        The epoch that ended the training, from 0; 0 if it ended otherwise.

    Raises
    ------
    TypeError, ValueError
        If a parameter is wrong; by `fit` and before a weight moves, if it has no such figure.

    Notes
    -----
    The semantics and the defaults are those of Keras, with one exception: a figure that is nan in
    the first epoch is no best value, which Keras would never see improved.

    References
    ----------
    Prechelt: Early Stopping - But When? (1998).
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = validation.integer("patience", patience, minimum=0)
        self.baseline = None if baseline is None else validation.number("baseline", baseline)
        self.restore_best_weights = validation.boolean("restore_best_weights", restore_best_weights)
        self.start_from_epoch = validation.integer("start_from_epoch", start_from_epoch, minimum=0)
        self._reset()

    def _reset(self) -> None:
        self.best: float | None = None
        self.best_epoch = self.stopped_epoch = self._wait = 0
        self._best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forget the training before."""
        super().on_train_begin(logs)
        self._reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the figure."""
        value = self.value(logs)
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self._best_weights is None:
            self._keep(epoch)
        self._wait += 1
        if self.improves(value, self.best):
            self.best = value
            self._keep(epoch)
            if self.baseline is None or self.improves(value, self.baseline):
                self._wait = 0
        elif self._wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Restore the best weights, if that is wanted."""
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)
            self._best_weights = None

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self._best_weights = self.model.get_weights()


class ModelCheckpoint(Monitor):
    """Saves the network, as `Sequential.save` does, after each epoch or after the best ones.

    Parameters
    ----------
    filepath : str or path-like
        Ends in ``.npz``, or in ``.safetensors`` where that package is installed. Figures of the
        epoch may stand in braces, the number of the epoch counted from 1:
        ``"model-{epoch:03d}-{val_loss:.4f}.npz"``. Otherwise each save replaces the one before;
        that is done in one move, so there is a whole file at any time.
    monitor : str, default "val_loss"
        For `save_best_only`: what says which epoch is the best.
    save_best_only : bool, default False
        Save only when the figure improves.
    mode : {"auto", "min", "max"}, default "auto"
        Which direction is better; "auto": up for an accuracy, down for all else.
    initial_value_threshold : float, optional
        What the first epoch has to improve on.

    Attributes
    ----------
    best : float or None
        The best value so far. Another `fit` goes on from it.

    Raises
    ------
    TypeError, ValueError
        If a parameter is wrong; by `fit` and before a weight moves, if it has no such figure.
    OSError
        By `fit`, before a weight moves: if there is no such directory.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = _path("filepath", filepath)
        self.save_best_only = validation.boolean("save_best_only", save_best_only)
        self.best = (
            None
            if initial_value_threshold is None
            else validation.number("initial_value_threshold", initial_value_threshold)
        )

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Find out before the training, not after it, that nothing can be saved."""
        from fusedelta import saving  # here, because it takes long to import

        if self.save_best_only:
            super().on_train_begin(logs)
        saving.check_path(self._path(0, dict.fromkeys(self.params["metrics"], 0.0)))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the network, if it is time."""
        logs = logs or {}
        if self.save_best_only:
            value = self.value(logs)
            if not self.improves(value, self.best):
                return
            self.best = value
        self.model.save(self._path(epoch, logs))

    def _path(self, epoch: int, logs: dict[str, float]) -> str:
        try:
            return self.filepath.format(**{**logs, "epoch": epoch + 1})
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"filepath: expected only {', '.join(['epoch', *logs])} in braces, "
                f"got {self.filepath!r}: {error!r}"
            ) from None


# ----------------------------------------------------------------------------- those that only tell


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
        self.filename = _path("filename", filename)
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

    Best with ``verbose=0``, so that no lines come between.
    """

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Draw it empty."""
        self._bar = progress.bar(self.params["epochs"])

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Move it on."""
        self._bar.set_postfix_str(progress.figures(logs or {}), refresh=False)
        self._bar.update()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave it as it is."""
        self._bar.close()


def _path(name: str, value: Any) -> str:
    try:
        return os.fspath(value)
    except TypeError:
        raise TypeError(
            f"{name}: expected the path of a file, got {validation.shown(value)}"
        ) from None
