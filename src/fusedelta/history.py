"""What a fit reports: loss and, for classification, accuracy of every epoch, of each member."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsFloat, overload

import numpy as np

from fusedelta.divergence import Divergence

if TYPE_CHECKING:
    from fusedelta.losses import Loss

__all__ = ["EnsembleHistory", "History", "Tally", "as_number", "numbers"]


class History:
    """Loss and accuracy, epoch by epoch, as `fit` returns them.

    `loss` and `accuracy` of an epoch are those of its forward passes, each before its own update,
    averaged over the epoch's samples (the loss summed, for ``half_sum_squared_error``). `val_loss`
    and `val_accuracy` are those of the validation data after the epoch.

    Parameters
    ----------
    results : ndarray of shape (epochs, 1 or 2), float64
        Loss and, in a classification, accuracy of each epoch.
    is_classification : bool
        Whether there is an accuracy.
    validation : ndarray of shape (epochs, 2), float64, optional
        The same of the validation data.
    more : mapping of str to sequence or to mapping of int to float, optional
        Further figures, which callbacks have added to the logs: of each epoch, or by the numbers of
        those in which they did. nan stands for the other epochs and for what is no number; a figure
        that never was a number is left out.
    divergence : Divergence, optional

    Attributes
    ----------
    loss : ndarray of shape (epochs,), float64
    divergence : Divergence or None
        Where the training ended because a loss or weight became nan or infinite: ``epoch`` (which
        is not part of the history) and ``step``, from 0; no step if only weights did.
    """

    def __init__(
        self,
        results: np.ndarray,
        is_classification: bool,
        validation: np.ndarray | None = None,
        more: Mapping[str, Sequence[Any] | Mapping[int, Any]] | None = None,
        divergence: Divergence | None = None,
    ) -> None:
        self.divergence = divergence
        self.loss = np.ascontiguousarray(results[:, 0])
        self._accuracy = results[:, 1].copy() if is_classification else None
        self._val_loss = self._val_accuracy = None
        if validation is not None:
            self._val_loss = validation[:, 0].copy()
            self._val_accuracy = validation[:, 1].copy() if is_classification else None
        added = {name: _by_epoch(values, len(self)) for name, values in (more or {}).items()}
        self._more = {name: values for name, values in added.items() if values is not None}

    @property
    def accuracy(self) -> np.ndarray:
        """Accuracy of each epoch, shape (epochs,), float64.

        Raises
        ------
        AttributeError
            If the loss is that of a regression, which has no accuracy.
        """
        return _measured("accuracy", self._accuracy, "only classification losses have one")

    @property
    def val_loss(self) -> np.ndarray:
        """Loss on the validation data after each epoch, shape (epochs,), float64.

        Raises
        ------
        AttributeError
            If there were no validation data.
        """
        return _measured("val_loss", self._val_loss, "the fit had no validation data")

    @property
    def val_accuracy(self) -> np.ndarray:
        """Accuracy on the validation data after each epoch, shape (epochs,), float64.

        Raises
        ------
        AttributeError
            If there were no validation data, or the loss is that of a regression.
        """
        reason = "it takes validation data and a classification loss"
        return _measured("val_accuracy", self._val_accuracy, reason)

    @property
    def epoch(self) -> list[int]:
        """Numbers of the epochs, from 0, as in Keras."""
        return list(range(len(self.loss)))

    @property
    def history(self) -> dict[str, list[float]]:
        """All figures as lists of floats, as in Keras: ``{"loss": [...], ...}``.

        Those that callbacks have added to the logs are among them, with nan for the epochs in which
        they did not, so that every list has an entry for each epoch.
        """
        figures = {
            "loss": self.loss,
            "accuracy": self._accuracy,
            "val_loss": self._val_loss,
            "val_accuracy": self._val_accuracy,
        }
        lists = {name: values.tolist() for name, values in figures.items() if values is not None}
        return {**lists, **self._more}

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        if not len(self):
            return "History(0 epochs)"
        final = ", ".join(f"{name}={values[-1]:.6g}" for name, values in self.history.items())
        return f"History({len(self)} epochs, final {final})"


def _by_epoch(values: Sequence[Any] | Mapping[int, Any], epochs: int) -> list[float] | None:
    """A figure of each epoch, nan where there is no number; None if there is none at all."""
    by_epoch = values if isinstance(values, Mapping) else dict(enumerate(values))
    found = [as_number(by_epoch.get(epoch)) for epoch in range(epochs)]
    if all(value is None for value in found):
        return None
    return [math.nan if value is None else value for value in found]


def as_number(value: Any) -> float | None:
    """What a callback has put into the logs as a float; None if it is no number."""
    if type(value) is float:
        return value
    is_number = isinstance(value, SupportsFloat) and getattr(value, "ndim", 0) == 0
    try:
        return float(value) if is_number else None
    except (TypeError, ValueError, OverflowError):
        return None


def numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Those of the logs that are numbers."""
    found = {name: as_number(value) for name, value in logs.items()}
    return {name: value for name, value in found.items() if value is not None}


