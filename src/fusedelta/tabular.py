"""Networks that are trained on a table, and remember its columns.

A `TableModel` is a `fusedelta.Sequential` with the `Encoding` of the table it learns from; both are
saved in one file. It is what the command line trains and predicts with. In Python,
``TableModel.load("model.npz").predict(frame)`` predicts from columns as they are; `fusedelta.load`
gives the network alone, which takes what ``encoding.inputs`` makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np

import fusedelta as fd
from fusedelta import validation
from fusedelta._frozen import frozen
from fusedelta.choices import OPTIMIZERS, Named, make_loss
from fusedelta.encoding import Categorical, Encoding, Numeric
from fusedelta.layers import Layer
from fusedelta.optimizers import Optimizer
from fusedelta.tables import Table

__all__ = ["TableModel", "split_rows"]


@frozen
class TableModel:
    """A network and the encoding of its columns.

    Attributes
    ----------
    net : Sequential
        Two classes have one output, more classes a softmax, a number, which is standardised, one
        linear output.
    encoding : Encoding
        The columns.
    """

    net: fd.Sequential
    encoding: Encoding

    @classmethod
    def build(
        cls,
        encoding: Encoding,
        hidden: Iterable[Layer],
        optimizer: Optimizer = OPTIMIZERS["sgd"],
        loss: Named | None = None,
        label_smoothing: float | None = None,
        regularizer: Any = None,
        **options: Any,
    ) -> TableModel:
        """Make an untrained model for a table.

        Parameters
        ----------
        encoding : Encoding
            The table's columns.
        hidden : iterable of Layer
            All but the output layer.
        optimizer : Optimizer, default SGD(0.05)
        loss : Named, optional
            By default the first in `choices.LOSSES` for such a target.
        label_smoothing : float, optional
        regularizer : Regularizer, optional
            Of the output layer's kernel.
        **options
            `fusedelta.Sequential`'s dtype, seed and n_threads.

        Returns
        -------
        TableModel
        """
        width = encoding.target.width if isinstance(encoding.target, Categorical) else 0
        kind = {0: "a number", 2: "two classes"}.get(width, "several classes")
        loss_given, activation = make_loss(kind, loss, label_smoothing)
        units = width if width > 2 else 1
        net = fd.Sequential(
            [*hidden, fd.Dense(units, activation, kernel_regularizer=regularizer)],
            loss=loss_given,
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

    def predict(self, data: Any) -> np.ndarray:
        """Return predictions for columns as they are, before any encoding.

        Parameters
        ----------
        data : Table, mapping or DataFrame
            Its columns are found by name; those that are not features are ignored.

        Returns
        -------
        ndarray of shape (m,)
            The names of the classes, or numbers in the target's unit, float64. Rows that have no
            prediction, as a feature is missing, have an empty name or nan.

        Raises
        ------
        TypeError, ValueError
            If the columns do not fit.
        """
        target = self.encoding.target
        table, rows = self.encoding.complete(Table.of(data))
        X = self.encoding.inputs(table)
        if isinstance(target, Numeric):
            found = target.decode(self.net.predict(X)[:, 0])
        else:
            found = np.array(target.decode(self.net.predict_classes(X)))
        none: Any = np.nan if isinstance(target, Numeric) else ""
        predictions = np.full(rows.shape, none, found.dtype)
        predictions[rows] = found
        return predictions

    def predict_proba(self, data: Any) -> np.ndarray:
        """Return the probability of each class for columns as they are.

        Parameters
        ----------
        data : Table, mapping or DataFrame
            As for `predict`.

        Returns
        -------
        ndarray of shape (m, classes)
            In the order of ``encoding.target.values``, in the network's dtype. Rows that have no
            prediction, as a feature is missing, have nan.

        Raises
        ------
        TypeError, ValueError
            If the columns do not fit, or the model gives no probabilities.
        """
        table, rows = self.encoding.complete(Table.of(data))
        found = self._probabilities(self.encoding.inputs(table))
        probabilities = np.full((*rows.shape, found.shape[1]), np.nan, found.dtype)
        probabilities[rows] = found
        return probabilities

    def predictions(self, table: Table, proba: bool = False) -> dict[str, list[str]]:
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
            The column named as the target, then those of the probabilities. Rows that have no
            prediction, as a feature is missing, have empty texts.

        Raises
        ------
        ValueError
            If the table does not fit, or if there are no probabilities that are asked for.
        """
        table, rows = self.encoding.complete(table)
        columns = self._predictions(self.encoding.inputs(table), proba)
        return {name: _spread(texts, rows) for name, texts in columns.items()}

    def _predictions(self, X: np.ndarray, proba: bool) -> dict[str, list[str]]:
        """Return the columns of predictions for encoded data."""
        target = self.encoding.target
        probabilities = self._probabilities(X).T if proba else ()
        if isinstance(target, Numeric):
            return {target.name: _texts_of(target, self.net.predict(X)[:, 0])}
        columns = {target.name: target.decode(self.net.predict_classes(X))}
        for value, column in zip(target.values, probabilities, strict=False):
            columns[f"probability_{value}"] = list(map(_shortest, column))
        return columns

    def _probabilities(self, X: np.ndarray) -> np.ndarray:
        """Return a column for each class."""
        target = self.encoding.target
        if isinstance(target, Numeric):
            raise ValueError(f"proba: the model predicts the number {target.name!r}, not classes")
        if getattr(self.net.layers[-1], "activation", "") not in ("sigmoid", "softmax"):
            raise ValueError(
                f"proba: the model was trained with {self.net.loss!r}, its outputs are no "
                "probabilities"
            )
        outputs = self.net.predict(X)
        return np.hstack([1.0 - outputs, outputs]) if target.width == 2 else outputs

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
        raise ValueError(f"validation_split={fraction}: expected a fraction of the rows in [0, 1)")
    rng = np.random.default_rng(validation.seed(seed))
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held_out[rows[: min(round(fraction * len(rows)), len(rows) - 1)]] = True
    if fraction and not held_out.any():
        raise ValueError(
            f"validation_split={fraction} of {len(labels)} rows holds out none; "
            "expected a larger part, or 0 to train on all rows"
        )
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _spread(texts: list[str], rows: np.ndarray) -> list[str]:
    """Return a text for each of the rows, empty where there is none."""
    each = iter(texts)
    return [next(each) if row else "" for row in rows]


def _texts_of(target: Numeric, outputs: np.ndarray) -> list[str]:
    """Return decoded outputs with the fewest digits that are encoded as the same outputs again."""
    steps = np.log10(np.spacing(np.abs(outputs)), dtype=np.float64) + math.log10(target.scale)
    digits = np.ceil(math.log10(2) - steps).astype(int)  # at most a quarter of a step is lost
    numbers = target.decode(outputs).tolist()
    return [_shortest(round(*each)) for each in zip(numbers, digits.tolist(), strict=True)]


def _shortest(number: float | np.floating) -> str:
    """Return a number with the fewest digits that tell it apart in its dtype."""
    return str(number).removesuffix(".0")
