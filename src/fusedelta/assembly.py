"""What a network is made of: layers, settings, parameters, engine; copies and pickles of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
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
from fusedelta._spelling import Spelled
from fusedelta.arrays import Prepare, check_weights
from fusedelta.divergence import Guard
from fusedelta.engine import NOT_BUILT, Engine, Unbuilt
from fusedelta.history import History
from fusedelta.layers import Layer
from fusedelta.optimizers import Optimizer
from fusedelta.profiling import Profile
from fusedelta.rows import Row, check_layers, compile_rows
from fusedelta.rules import NEVER_NEGATIVE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from fusedelta._screen import Screen

__all__ = ["Assembly"]


class Assembly(Spelled):
    """Base of `fusedelta.Sequential`, whose docstring says what the parameters are."""

    _engine_type: ClassVar[type[Engine]]
    _screen_type: ClassVar[type[Screen] | None]

    #: All networks there are that have an engine.
    alive: ClassVar[WeakSet[Assembly]] = WeakSet()

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
        #: Whatever was saved beside the weights: a dict of what JSON can hold.
        self.metadata: dict[str, Any] = {}
        #: Set it to end a `fit` after the current epoch, from a callback; `fit` starts with False.
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
    def shuffle_state(self) -> dict[str, Any]:
        """State of the generator that shuffles, as NumPy's ``bit_generator.state``; settable."""
        return dict(self._rng_shuffle.bit_generator.state)

    @shuffle_state.setter
    def shuffle_state(self, state: dict[str, Any]) -> None:
        try:
            self._rng_shuffle.bit_generator.state = state
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise ValueError(
                f"shuffle_state: expected a state of this kind of generator, got "
                f"{validation.shown(state)}: {error}"
            ) from None

    @property
    def history(self) -> History | None:
        """What the last `fit` returned or, where an exception ended it, would have; else None."""
        return self._history

    @property
    def dropout_state(self) -> dict[str, int]:
        """What the masks of `Dropout` follow from, settable.

        ``"key"`` is drawn from the seed, ``"step"`` counts the training steps of a network with
        such a layer.
        """
        return {"key": self._dropout_key, "step": self._engine.dropout_step}

    @dropout_state.setter
    def dropout_state(self, state: dict[str, int]) -> None:
        if not isinstance(state, dict) or set(state) != {"key", "step"}:
            raise ValueError(
                f"dropout_state: expected a dict with 'key', 'step', got {validation.shown(state)}"
            )
        key, step = (
            validation.integer(f"dropout_state[{name!r}]", state[name], minimum=0, below=2**64)
            for name in ("key", "step")
        )
        self._dropout_key = self._engine.dropout_key = key
        self._engine.dropout_step = step

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({list(self._layers)}, loss={self.loss!r}, "
            f"optimizer={self._optimizer}, input_shape={self.input_shape}, "
            f"dtype={self._dtype.name!r}, seed={self._seed}, n_threads={self._n_threads})"
        )

    # ------------------------------------------------------------------------------- parameters

    @property
    def params(self) -> np.ndarray:
        """The flat block of all parameters, live.

        Rows are padded; what is written to the padding is zero again when training goes on.
        """
        self._check_built()
        return self._params

    @property
    def memory(self) -> dict[str, int]:
        """Bytes that the network holds, by part; those of a batch grow with the largest so far.

        ``"parameters"``; ``"optimizer"``, what it keeps from step to step; ``"gradient"``, none for
        plain SGD and momentum; of a batch ``"inputs"`` (brought together where shuffled),
        ``"targets"``, ``"activations"`` and ``"deltas"`` (two layers', or all where threads share
        a step); ``"scratch"`` of the threads; ``"way_back"``, the copies that a diverging fit
        returns to.
        """
        parts = {"parameters": self.params.nbytes, **self._engine.memory}
        return {**parts, "way_back": self._guard.nbytes}

    @property
    def workspace_bytes(self) -> int:
        """The sum of `memory` but for the parameters."""
        memory = self.memory
        return sum(memory.values()) - memory["parameters"]

    @property
    def weights(self) -> list[np.ndarray]:
        """Live views ``[W0, b0, W1, b1, ...]``, layer by layer as in Keras; W is (inputs, outputs).

        A normalisation has gamma and beta, one over batches its moving mean and variance too.
        """
        return parameters.all_views(self._rows, self.params, self._state)

    @property
    def trainable_weights(self) -> list[np.ndarray]:
        """Those that the optimiser moves: live views into `params`."""
        return parameters.views(self._rows, self.params)

    @property
    def non_trainable_weights(self) -> list[np.ndarray]:
        """Those that it does not: moving means and variances."""
        self._check_built()
        return parameters.state_views(self._rows, self._state)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all `weights`, ``[W0, b0, W1, b1, ...]``."""
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all parameters, or none if anything is wrong with one.

        Parameters
        ----------
        weights : list of array_like
            In the order and shapes of `get_weights`. W is (inputs, outputs): the transpose of
            PyTorch's.

        Raises
        ------
        TypeError, ValueError
            If number, shapes or values are wrong, or the network has not been built yet.
        """
        self._check_built()
        ready = check_weights(weights, parameters.shapes(self._rows), self._dtype)
        names = parameters.names(self._rows, "{name}", with_state=True)
        for i, (name, weight) in enumerate(zip(names, ready, strict=True)):
            if name == "moving_variance" and (weight < 0).any():
                raise ValueError(f"weights[{i}]: expected variances >= 0, got {weight.min()}")
        for view, weight in zip(self.weights, ready, strict=True):
            view[...] = weight

    @property
    def optimizer_state(self) -> dict[str, Any]:
        """Copies of what the optimiser keeps from step to step; settable.

        ``"steps"`` is the number of steps that it has counted (plain `SGD` counts none). What
        stands in its formulae for every weight, such as ``"velocity"`` of `SGD` with momentum or
        ``"m"`` and ``"v"`` of `Adam`, are lists of arrays like `trainable_weights`. Where gradients
        are accumulated, ``"gradient"`` is their sum, without penalties, over the update's number of
        steps, and ``"accumulated"`` says how many are in it.
        """
        moments = {
            name: [piece.copy() for piece in parameters.views(self._rows, block)]
            for name, block in self._engine.moments.items()
        }
        return {**self._optimizer_counts, **moments}

    @optimizer_state.setter
    def optimizer_state(self, state: dict[str, Any]) -> None:
        self._check_built()
        names = [*self._optimizer_counts, *self._engine.moments]
        if not isinstance(state, dict) or set(state) != set(names):
            raise ValueError(
                f"optimizer_state: expected a dict with {', '.join(map(repr, names))} for "
                f"{self._optimizer}, got {validation.shown(state)}"
            )
        counts = {
            name: validation.integer(f"optimizer_state[{name!r}]", state[name], minimum=0)
            for name in self._optimizer_counts
        }
        due = self._optimizer.gradient_accumulation_steps or 1
        if counts.get("accumulated", 0) >= due:
            raise ValueError(
                f"optimizer_state['accumulated']: expected less than the {due} steps that make an "
                f"update, got {counts['accumulated']}"
            )
        ready: list[tuple[np.ndarray, np.ndarray]] = []
        for name, block in self._engine.moments.items():
            views = parameters.views(self._rows, block)
            shapes = [view.shape for view in views]
            shown = f"optimizer_state[{name!r}]"
            pieces = check_weights(state[name], shapes, self._dtype, shown)
            if name in NEVER_NEGATIVE and (least := min(piece.min() for piece in pieces)) < 0:
                raise ValueError(f"{shown}: expected values >= 0, got {least}")
            ready += zip(views, pieces, strict=True)
        for view, values in ready:
            view[...] = values
        for name, count in counts.items():
            setattr(self._engine, name, count)

    @property
    def _optimizer_counts(self) -> dict[str, int]:
        counted = ("steps", *["accumulated"] * ("gradient" in self._engine.moments))
        return {name: getattr(self._engine, name) for name in counted}

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

    def _preparation(self, n_inputs: int | None) -> Prepare:
        return Prepare(n_inputs, self._n_outputs, self._dtype, self._loss, self._screen_type)

    def _check_built(self) -> None:
        if not self._rows:
            raise ValueError(NOT_BUILT)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: copies.forked(Assembly.alive))
Assembly.__init__.__qualname__ = "Sequential.__init__"  # what errors about its arguments name
