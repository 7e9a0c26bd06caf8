"""When training diverges: the warning, and the way back to the last finite epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from fusedelta.engine import Engine

__all__ = ["Divergence", "DivergenceWarning", "Guard", "message_of_members"]

#: So many members that diverged are named.
SHOWN = 3

#: What an engine counts, beside its blocks.
COUNTS = ("steps", "accumulated", "dropout_step")


class DivergenceWarning(RuntimeWarning):
    """A fit ended early because the loss, or a weight, became nan or infinite.

    The network is then as it was at the end of the last epoch that was finite throughout, and the
    history ends with that epoch. Usual remedies: a smaller learning rate, inputs scaled to about
    -1 to 1.
    """


class Divergence(NamedTuple):
    """Where a training diverged."""

    epoch: int  #: its number, from 0; the history ends before it
    step: int | None  #: whose loss was not finite, from 0; None if weights alone were not

    def __str__(self) -> str:
        what = "a weight" if self.step is None else f"the loss of step {self.step + 1}"
        return f"{what} in epoch {self.epoch + 1} was nan or infinite"

    @property
    def message(self) -> str:
        """The text of the warning."""
        when = f"at the end of epoch {self.epoch}" if self.epoch else "before"
        return (
            f"{self}; training stopped, and the network is as it was {when}. "
            "Try a smaller learning rate, or inputs of a smaller scale"
        )


def message_of_members(divergences: Mapping[int, Divergence], n: int) -> str:
    """The text of the warning for those of n members that diverged, by their numbers."""
    some = [f"member {i}: {divergence}" for i, divergence in list(divergences.items())[:SHOWN]]
    more = len(divergences) - len(some)
    listed = "; ".join(some) + (f"; and {more} more" if more else "")
    return (
        f"fit: {len(divergences)} of {n} members diverged, and are as they were after their last "
        f"finite epoch ({listed}). Try a smaller learning rate, or inputs of a smaller scale"
    )


class Guard:
    """A copy of all that training changes, to go back to: parameters, moments, steps, generators.

    Parameters
    ----------
    engine : Engine
    params : ndarray
        The flat block that the engine trains.
    state : ndarray
        That of what it keeps beside them, which may be empty.
    rng : Generator
        Draws the orders of the samples.
    """

    def __init__(
        self, engine: Engine, params: np.ndarray, state: np.ndarray, rng: np.random.Generator
    ) -> None:
        self._engine = engine
        self._rng = rng
        self._blocks = [block for block in (params, state, *engine.moments.values()) if block.size]
        self._copies: list[np.ndarray] = []

    @property
    def nbytes(self) -> int:
        """Memory of the copies, which the first `save` allocates."""
        return sum(block.nbytes for block in self._copies)

    def save(self) -> None:
        """Copy the state."""
        if not self._copies:
            self._copies = [np.empty_like(block) for block in self._blocks]
        for saved, block in zip(self._copies, self._blocks, strict=True):
            saved[...] = block
        self._counts = {name: getattr(self._engine, name) for name in COUNTS}
        self._shuffles = self._rng.bit_generator.state

    def restore(self) -> None:
        """Go back to the state that was copied last."""
        for saved, block in zip(self._copies, self._blocks, strict=True):
            block[...] = saved
        for name, count in self._counts.items():
            setattr(self._engine, name, count)
        self.restore_shuffles()

    def restore_shuffles(self) -> None:
        """Let the orders of the samples come once more that were drawn since."""
        self._rng.bit_generator.state = self._shuffles

    def is_finite(self) -> bool:
        """Whether no parameter and no moment is nan or infinite."""
        return all(self._engine.is_finite(block) for block in self._blocks)

    def recover(self, train: Callable[[int], None], epochs: int) -> int:
        """Go back to the last of some epochs at whose end everything was finite.

        It is found by training them again, which gives the same bits, in halves: what is nan or
        infinite once stays so.

        Parameters
        ----------
        train : callable
            ``train(n)`` trains n epochs on from where the network is.
        epochs : int
            That many, from the state that was saved, had a finite loss.

        Returns
        -------
        epochs : int
            That many have been trained from the state that was saved; it is overwritten.
        """
        self.restore()
        good, bad, count = 0, epochs + 1, epochs
        while count:
            train(count)
            if self.is_finite():
                self.save()
                good += count
            else:
                self.restore()
                bad = good + count
            count = (bad - good) // 2
        return good
