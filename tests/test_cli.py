"""The command line from end to end, and every error as one line."""

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import cli, commands, plots
from fusedelta.tables import load_bundled


@pytest.fixture
def data(tmp_path):
    """Write a table of rows that a network can learn; return its path."""

    def write(name="data.csv", delimiter=",", classes=("low", "high"), rows=60):
        rng = np.random.default_rng(0)
        path = tmp_path / name
        with open(path, "w", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(["id", "size", "colour", "flat", "kind", "price"])
            for i, size in enumerate(rng.uniform(0, 10, rows)):
                kind = classes[int(size * len(classes) / 10)]
                colour = "red" if i % 2 else "blue"
                price = 3 * size + 20 * (colour == "red") + 100
                writer.writerow([f"r{i}", f"{size:.4f}", colour, 7, kind, f"{price:.4f}"])
        return path

    return write


def figures(output, part):
    """The numbers in the line of a part in the table of final figures."""
    return [float(cell) for cell in re.search(rf"^{part} .*$", output, re.M)[0].split()[1:]]


class TestTrainAndPredict:
    @pytest.mark.parametrize(
        ("delimiter", "classes", "loss"),
        [
            (",", ("low", "high"), "binary_crossentropy"),
            (";", ("low", "middle", "high"), "sparse_categorical_crossentropy"),
            ("\t", ("0", "1"), "binary_crossentropy"),
        ],
    )
    def test_classification(self, run, data, tmp_path, delimiter, classes, loss):
        path, model = data(delimiter=delimiter, classes=classes), tmp_path / "model.npz"
        status, output, _ = run(
            *("train", path, "--target", "kind", "--drop", "id,price", "--hidden", "16"),
            *("--epochs", 200, "--batch-size", 8, "--lr", 0.1, "--save", model),
        )
        assert status == 0
        assert f"60 rows, 3 features, classification of 'kind' ({len(classes)} classes)" in output
        assert (
            f"relu and {'sigmoid' if len(classes) == 2 else 'softmax'}, {loss}, sgd, float32"
            in output
        )
        assert re.search(r"^epoch 200/200  loss 0\.\d+  accuracy ", output, re.M)
        assert f"model: {model}" in output
        train, held_out = figures(output, "train"), figures(output, "validation")
        assert train[0] + held_out[0] == 60
        assert train[2] > 0.95
        assert held_out[2] > 0.8

        status, output, _ = run("predict", model, path)
        predicted = list(csv.DictReader(io.StringIO(output)))
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file, delimiter=delimiter))
        truth = [row["kind"] for row in rows]
        hits = sum(row["kind"] == kind for row, kind in zip(predicted, truth, strict=True))
        accuracy = (train[0] * train[2] + held_out[0] * held_out[2]) / 60
        assert hits / 60 == pytest.approx(accuracy, abs=1e-3)

    def test_probabilities(self, run, data, tmp_path):
        model, new = tmp_path / "model.npz", tmp_path / "new.csv"
        run(
            *("train", data(classes=("a", "b", "c")), "--target", "kind", "--drop", "id,price"),
            *("--save", model, "--epochs", 5, "--quiet"),
        )
        new.write_text("flat,colour,extra,size\n7,red,?,1.0\n7,blue,?,9.5\n")  # another order
        status, output, _ = run("predict", model, new, "--proba")
        assert status == 0
        header, *rows = csv.reader(io.StringIO(output))
        assert header == ["kind", "probability_a", "probability_b", "probability_c"]
        assert len(rows) == 2
        for kind, *probabilities in rows:
            values = [float(p) for p in probabilities]
            assert sum(values) == pytest.approx(1, abs=1e-5)
            assert kind == "abc"[int(np.argmax(values))]

    def test_two_probabilities_of_a_binary_model(self, run, data, tmp_path):
        model = tmp_path / "model.npz"
        path = data()
        run("train", path, "--target", "kind", "--drop", "id,price", "--save", model, "--quiet")
        header, *rows = csv.reader(io.StringIO(run("predict", model, path, "--proba")[1]))
        assert header == ["kind", "probability_high", "probability_low"]
        for kind, high, low in rows:
            assert float(high) + float(low) == pytest.approx(1, abs=1e-6)
            assert kind == ("high" if float(high) > float(low) else "low")

    def test_a_table_without_a_header(self, run, tmp_path):
        """Every row counts, in training and in prediction, however few rows there are."""
        flowers, table, model = load_bundled("iris"), tmp_path / "iris.csv", tmp_path / "model.npz"
        rows = [",".join(map(str, row)) for row in zip(*flowers.columns.values(), strict=True)]
        table.write_text("\n".join(rows))
        status, output, _ = run("train", table, "--epochs", 20, "--lr", 0.2, "--save", model)
        assert status == 0
        assert "iris.csv: 150 rows, no header, 4 features, classification of 'column_5'" in output
        table.write_text(rows[0])
        assert run("predict", model, table)[:2] == (0, "column_5\nsetosa\n")
        table.write_text("column_1,column_2,column_3,column_4\n5.1,3.5,1.4,0.2\n")
        assert run("predict", model, table, "--header")[:2] == (0, "column_5\nsetosa\n")

    def test_a_header_that_may_be_a_row(self, run, refused, tmp_path):
        table, model = tmp_path / "data.csv", tmp_path / "model.npz"
        table.write_text("0,1,kind\n" + "1.5,3,a\n2.5,1,b\n" * 5)
        options = ("--epochs", 1, "--quiet", "--save", model)
        assert "say which with --header or --no-header" in refused("train", table, *options)
        status, output, _ = run("train", table, "--header", *options)
        assert status == 0
        assert "10 rows, 2 features, classification of 'kind' (2 classes)" in output
        assert run("predict", model, table)[1].splitlines()[0] == "kind"
        assert len(run("predict", model, table)[1].splitlines()) == 11
        output = run("train", table, "--no-header", *options)[1]
        assert "11 rows, no header, 2 features" in output
        assert "(3 classes)" in output

    def test_regression_in_the_targets_unit(self, run, data, tmp_path):
        path, model, new = data(), tmp_path / "model.npz", tmp_path / "predicted.csv"
        status, output, _ = run(
            *("train", path, "--drop", "id,kind", "--hidden", "16", "--epochs", 200),
            *("--batch-size", 8, "--dtype", "float64", "--save", model),
        )
        assert status == 0
        assert "regression of 'price'\n" in output  # the last column by default
        assert "relu and linear, mean_squared_error, sgd, float64" in output
        rows, loss, error, determination = figures(output, "validation")
        assert rows == 12
        assert error < 3  # prices range over 50
        assert determination > 0.9
        assert loss < 0.1

        status, output, _ = run("predict", model, path, "--output", new)
        assert (status, output) == (0, "")
        with open(path, newline="") as truth, open(new, newline="") as guess:
            prices = np.array([float(row["price"]) for row in csv.DictReader(truth)])
            predicted = np.array([float(row["price"]) for row in csv.DictReader(guess)])
        assert np.sqrt(np.mean((predicted - prices) ** 2)) < 3

    def test_figures_are_those_of_the_predictions(self, run, data, tmp_path):
        path, model = data(), tmp_path / "model.npz"
        _, output, _ = run(
            *("train", path, "--drop", "id,kind", "--validation", 0, "--save", model, "--quiet")
        )
        rows, _, error, determination = figures(output, "train")
        assert rows == 60
        assert "validation" not in output
        prices = np.array([float(line.split(",")[-1]) for line in path.read_text().split()[1:]])
        predicted = np.array([float(line) for line in run("predict", model, path)[1].split()[1:]])
        mean_square = np.mean((predicted - prices) ** 2)
        assert error == pytest.approx(np.sqrt(mean_square), rel=1e-3)
        assert determination == pytest.approx(1 - mean_square / prices.var(), abs=1e-3)

    def test_determination_of_a_single_row_is_not_a_number(self, run, data):
        _, output, _ = run("train", data(rows=20), "--drop", "id,kind", "--validation", 0.05)
        rows, *_, determination = figures(output, "validation")
        assert rows == 1
        assert np.isnan(determination)

    def test_task_can_be_forced(self, run, data):
        path = data(classes=("0", "1"))
        output = run("train", path, "--target", "kind", "--drop", "id", "--task", "regression")[1]
        assert "regression of 'kind'" in output

    def test_same_seed_same_model(self, run, data, tmp_path):
        path, weights = data(), []
        for seed in (3, 3, 4):
            model = tmp_path / "model.npz"
            run("train", path, "--drop", "id", "--seed", seed, "--save", model, "--epochs", 2)
            weights.append(fd.load(model).get_weights()[0])
        np.testing.assert_array_equal(weights[0], weights[1])
        assert not np.array_equal(weights[0], weights[2])

    def test_options_reach_the_network(self, run, data, tmp_path):
        model = tmp_path / "model.npz"
        run(
            *("train", data(), "--drop", "id", "--hidden", "5,4", "--activation", "tanh"),
            *("--lr", 0.3, "--dtype", "float64", "--seed", 9, "--epochs", 1, "--save", model),
        )
        net = fd.load(model)
        assert [(layer.units, layer.activation) for layer in net.layers] == [
            (5, "tanh"),
            (4, "tanh"),
            (1, "linear"),
        ]
        assert net.optimizer == fd.SGD(0.3)
        assert (net.dtype, net.seed) == (np.float64, 9)
        assert net.metadata["encoding"]["target"]["name"] == "price"

    @pytest.mark.parametrize(
        ("options", "optimizer"),
        [
            (("--optimizer", "momentum", "--lr", 0.2), fd.SGD(0.2, momentum=0.9)),
            (("--optimizer", "adam"), fd.Adam(0.001)),
        ],
    )
    def test_optimizers(self, run, data, tmp_path, options, optimizer):
        model = tmp_path / "model.npz"
        run("train", data(), "--drop", "id", "--epochs", 1, "--save", model, *options)
        assert fd.load(model).optimizer == optimizer

    def test_quiet_and_plot(self, run, data, tmp_path):
        plot = tmp_path / "curve.png"
        _, output, _ = run("train", data(), "--drop", "id", "--quiet", "--plot", plot)
        assert "epoch" not in output
        assert output.endswith(f"plot: {plot}\n")
        assert plot.read_bytes().startswith(b"\x89PNG")

    def test_safetensors(self, run, data, tmp_path):
        path, model = data(), tmp_path / "model.safetensors"
        run("train", path, "--drop", "id", "--save", model, "--epochs", 1)
        assert len(run("predict", model, path)[1].splitlines()) == 61

    def test_real_data(self, run):
        status, output, _ = run("train", "--dataset", "digits", "--epochs", 20, "--quiet")
        assert status == 0
        assert "digits: 1797 rows, 64 features, classification of 'target' (10 classes)" in output
        assert figures(output, "validation")[2] > 0.94

    def test_real_data_predicts_names(self, run, tmp_path):
        model, new = tmp_path / "model.npz", tmp_path / "new.csv"
        run("train", "--dataset", "iris", "--epochs", 100, "--save", model)
        table = load_bundled("iris")
        new.write_text(",".join(list(table.columns)[:-1]) + "\n5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n")
        assert run("predict", model, new)[1] == "target\nsetosa\nvirginica\n"


