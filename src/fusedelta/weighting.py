"""Weights of samples: from the user's own and from those of classes, one array for the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fusedelta import validation
from fusedelta.arrays import Prepare

__all__ = ["combine", "of_classes"]


def combine(
    prepare: Prepare, y: np.ndarray, sample_weight: Any, by_class: np.ndarray | None = None
) -> np.ndarray | None:
    """The weight of each sample, or None where all are one.

    Parameters
    ----------
    prepare : Prepare
        The network's.
    y : ndarray
        Ready targets of m samples.
    sample_weight : array_like of shape (m,) or None
    by_class : ndarray or None
        What `of_classes` returns.

    Returns
    -------
    weights : ndarray of shape (m,) or None
        Of the network's dtype.

    Raises
    ------
    TypeError, ValueError
        If a weight is wrong.
    """
    weights = None if sample_weight is None else prepare.weights(sample_weight, len(y))
    if by_class is None:
        return weights
    of_samples = by_class[_classes(prepare, y)]
    return prepare.weights(of_samples if weights is None else of_samples * weights, len(y))


def of_classes(
    prepare: Prepare, class_weight: Any, targets: Iterable[np.ndarray] | None
) -> np.ndarray | None:
    """The weight of each class, or None where all are one.

    Parameters
    ----------
    prepare : Prepare
        The network's.
    class_weight : dict, "balanced" or None
        See `fusedelta.Sequential.fit`.
    targets : iterable of ndarray, or None
        All ready targets, some at a time, to be gone through for ``"balanced"``; None: there are
        no such.

    Returns
    -------
    by_class : ndarray of shape (classes,) or None

    Raises
    ------
    TypeError, ValueError
        If a weight is wrong, the loss has no classes or several decisions a sample, or the targets
        are needed but not there.
    """
    if class_weight is None:
        return None
    n_classes = _count_classes(prepare)
    if isinstance(class_weight, str):
        other = " or a dict of class and weight"
        validation.choice("class_weight", class_weight, ("balanced",), other)
        if targets is None:
            raise ValueError(
                "class_weight: expected a dict with batches, because 'balanced' takes all labels "
                "beforehand; got 'balanced'"
            )
        counts = sum(np.bincount(_classes(prepare, y), minlength=n_classes) for y in targets)
        return np.sum(counts) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    if not isinstance(class_weight, Mapping):
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


def _count_classes(prepare: Prepare) -> int:
    loss = prepare.loss
    if not loss.is_classification:
        raise ValueError(f"class_weight: {loss.name!r} is a regression loss, it has no classes")
    if not loss.is_binary:
        return prepare.n_outputs
    if prepare.n_outputs != 1:
        raise ValueError(
            "class_weight: expected a network with one output or a softmax, got "
            f"{prepare.n_outputs} outputs that each decide by themselves; use sample_weight"
        )
    return 2


def _classes(prepare: Prepare, y: np.ndarray) -> np.ndarray:
    """The class of each sample."""
    if prepare.loss.is_binary:
        return (y[:, 0] > prepare.loss.threshold).astype(np.intp)
    return y if y.ndim == 1 else y.argmax(axis=1)
