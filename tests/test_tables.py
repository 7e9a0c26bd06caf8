"""Reading tables, encoding their columns, dividing their rows; every error by its message."""

import io
import json
import os
import re

import numpy as np
import pytest

from fusedelta import tables
from fusedelta.encoding import Categorical, Encoding, Numeric, detect_task
from fusedelta.tables import Table, load_bundled, read_csv, write_csv
from fusedelta.tabular import split_rows


@pytest.fixture
def csv_file(tmp_path):
    def write(content, encoding="utf-8"):
        path = tmp_path / "data.csv"
        path.write_bytes(content.encode(encoding))
        return path

    return write


def table_of(**columns):
    length = len(next(iter(columns.values())))
    return Table("data.csv", columns, range(2, 2 + length))


class TestReading:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_delimiter_is_found(self, csv_file, delimiter):
        rows = [["a", "b", "label"], ["1", "2", "x"], ["3", "4", "y"]]
        table = read_csv(csv_file("\n".join(delimiter.join(row) for row in rows)))
        assert dict(table.columns) == {"a": ["1", "3"], "b": ["2", "4"], "label": ["x", "y"]}
        assert len(table) == 2

    def test_quotes_blank_lines_windows_ends_and_byte_order_mark(self, csv_file):
        content = '\ufeff"first, or so",b\r\n\r\n"1",2\r\n"several\r\nlines",4\r\n'
        table = read_csv(csv_file(content))
        assert dict(table.columns) == {"first, or so": ["1", "several\r\nlines"], "b": ["2", "4"]}
        assert table.lines == [3, 5]

    def test_blank_lines_before_the_first(self, csv_file):
        table = read_csv(csv_file("\n\na;b\n1;2\n"))
        assert dict(table.columns) == {"a": ["1"], "b": ["2"]}
        assert table.lines == [4]

    @pytest.mark.parametrize("blank", ["   ", " \t "])
    def test_lines_of_blanks_are_blank(self, csv_file, blank):
        table = read_csv(csv_file(f"{blank}\na,b\n1,2\n{blank}\n3,4\n{blank}"))
        assert (dict(table.columns), table.lines) == ({"a": ["1", "3"], "b": ["2", "4"]}, [3, 5])

    def test_the_first_line_is_a_record_with_line_breaks(self, csv_file):
        table = read_csv(csv_file('"a, in\nall; or so",b\n1,2\n'))
        assert dict(table.columns) == {"a, in\nall; or so": ["1"], "b": ["2"]}

    def test_an_empty_value_of_a_single_column_is_no_blank_line(self, csv_file):
        assert read_csv(csv_file('a\n""\n1\n'), header=True).columns == {"a": ["", "1"]}

    def test_a_pipe_is_read_once(self):
        reader, writer = os.pipe()
        os.write(writer, b"\na;b\n1;2\n")
        os.close(writer)
        table = read_csv(f"/dev/fd/{reader}")
        os.close(reader)
        assert dict(table.columns) == {"a": ["1"], "b": ["2"]}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "data.csv is empty; expected a line for each row"),
            ("\n\n", "data.csv is empty"),
            ("a,b\n", "data.csv has a header but no rows"),
            ("a,,c\n1,2,3\n", "column 2 has no name in the header"),
            (
                ",b\n0,2\n",
                "column 1 has no name in the header; to_csv of pandas writes",
            ),
            ("a,b,a\n1,2,3\n", "the header names 'a' more than once"),
            ("a,b\n1,2\n3\n", "line 3: 1 fields, but the first line has 2"),
            ("a,b\n1,2,3\n", "line 2: 3 fields, but the first line has 2"),
        ],
    )
    def test_what_is_no_table_is_refused(self, csv_file, content, message):
        with pytest.raises(ValueError, match=message):
            read_csv(csv_file(content))

    @pytest.mark.parametrize(
        ("content", "names"),
        [
            ("a,b,kind\n1,2,x\n3,4,y\n", "a b kind"),  # texts over numbers
            ("a,b\n1,\n,?\n", "a b"),
            ("a,b\n1,2\na,b\n3,4\n", "a b"),  # two files, one behind the other
            ("a,2019\nx,y\nz,y\n", "a 2019"),  # a number over texts
            ("sky,wind\nred,no\nblue,yes\nred,yes\n", "sky wind"),  # stand nowhere below
            ("a;b\n1,5;2,5\n3,5;4,5\n", "a b"),
            ("5.1,3.5,x\n4.9,3.0,x\n6.2,3.4,y\n", None),
            ("5.1,,x\n4.9,3.0,x\n", None),
            ("NA,3.5\n4.9,3.0\n", None),
            ("5,1;3,5;x\n4,9;3,0;x\n", None),
            ("1,2\n3,4\n", None),
            ("1.5,2.5\n", None),
            ("red,no\nblue,yes\nred,yes\nblue,no\n", None),
        ],
    )
    def test_a_first_line_unlike_what_is_below_is_a_header(self, csv_file, content, names):
        table = read_csv(csv_file(content))
        if names is not None:
            assert list(table.columns) == names.split()
            assert table.lines[0] == 2
        else:
            assert list(table.columns) == ["column_1", "column_2", "column_3"][: len(table.columns)]
            assert table.lines == list(range(1, content.count("\n") + 1))

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("0,1,2\n5.5,3,4\n", "its fields count the columns"),
            (",0,1\n0,5.5,3\n1,2.5,3\n", "its fields count the columns"),
            ("0,1,target\n5,3,x\n4,3,x\n", "'0', '1' could stand below, 'target' could not"),
            ("5.1,x\n4.9,y\n4.8,y\n", "'5.1' could stand below, 'x' could not"),
            ("red,kind\nblue,1\nred,2\n", "'red' could stand below, 'kind' could not"),
            ("?,\n1,2\n", "it holds no values"),
            (",\n1,2\n", "it holds no values"),
        ],
    )
    def test_a_first_line_that_may_be_both_is_asked_about(self, csv_file, content, reason):
        path = csv_file(content)
        with pytest.raises(
            ValueError,
            match=f"data.csv: the first line may name the columns or be a row: {reason}; "
            r"say which with --header or --no-header, in Python header=True or False",
        ):
            read_csv(path)
        assert len(read_csv(path, header=False)) == content.count("\n")

    def test_header_as_told(self, csv_file):
        path = csv_file("2019,2020\n1,2\n3,4\n")
        assert dict(read_csv(path, header=True).columns) == {"2019": ["1", "3"], "2020": ["2", "4"]}
        path = csv_file("a,b\n1,2\n")
        assert read_csv(path, header=False).columns["column_2"] == ["b", "2"]
        with pytest.raises(TypeError, match="header: expected True or False, got 'no' \\(str\\)"):
            read_csv(path, header="no")

    def test_no_row_is_lost_behind_those_that_are_compared(self, csv_file, monkeypatch):
        monkeypatch.setattr(tables, "COMPARED_ROWS", 2)
        table = read_csv(csv_file("1,x\n2,x\n3,y\n4,z\nfive,z\n"))
        assert table.columns["column_1"] == ["1", "2", "3", "4", "five"]

    def test_binary_and_overlong_content_is_refused(self, csv_file, tmp_path):
        with pytest.raises(ValueError, match="is not a text file in UTF-8"):
            read_csv(csv_file("größe,b\n1,2\n", encoding="latin-1"))
        with pytest.raises(ValueError, match="is not a table: field larger"):
            read_csv(csv_file("a,b\n1," + "2" * 200_000))
        with pytest.raises(FileNotFoundError):
            read_csv(tmp_path / "absent.csv")

    def test_written_columns_read_back(self, csv_file):
        columns = {"a, quoted": ["1", 'say "x"'], "b": ["2", "4"]}
        buffer = io.StringIO()
        write_csv(buffer, columns)
        assert dict(read_csv(csv_file(buffer.getvalue())).columns) == columns


