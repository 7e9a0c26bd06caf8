"""Trainings whose epochs the compiled engine looks at by itself: many of them are one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusedelta import parameters
from fusedelta._net import Net
from fusedelta._watch import Watch
from fusedelta.monitors import EarlyStopping
from fusedelta.opening import OnArrays
from fusedelta.sources import Samples

if TYPE_CHECKING:
    from fusedelta.callbacks import Callback
    from fusedelta.network import Sequential

__all__ = ["Watched", "watchable"]

#: The figures that a `Watch` knows.
FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy")

#: Methods of `EarlyStopping` that it stands in for.
MOMENTS = {"on_epoch_begin", "on_epoch_end", "on_batch_end"}


class Watched(NamedTuple):
    """All that such a training consists of."""

    engine: Net
    samples: Samples
    measure: OnArrays | None
    stopping: EarlyStopping | None
    blocks: tuple[np.ndarray, np.ndarray]  #: which best weights are copied from

    def watch(self, first: int, measured: np.ndarray | None) -> Watch:
        """For the epochs from `first` on; `measured` receives the figures of validation data."""
        held_out = None
        if self.measure is not None:
            held_out = self.measure.X, self.measure.y, self.measure.weights
        return Watch(held_out, measured, self.stopping, self.blocks, first)

    def train(self, results: np.ndarray, watch: Watch) -> None:
        """As many epochs as there are results to fill, or until the watch ends them."""
        self.samples.train(self.engine, results, watch=watch)

    def adopt(self, watch: Watch) -> int:
        """Take over what the watch has seen; how many epochs were trained."""
        if self.stopping is not None:
            self.stopping.adopt(watch)
        return self.engine.trained // self.samples.steps


def watchable(
    net: Sequential, source: Any, measure: Any, looking: Sequence[Callback]
) -> Watched | None:
    """The parts of a training, if something is to be done after an epoch and a `Watch` can do it.

    Parameters
    ----------
    net : Sequential
    source : Samples, Rows or Batches
    measure : callable, optional
        Gives loss and accuracy on validation data.
    looking : sequence of Callback
        Those that want to be called in between.
    """
    if measure is None and not looking:
        return None
    plain = [each for each in looking if type(each) is EarlyStopping]
    own_methods = any(MOMENTS & vars(each).keys() for each in plain)
    if len(looking) > 1 or len(plain) < len(looking) or own_methods:
        return None
    stopping = plain[0] if plain else None
    if stopping is not None and stopping.monitor not in FIGURES:
        return None
    engine, is_penalized = net._engine, any(p.l1 or p.l2 for p in parameters.tensors(net._rows))
    if is_penalized or net._loss.function is not None or not isinstance(engine, Net):
        return None
    if not (isinstance(source, Samples) and (measure is None or isinstance(measure, OnArrays))):
        return None
    return Watched(engine, source, measure, stopping, (net._params, net._state))
