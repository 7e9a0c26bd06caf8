"""What a fit reports: loss and, for classification, accuracy of every epoch."""

from __future__ import annotations

import numpy as np

__all__ = ["History"]


class History:
    """Loss and accuracy, epoch by epoch, as `fit` returns them.

    The values of an epoch are those of its forward passes, each before its own update, averaged
    over the epoch's samples (summed, for ``half_sum_squared_error``).

    Parameters
    ----------
    results : ndarray of shape (epochs, 2), float64
        Loss and accuracy of each epoch.
    is_classification : bool
        Whether there is an accuracy.

    Attributes
    ----------
    loss : ndarray of shape (epochs,), float64
    """

    def __init__(self, results: np.ndarray, is_classification: bool) -> None:
        self._is_classification = is_classification
        self.loss = results[:, 0].copy()
        self._accuracy = results[:, 1].copy()

    @property
    def accuracy(self) -> np.ndarray:
        """Accuracy of each epoch, shape (epochs,), float64.

        Raises
        ------
        AttributeError
            If the loss is that of a regression, which has no accuracy.
        """
        if not self._is_classification:
            raise AttributeError("accuracy: only classification losses have one")
        return self._accuracy

    @property
    def epoch(self) -> list[int]:
        """Numbers of the epochs, from 0, as in Keras."""
        return list(range(len(self.loss)))

    @property
    def history(self) -> dict[str, list[float]]:
        """The same figures as lists of floats, as in Keras: ``{"loss": [...], ...}``."""
        figures = {"loss": self.loss.tolist()}
        if self._is_classification:
            figures["accuracy"] = self._accuracy.tolist()
        return figures

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        final = ", ".join(f"{name}={values[-1]:.6g}" for name, values in self.history.items())
        return f"History({len(self)} epochs, final {final})"