class EnsembleHistory(Sequence[History]):
    """The histories of an ensemble's members, in their order, as `Ensemble.fit` returns them.

    Its figures are tables with a row per epoch and a column per member; nan stands where a member
    ended early.

    Parameters
    ----------
    members : sequence of History
    """

    def __init__(self, members: Sequence[History]) -> None:
        self._members = tuple(members)

    @property
    def history(self) -> dict[str, np.ndarray]:
        """All figures by their names, ``{"loss": ..., ...}``, each of shape (epochs, members)."""
        figures = [member.history for member in self._members]
        epochs = max(map(len, self._members))
        tables = {name: np.full((epochs, len(self)), np.nan) for each in figures for name in each}
        for i, each in enumerate(figures):
            for name, values in each.items():
                tables[name][: len(values), i] = values
        return tables

    @property
    def loss(self) -> np.ndarray:
        """Loss of each epoch and member, shape (epochs, members), float64."""
        return self._table("loss")

    @property
    def accuracy(self) -> np.ndarray:
        """The same of the accuracy; AttributeError for a regression, as `History.accuracy`."""
        return self._table("accuracy")

    @property
    def val_loss(self) -> np.ndarray:
        """The same of the loss on validation data; AttributeError where there were none."""
        return self._table("val_loss")

    @property
    def val_accuracy(self) -> np.ndarray:
        """The same of the accuracy on validation data."""
        return self._table("val_accuracy")

    @property
    def epochs(self) -> np.ndarray:
        """How many epochs each member has trained, shape (members,)."""
        return np.array([len(member) for member in self._members])

    @overload
    def __getitem__(self, member: int) -> History: ...

    @overload
    def __getitem__(self, member: slice) -> tuple[History, ...]: ...

    def __getitem__(self, member: int | slice) -> History | tuple[History, ...]:
        return self._members[member]

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        final = [member.loss[-1] for member in self._members if len(member)]
        losses = f", final loss {min(final):.6g} to {max(final):.6g}" if final else ""
        return f"EnsembleHistory({len(self)} members{losses})"

    def _table(self, name: str) -> np.ndarray:
        getattr(self._members[0], name)  # which says why, if there is none
        return self.history[name]


def _measured(name: str, values: np.ndarray | None, reason: str) -> np.ndarray:
    if values is None:
        raise AttributeError(f"{name}: {reason}")
    return values


class Tally:
    """Loss and accuracy of several batches together.

    Parameters
    ----------
    loss : Loss
        Says whether losses are means or sums.
    """

    def __init__(self, loss: Loss) -> None:
        self._normalizer = loss.normalizer
        self._sum = self._hits = 0.0
        self.m = 0

    def add(self, result: Sequence[float] | np.ndarray, m: int) -> None:
        """Count the loss and accuracy of m samples."""
        self._sum += result[0] * self._normalizer(m, 1)
        self._hits += result[1] * m
        self.m += m

    @property
    def means(self) -> tuple[float, float]:
        """Loss and accuracy of all of them."""
        return self._sum / self._normalizer(self.m, 1), self._hits / self.m