class TestErrors:
    def test_arguments(self, refused, data, tmp_path):
        path = data()
        for arguments, message in [
            ((), "the following arguments are required: command; see fusedelta -h"),
            (("fly",), "argument command: invalid choice: 'fly'"),
            (("demo", "zebra"), "argument name: invalid choice: 'zebra'"),
            (("demo", "xor", "--seed", -1), "seed: expected an integer >= 0 and below 4294967296"),
            (
                ("compare", "zebra"),
                "expected one of xor, spiral, jumping-back, softmax; got 'zebra'",
            ),
            (("compare", "xor", "--layers", "2,1"), "expected either names of demos or --layers"),
            (("compare", "xor", "--batch", 7), "batch: expected it with --layers, as demos have"),
            (("compare", "--seed", 7), "seed: expected it with --layers, as demos have"),
            (("compare", "--layers", "2"), "layers: expected inputs and outputs such as 8,4"),
            (("compare", "--layers", "2,0"), "argument --layers: expected layer sizes such as 64"),
            (
                ("compare", "--layers", "2,1", "--batch", 0),
                "batch: expected an integer >= 1, got 0",
            ),
            (("train",), "expected either a CSV file or --dataset; see fusedelta train -h"),
            (("train", path, "--dataset", "iris"), "expected either a CSV file or --dataset"),
            (("train", path, "--hidden", "8,x"), "expected layer sizes such as 64,32; got '8,x'"),
            (
                ("train", path, "--drop", "id", "--hidden", "0"),
                "argument --hidden: expected layer sizes such as 64,32; got '0'",
            ),
            (("train", path, "--epochs", "many"), "argument --epochs: invalid int value: 'many'"),
            (("train", path, "--activation", "softmax"), "invalid choice: 'softmax'"),
            (
                ("train", path, "--drop", "id,weight"),
                "has no column 'weight'; its columns are 'id'",
            ),
            (("train", path, "--target", "weight"), "has no column 'weight'; its columns are 'id'"),
            (("train", path), "column 'id' holds 60 different texts in 60 rows, such as 'r0'"),
        ]:
            assert message in refused(*arguments)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--lr", 0), "learning_rate: expected a finite number above 0 or a schedule, got 0.0"),
            (
                ("--lr", "nan"),
                "learning_rate: expected a finite number above 0 or a schedule, got nan",
            ),
            (("--epochs", 0), "epochs: expected an integer >= 1, got 0"),
            (("--batch-size", 0), "batch_size: expected an integer >= 1, got 0"),
            (("--seed", -1), "seed: expected an integer >= 0, got -1"),
            (
                ("--validation", 1),
                "validation_split=1.0: expected a fraction of the rows",
            ),
            (("--validation", 0.001), "validation_split=0.001 of 60 rows holds out none"),
            (("--save", "absent/model.npz"), "absent: no such directory"),
            (("--plot", "absent/curve.png"), "absent: no such directory"),
            (
                ("--save", "model.txt"),
                "expected a name that ends in .npz or .safetensors, got 'model",
            ),
            (("--plot", "curve.txt"), "plot: expected a file ending in"),
            (("--task", "regression", "--target", "kind"), "is not a finite number"),
            (("--lr", "1e30"), "the training diverged: the loss of step "),
        ],
    )
    def test_training(self, refused, data, options, message):
        assert message in refused("train", data(), "--drop", "id", *options)

    def test_header_of_no_file(self, refused):
        expected = "header: expected --header and --no-header with a CSV file only"
        assert expected in refused("train", "--dataset", "iris", "--no-header")

    def test_data(self, refused, tmp_path):
        path = tmp_path / "data.csv"
        path.write_text("a,b\n1,x\n2,y\n,x\n4,y\n")
        message = refused("train", path, "--validation", 0)
        expected = "the value is missing: see --missing of fusedelta train"
        assert message == f"{path}, line 4, column 'a': {expected}"
        assert refused("train", tmp_path / "absent.csv") == (
            f"{tmp_path / 'absent.csv'}: No such file or directory"
        )
        assert "Is a directory" in refused("train", tmp_path)

    def test_prediction(self, run, refused, data, tmp_path):
        path, model = data(), tmp_path / "model.npz"
        run("train", path, "--drop", "id,kind", "--epochs", 1, "--save", model)
        assert refused("predict", tmp_path / "absent.npz", path).endswith(
            "No such file or directory"
        )
        assert "expected a name that ends in .npz" in refused("predict", path, path)
        assert "proba: the model predicts the number 'price'" in refused(
            "predict", model, path, "--proba"
        )
        new = tmp_path / "new.csv"
        new.write_text("size,colour\n1,red\n")
        assert refused("predict", model, new).startswith(f"{new} has no column 'flat'; its columns")
        new.write_text("size,colour,flat\n1,green,7\n")
        assert (
            "line 2, column 'colour': 'green' is none of the values known: 'blue', 'red'"
            in refused("predict", model, new)
        )
        model.write_bytes(model.read_bytes()[:200])
        assert str(model) in refused("predict", model, path)

    def test_network_that_knows_no_columns(self, refused, data, tmp_path):
        model = tmp_path / "model.npz"
        fd.Sequential([fd.Dense(1)], "mean_squared_error", input_shape=(2,)).save(model)
        assert "was not made by `fusedelta train`" in refused("predict", model, data())

    def test_missing_extras(self, refused, monkeypatch, data):
        def absent(name):
            raise ModuleNotFoundError(name)

        monkeypatch.setattr(plots, "import_module", absent)
        assert refused("demo", "xor", "--plot", "curve.png") == (
            "plots need matplotlib: pip install 'fusedelta[plot]'"
        )
        monkeypatch.setattr("fusedelta.tables.import_module", absent)
        assert refused("train", "--dataset", "iris").endswith("pip install scikit-learn")

    def test_nothing_is_saved_if_the_training_fails(self, refused, data, tmp_path):
        model = tmp_path / "model.npz"
        model.write_bytes(b"precious")
        refused("train", data(), "--drop", "id", "--lr", "1e30", "--save", model)
        assert model.read_bytes() == b"precious"


