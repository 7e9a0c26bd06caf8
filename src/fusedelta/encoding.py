"""Columns of a table as numbers for a network, and a network's numbers as columns again.

A `Numeric` column is standardised, a `Categorical` one becomes one input per value ("one-hot").
The same two describe the target: a quantity, or the names of the classes. An `Encoding` is all of
them together; as a dictionary of plain values it is saved with the network that was trained on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, field, replace
from typing import Any, Literal

import numpy as np

from fusedelta._frozen import frozen
from fusedelta.tables import Table, is_number

__all__ = ["Categorical", "Encoding", "Missing", "Numeric", "Task", "detect_task"]

Task = Literal["classification", "regression"]
Missing = Literal["error", "drop", "fill"]

MOST_INTEGER_CLASSES = 20
MOST_VALUES = 100


@frozen
class Numeric:
    """A column of numbers, standardised: ``(x - mean) / scale``.

    Attributes
    ----------
    name : str
        The column.
    mean, scale : float
        Mean and standard deviation of the rows it was fitted to; the scale of a constant column
        is 1.
    """

    name: str
    mean: float
    scale: float

    @classmethod
    def fit(cls, table: Table, name: str, rows: np.ndarray) -> Numeric:
        """Measure a column over the given rows."""
        values = table.numbers(name)[rows]
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(values.mean()), float(values.std())
        if not np.isfinite(deviation):
            raise ValueError(f"{table.source}, column {name!r}: the numbers are too large")
        constant = deviation <= 1e-13 * abs(mean)  # what rounding leaves of a constant column
        return cls(name, mean, 1.0 if constant else deviation)

    @property
    def width(self) -> int:
        """The number of network inputs: 1."""
        return 1

    def encode(self, table: Table) -> np.ndarray:
        """Return the standardised column, of shape (m, 1)."""
        standardised: np.ndarray = (table.numbers(self.name) - self.mean) / self.scale
        return standardised.reshape(-1, 1)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return standardised numbers in the column's own unit."""
        return np.asarray(outputs, dtype=np.float64) * self.scale + self.mean


