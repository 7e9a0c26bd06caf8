"""Tables of named columns: read from CSV files or borrowed from scikit-learn, written as CSV.

A table read from a file stays text until somebody asks for a column: `Table.numbers` and
`Table.texts` convert it and name file, line and column of whatever does not fit. So a model
decides how a column is read, and columns that it does not use may hold anything.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from os import PathLike
from typing import Any, TextIO

import numpy as np

from fusedelta._frozen import frozen

__all__ = ["BUNDLED", "Table", "load_bundled", "read_csv", "write_csv"]

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
"""The data sets of scikit-learn that `load_bundled` knows; the target is the last column."""

DELIMITERS = (",", ";", "\t")
MISSING = {"", "?", "n/a", "na", "nan", "none", "null"}


@frozen
class Table:
    """Named columns of equal length.

    Attributes
    ----------
    source : str
        The file or data set, for messages.
    columns : mapping of str to sequence
        The values of each column, text or numbers, in the order of the source.
    lines : sequence of int
        The line of the source on which each row stands, for messages.
    """

    source: str
    columns: Mapping[str, Sequence[Any] | np.ndarray]
    lines: Sequence[int]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lines)

    def require(self, names: Iterable[str]) -> None:
        """Raise ValueError if a column of these names is missing."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise ValueError(
                f"{self.source} has no column {_quoted(missing)}; "
                f"its columns are {_quoted(list(self.columns))}"
            )

    def without(self, names: Iterable[str]) -> Table:
        """Return the table less the named columns.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        names = list(names)
        self.require(names)
        kept = {name: column for name, column in self.columns.items() if name not in names}
        return Table(self.source, kept, self.lines)

    def is_numeric(self, name: str) -> bool:
        """Tell whether at least half of the values that are there are numbers, or try to be.

        Those with commas do, as 1,5 or 1,000. They are no texts of categories, so that whoever
        takes the column as numbers finds out.
        """
        values = self.columns[name]
        try:
            return bool(np.isfinite(np.array(values, dtype=np.float64)).any())  # most columns
        except ValueError:
            present = [value for value in values if not _is_missing(value)]
            likely = sum(_is_number(str(value).replace(",", "")) for value in present)
            return 2 * likely >= max(len(present), 1)

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as finite numbers.

        Parameters
        ----------
        name : str
            The column.

        Returns
        -------
        ndarray of shape (m,), float64

        Raises
        ------
        ValueError
            Naming the first line whose value is missing or not a finite number.
        """
        values = self.columns[name]
        try:
            numbers = np.array(values, dtype=np.float64)
        except ValueError:
            numbers = np.array([float(v) if _is_number(v) else np.nan for v in values])
        unfit = np.flatnonzero(~np.isfinite(numbers))
        if unfit.size:
            raise self.refusal(name, int(unfit[0]), "is not a finite number such as 1.5")
        return numbers

    def texts(self, name: str) -> list[str]:
        """Return a column as texts without surrounding blanks.

        Parameters
        ----------
        name : str
            The column.

        Returns
        -------
        list of str

        Raises
        ------
        ValueError
            Naming the first line that has no value.
        """
        texts = [str(value).strip() for value in self.columns[name]]
        if "" in texts:
            raise self.refusal(name, texts.index(""), "")
        return texts

    def refusal(self, name: str, row: int, reason: str) -> ValueError:
        """Return the error that says where a value stands and what is wrong with it."""
        value = self.columns[name][row]
        trouble = "the value is missing" if _is_missing(value) else f"{value!r} {reason}"
        return ValueError(f"{self.source}, line {self.lines[row]}, column {name!r}: {trouble}")


def read_csv(path: str | PathLike[str]) -> Table:
    """Read a text file of columns with a header line.

    Parameters
    ----------
    path : path-like
        UTF-8 text, delimited by the one of comma, semicolon and tab that splits the header into
        most columns. Fields may be quoted. Blank lines are ignored.

    Returns
    -------
    Table

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not such a table: no text, no header, columns without a name or with the same
        name, a line with too few or too many fields, no rows.
    """
    source = str(path)
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            header, rows, lines = _read_rows(file, source)
        except UnicodeDecodeError as error:
            raise ValueError(f"{source} is not a text file in UTF-8: {error}") from None
        except csv.Error as error:
            raise ValueError(f"{source} is not a table: {error}") from None
    columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    return Table(source, columns, lines)


def load_bundled(name: str) -> Table:
    """Return a real data set that comes with scikit-learn.

    Parameters
    ----------
    name : {"breast_cancer", "diabetes", "digits", "iris", "wine"}
        The data set.

    Returns
    -------
    Table
        The features and, as last column, "target": names of classes, or numbers (diabetes).

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is not installed.
    ValueError
        If the name is not one of these.
    """
    if name not in BUNDLED:
        raise ValueError(f"data set {name!r} is not one of {', '.join(BUNDLED)}")
    try:
        module = import_module("sklearn.datasets")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"the data set {name!r} comes with scikit-learn: pip install scikit-learn"
        ) from None
    data = getattr(module, f"load_{name}")()
    columns = dict(zip(map(str, data.feature_names), data.data.T, strict=True))
    labels = data.get("target_names")
    columns["target"] = data.target if labels is None else [str(labels[i]) for i in data.target]
    return Table(name, columns, range(1, len(data.target) + 1))


def write_csv(file: TextIO, columns: Mapping[str, Sequence[str]]) -> None:
    """Write columns of texts as comma-separated lines under a header."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))


def _read_rows(file: TextIO, source: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the header, rows of fields, and the line on which each row ends."""
    first = file.readline()
    delimiter = max(DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each), [])))
    file.seek(0)
    reader = csv.reader(file, delimiter=delimiter)
    header = _check_header(next(reader, []), source)
    rows, lines = [], []
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            raise ValueError(
                f"{source}, line {reader.line_num}: {len(row)} fields, "
                f"but the header names {len(header)} columns"
            )
        rows.append(row)
        lines.append(reader.line_num)
    if not rows:
        raise ValueError(f"{source} has a header but no rows")
    return header, rows, lines


def _check_header(fields: list[str], source: str) -> list[str]:
    """Return the names of the columns, or raise ValueError."""
    names = [field.strip() for field in fields]
    if not any(names):
        raise ValueError(f"{source} is empty; expected a header line and rows")
    if all(map(_is_number, names)):
        raise ValueError(f"{source}: the first line holds numbers; expected the columns' names")
    if "" in names:
        at = names.index("")
        hint = "; to_csv of pandas writes an index so, but not with index=False" if at == 0 else ""
        raise ValueError(f"{source}: column {at + 1} has no name in the header{hint}")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{source}: the header names {_quoted(repeated)} more than once")
    return names


def _is_missing(value: object) -> bool:
    return str(value).strip().lower() in MISSING


def _is_number(value: str | float) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _quoted(names: list[str], most: int = 12) -> str:
    """Join names for a message, shortened if there are many."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