class TestColumns:
    def test_numbers(self):
        table = table_of(a=["1", " 2.5 ", "-3e2"])
        np.testing.assert_array_equal(table.numbers("a"), [1.0, 2.5, -300.0])

    @pytest.mark.parametrize("missing", ["", " ", "NA", "nan", "NULL", "?", "None", "<NA>"])
    @pytest.mark.parametrize("present", ["1", "red"])
    def test_missing_value_is_named(self, missing, present):
        table = table_of(age=[present, present, missing])
        take = table.numbers if present == "1" else table.texts
        shown = f" ('{missing}')" if missing.strip() else ""
        message = f"data.csv, line 4, column 'age': the value is missing{shown}: see --missing"
        with pytest.raises(ValueError, match=re.escape(message)):
            take("age")

    def test_words_that_say_none_are_categories(self):
        assert table_of(colour=["none", "red", "na"]).texts("colour") == ["none", "red", "na"]

    @pytest.mark.parametrize("value", ["x", "inf", "1,5", "1_2", "\uff11", "+nan"])
    def test_what_is_no_number_is_named(self, value):
        message = f"line 3, column 'a': '{value}' is not a finite"
        with pytest.raises(ValueError, match=re.escape(message)):
            table_of(a=["1", value, "2"]).numbers("a")

    @pytest.mark.parametrize(
        ("values", "numeric"),
        [
            (["1", "2", "3"], True),
            (["1", "", "nan"], True),
            (["1", "2", "oops"], True),
            (["1,5", "2,5", "1,000.5"], True),
            (["a,5", "b,5"], False),
            (["1", "a", "b"], False),
            (["1_1", "1_2", "2_1"], False),  # codes
            (["\uff11", "\uff12"], False),
            (["1e3", ".5", "-5.", "+1E-3 "], True),
            (["a", "b"], False),
            (["", "?"], False),
        ],
    )
    def test_columns_of_numbers_are_recognised(self, values, numeric):
        assert table_of(a=values).is_numeric("a") is numeric

    def test_without(self):
        table = table_of(a=["1"], b=["2"], c=["3"])
        assert list(table.without(["a", "c"]).columns) == ["b"]
        with pytest.raises(ValueError, match=r"data.csv has no columns 'd', 'e'; its columns are"):
            table.without(["d", "b", "e"])

    def test_message_about_many_columns_is_short(self):
        table = table_of(**{f"x{i}": ["1"] for i in range(784)})
        with pytest.raises(ValueError, match=r"'x11' and 772 more$"):
            table.require(["y"])


