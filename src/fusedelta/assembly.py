"""What a network is made of: layers, settings, parameters, engine; copies and pickles of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self
from weakref import WeakSet

import numpy as np

from fusedelta import (
    copies,
    losses,
    optimizers,
    parameters,
    profiling,
    rates,
    threads,
    validation,
    weighting,
)
from fusedelta.arrays import Prepare
from fusedelta.divergence import Guard
from fusedelta.engine import Engine, Unbuilt
from fusedelta.history import History
from fusedelta.layers import Layer
from fusedelta.optimizers import Optimizer
from fusedelta.profiling import Profile
from fusedelta.rows import Row, check_layers, compile_rows
from fusedelta.states import States

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fusedelta._screen import Screen

__all__ = ["Assembly"]


class Assembly(States):
    """Base of `fusedelta.Sequential`, whose docstring says what the parameters are."""

    _engine_type: ClassVar[type[Engine]]
    _screen_type: ClassVar[type[Screen] | None]

    #: All networks there are that have an engine.
    alive: ClassVar[WeakSet[Assembly]] = WeakSet()

    #: Whatever was saved beside the weights: a dict of what JSON can hold.
    metadata: dict[str, Any]

    #: Set it to end a `fit` after the current epoch, from a callback; `fit` starts with False.
    stop_training: bool

    #: What the passes of the last `fit` took, if it was asked for by ``profile=True``, else None.
    profile_: Profile | None = None

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: Any,
        optimizer: Optimizer | str = "sgd",
        input_shape: tuple[int] | None = None,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        output = check_layers(layers)
        self._layers = tuple(layers)
        self._n_outputs = output.n_outputs
        self._loss = losses.resolve(loss, output.activation)
        self._optimizer = optimizers.resolve(optimizer)
        self._dtype = validation.float_dtype(dtype)
        self._seed = validation.seed(seed)
        self._n_threads = validation.thread_count(n_threads)
        n_inputs = validation.input_shape(input_shape)
        sequences = np.random.SeedSequence(self._seed).spawn(3)
        self._rng_init, self._rng_shuffle = (
            np.random.Generator(np.random.PCG64(sequence)) for sequence in sequences[:2]
        )
        self._dropout_key = int(sequences[2].generate_state(1, np.uint64)[0])
        self.metadata = {}
        self.stop_training = False
        self._history: History | None = None
        self._detach()
        if n_inputs is not None:
            self._build(n_inputs)

    # --------------------------------------------------------------------------------- settings

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, first to last."""
        return self._layers

    @property
    def loss(self) -> Any:
        """The loss as it was given: its name, or an object with its parameters."""
        return self._loss.given

    @property
    def is_classification(self) -> bool:
        """Whether outputs name classes, so that there is an accuracy."""
        return self._loss.is_classification

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser."""
        return self._optimizer

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; set it at any time, the optimiser keeps its state.

        It may be set to a number or to a schedule, and takes the place of either.

        Raises
        ------
        TypeError, ValueError
            If it is set to anything but a finite number above 0 or a schedule.
        """
        return rates.rate_at(self._optimizer.learning_rate, self._engine.steps)

    @learning_rate.setter
    def learning_rate(self, learning_rate: rates.Rate) -> None:
        optimizer = replace(self._optimizer, learning_rate=learning_rate)
        self._engine.retune(optimizer)
        self._optimizer = optimizer

    @property
    def input_shape(self) -> tuple[int] | None:
        """``(k,)``, the number of features; None until it is known."""
        return (self._rows[0].n_inputs,) if self._rows else None

    @property
    def dtype(self) -> np.dtype:
        """The dtype of weights and outputs."""
        return self._dtype

    @property
    def seed(self) -> int | None:
        """The seed that was given."""
        return self._seed

    @property
    def n_threads(self) -> int | None:
        """The most threads that may share a piece of work; None: as many as the process may use."""
        return self._n_threads

    @property
    def history(self) -> History | None:
        """What the last `fit` returned or, where an exception ended it, would have; else None."""
        return self._history

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({list(self._layers)}, loss={self.loss!r}, "
            f"optimizer={self._optimizer}, input_shape={self.input_shape}, "
            f"dtype={self._dtype.name!r}, seed={self._seed}, n_threads={self._n_threads})"
        )

    # ----------------------------------------------------------------------- copies and pickles

    @classmethod
    def like(cls, net: Assembly, dtype: DTypeLike | None = None) -> Self:
        """A network of this class that goes on as another would: same layers, weights and states.

        Parameters
        ----------
        net : Sequential
            Of this class or the NumPy twin's; it must have weights.
        dtype : {"float32", "float64"}, optional
            By default that of `net`.

        Returns
        -------
        copy : Sequential

        Raises
        ------
        TypeError, ValueError
            If it is no network, or has not been built yet.
        RuntimeError
            If another thread is training it.
        """
        if not isinstance(net, Assembly):
            raise TypeError(f"net: expected a Sequential, got {validation.shown(net)}")
        copy = cls(
            net.layers,
            net.loss,
            net.optimizer,
            input_shape=net.input_shape,
            dtype=net.dtype if dtype is None else dtype,
            seed=net.seed,
            n_threads=net.n_threads,
        )
        copies.give_states(net, copy)
        return copy

    def __copy__(self) -> Self:
        """As `copy.deepcopy`: networks share nothing."""
        return deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        return copies.state_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        copies.restore(self, state)

    # ------------------------------------------------------------------------------ the engine

    def _detach(self) -> None:
        """Be without an engine, as long as the number of inputs is not known."""
        self._fitting, self._building = threading.Lock(), threading.Lock()
        self._rows: tuple[Row, ...] = ()
        self._params: Any = None
        self._state: Any = None
        self._prepare = self._preparation(None)
        self._engine: Any = Unbuilt(self._build_for)

    def _build_for(self, X: Any, y: Any, sample_weight: Any) -> tuple[Engine, tuple[Any, ...]]:
        """Engine and ready arrays; a network without inputs gets as many as X has features."""
        X, y = self._prepare.pair(X, y)
        weights = weighting.combine(self._prepare, y, sample_weight)
        self._build(X.shape[1])
        return self._engine, (X, y, weights)

    def _build(self, n_inputs: int) -> None:
        """Draw starting weights for that many inputs, and make the engine, unless there is one."""
        with self._building:
            if not self._rows:
                self._draw(n_inputs)

    def _draw(self, n_inputs: int) -> None:
        rows = tuple(compile_rows(self._layers, n_inputs, self._dtype))
        params = parameters.allocate(rows, self._dtype)
        state = parameters.allocate_state(rows, self._dtype)
        for row in rows:
            pieces = parameters.all_views([row], params, state)
            values = row.layer.draw(self._rng_init, row) if pieces else []
            for piece, start in zip(pieces, values, strict=True):
                piece[...] = start
        self._attach(rows, params, state)

    def _attach(self, rows: tuple[Row, ...], params: np.ndarray, state: np.ndarray) -> None:
        """Make the engine, with a copy of the parameters in a block of its own."""
        self._params = parameters.allocate(rows, self._dtype)
        self._params[:] = params
        self._state = parameters.allocate_state(rows, self._dtype)
        self._state[:] = state
        self._prepare = self._preparation(rows[0].n_inputs)
        engine = self._engine_type(
            list(rows),
            self._loss,
            self._optimizer,
            self._params,
            self._state,
            self._prepare,
            threads.resolve(self._n_threads),
        )
        engine.dropout_key, engine.dropout_step = self._dropout_key, self._engine.dropout_step
        self._guard = Guard(engine, self._params, self._state, self._rng_shuffle)
        self._engine, self._rows = engine, rows  # last: other threads go by them
        self.alive.add(self)
        profiling.attached(self)

    def _check_classification(self) -> None:
        if not self.is_classification:
            raise ValueError(
                f"predict_classes: {self.loss!r} is a regression loss, it has no classes; "
                "expected a cross-entropy or a hinge"
                + ("; or take predict(X).argmax(axis=1)" if self._n_outputs > 1 else "")
            )

    def _classes(self, Y: np.ndarray) -> np.ndarray:
        """Of outputs."""
        if not self._loss.is_binary:
            return Y.argmax(axis=1)
        classes = (self._loss.threshold < Y).astype(np.int64)
        return classes[:, 0] if classes.shape[1] == 1 else classes

    @contextmanager
    def _only_fit(self) -> Iterator[None]:
        fitting = self._fitting
        if not fitting.acquire(blocking=False):
            raise RuntimeError(
                "fit: this network is already being fitted in another thread, or by the fit whose "
                "callback calls this one"
            )
        try:
            yield
        finally:
            fitting.release()

    @contextmanager
    def _profiled(self, wanted: bool) -> Iterator[None]:
        with profiling.profile(self) if wanted else nullcontext() as self.profile_:
            yield

    def _preparation(self, n_inputs: int | None) -> Prepare:
        return Prepare(n_inputs, self._n_outputs, self._dtype, self._loss, self._screen_type)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: copies.forked(Assembly.alive))
Assembly.__init__.__qualname__ = "Sequential.__init__"  # what errors about its arguments name
