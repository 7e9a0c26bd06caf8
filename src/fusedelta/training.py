"""The epochs of a fit: how many an engine trains per call, and in which order of samples."""

from __future__ import annotations

import numpy as np

from fusedelta.engine import Engine
from fusedelta.progress import Progress

__all__ = ["draw_orders", "train"]

#: Random orders are drawn for several epochs at a time, up to so many indices of samples.
ORDERS_SIZE = 65536


def train(
    engine: Engine,
    X: np.ndarray,
    y: np.ndarray,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator | None,
    verbose: int,
) -> np.ndarray:
    """Train with as many epochs per call of the engine as orders and progress allow.

    Parameters
    ----------
    engine : Engine
    X, y : ndarray
        Ready arrays of m samples.
    epochs, batch_size : int
    rng : Generator or None
        Draws the orders of the samples; None: they are taken as they lie.
    verbose : {0, 1, 2}
        As for `fusedelta.Sequential.fit`.

    Returns
    -------
    results : ndarray of shape (epochs, 2), float64
        Loss and accuracy of each epoch.
    """
    results = np.empty((epochs, 2))
    reporter = Progress(verbose, results)
    limit = epochs if rng is None else max(1, ORDERS_SIZE // len(X))
    done = 0
    while count := min(reporter.next_epochs(), limit):
        orders = None if rng is None else draw_orders(rng, count, len(X))
        engine.train(X, y, batch_size, orders, results[done : done + count])
        reporter.advance(count)
        done += count
    return results


def draw_orders(rng: np.random.Generator, epochs: int, m: int) -> np.ndarray:
    """Random orders of m samples, one a row: the same whether drawn together or one by one.

    Parameters
    ----------
    rng : Generator
    epochs, m : int

    Returns
    -------
    orders : ndarray of shape (epochs, m), intp, C-contiguous
        Each row a permutation of 0 to m - 1.
    """
    return rng.permuted(np.tile(np.arange(m, dtype=np.intp), (epochs, 1)), axis=1)