@frozen
class Categorical:
    """A column of texts out of a fixed set.

    Where all of them are numbers they are compared as such: 1.0 is 1.

    Attributes
    ----------
    name : str
        The column.
    values : tuple of str
        The texts, in numerical order if all of them are numbers, each written the shortest way
        that was found, else in alphabetical order.
    """

    name: str
    values: tuple[str, ...]

    @classmethod
    def fit(cls, table: Table, name: str) -> Categorical:
        """Collect the values of a column."""
        texts = sorted(set(table.texts(name)), key=lambda text: (-len(text), text))
        value = _meaning(texts)
        spellings = {value(text): text for text in texts}  # the last, which is the shortest, stays
        return cls(name, tuple(spellings[each] for each in sorted(spellings)))

    def check(self, table: Table, most: int, column: str, advice: str) -> None:
        """Raise ValueError if there are too many values, or each is not there twice on average."""
        most = min(most, max(2, len(table) // 2))
        if self.width > most:
            raise ValueError(
                f"{table.source}, {column} {self.name!r} holds {self.width} different texts in "
                f"{len(table)} rows, such as {self.values[0]!r}; expected at most {most} {advice}"
            )

    @property
    def width(self) -> int:
        """The number of network inputs: one per value."""
        return len(self.values)

    def indices(self, table: Table) -> np.ndarray:
        """Return the place of each row's value among `values`, int64 of shape (m,)."""
        value = _meaning(self.values)
        places = {value(text): place for place, text in enumerate(self.values)}
        texts = table.texts(self.name)
        found = {text: places.get(value(text)) for text in set(texts)}
        for row, text in enumerate(texts):
            if found[text] is None:
                known = ", ".join(map(repr, self.values[:10]))
                raise table.refusal(self.name, row, f"is none of the values known: {known}")
        return np.array([found[text] for text in texts], dtype=np.int64)

    def encode(self, table: Table) -> np.ndarray:
        """Return a 1 in the column of each row's value, of shape (m, width)."""
        one_hot: np.ndarray = np.eye(self.width)[self.indices(table)]
        return one_hot

    def decode(self, indices: np.ndarray) -> list[str]:
        """Return the values at these places."""
        return [self.values[index] for index in indices]


@frozen
class Encoding:
    """How the columns of a table become the inputs and the target of a network.

    Attributes
    ----------
    features : tuple of Numeric or Categorical
        The columns that are inputs.
    target : Numeric or Categorical
        The column to predict.
    columns : tuple of str
        All columns of the table, for another one that does not name them.
    missing : {"error", "drop", "fill"}
        What becomes of rows in which a feature is missing.
    fills : dict of str to str
        What each feature is taken for where it is missing.
    """

    features: tuple[Numeric | Categorical, ...]
    target: Numeric | Categorical
    columns: tuple[str, ...] = ()
    missing: Missing = "error"
    fills: dict[str, str] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        table: Table,
        target: str,
        task: Task,
        rows: np.ndarray,
        drop: Sequence[str] = (),
        missing: Missing = "error",
    ) -> Encoding:
        """Describe a table: all columns but the target are features.

        Parameters
        ----------
        table : Table
            The data.
        target : str
            The column to predict.
        task : {"classification", "regression"}
            What the target is.
        rows : ndarray of int
            The rows for training: means and scales are theirs alone. Categories are those of the
            whole table.
        drop : sequence of str
            Columns that are no features either.
        missing : {"error", "drop", "fill"}, default "error"
            To "fill" is to take the mean of a column of numbers, or its most frequent text. Rows
            to "drop" are those of later tables, here they are an error.

        Returns
        -------
        Encoding

        Raises
        ------
        ValueError
            If a column has missing values or too many categories, if there is no feature, or if
            there is nothing to predict.
        """
        table.require([target, *drop])
        names = [name for name in table.columns if name not in (target, *drop)]
        if not names:
            raise ValueError(
                f"{table.source} has no feature columns beside the target {target!r}; expected "
                "columns separated by commas, semicolons or tabs"
            )
        fills = {name: _fill(table, name, rows) for name in names} if missing == "fill" else {}
        table = table.filled(fills)
        features = tuple(
            Numeric.fit(table, name, rows)
            if table.is_numeric(name)
            else _fit_categories(table, name)
            for name in names
        )
        fitted = (
            _fit_classes(table, target)
            if task == "classification"
            else _fit_quantity(table, target, rows)
        )
        return cls(features, fitted, tuple(table.columns), missing, fills)

    @property
    def task(self) -> Task:
        """What the network does: "classification" or "regression"."""
        return "classification" if isinstance(self.target, Categorical) else "regression"

    @property
    def width(self) -> int:
        """The number of network inputs."""
        return sum(feature.width for feature in self.features)

    def inputs(self, table: Table) -> np.ndarray:
        """Return a table's features, found by name, as float64 of shape (m, inputs).

        Raises
        ------
        ValueError
            If a column is missing, or holds a value that is missing, not a number or an unknown
            category.
        """
        table.require(feature.name for feature in self.features)
        return np.hstack([feature.encode(table) for feature in self.features])

    def complete(self, table: Table) -> tuple[Table, np.ndarray]:
        """Return a table with its gaps filled or left out, and which rows are in it, (m,) of bool.

        Raises
        ------
        ValueError
            If a column is missing, or no row is left.
        """
        names = [feature.name for feature in self.features]
        table.require(names)
        if self.missing != "drop":
            return table.filled(self.fills), np.ones(len(table), dtype=bool)
        rows = ~table.gaps(names)
        if not rows.any():
            raise ValueError(f"{table.source}: expected a row without missing values, got none")
        return table.at(np.flatnonzero(rows)), rows

    def targets(self, table: Table) -> np.ndarray:
        """Return the target: labels, int64 of shape (m,), or numbers, float64 of shape (m, 1)."""
        if isinstance(self.target, Categorical):
            return self.target.indices(table)
        return self.target.encode(table)

    def numbered(self, table: Table) -> Table:
        """Give the columns of a table without a header the names that they have here, in order.

        Raises
        ------
        ValueError
            If there are not as many, with the target or without it.
        """
        if not self.columns:  # a model of 0.1.0, whose tables all had a header
            return table
        others = tuple(name for name in self.columns if name != self.target.name)
        for names in (self.columns, others):
            if len(table.columns) == len(names):
                columns = dict(zip(names, table.columns.values(), strict=True))
                return replace(table, columns=columns)
        raise ValueError(
            f"{table.source} has {len(table.columns)} columns; expected {len(self.columns)} in the "
            f"order of the training, or {len(others)} without the target {self.target.name!r}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Any) -> Encoding:
        """Return the encoding that `to_dict` described.

        Raises
        ------
        ValueError
            If the dictionary describes no encoding.
        """
        try:
            features = tuple(_column(each) for each in plain["features"])
            return cls(
                features,
                _column(plain["target"]),
                tuple(plain.get("columns", ())),  # which 0.1.0 did not write, as what follows
                plain.get("missing", "error"),
                plain.get("fills", {}),
            )
        except (KeyError, TypeError):
            raise ValueError(
                "the model does not say which columns it wants: it was not made by "
                "`fusedelta train`; in Python, what fusedelta.load gives takes arrays of numbers"
            ) from None


def detect_task(table: Table, target: str) -> Task:
    """Tell from a target column whether to predict classes or numbers.

    Texts are classes, and so are integers if they take at most 20 values and each of them, on
    average, at least twice; other numbers are quantities.
    """
    table.require([target])
    if not table.is_numeric(target):
        return "classification"
    values = table.numbers(target)
    most = min(MOST_INTEGER_CLASSES, max(2, len(table) // 2))
    few = len(np.unique(values)) <= most and np.array_equal(values, np.rint(values))
    return "classification" if few else "regression"


def _fill(table: Table, name: str, rows: np.ndarray) -> str:
    """Return the mean or the most frequent value of a column over the given rows."""
    present = table.at(rows[~table.gaps([name])[rows]])
    if not len(present):
        raise ValueError(f"{table.source}, column {name!r}: expected a value to train on, got none")
    if table.is_numeric(name):
        return str(float(present.numbers(name).mean()))
    return Counter(present.texts(name)).most_common(1)[0][0]


def _fit_categories(table: Table, name: str) -> Categorical:
    categories = Categorical.fit(table, name)
    categories.check(table, MOST_VALUES, "column", "categories (--drop leaves a column out)")
    return categories


def _fit_classes(table: Table, name: str) -> Categorical:
    classes = Categorical.fit(table, name)
    classes.check(table, len(table), "target", "classes (--target names another column)")
    if classes.width < 2:
        raise ValueError(
            f"{table.source}, target {name!r} has the single class {classes.values[0]!r}; "
            "expected two or more"
        )
    return classes


def _fit_quantity(table: Table, name: str, rows: np.ndarray) -> Numeric:
    values = table.numbers(name)[rows]
    if np.all(values == values[0]):
        raise ValueError(
            f"{table.source}, target {name!r} is always {values[0]:g}: nothing to learn"
        )
    return Numeric.fit(table, name, rows)


def _column(plain: dict[str, Any]) -> Numeric | Categorical:
    """Rebuild the column that ``asdict`` turned into this dictionary."""
    if "values" in plain:
        return Categorical(plain["name"], tuple(plain["values"]))
    return Numeric(plain["name"], plain["mean"], plain["scale"])


def _meaning(texts: Iterable[str]) -> Callable[[str], Any]:
    """Return what tells these texts apart: their numbers, if all of them are numbers."""
    return _number if all(map(is_number, texts)) else str


def _number(text: str) -> Any:
    """Return the number that a text stands for, whole ones to the last digit, or else the text."""
    for kind in (int, float) if is_number(text) else ():
        with suppress(ValueError):
            return kind(text)
    return text
