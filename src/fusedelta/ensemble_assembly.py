"""What an ensemble is made of: members, what they have in common, their way onto threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from fusedelta import members, optimizers, progress, validation
from fusedelta._spelling import Spelled
from fusedelta.diagnostics import Summary, summarize
from fusedelta.history import EnsembleHistory
from fusedelta.network import Sequential
from fusedelta.spreading import spread, threads_each, threads_for

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fusedelta.callbacks import Callback
    from fusedelta.layers import Layer
    from fusedelta.optimizers import Optimizer

__all__ = ["EnsembleAssembly"]

T = TypeVar("T")


class EnsembleAssembly(Spelled):
    """Base of `fusedelta.Ensemble`, whose docstring says what the parameters are."""

    _member_type: ClassVar[type[Sequential]] = Sequential

    callbacks: list[list[Callback]]
    bags: list[np.ndarray] | None
    history: EnsembleHistory | None
    metadata: dict[str, Any]

    def __init__(
        self,
        layers: Sequence[Layer],
        n: int,
        loss: Any,
        optimizer: Optimizer | str = "sgd",
        *,
        learning_rate: Any = None,
        input_shape: tuple[int] | None = None,
        dtype: DTypeLike = "float32",
        seed: int | Sequence[int] | None = None,
        n_threads: int | None = None,
    ) -> None:
        n = validation.integer("n", n, bits=20)
        n_threads = validation.thread_count(n_threads)
        rule = optimizers.resolve(optimizer)
        rates = [rule.learning_rate] * n
        if learning_rate is not None:
            rates = members.learning_rates_of(learning_rate, n)
        networks = [
            self._member_type(
                layers,
                loss,
                replace(rule, learning_rate=rate),
                input_shape=input_shape,
                dtype=dtype,
                seed=each,
                n_threads=threads_each(n_threads, n),
            )
            for rate, each in zip(rates, members.seeds_of(seed, n), strict=True)
        ]
        self._hold(networks, n_threads, seed)

    def _hold(self, networks: list[Sequential], n_threads: int | None, seed: Any = None) -> None:
        self._members = tuple(networks)
        self._seed = self.seeds if seed is None else seed
        self._n_threads = validation.thread_count(n_threads)
        self.callbacks, self.metadata = [], {}
        self.bags = self.history = None

    @classmethod
    def from_members(cls, networks: Sequence[Sequential], n_threads: int | None = None) -> Self:
        """An ensemble of networks that there are already; they become its members, not copies.

        Parameters
        ----------
        networks : sequence of Sequential
            At least one, all with the same layers, loss, dtype, number of inputs and, but for its
            learning rate, optimiser. Those whose `n_threads` is not 1 should be few.
        n_threads : int, optional
            As for `Ensemble`.

        Returns
        -------
        ensemble : Ensemble

        Raises
        ------
        TypeError, ValueError
            If one is no network, is there twice, or is of another kind than the first.
        """
        ensemble = cls.__new__(cls)
        ensemble._hold(members.checked_alike(networks), n_threads)
        return ensemble

    # --------------------------------------------------------------------------------- settings

    @property
    def members(self) -> tuple[Sequential, ...]:
        """The networks."""
        return self._members

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, member: int) -> Sequential:
        return self._members[member]

    def __iter__(self) -> Iterator[Sequential]:
        return iter(self._members)

    @property
    def n_threads(self) -> int | None:
        """The most threads that may share the members; None: as many as the process may use."""
        return self._n_threads

    @property
    def seeds(self) -> list[int | None]:
        """The members' seeds."""
        return [member.seed for member in self]

    @property
    def learning_rate(self) -> list[float]:
        """The members' learning rates; set one for all, or a sequence, at any time."""
        return [member.learning_rate for member in self]

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        rates = members.learning_rates_of(learning_rate, len(self))
        for member, rate in zip(self, rates, strict=True):
            member.learning_rate = rate

    @property
    def memory(self) -> dict[str, int]:
        """Bytes that all members hold together, by part, as `Sequential.memory`."""
        total: dict[str, int] = {}
        for member in self:
            for name, size in member.memory.items():
                total[name] = total.get(name, 0) + size
        return total

    def summary(self) -> Summary:
        """Print a table of a member's layers, and the sizes of all members together."""
        one = summarize(self[0])
        n = len(self)
        summary = Summary(one.rows, n * one.n_params, one.dtype, self.memory, n)
        progress.show(summary)
        return summary

    def __repr__(self) -> str:
        first = self[0]
        rates = [member.optimizer.learning_rate for member in self]
        own = "" if rates == [rates[0]] * len(self) else f"learning_rate={rates}, "
        return (
            f"{type(self).__name__}({list(first.layers)}, {len(self)}, loss={first.loss!r}, "
            f"optimizer={first.optimizer}, {own}input_shape={first.input_shape}, "
            f"dtype={first.dtype.name!r}, seed={self._seed}, n_threads={self._n_threads})"
        )

    def reset_optimizer(self) -> None:
        """Forget what the optimisers remember of earlier steps."""
        for member in self:
            member.reset_optimizer()

    def __copy__(self) -> Self:
        """As `copy.deepcopy`: ensembles share nothing."""
        return deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "callbacks": []}

    def _build(self, n_inputs: int) -> None:
        for member in self:
            if not member._rows:
                member._build(n_inputs)

    def _spread(
        self,
        task: Callable[[int], T],
        passes: int,
        interrupt: Callable[[bool], None] | None = None,
    ) -> list[T]:
        """A task for each member, on threads where so many passes of a sample are worth it."""
        n_params = sum(weight.size for weight in self[0].trainable_weights)
        n_threads = threads_for(self._n_threads, 2 * n_params * passes, len(self))
        return spread(task, len(self), n_threads, interrupt)


EnsembleAssembly.__init__.__qualname__ = "Ensemble.__init__"  # what errors about its arguments name
