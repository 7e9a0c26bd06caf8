"""The command line loses no results and misreads no tables."""

import dataclasses
import os
import re

import numpy as np
import pytest

from fusedelta import choices, outputs
from fusedelta.encoding import Encoding
from fusedelta.tables import Table, read_csv
from fusedelta.tabular import TableModel


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a|kind\n1|x\n2|x\n3|y\n", "has no feature columns beside the target 'a|kind'"),
        ("id,v\nr,a\ns,b\nt,c\n", "column 'id' holds 3 different texts"),
        ("v,kind\n1,a\n2,b\n3,c\n", "target 'kind' holds 3 different texts"),
    ],
)
def test_what_is_wrong_with_a_table_comes_before_the_held_out_rows(
    refused, tmp_path, content, message
):
    (tmp_path / "data.csv").write_text(content)
    assert message in refused("train", tmp_path / "data.csv", "--header")


def trained(dtype, target):
    """A model that has seen a table of a number and the target, and that table."""
    columns = {"a": np.linspace(-1, 1, len(target)), "y": np.asarray(target)}
    table = Table("data.csv", columns, range(2, 2 + len(target)))
    task = "regression" if table.is_numeric("y") else "classification"
    encoding = Encoding.fit(table, "y", task, np.arange(len(table)))
    model = TableModel.build(encoding, choices.hidden_layers([8], "tanh"), dtype=dtype, seed=3)
    model.net.fit(encoding.inputs(table), encoding.targets(table), epochs=20, verbose=0)
    return model, table


@pytest.mark.parametrize(
    ("scale", "mean"),
    [(1, 0), (30, 1.7e9), (3e9, 1e10), (1e-12, 0), (1e140, 0), (1e-3, 1e3), (1, 1e-9)],
)
def test_numbers_are_written_without_loss_and_with_few_digits(dtype, scale, mean):
    model, table = trained(dtype, mean + scale * np.linspace(-1, 1, 50) ** 3)
    outputs = model.net.predict(model.encoding.inputs(table))[:, 0]
    texts = model.predictions(table)["y"]
    numbers, target = np.array(texts, dtype=np.float64), model.encoding.target
    outputs = outputs.astype(np.float64)
    encoding = 3 * np.spacing(abs(outputs)) + 2 * np.spacing(abs(target.mean)) / target.scale
    lost = abs((numbers - target.mean) / target.scale - outputs) - encoding
    assert (lost <= (0 if dtype == "float64" else np.spacing(abs(outputs.astype(dtype))) / 2)).all()
    if dtype == "float32":
        assert np.mean([len(re.sub("e.*|[^0-9]", "", text)) for text in texts]) < 17


def test_a_long_number_is_as_long_as_it_has_to_be():
    model, table = trained("float32", 1.7e9 + 40 * np.arange(50.0))
    assert all(re.fullmatch(r"1[67]\d{8}\.\d{1,7}", text) for text in model.predictions(table)["y"])


def test_probabilities_are_written_without_loss(dtype):
    model, table = trained(dtype, ["u", "v", "w", "w"] * 9)
    columns = model.predictions(table, proba=True)
    probabilities = model.net.predict(model.encoding.inputs(table))
    for i, value in enumerate("uvw"):
        texts = columns[f"probability_{value}"]
        np.testing.assert_array_equal(np.array(texts, dtype), probabilities[:, i])


@pytest.fixture
def numbers(tmp_path):
    """A small table."""
    path = tmp_path / "data.csv"
    path.write_text("a,y\n" + "".join(f"{i},{i % 7 + 0.5}\n" for i in range(20)))
    return path


@pytest.mark.parametrize("option", ["--save", "--checkpoint", "--csv-log", "--plot"])
def test_what_cannot_be_written_is_found_out_before_the_training(
    run, numbers, tmp_path, monkeypatch, option
):
    name = {"--plot": "a.png", "--csv-log": "a.csv"}.get(option, "a.npz")
    (tmp_path / "directory" / name).mkdir(parents=True)

    def refuse(dir):
        raise PermissionError(13, "Permission denied", dir)

    for path, message in [
        (tmp_path / "absent" / name, "absent: no such directory"),
        (tmp_path / "directory" / name, f"{name}: expected a file to write, it is a directory"),
        (tmp_path / name, f"{tmp_path}: no file can be written there: Permission denied"),
    ]:
        if path == tmp_path / name:
            monkeypatch.setattr(outputs, "TemporaryFile", refuse)
        status, output, errors = run("train", numbers, option, path)
        assert (status, output) == (2, "")
        assert message in errors
    assert {each.name for each in tmp_path.iterdir()} == {"directory", "data.csv"}


