"""Callbacks that watch a figure: they end the training, save the best network, lower the rate."""

from __future__ import annotations

import math
import os
import string
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fusedelta import parameters, validation
from fusedelta.callbacks import Callback, adds, checked_path
from fusedelta.history import as_number

if TYPE_CHECKING:
    import numpy as np

    from fusedelta._watch import Watch

__all__ = ["EarlyStopping", "ModelCheckpoint", "Monitor", "ReduceLROnPlateau"]


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

    def _expect(self, figures: list[str], more: bool) -> None:
        """Refuse a figure that this training will not have, before it starts."""
        is_measured = self.monitor.removeprefix("val_") in ("loss", "accuracy")
        if self.monitor not in figures and (is_measured or not more):
            raise ValueError(self._missing(figures))

    def value(self, logs: dict[str, float] | None) -> float:
        """The figure, out of an epoch's logs."""
        if logs is None or self.monitor not in logs:
            raise ValueError(self._missing(logs or ()))
        value = as_number(logs[self.monitor])
        if value is None:
            raise TypeError(
                f"monitor: {type(self).__name__} expected a number for {self.monitor!r}, "
                f"got {validation.shown(logs[self.monitor])}"
            )
        return value

    @property
    def rises(self) -> bool:
        """Whether larger values are better."""
        return self.mode == "max" or (self.mode == "auto" and self.monitor.endswith("accuracy"))

    def improves(self, value: float, best: float | None) -> bool:
        """Whether a value is better, by `min_delta`, than the best so far, if there is one."""
        if best is None:
            best = -math.inf if self.rises else math.inf
        return value - self.min_delta > best if self.rises else value + self.min_delta < best

    def _missing(self, available: Iterable[str]) -> str:
        available = list(available)
        unvalidated = not any(name.startswith("val_") for name in available)
        wanted = self.monitor.startswith("val_") and unvalidated
        hint = "; give fit validation_data or validation_split" if wanted else ""
        return (
            f"monitor: {type(self).__name__} expected one of {', '.join(map(repr, available))}; "
            f"got {self.monitor!r}{hint}"
        )


class EarlyStopping(Monitor):
    """Ends the training when a figure has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        ``"loss"``, ``"accuracy"``, ``"val_loss"``, ``"val_accuracy"``, or what a callback before
        it in the list adds to the logs.
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
        If a parameter is wrong; by `fit` and before a weight moves, if it has no such figure. Where
        a callback of your own might add it: after the first epoch.

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
        self._reset()

    @adds()
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

    def _close(self) -> None:
        self._best_weights = None  # should an exception have ended the training

    def adopt(self, watch: Watch) -> None:
        """Be as after the epochs that a `Watch` has looked at in place of `on_epoch_end`."""
        self.best = watch.best if watch.found else None
        self.best_epoch, self.stopped_epoch = watch.best_epoch, watch.stopped_epoch
        self._wait = watch.wait
        if watch.has_kept:
            views = parameters.all_views(self.model._rows, *watch.kept)
            self._best_weights = [view.copy() for view in views]
        if watch.stopped:
            self.model.stop_training = True

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
        If a parameter is wrong; by `fit` and before a weight moves, if it has no such figure, or
        the network is one that no file can hold: one with a loss or a learning rate that is a
        function of yours, or with metadata that are not JSON's. Where a callback of your own might
        add the figure: after the first epoch.
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
        self.filepath = checked_path("filepath", filepath)
        self._fields = _fields_of(self.filepath)
        self.save_best_only = validation.boolean("save_best_only", save_best_only)
        check = validation.optional(validation.number)
        self.initial_value_threshold = check("initial_value_threshold", initial_value_threshold)
        self.best = self.initial_value_threshold

    def _expect(self, figures: list[str], more: bool) -> None:
        if self.save_best_only:
            super()._expect(figures, more)
        unknown = dict.fromkeys(self._fields if more else (), 0)
        self._example = {**unknown, **dict.fromkeys(figures, 0.0)}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Find out before the training, not after it, that nothing can be saved."""
        from fusedelta import saving  # here, because it takes long to import

        saving.check_path(self._path(0, self._example))
        saving.check_network(self.model)

    @adds()
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
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"filepath: expected only {', '.join(['epoch', *logs])} in braces, "
                f"got {self.filepath!r}: {error!r}"
            ) from None


def _fields_of(filepath: str) -> set[str]:
    """The names in braces."""
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(filepath) if name is not None}
        for name in names:
            if not name or name.isdigit() or "." in name or "[" in name:
                raise ValueError(f"{{{name}}} is no name of a figure")
    except ValueError as error:
        raise ValueError(
            "filepath: expected names of figures in braces, such as {epoch} or {loss:.3f}, "
            f"got {filepath!r}: {error}"
        ) from None
    return names


class ReduceLROnPlateau(Monitor):
    """Lowers the learning rate when a figure has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        ``"loss"``, ``"accuracy"``, ``"val_loss"``, ``"val_accuracy"``, or what a callback before
        it in the list adds to the logs.
    factor : float, default 0.1
        What the rate is multiplied by, in 0 < factor < 1.
    patience : int, default 10
        Lower it after so many epochs without an improvement.
    mode : {"auto", "min", "max"}, default "auto"
        Which direction is better; "auto": up for an accuracy, down for all else.
    min_delta : float, default 1e-4
        A change of less is no improvement.
    cooldown : int, default 0
        Epochs after a lowering that do not count.
    min_lr : float, default 0.0
        The rate never goes below.

    Raises
    ------
    TypeError, ValueError
        If a parameter is wrong; by `fit` and before a weight moves, if it has no such figure. Where
        a callback of your own might add it: after the first epoch.

    Notes
    -----
    The semantics and the defaults are those of Keras. The rate of each epoch is added to the logs
    as ``"learning_rate"``, and so to the history. The first lowering ends a schedule of the
    optimiser: from there on the rate is a number.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = validation.number("factor", factor, above=0, below=1)
        self.patience = validation.integer("patience", patience, minimum=0)
        self.cooldown = validation.integer("cooldown", cooldown, minimum=0)
        self.min_lr = validation.number("min_lr", min_lr, minimum=0)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forget the training before."""
        self._best: float | None = None
        self._wait = self._cooling = 0

    @adds("learning_rate")
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the figure."""
        value = self.value(logs)
        if logs is not None:
            logs["learning_rate"] = self.model.learning_rate
        if self._cooling:
            self._cooling -= 1
            self._wait = 0
        if self.improves(value, self._best):
            self._best = value
            self._wait = 0
        elif not self._cooling:
            self._wait += 1
            if self._wait >= self.patience and self.model.learning_rate > self.min_lr:
                self._lower()

    def _lower(self) -> None:
        self.model.learning_rate = max(self.model.learning_rate * self.factor, self.min_lr)
        self._cooling, self._wait = self.cooldown, 0
