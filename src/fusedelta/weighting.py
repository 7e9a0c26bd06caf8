"""Weights of samples: from the user's own and from those of classes, one array for the engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusedelta import validation
from fusedelta.validation import Prepare

__all__ = ["combine"]


def combine(
    prepare: Prepare, y: np.ndarray, sample_weight: Any, class_weight: Any = None
) -> np.ndarray | None:
    """The weight of each sample, or None where all are one.

    Parameters
    ----------
    prepare : Prepare
        The network's.
    y : ndarray
        Ready targets of m samples.
    sample_weight : array_like of shape (m,) or None
    class_weight : dict, "balanced" or None
        See `fusedelta.Sequential.fit`.

    Returns
    -------
    weights : ndarray of shape (m,) or None
        Of the network's dtype.

    Raises
    ------
    TypeError, ValueError
        If a weight is wrong, or the loss has no classes or several decisions a sample.
    """
    weights = None if sample_weight is None else prepare.weights(sample_weight, len(y))
    if class_weight is None:
        return weights
    classes, n_classes = _classes(prepare, y)
    by_class = _by_class(class_weight, classes, n_classes)[classes]
    return prepare.weights(by_class if weights is None else by_class * weights, len(y))


def _classes(prepare: Prepare, y: np.ndarray) -> tuple[np.ndarray, int]:
    """The class of each sample, and how many there are."""
    loss = prepare.loss
    if not loss.is_classification:
        raise ValueError(f"class_weight: {loss.name!r} is a regression loss, it has no classes")
    if loss.is_binary:
        if y.shape[1] != 1:
            raise ValueError(
                f"class_weight: expected a network with one output or a softmax, got {y.shape[1]} "
                "outputs that each decide by themselves; use sample_weight"
            )
        return (y[:, 0] > loss.threshold).astype(np.intp), 2
    return (y if y.ndim == 1 else y.argmax(axis=1)), prepare.n_outputs


def _by_class(class_weight: Any, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """The weight of each class."""
    if isinstance(class_weight, str):
        validation.choice("class_weight", class_weight, ("balanced",))
        counts = np.bincount(classes, minlength=n_classes)
        present = np.count_nonzero(counts)
        return len(classes) / (present * np.maximum(counts, 1))
    if not isinstance(class_weight, dict):
        raise TypeError(
            "class_weight: expected a dict of class and weight, or 'balanced', got "
            f"{validation.shown(class_weight)}"
        )
    weights = np.ones(n_classes)
    for key, weight in class_weight.items():
        name = validation.integer("class_weight: a class", key, minimum=0)
        if name >= n_classes:
            raise ValueError(f"class_weight: expected classes 0 to {n_classes - 1}, got {name}")
        weights[name] = validation.number(f"class_weight[{name}]", weight, minimum=0)
    return weights