class TestBundled:
    @pytest.mark.parametrize(
        ("name", "rows", "features", "task"),
        [
            ("breast_cancer", 569, 30, "classification"),
            ("diabetes", 442, 10, "regression"),
            ("digits", 1797, 64, "classification"),
            ("iris", 150, 4, "classification"),
            ("wine", 178, 13, "classification"),
        ],
    )
    def test_real_data(self, name, rows, features, task):
        table = load_bundled(name)
        assert (len(table), len(table.columns) - 1) == (rows, features)
        assert detect_task(table, "target") == task

    def test_classes_have_their_names(self):
        assert set(load_bundled("iris").texts("target")) == {"setosa", "versicolor", "virginica"}
        assert set(load_bundled("digits").texts("target")) == set("0123456789")

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="data set 'mnist' is not one of breast_cancer, "):
            load_bundled("mnist")

    def test_without_scikit_learn(self, monkeypatch):
        def absent(name):
            raise ModuleNotFoundError(name)

        monkeypatch.setattr(tables, "import_module", absent)
        with pytest.raises(ModuleNotFoundError, match="pip install scikit-learn"):
            load_bundled("iris")


class TestEncoding:
    everything = np.arange(6)

    def mixed(self):
        return table_of(
            size=["1", "2", "3", "4", "5", "6"],
            colour=["red", "blue", "red", "blue", "red", "red"],
            flat=["0.1"] * 6,
            kind=["b", "a", "b", "a", "c", "c"],
        )

    def test_features(self):
        encoding = Encoding.fit(self.mixed(), "kind", "classification", self.everything)
        X = encoding.inputs(self.mixed())
        np.testing.assert_allclose(X[:, 0].mean(), 0, atol=1e-15)
        np.testing.assert_allclose(X[:, 0].std(), 1)
        np.testing.assert_array_equal(X[:, 1:3], [[0, 1], [1, 0], [0, 1], [1, 0], [0, 1], [0, 1]])
        np.testing.assert_allclose(X[:, 3], 0, atol=1e-15)  # constant
        assert encoding.targets(self.mixed()).tolist() == [1, 0, 1, 0, 2, 2]
        assert encoding.task == "classification"

    def test_scaling_is_that_of_the_training_rows_alone(self):
        encoding = Encoding.fit(self.mixed(), "size", "regression", np.array([0, 1, 2]))
        assert encoding.target.mean == 2.0
        assert encoding.targets(self.mixed()).shape == (6, 1)
        assert encoding.task == "regression"

    def test_decode_undoes_encode(self):
        table = table_of(a=["1", "5", "9", "-3"])
        column = Numeric.fit(table, "a", np.arange(4))
        np.testing.assert_allclose(column.decode(column.encode(table)[:, 0]), [1, 5, 9, -3])

    def test_columns_are_found_by_name_and_others_ignored(self):
        encoding = Encoding.fit(self.mixed(), "kind", "classification", self.everything)
        shuffled = table_of(extra=["?"], flat=["0.1"], colour=["blue"], size=["3.5"], kind=[""])
        np.testing.assert_allclose(encoding.inputs(shuffled), [[0, 1, 0, 0]], atol=1e-15)

    def test_round_trip_through_json(self):
        for target, task in (("kind", "classification"), ("size", "regression")):
            encoding = Encoding.fit(self.mixed(), target, task, self.everything)
            assert Encoding.from_dict(json.loads(json.dumps(encoding.to_dict()))) == encoding

    @pytest.mark.parametrize("plain", [None, {}, {"features": 3}, {"features": [], "target": {}}])
    def test_what_is_no_encoding_is_refused(self, plain):
        with pytest.raises(
            ValueError, match=r"by `fusedelta train`; in Python, what fusedelta\.load"
        ):
            Encoding.from_dict(plain)

    def test_classes_in_numerical_order(self):
        table = table_of(digit=["10", "9", "10", "9"])
        assert Categorical.fit(table, "digit").values == ("9", "10")

    def test_numbers_are_the_same_class_however_they_are_written(self):
        table = table_of(digit=["1.0", "01", "1", "+2", "3e0", "2.00"])
        classes = Categorical.fit(table, "digit")
        assert classes.values == ("1", "+2", "3e0")
        assert classes.indices(table).tolist() == [0, 0, 0, 1, 2, 1]
        new = table_of(digit=["3", "2"])
        assert classes.indices(new).tolist() == [2, 1]
        with pytest.raises(ValueError, match="line 2, column 'digit': 'x' is none of the values"):
            classes.indices(table_of(digit=["x"]))

    @pytest.mark.parametrize(
        "values", [("1", "1.0", "x"), ("12345678901234567890", "12345678901234567891")]
    )
    def test_texts_that_are_not_the_same_number_are_told_apart(self, values):
        assert Categorical.fit(table_of(code=[*values, *values]), "code").values == values

    @pytest.mark.parametrize(
        ("columns", "target", "task", "message"),
        [
            ({"a": ["1", "2"], "b": ["x", "x"]}, "c", "classification", "has no column 'c'"),
            (
                {"b": ["x", "y"]},
                "b",
                "classification",
                "has no feature columns beside the target 'b'; expected columns separated by",
            ),
            (
                {"a": ["1", "2"], "b": ["x", "x"]},
                "b",
                "classification",
                "has the single class 'x'; expected two or more",
            ),
            ({"a": ["1", "2"], "b": ["3", "3"]}, "b", "regression", "'b' is always 3: nothing to"),
            ({"a": ["u", "v"], "b": ["3", "x"]}, "b", "regression", "'x' is not a finite number"),
            (
                {"name": list("uvwxyz"), "b": list("001101")},
                "b",
                "classification",
                "column 'name' holds 6 different texts in 6 rows, such as 'u'; "
                "expected at most 3 categories \\(--drop leaves a column out\\)",
            ),
            (
                {"a": list("001101"), "b": list("uvwxyz")},
                "b",
                "classification",
                "target 'b' holds 6 different texts in 6 rows, such as 'u'; "
                "expected at most 3 classes \\(--target names another column\\)",
            ),
            ({"a": ["1e308", "-1e308"], "b": ["x", "y"]}, "b", "classification", "are too large"),
        ],
    )
    def test_what_cannot_be_learned_is_refused(self, columns, target, task, message):
        table = table_of(**columns)
        with pytest.raises(ValueError, match=message):
            Encoding.fit(table, target, task, np.arange(len(table)))

    def test_unknown_category_and_missing_column_are_named(self):
        encoding = Encoding.fit(self.mixed(), "kind", "classification", self.everything)
        with pytest.raises(
            ValueError, match="line 2, column 'colour': 'green' is none of the values known: 'blue'"
        ):
            encoding.inputs(table_of(size=["1"], colour=["green"], flat=["0"]))
        with pytest.raises(ValueError, match=r"data.csv has no columns 'colour', 'flat'"):
            encoding.inputs(table_of(size=["1"]))


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["yes", "no", "yes"], "classification"),
        (["0", "1"], "classification"),
        (["0.0", "1.0", "1.0", "2.0", "2.0", "0.0"], "classification"),
        (["0.5", "1.5", "0.5", "1.5"], "regression"),
        (["1", "2", "3", "4"], "regression"),
        ([str(i) for i in range(21)] * 2, "regression"),
        ([str(i) for i in range(20)] * 2, "classification"),
    ],
)
def test_task_is_told_from_the_target(values, task):
    assert detect_task(table_of(y=values), "y") == task


