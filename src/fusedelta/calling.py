"""The callbacks of a fit: which may be given, and which are called when."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import getattr_static, signature
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from fusedelta import validation
from fusedelta.callbacks import MOMENTS, Callback

if TYPE_CHECKING:
    from fusedelta.network import Sequential

__all__ = ["CallbackList", "listed"]

#: Classes whose methods take what they are called with: to find that out takes 15 us a method.
_CHECKED: WeakSet[type[Callback]] = WeakSet()


class CallbackList:
    """Several callbacks as one.

    Parameters
    ----------
    callbacks : list of Callback
        As `listed` gives them.
    model : Sequential
    params : dict
        Become theirs.
    """

    def __init__(
        self, callbacks: list[Callback], model: Sequential, params: dict[str, Any]
    ) -> None:
        self._callbacks = callbacks
        self._last_logs: dict[str, float] = {}
        self._metrics: list[str] = params["metrics"]
        for callback in self._callbacks:
            callback.model, callback.params = model, params
        moments = ("on_batch_end", "on_epoch_begin", "on_epoch_end")
        #: Those that want to be called for each epoch or batch, and whether there are any.
        self.looking = [
            each for each in self._callbacks if any(_overrides(each, moment) for moment in moments)
        ]
        self.want_epochs = bool(self.looking)
        self.want_batches = any(_overrides(each, "on_batch_end") for each in self._callbacks)

    def on_train_begin(self) -> None:
        """Call it for all, unless one wants a figure that there will not be."""
        self._announce()
        for callback in self._callbacks:
            callback.on_train_begin({})

    def _announce(self) -> None:
        """Tell each what will be in its logs: what is measured, and what those before it add."""
        figures, more = self._metrics, False
        for callback in self._callbacks:
            added = getattr(callback.on_epoch_end, "adds", None)
            more = more or added is None  # a method of the user's, which may add anything
            callback._expect(figures, more)
            figures = list(dict.fromkeys([*figures, *(added or ())]))

    def on_train_end(self) -> None:
        """Call it for all."""
        for callback in self._callbacks:
            callback.on_train_end(self._last_logs)

    def close(self) -> None:
        """Let all put away what is open."""
        for callback in self._callbacks:
            callback._close()

    def on_epoch_begin(self, epoch: int) -> None:
        """Call it for all."""
        for callback in self._callbacks:
            callback.on_epoch_begin(epoch, {})

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Call it for all."""
        self._last_logs = logs
        for callback in self._callbacks:
            callback.on_epoch_end(epoch, logs)

    def note(self, logs: dict[str, float]) -> None:
        """Keep the figures of an epoch that nobody looks at, for `on_train_end`."""
        self._last_logs = logs

    def on_batch_end(self, step: int, logs: dict[str, float]) -> None:
        """Call it for all."""
        for callback in self._callbacks:
            callback.on_batch_end(step, logs)


def _overrides(callback: Callback, moment: str) -> bool:
    method = getattr(callback, moment)
    return getattr(method, "__func__", method) is not getattr(Callback, moment)


def listed(callbacks: Any) -> list[Callback]:
    """What `fit` may be given as callbacks, as a list."""
    if callbacks is None:
        return []
    if isinstance(callbacks, Callback):
        callbacks = [callbacks]
    if not isinstance(callbacks, Iterable):
        raise TypeError(
            f"callbacks: expected a list of callbacks, got {validation.shown(callbacks)}"
        )
    found = list(callbacks)
    for i, callback in enumerate(found):
        if not isinstance(callback, Callback):
            raise TypeError(
                f"callbacks[{i}]: expected an instance of fusedelta.Callback, "
                f"got {validation.shown(callback)}"
            )
        unknown = _unknown_moment(callback)
        if unknown is not None:
            raise TypeError(
                f"callbacks[{i}]: expected methods named {', '.join(MOMENTS)}; got "
                f"{type(callback).__name__} with {unknown}, which would never be called"
            )
        _check_signatures(f"callbacks[{i}]", callback)
    return found


def _check_signatures(name: str, callback: Callback) -> None:
    """Refuse methods that do not take what they would be called with; those of a class once."""
    known = type(callback) in _CHECKED
    for moment in MOMENTS:
        if (not known or moment in vars(callback)) and _overrides(callback, moment):
            _check_signature(name, callback, moment)
    _CHECKED.add(type(callback))


def _check_signature(name: str, callback: Callback, moment: str) -> None:
    """Refuse a method that does not take what it would be called with."""
    arguments = MOMENTS[moment]
    try:
        taken = signature(getattr(callback, moment))
    except ValueError:  # a function of C that does not tell
        return
    try:
        taken.bind(*arguments)
    except TypeError:
        raise TypeError(
            f"{name}: expected {type(callback).__name__}.{moment}(self, {', '.join(arguments)}), "
            f"got one that takes {taken}"
        ) from None


def _unknown_moment(callback: Callback) -> str | None:
    """A method named as if it had a moment; what cannot be called may be named anything."""
    names = (name for name in dir(callback) if name.startswith("on_") and name not in MOMENTS)
    return next((name for name in names if callable(getattr_static(callback, name, None))), None)
