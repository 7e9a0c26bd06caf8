from collections.abc import Sequence
from typing import Self, final

import numpy as np

from fusedelta.monitors import EarlyStopping

@final
class Watch:
    held_out: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None
    measured: np.ndarray | None
    epoch: int
    best: float
    best_epoch: int
    stopped_epoch: int
    wait: int
    found: bool
    stopped: bool
    has_kept: bool
    kept: list[np.ndarray]
    def __new__(
        cls,
        held_out: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None,
        measured: np.ndarray | None,
        stopping: EarlyStopping | None,
        blocks: Sequence[np.ndarray],
        epoch: int,
    ) -> Self: ...