class TestSplit:
    labels = np.array(["a"] * 50 + ["b"] * 30 + ["c"] * 3 + ["d"])

    def test_every_class_is_divided_alike(self):
        train, held_out = split_rows(self.labels, 0.2, seed=0)
        assert sorted([*train, *held_out]) == list(range(84))
        counts = [int((self.labels[held_out] == label).sum()) for label in "abcd"]
        assert counts == [10, 6, 1, 0]

    def test_same_seed_same_rows(self):
        first, again, other = (split_rows(self.labels, 0.5, seed=seed)[1] for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_every_class_keeps_a_row(self):
        train, _ = split_rows(self.labels, 0.99, seed=0)
        assert set(self.labels[train]) == set("abcd")

    def test_nothing_held_out_on_request(self):
        train, held_out = split_rows(self.labels, 0, seed=0)
        assert (len(train), len(held_out)) == (84, 0)

    @pytest.mark.parametrize("fraction", [-0.1, 1.0, 7.0, float("nan")])
    def test_fraction_out_of_range(self, fraction):
        with pytest.raises(ValueError, match=r"expected a fraction of the rows in \[0, 1\)"):
            split_rows(self.labels, fraction, seed=0)

    def test_fraction_that_holds_out_nothing(self):
        with pytest.raises(ValueError, match=r"validation_split=0.1 of 4 rows holds out none"):
            split_rows(np.zeros(4), 0.1, seed=0)