def test_a_file_that_must_not_be_written(refused, numbers, tmp_path, monkeypatch):
    log = tmp_path / "log.csv"
    log.write_text("precious")
    monkeypatch.setattr(outputs.os, "access", lambda path, mode: False)
    message = f"{log}: the file must not be written"
    assert refused("train", numbers, "--csv-log", log) == message
    assert refused("predict", tmp_path / "model.npz", numbers, "--output", log) == message
    assert log.read_text() == "precious"


def test_no_file_is_written_over_another(refused, run, numbers, tmp_path):
    content, model, link = numbers.read_bytes(), tmp_path / "model.npz", tmp_path / "link.csv"
    link.symlink_to(numbers)
    alike = f"{tmp_path}/./data.csv"
    assert refused("train", numbers, "--csv-log", alike) == (
        f"csv_log: expected a file of its own, got '{alike}', which is that of data"
    )
    assert "which is that of data" in refused("train", numbers, "--plot", link)
    assert "checkpoint: expected a file of its own" in refused(
        "train", numbers, "--save", model, "--checkpoint", model
    )
    run("train", numbers, "--epochs", 1, "--save", model)
    for path, name in ((numbers, "data"), (model, "model")):
        message = refused("predict", model, numbers, "--output", path)
        assert message.endswith(f"which is that of {name}")
    assert numbers.read_bytes() == content


def test_devices_may_be_written_by_all(run, numbers):
    null = ("--csv-log", os.devnull, "--epochs", 1, "--quiet")
    assert run("train", numbers, *null)[0] == 0
    outputs.check_apart(data=os.devnull, output=os.devnull, plot=None)


class TestWithoutHeader:
    @pytest.fixture
    def model(self, run, tmp_path):
        """A model of the second of five columns, of which the fourth is dropped."""
        rng, path = np.random.default_rng(0), tmp_path / "model.npz"
        self.rows = [
            [f"{size:.3f}", "high" if size > 0 else "low", f"{noise:.3f}", "7", "x"]
            for size, noise in rng.standard_normal((60, 2))
        ]
        options = ("--target", "column_2", "--drop", "column_4", "--epochs", 150, "--quiet")
        data = self.write(tmp_path, self.rows)
        assert run("train", data, *options, "--lr", 0.2, "--save", path)[0] == 0
        return path

    def write(self, tmp_path, rows):
        path = tmp_path / "new.csv"
        path.write_text("\n".join(map(",".join, rows)))
        return path

    def test_columns_are_those_of_the_training_with_the_target_or_without(
        self, run, model, tmp_path
    ):
        whole = run("predict", model, self.write(tmp_path, self.rows))
        assert whole[1].split() == ["column_2", *(row[1] for row in self.rows)]
        without = self.write(tmp_path, [row[:1] + row[2:] for row in self.rows])
        assert run("predict", model, without) == whole

    @pytest.mark.parametrize("columns", [3, 6])
    def test_another_number_of_columns_is_refused(self, refused, model, tmp_path, columns):
        new = self.write(tmp_path, [(row + row)[:columns] for row in self.rows])
        assert refused("predict", model, new) == (
            f"{new} has {columns} columns; expected 5 in the order of the training, "
            "or 4 without the target 'column_2'"
        )

    def test_named_columns_of_the_training_are_told_by_their_order_too(
        self, run, refused, numbers, tmp_path
    ):
        model = tmp_path / "model.npz"
        run("train", numbers, "--epochs", 1, "--save", model)
        named = run("predict", model, numbers)[1]
        lines = numbers.read_text().split()[1:]
        numbers.write_text("\n".join(line.split(",")[0] for line in lines))
        assert run("predict", model, numbers, "--no-header")[1] == named


def test_a_model_that_does_not_know_all_columns_goes_by_their_names():
    model, table = trained("float32", np.arange(30.0))
    plain = {key: model.encoding.to_dict()[key] for key in ("features", "target")}  # as in 0.1.0
    encoding = Encoding.from_dict(plain)
    assert encoding.numbered(table) is table
    np.testing.assert_array_equal(encoding.inputs(table), model.encoding.inputs(table))


def test_all_columns_dropped(refused, numbers):
    expected = f"drop: expected {numbers} to keep some of its columns, got all"
    assert refused("train", numbers, "--drop", "a,y") == expected


