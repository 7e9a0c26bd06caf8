"""Networks that are trained on a table, and remember its columns.

A `TableModel` is a `fusedelta.Sequential` with the `Encoding` of the table it learns from; both are
saved in one file. It is what the command line trains and predicts with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from os import PathLike
from typing import Any

import numpy as np

import fusedelta as fd
from fusedelta import optimizers, validation
from fusedelta._frozen import frozen
from fusedelta.encoding import Categorical, Encoding, Numeric
from fusedelta.optimizers import Optimizer
from fusedelta.tables import Table

__all__ = ["OPTIMIZERS", "TableModel", "make_optimizer", "split_rows"]

DEFAULT_OPTIMIZER = fd.SGD(0.05)

#: The optimisers of the command line, with their defaults.
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": DEFAULT_OPTIMIZER,
    "momentum": fd.SGD(0.05, momentum=0.9),
    **{name: rule() for name, rule in optimizers.OPTIMIZERS.items() if rule is not fd.SGD},
}


@frozen
class TableModel:
    """A network and the encoding of its columns.

    Attributes
    ----------
    net : Sequential
        Two classes: one sigmoid output, binary cross-entropy. More classes: softmax, sparse
        categorical cross-entropy. Numbers: one linear output, mean squared error of the
        standardised target.
    encoding : Encoding
        The columns.
    """

    net: fd.Sequential
    encoding: Encoding

    @classmethod
    def build(
        cls,
        encoding: Encoding,
        hidden: Sequence[int],
        activation: str = "relu",
        optimizer: Optimizer = DEFAULT_OPTIMIZER,
        **options: Any,
    ) -> TableModel:
        """Make an untrained model for a table.

        Parameters
        ----------
        encoding : Encoding
            The table's columns.
        hidden : sequence of int
            Units of each hidden layer.
        activation : str, default "relu"
            Activation of the hidden layers.
        optimizer : Optimizer, default SGD(0.05)
        **options
            `fusedelta.Sequential`'s dtype, seed and n_threads.

        Returns
        -------
        TableModel
        """
        if isinstance(encoding.target, Numeric):
            output, loss = fd.Dense(1), "mean_squared_error"
        elif encoding.target.width == 2:
            output, loss = fd.Dense(1, "sigmoid"), "binary_crossentropy"
        else:
            output = fd.Dense(encoding.target.width, "softmax")
            loss = "sparse_categorical_crossentropy"
        net = fd.Sequential(
            [*(fd.Dense(units, activation) for units in hidden), output],
            loss=loss,
            optimizer=optimizer,
            input_shape=(encoding.width,),
            **options,
        )
        net.metadata = {"encoding": encoding.to_dict()}
        return cls(net, encoding)

    def score(self, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
        """Return the figures of merit on encoded data.

        Parameters
        ----------
        X : ndarray of shape (m, inputs)
            ``encoding.inputs(table)``.
        y : ndarray of shape (m,) or (m, 1)
            ``encoding.targets(table)``.

        Returns
        -------
        dict of str to float
            "loss" and "accuracy"; for a number "loss" (of the standardised target), "RMSE" (in the
            target's unit) and "R^2" (nan if the target does not vary).
        """
        figures = dict(self.net.evaluate(X, y))
        if isinstance(self.encoding.target, Numeric):
            error, variance = float(np.mean((y - self.net.predict(X)) ** 2)), float(y.var())
            figures["RMSE"] = math.sqrt(error) * self.encoding.target.scale
            figures["R^2"] = 1.0 - error / variance if variance else math.nan
        return figures

    def predict(self, table: Table, proba: bool = False) -> dict[str, list[str]]:
        """Return predictions for a table as columns of text.

        Parameters
        ----------
        table : Table
            Its columns are found by name; those that are not features are ignored.
        proba : bool, default False
            Add the probability of each class, in columns named ``probability_<class>``.

        Returns
        -------
        dict of str to list of str
            The column named as the target, then those of the probabilities.

        Raises
        ------
        ValueError
            If the table does not fit, or if probabilities of a number are asked for.
        """
        target = self.encoding.target
        outputs = self.net.predict(self.encoding.inputs(table))
        if isinstance(target, Categorical):
            return _class_columns(target, outputs, proba)
        if proba:
            raise ValueError(f"proba: the model predicts the number {target.name!r}, not classes")
        return {target.name: _texts(target.decode(outputs[:, 0]))}

    def save(self, path: str | PathLike[str]) -> None:
        """Write network and encoding to a file, as `fusedelta.Sequential.save` does."""
        self.net.save(path, metadata={"encoding": self.encoding.to_dict()})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TableModel:
        """Read what `save` wrote.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it holds no network, or one without an encoding.
        """
        net = fd.load(path)
        return cls(net, Encoding.from_dict(net.metadata.get("encoding")))


def make_optimizer(name: str, **settings: float | None) -> Optimizer:
    """One of `OPTIMIZERS`, with other settings where they are not None.

    Raises
    ------
    TypeError, ValueError
        If it has no such setting, or a value is wrong.
    """
    optimizer = OPTIMIZERS[name]
    given: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    for key in given.keys() - {field.name for field in fields(optimizer)}:
        raise ValueError(f"{key}: optimizer {name!r} has none, got {given[key]}")
    return replace(optimizer, **given)


def split_rows(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows at random into those to train on and those held out.

    Parameters
    ----------
    labels : ndarray of shape (m,)
        The class of each row: every class is divided alike ("stratified") and keeps at least one
        row to train on. All the same for a plain split.
    fraction : float
        The part held out, 0 <= fraction < 1.
    seed : int
        Draws the rows.

    Returns
    -------
    train, held_out : ndarray of int
        Row numbers, ascending.

    Raises
    ------
    ValueError
        If the seed is negative, the fraction out of range, or so small that no row would be held
        out.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"validation={fraction}: expected a fraction of the rows in [0, 1)")
    rng = np.random.default_rng(validation.seed(seed))
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held_out[rows[: min(round(fraction * len(rows)), len(rows) - 1)]] = True
    if fraction and not held_out.any():
        raise ValueError(
            f"validation={fraction} of {len(labels)} rows holds out none; "
            "expected a larger part, or 0 to train on all rows"
        )
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _class_columns(target: Categorical, outputs: np.ndarray, proba: bool) -> dict[str, list[str]]:
    """Return the most probable class of each row, and on request all probabilities."""
    if target.width == 2:
        outputs = np.hstack([1.0 - outputs, outputs])
    columns = {target.name: target.decode(outputs.argmax(axis=1))}
    if proba:
        for value, probabilities in zip(target.values, outputs.T, strict=True):
            columns[f"probability_{value}"] = _texts(probabilities)
    return columns


def _texts(numbers: np.ndarray) -> list[str]:
    return [f"{number:.8g}" for number in numbers]
