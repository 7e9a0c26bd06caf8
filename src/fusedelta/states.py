"""What a network holds, to read and to set: weights, the state of its optimiser, random states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fusedelta import parameters, validation
from fusedelta._spelling import Spelled
from fusedelta.arrays import check_weights
from fusedelta.engine import NotBuiltError
from fusedelta.rules import NEVER_NEGATIVE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fusedelta.divergence import Guard
    from fusedelta.optimizers import Optimizer
    from fusedelta.rows import Row

__all__ = ["States"]


class States(Spelled):
    """Base of `fusedelta.assembly.Assembly`.

    What reads or sets a whole state waits for another thread's step; if one is in `fit` of the
    network, it raises RuntimeError.
    """

    _rows: tuple[Row, ...]
    _params: Any
    _state: Any
    _engine: Any
    _guard: Guard
    _dtype: np.dtype
    _optimizer: Optimizer
    _rng_shuffle: np.random.Generator
    _dropout_key: int

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
        a step); ``"scratch"`` of the threads, or of a thin network's sums; ``"way_back"``, the
        copies that a diverging fit returns to.
        """
        parts = {"parameters": self.params.nbytes, **self._engine.memory}
        return {**parts, "way_back": self._guard.nbytes}

    @property
    def workspace_bytes(self) -> int:
        """The sum of `memory` but for the parameters."""
        memory = self.memory
        return sum(memory.values()) - memory["parameters"]

    @property
    def weights(self) -> tuple[np.ndarray, ...]:
        """Live views ``(W0, b0, W1, b1, ...)``, layer by layer as in Keras; W is (inputs, outputs).

        A normalisation has gamma and beta, one over batches its moving mean and variance too. Write
        into a view (``net.weights[0][:] = W``); the tuple itself takes no other arrays.
        """
        return tuple(parameters.all_views(self._rows, self.params, self._state))

    @property
    def trainable_weights(self) -> tuple[np.ndarray, ...]:
        """Those that the optimiser moves: live views into `params`."""
        return tuple(parameters.views(self._rows, self.params))

    @property
    def non_trainable_weights(self) -> tuple[np.ndarray, ...]:
        """Those that it does not: moving means and variances."""
        self._check_built()
        return tuple(parameters.state_views(self._rows, self._state))

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all `weights`, ``[W0, b0, W1, b1, ...]``.

        Raises
        ------
        RuntimeError
            If another thread is in `fit` of this network, as with all that reads or sets whole
            states; a step of another thread is waited for.
        """
        with self._taken():
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
        with self._taken():
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
        with self._taken():
            for view, values in ready:
                view[...] = values
            for name, count in counts.items():
                setattr(self._engine, name, count)

    def reset_optimizer(self) -> None:
        """Forget what the optimiser remembers of earlier steps (nothing, for plain `SGD`).

        Raises
        ------
        ValueError
            If the network has not been built yet.
        RuntimeError
            If another thread is in `fit` of this network.
        """
        self._engine.reset_optimizer()

    @property
    def _optimizer_counts(self) -> dict[str, int]:
        counted = ("steps", *["accumulated"] * ("gradient" in self._engine.moments))
        return {name: getattr(self._engine, name) for name in counted}

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

    @contextmanager
    def _taken(self) -> Iterator[None]:
        """While no other thread trains or uses the network."""
        self._engine.acquire()
        try:
            yield
        finally:
            self._engine.release()

    def _check_built(self) -> None:
        if not self._rows:
            raise NotBuiltError