class TestProcess:
    def test_version_and_help(self, capsys):
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main(["--version"])
        assert capsys.readouterr().out == f"fusedelta {fd.__version__}\n"
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main(["--help"])
        output = capsys.readouterr().out
        assert "fusedelta train --dataset digits" in output
        for command in commands.__all__:
            assert re.search(rf"^    {command} ", output, re.M)
            with pytest.raises(SystemExit, match=r"^0$"):
                cli.main([command, "-h"])
            assert capsys.readouterr().out.startswith(f"usage: fusedelta {command}")

    def test_examples_of_the_help_parse(self):
        lines = [line.split()[1:] for line in cli.EXAMPLES.splitlines()[1:]]
        parsed = [cli._parser().parse_args(line) for line in lines]
        assert [options.command for options in parsed] == [line[0] for line in lines]

    def test_the_readme_lists_the_options_of_train(self):
        """In the paragraph below the commands."""
        readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
        section = readme.split("## On the command line")[1].split("## Speed")[0]
        listed = set(re.findall(r"--[a-z][a-z0-9-]+", section))
        parser = cli._Parser()
        cli._add_train(parser)
        options = {action.option_strings[0] for action in parser._actions if action.option_strings}
        assert options - listed == {"-h"}
        assert listed - options == {"--no-header", "--proba"}

    def test_interrupt(self, run, monkeypatch):
        def interrupt(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(commands.demos, "run", interrupt)
        assert run("demo", "xor") == (130, "", "fusedelta: interrupted\n")

    def test_module_as_a_program(self, data, tmp_path):
        model = tmp_path / "model.npz"
        program = [sys.executable, "-m", "fusedelta"]
        train = [*program, "train", data(), "--drop", "id", "--epochs", "1", "--save", model]
        subprocess.run(train, check=True, capture_output=True)
        failed = subprocess.run(
            [*program, "predict", model, "absent.csv"], capture_output=True, text=True, check=False
        )
        assert (failed.returncode, failed.stdout) == (2, "")
        assert failed.stderr == "fusedelta: error: absent.csv: No such file or directory\n"

    def test_broken_pipe_is_quiet(self):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            done = subprocess.run(
                [sys.executable, "-m", "fusedelta", "info"],
                stdout=closed,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert (done.returncode, done.stderr) == (141, b"")
