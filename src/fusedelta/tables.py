"""Tables of named columns: read from CSV files or borrowed from scikit-learn, written as CSV.

A table read from a file stays text until somebody asks for a column: `Table.numbers` and
`Table.texts` convert it and name file, line and column of whatever does not fit. So a model
decides how a column is read, and columns that it does not use may hold anything.

The first line of a file may name the columns; if nobody says, `read_csv` compares it with the
column below each of its fields.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from importlib import import_module
from os import PathLike
from typing import Any, TextIO

import numpy as np

from fusedelta import validation
from fusedelta._frozen import frozen

__all__ = ["BUNDLED", "Table", "are_numbered", "is_number", "load_bundled", "read_csv", "write_csv"]

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
"""The data sets of scikit-learn that `load_bundled` knows; the target is the last column."""

DELIMITERS = (";", "\t", ",")  # a tie goes to the earlier one: commas may be those of 1,5

#: Values that are not there, as pandas knows them, and "?"; "none" and "na" may be categories.
MISSING = {"", "?", "#N/A", "#NA", "<NA>", "N/A", "n/a", "NA", "NULL", "null", "None"}
MISSING |= {"NaN", "nan", "-NaN", "-nan"}

#: With so many rows below it the first line is compared, to tell whether it is a header.
COMPARED_ROWS = 1000

#: The name of a column in a file without a header, by its number from 1.
NUMBERED = "column_{}"


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
    unit : {"line", "row"}
        What those are: lines of a file, counted from 1, or rows in memory, from 0.
    """

    source: str
    columns: Mapping[str, Sequence[Any] | np.ndarray]
    lines: Sequence[int]
    unit: str = "line"
    _parsed: dict[str, np.ndarray | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, data: Any) -> Table:
        """Return a table, a mapping of columns or a DataFrame as a table.

        Raises
        ------
        TypeError
            If it has no named columns.
        ValueError
            If they are not of one dimension and of equal length.
        """
        if isinstance(data, Table):
            return data
        if not hasattr(data, "keys"):
            raise TypeError(
                "data: expected a table, a dict of columns or a DataFrame, "
                f"got {validation.shown(data)}"
            )
        columns = {str(name): _column(data[name]) for name in data.keys()}  # noqa: SIM118
        shapes = {np.shape(column) for column in columns.values()}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 1:
            raise ValueError("data: expected columns of one dimension and of equal length")
        return cls("data", columns, range(shape[0]), "row")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lines)

    def require(self, names: Iterable[str]) -> None:
        """Raise ValueError if a column of these names is missing."""
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise ValueError(
                f"{self.source} has no column{'s' * (len(missing) > 1)} {_quoted(missing)}; "
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
        return replace(self, columns=kept)

    def gaps(self, names: Iterable[str]) -> np.ndarray:
        """Return whether each row lacks a value in one of these columns, bool of shape (m,)."""
        gaps = np.zeros(len(self), dtype=bool)
        for name in names:
            gaps |= [_is_missing(value) for value in self.columns[name]]
        return gaps

    def at(self, rows: np.ndarray) -> Table:
        """Return the table of these rows alone."""
        columns = {name: [column[i] for i in rows] for name, column in self.columns.items()}
        return replace(self, columns=columns, lines=[self.lines[i] for i in rows])

    def filled(self, values: Mapping[str, str]) -> Table:
        """Return the table with these values in the gaps of the columns of these names."""
        if not values:
            return self
        columns = {
            name: [values[name] if _is_missing(value) else value for value in column]
            if name in values
            else column
            for name, column in self.columns.items()
        }
        return replace(self, columns=columns)

    def is_numeric(self, name: str) -> bool:
        """Tell whether at least half of the values that are there are numbers, or try to be.

        Those with commas do, as 1,5 or 1,000. They are no texts of categories, so that whoever
        takes the column as numbers finds out.
        """
        numbers = self._parse(name)
        if numbers is not None:  # most columns
            return bool(np.isfinite(numbers).any())
        present = [value for value in self.columns[name] if not _is_missing(value)]
        return bool(present) and _mostly_numbers(present)

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
        numbers = self._parse(name)
        if numbers is None:
            values = self.columns[name]
            numbers = np.array([_number(v) if is_number(v) else np.nan for v in values])
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
            Naming the first line whose value is missing.
        """
        texts = [str(value).strip() for value in self.columns[name]]
        if not MISSING.isdisjoint(texts):
            missing = next(row for row, text in enumerate(texts) if text in MISSING)
            raise self.refusal(name, missing, "")
        return texts

    def _parse(self, name: str) -> np.ndarray | None:
        """Return a column as float64, parsed once, or None if not all of it are numbers."""
        if name not in self._parsed:
            try:
                self._parsed[name] = _all_numbers(self.columns[name])
            except ValueError:
                self._parsed[name] = None
        return self._parsed[name]

    def refusal(self, name: str, row: int, reason: str) -> ValueError:
        """Return the error that says where a value stands and what is wrong with it."""
        value = self.columns[name][row]
        trouble = f"{value!r} {reason}"
        if _is_missing(value):
            shown = f" ({str(value)!r})" if str(value).strip() else ""
            trouble = f"the value is missing{shown}"
            if self.unit == "line":
                trouble += ": see --missing of fusedelta train"
        place = f"{self.source}, {self.unit} {self.lines[row]}, column {name!r}"
        return ValueError(f"{place}: {trouble}")


def read_csv(path: str | PathLike[str], header: bool | None = None) -> Table:
    """Read a text file of columns.

    Parameters
    ----------
    path : path-like
        UTF-8 text, delimited by the one of comma, semicolon and tab that splits the first line into
        most columns, a comma last. Fields may be quoted, with line breaks in them. Blank lines are
        ignored. It is read once, so it may be a pipe.
    header : bool, optional
        Whether the first line names the columns. Otherwise it is a row, and the columns are named
        ``column_1``, ``column_2`` and so on. By default the fields of the first line are compared
        with what stands below them (see Notes).

    Returns
    -------
    Table

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not such a table: no text, columns without a name or with the same name, a line
        with too few or too many fields, no rows. Or if the first line may be a header or a row.

    Notes
    -----
    A field is like its column if it is a number over numbers, or if it stands there again within
    the next 1000 rows. If all fields are, the first line is a row; if none is, it is a header;
    anything else is an error, and so are the names 0, 1, 2, ..., which pandas gives to columns
    without any. Fields without a value say nothing.
    """
    source = str(path)
    if header is not None:
        header = validation.boolean("header", header)
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            rows, lines = _read_rows(file.read(), source)
        except UnicodeDecodeError as error:
            raise ValueError(f"{source} is not a text file in UTF-8: {error}") from None
        except csv.Error as error:
            raise ValueError(f"{source} is not a table: {error}") from None
    if _has_header(rows, source) if header is None else header:
        names = _check_names(rows.pop(0), source)
        del lines[0]
        if not rows:
            raise ValueError(f"{source} has a header but no rows")
    else:
        names = [NUMBERED.format(i + 1) for i in range(len(rows[0]))]
    return Table(source, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)), lines)


def are_numbered(names: Iterable[str]) -> bool:
    """Tell whether these are names that `read_csv` gives to columns without any."""
    return all(re.fullmatch(NUMBERED.format("[1-9][0-9]*"), name) for name in names)


def is_number(value: object) -> bool:
    """Tell whether a text is a number as other readers of CSV understand it, maybe infinite."""
    try:
        return not math.isnan(_number(value))
    except ValueError:
        return False


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


def _read_rows(content: str, source: str) -> tuple[list[list[str]], list[int]]:
    """Return rows of as many fields as the first, and the line on which each row ends."""
    delimiter = max(DELIMITERS, key=lambda each: _width(content, each))
    rows: list[list[str]] = []
    lines = []
    for line, row in _records(content, delimiter):
        if rows and len(row) != len(rows[0]):
            raise ValueError(
                f"{source}, line {line}: {len(row)} fields, but the first line has {len(rows[0])}"
            )
        rows.append(row)
        lines.append(line)
    if not rows:
        raise ValueError(f"{source} is empty; expected a line for each row")
    return rows, lines


def _width(content: str, delimiter: str) -> int:
    """Return how many fields the first line has that holds something."""
    rows = (row for _, row in _records(content, delimiter) if any(map(str.strip, row)))
    return len(next(rows, []))


def _records(content: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each line that is not blank, and the number of the line they end on."""
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    for row in reader:
        if row and not (len(row) == 1 and row[0].isspace()):
            yield reader.line_num, row


def _has_header(rows: list[list[str]], source: str) -> bool:
    """Tell whether the first row names the columns, as `read_csv` says, or raise ValueError."""
    first = [field.strip() for field in rows[0]]
    like: list[str] = []
    unlike: list[str] = []
    for value, column in zip(first, zip(*rows[: 1 + COMPARED_ROWS], strict=True), strict=True):
        if not _is_missing(value):
            (like if _is_like(value, column[1:]) else unlike).append(value)
    counted = bool(like) and [field for field in first if field] == [
        str(i) for i in range(len(like))
    ]
    if counted or bool(like) == bool(unlike):
        reason = "its fields count the columns" if counted else "it holds no values"
        if like and unlike:
            reason = f"{_quoted(like, 3)} could stand below, {_quoted(unlike, 3)} could not"
        raise ValueError(
            f"{source}: the first line may name the columns or be a row: {reason}; "
            "say which with --header or --no-header, in Python header=True or False"
        )
    return bool(unlike)


def _is_like(field: str, below: Sequence[str]) -> bool:
    """Tell whether a value that is there could be one more of those below it."""
    present = [value.strip() for value in below if not _is_missing(value)]
    return _mostly_numbers([field]) if _mostly_numbers(present) else field in present


def _column(values: Any) -> Sequence[str] | np.ndarray:
    """Return numbers as an array, all else as texts."""
    array = np.asarray(values)
    return array if array.dtype.kind in "biuf" or array.ndim != 1 else [*map(str, array)]


def _check_names(fields: list[str], source: str) -> list[str]:
    """Return the names of the columns, or raise ValueError."""
    names = [field.strip() for field in fields]
    if "" in names:
        at = names.index("")
        hint = "; to_csv of pandas writes an index so, but not with index=False" if at == 0 else ""
        raise ValueError(f"{source}: column {at + 1} has no name in the header{hint}")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{source}: the header names {_quoted(repeated)} more than once")
    return names


def _is_missing(value: object) -> bool:
    return str(value).strip() in MISSING


def _mostly_numbers(values: Sequence[object]) -> bool:
    """Tell whether at least half of them are numbers, or try to be, as 1,5 or 1,000."""
    return 2 * sum(is_number(str(value).replace(",", "")) for value in values) >= len(values)


def _all_numbers(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return them as float64, all at once, or raise ValueError."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        _refuse_code("".join(map(str, values)))
    numbers = np.array(values, dtype=np.float64)
    numbers.flags.writeable = False
    return numbers


def _number(value: object) -> float:
    """Return what a text stands for, or raise ValueError."""
    text = str(value).strip()
    _refuse_code(text)
    return float(text)


def _refuse_code(text: str) -> None:
    """Raise ValueError for what only Python takes for numbers: 1_2, digits of other scripts."""
    if "_" in text or not text.isascii():
        raise ValueError


def _quoted(names: list[str], most: int = 12) -> str:
    """Join names for a message, shortened if there are many."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
