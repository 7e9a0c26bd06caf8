"""What an engine does: the interface that the compiled one and the NumPy twin share.

`fusedelta._net.Net` and `fusedelta.reference.Net` are engines; `Unbuilt` stands in for one as long
as the number of inputs is not known. *Ready* arrays are those that `arrays.Prepare` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from fusedelta.arrays import Prepare
from fusedelta.losses import Loss
from fusedelta.optimizers import Optimizer
from fusedelta.profiling import Cell
from fusedelta.rows import Row

__all__ = ["Engine", "NotBuiltError", "Unbuilt"]

NOT_BUILT = (
    "the number of inputs is not known yet: expected input_shape=(k,) when the network is made, "
    "or a call of fit or train_step before this one"
)


class NotBuiltError(ValueError, AttributeError):
    """A network is asked for what follows from its number of inputs, which is not known yet.

    It is an AttributeError, too, so that ``hasattr(net, "weights")`` is False.
    """

    def __init__(self, message: str = NOT_BUILT) -> None:
        super().__init__(message)


class Engine(Protocol):
    """One network's arithmetic, on a flat block of parameters that it trains in place."""

    def __init__(
        self,
        rows: list[Row],
        loss: Loss,
        optimizer: Optimizer,
        params: np.ndarray,
        state: np.ndarray,
        prepare: Prepare,
        n_threads: int,
    ) -> None: ...

    #: The blocks that the optimiser keeps from step to step, live, laid out as the parameters.
    moments: dict[str, np.ndarray]

    #: The updates it has made, counted where there are such blocks, decay or a schedule.
    steps: int

    #: The steps whose gradients wait for an update, where they are accumulated.
    accumulated: int

    #: Steps of the last call of `train` whose loss was finite; right also if it was interrupted.
    trained: int

    #: Set by another thread: what runs ends with KeyboardInterrupt after a whole step, and so does
    #: any further call of `train`, until it is False again.
    interrupted: bool

    #: What the masks of dropout are drawn from, and the training steps of a network that has any.
    dropout_key: int
    dropout_step: int

    @property
    def memory(self) -> dict[str, int]:
        """Bytes held beside the parameters, by part."""

    @property
    def penalty(self) -> float:
        """The sum of the penalties on the weights as they are, a part of every loss to train on."""

    def train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        batch_size: int,
        orders: np.ndarray | None,
        results: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> None:
        """Train on ready arrays for ``len(results)`` epochs, each in its own order of samples.

        A step whose loss is nan or infinite ends it; `trained` says how far it came.
        """

    def step(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """One update with all of X as the batch; returns the loss before it."""

    def predict(self, X: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs (m, n) for X (m, k)."""

    def predict_one(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs (n,) for one sample x (k,)."""

    def evaluate(
        self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None
    ) -> tuple[float, float]:
        """Loss without the `penalty`, and accuracy (nan for a regression), on ready arrays."""

    def gradients(
        self,
        X: np.ndarray,
        y: np.ndarray,
        block: np.ndarray | None,
        weights: np.ndarray | None = None,
    ) -> float:
        """Write gradients into a block as `parameters.allocate` makes them; returns the loss.

        All is as in the next `step`. Without a block, only the loss is computed.
        """

    def is_finite(self, block: np.ndarray) -> bool:
        """Whether no element of a block of parameters or moments is nan or infinite."""

    def retune(self, optimizer: Optimizer) -> None:
        """Go on with the numbers of an optimiser of the same kind; what it keeps stays."""

    def reset_optimizer(self) -> None:
        """Forget the optimiser's state."""

    def acquire(self) -> Any:
        """Keep other threads from changing anything until `release`.

        Raises
        ------
        RuntimeError
            If one is training.
        """

    def release(self) -> None:
        """Let them."""

    def forked(self) -> None:
        """In the child of a fork, let the only thread there is have the network."""

    def start_profile(self) -> None:
        """Time every pass from now on."""

    def stop_profile(self) -> tuple[list[Cell], float]:
        """What each pass took since then, and the seconds that the clock's readings took."""


class Unbuilt:
    """An engine without inputs: a training step builds the network, all else is refused.

    Parameters
    ----------
    build : callable
        ``build(X, y, sample_weight)`` makes the network's engine for X, and returns it with these,
        ready.
    """

    moments: ClassVar[dict[str, np.ndarray]] = {}
    steps: ClassVar[int] = 0
    accumulated: ClassVar[int] = 0
    dropout_key: int
    dropout_step = 0

    def __init__(self, build: Callable[[Any, Any, Any], tuple[Engine, tuple[Any, ...]]]) -> None:
        self._build = build

    def step(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Build the network with as many inputs as X has features, and take the step."""
        engine, ready = self._build(X, y, sample_weight)
        return engine.step(*ready)

    def acquire(self) -> None:
        """Nothing: there is nothing to train."""

    def release(self) -> None:
        """Nothing."""

    def retune(self, optimizer: Optimizer) -> None:
        """Nothing: the network's engine will be made with it."""

    def _refuse(self, *args: Any) -> Any:
        raise NotBuiltError

    memory = property(_refuse)
    predict = predict_one = evaluate = gradients = is_finite = reset_optimizer = _refuse