class TestInPython:
    """A model of the command line takes columns as they are."""

    @pytest.mark.parametrize("target", ["kind", "y"])
    def test_predictions_are_those_of_the_command_line(self, run, tmp_path, target):
        path, data = tmp_path / "model.npz", tmp_path / "data.csv"
        lines = [f"{i},{'red' if i % 2 else 'blue'},{'ab'[i % 7 > 3]},{1e9 + i}" for i in range(40)]
        data.write_text("\n".join(["a,colour,kind,y", *lines]))
        drop = ("--drop", "y" if target == "kind" else "kind")
        run("train", data, "--target", target, *drop, "--save", path, "--quiet")
        expected = run("predict", path, data)[1].split()[1:]
        model = TableModel.load(path)
        frame = {"a": np.arange(40), "colour": np.array(["blue", "red"] * 20, dtype=object)}
        for each in (read_csv(data), frame):
            predicted = model.predict(each)
            assert predicted.shape == (40,)
            if target == "kind":
                assert predicted.tolist() == expected
                probabilities = model.predict_proba(each)
                assert probabilities.shape == (40, 2)
                np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
                likelier = np.array(["a", "b"])[probabilities.argmax(axis=1)]
                assert likelier.tolist() == expected
            else:
                with pytest.raises(ValueError, match="proba: the model predicts the number 'y'"):
                    model.predict_proba(each)
                np.testing.assert_allclose(predicted, np.array(expected, float), rtol=1e-12)

    @pytest.mark.parametrize(
        ("data", "error", "message"),
        [
            (np.eye(3), TypeError, "data: expected a table, a dict of columns or a DataFrame, got"),
            ({}, ValueError, "data: expected columns of one dimension and of equal length"),
            ({"a": [1], "b": [1, 2]}, ValueError, "of one dimension and of equal length"),
            ({"a": np.eye(2)}, ValueError, "of one dimension and of equal length"),
            ({"b": [1]}, ValueError, "data has no column 'a'"),
            ({"a": [1.0, np.nan]}, ValueError, "data, row 1, column 'a': the value is missing"),
            ({"a": ["1", None]}, ValueError, "data, row 1, column 'a': the value is missing"),
        ],
    )
    def test_what_is_no_table(self, data, error, message):
        model, _ = trained("float32", np.arange(30.0))
        with pytest.raises(error, match=message):
            model.predict(data)


class TestMissing:
    @pytest.fixture
    def gaps(self, tmp_path):
        """A table with gaps in each of its columns."""
        lines = [f"{i},{'red' if i % 3 else 'blue'},{'ab'[i > 20]}" for i in range(40)]
        for row, line in ((3, "NA,red,a"), (5, "5,?,a"), (7, "7,red,"), (8, ",NaN,a")):
            lines[row] = line
        path = tmp_path / "gaps.csv"
        path.write_text("\n".join(["size,colour,kind", *lines]))
        return path

    @pytest.mark.parametrize(
        ("missing", "rows", "empty"), [("drop", 36, [3, 5, 8]), ("fill", 39, [])]
    )
    def test_training_and_prediction(self, run, gaps, tmp_path, missing, rows, empty):
        model = tmp_path / "model.npz"
        options = ("--epochs", 100, "--lr", 0.1, "--quiet", "--save", model)
        status, output, _ = run("train", gaps, "--missing", missing, *options)
        assert status == 0
        assert f"gaps.csv: {rows} rows, 2 features" in output
        assert f"{40 - rows} rows with missing values are left out\n" in output
        predicted = TableModel.load(model).predict(read_csv(gaps)).tolist()
        assert [i for i, text in enumerate(predicted) if not text] == empty
        assert np.mean([text == "ab"[i > 20] for i, text in enumerate(predicted)]) > 0.8
        written = run("predict", model, gaps, "--proba")[1].splitlines()[1:]
        assert [i for i, line in enumerate(written) if line == ",,"] == empty

    def test_what_is_filled_in_is_that_of_the_training_rows(self, gaps):
        rows = np.array([0, 3, 4, 5, 6, 8])
        table = read_csv(gaps).filled({"kind": "a"})
        encoding = Encoding.fit(table, "kind", "classification", rows, (), "fill")
        assert encoding.fills == {"size": "3.75", "colour": "blue"}
        X = encoding.inputs(encoding.complete(table)[0])
        assert (X[3, 0], X[5, 1:].tolist()) == (0, [1, 0])

    def test_numbers_without_a_prediction_are_nan(self):
        model, _ = trained("float32", np.arange(30.0))
        encoding = dataclasses.replace(model.encoding, missing="drop")
        predicted = TableModel(model.net, encoding).predict({"a": [0.5, np.nan, 0.5]})
        assert np.isnan(predicted).tolist() == [False, True, False]
        with pytest.raises(ValueError, match="data: expected a row without missing values"):
            TableModel(model.net, encoding).predict({"a": ["NA"]})

    def test_nothing_but_gaps(self, refused, tmp_path):
        path = tmp_path / "data.csv"
        path.write_text("a,y\n" + "NA,1\n" * 9)
        options = ("train", path, "--header", "--missing")
        assert refused(*options, "drop") == (
            f"{path}: expected a row without missing values, got none"
        )
        assert refused(*options, "fill") == (
            f"{path}, column 'a': expected a value to train on, got none"
        )
