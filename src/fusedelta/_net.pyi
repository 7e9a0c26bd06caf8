from typing import Any, Self, final

import numpy as np

from fusedelta._watch import Watch
from fusedelta.arrays import Prepare
from fusedelta.losses import Loss
from fusedelta.optimizers import Optimizer
from fusedelta.profiling import Cell
from fusedelta.rows import Row

@final
class Net:
    training: bool
    interrupted: bool
    trained: int
    moments: dict[str, np.ndarray]
    steps: int
    dropout_key: int
    dropout_step: int
    accumulated: int
    def __new__(
        cls,
        rows: list[Row],
        loss: Loss,
        optimizer: Optimizer,
        params: np.ndarray,
        state: np.ndarray,
        prepare: Prepare,
        n_threads: int,
    ) -> Self: ...
    @property
    def memory(self) -> dict[str, int]: ...
    @property
    def penalty(self) -> float: ...
    def train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        batch_size: int,
        orders: np.ndarray | None,
        results: np.ndarray,
        weights: np.ndarray | None = None,
        watch: Watch | None = None,
    ) -> None: ...
    def step(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...
    def predict(self, X: Any, out: np.ndarray | None = None) -> np.ndarray: ...
    def predict_one(self, x: Any, out: np.ndarray | None = None) -> np.ndarray: ...
    def evaluate(
        self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None
    ) -> tuple[float, float]: ...
    def gradients(
        self,
        X: np.ndarray,
        y: np.ndarray,
        block: np.ndarray | None,
        weights: np.ndarray | None = None,
    ) -> float: ...
    def is_finite(self, block: np.ndarray) -> bool: ...
    def retune(self, optimizer: Optimizer) -> None: ...
    def reset_optimizer(self) -> None: ...
    def acquire(self) -> int: ...
    def release(self) -> None: ...
    def forked(self) -> None: ...
    def start_profile(self) -> None: ...
    def stop_profile(self) -> tuple[list[Cell], float]: ...
