"""What `fusedelta train` can do beside training: stop early, keep the best, write a log."""

import csv
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

import fusedelta as fd
from fusedelta import cli, plots
from fusedelta.tables import load_bundled, write_csv


@pytest.fixture
def train(capsys):
    """Train on the irises; returns the output, or the error's one line."""

    def train(*options, status=0):
        arguments = ["train", "--dataset", "iris", "--hidden", 8, *options]
        assert cli.main([str(argument) for argument in arguments]) == status
        captured = capsys.readouterr()
        if status:
            assert captured.err.count("\n") == 1
            return captured.err.removeprefix("fusedelta: error: ")
        return captured.out

    return train


def logged(path, name):
    """A column of a log."""
    with open(path, newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("options", "optimizer"),
    [
        (("--learning-rate", 0.2, "--momentum", 0.5), fd.SGD(0.2, momentum=0.5)),
        (("--optimizer", "momentum", "--momentum", 0.5), fd.SGD(0.05, momentum=0.5)),
        (("--optimizer", "adamw", "--weight-decay", 0.01), fd.AdamW(weight_decay=0.01)),
        (("--optimizer", "rmsprop"), fd.RMSprop()),
        (("--clipnorm", 1), fd.SGD(0.05, clipnorm=1)),
        (("--clipvalue", 0.5, "--optimizer", "lion"), fd.Lion(clipvalue=0.5)),
        (("--global-clipnorm", 2, "--lr", 0.1), fd.SGD(0.1, global_clipnorm=2)),
        # 120 rows are 4 batches of 32 an epoch
        (("--schedule", "cosine"), fd.SGD(fd.CosineDecay(0.05, 12))),
        (("--schedule", "cosine:1000,0.1"), fd.SGD(fd.CosineDecay(0.05, 1000, 0.1))),
        (
            ("--schedule", "cosine", "--warmup", 5),
            fd.SGD(fd.CosineDecay(0.0, 7, warmup_target=0.05, warmup_steps=5)),
        ),
        (
            ("--schedule", "cosine:90,0.1", "--warmup", 20, "--lr", 0.5),
            fd.SGD(fd.CosineDecay(0.0, 90, 0.1, warmup_target=0.5, warmup_steps=20)),
        ),
        (
            ("--schedule", "onecycle", "--optimizer", "adam", "--lr", 0.01, "--batch-size", 50),
            fd.Adam(fd.OneCycle(0.01, 9)),
        ),
        (("--schedule", "onecycle:90,0.4"), fd.SGD(fd.OneCycle(0.05, 90, 0.4))),
        (("--schedule", "polynomial"), fd.SGD(fd.PolynomialDecay(0.05, 12))),
        (("--schedule", "step:5"), fd.SGD(fd.StepDecay(0.05, 5))),
        (("--schedule", "exponential:5,0.9"), fd.SGD(fd.ExponentialDecay(0.05, 5, 0.9))),
        (("--schedule", "inverse:5,1e-1"), fd.SGD(fd.InverseTimeDecay(0.05, 5, 0.1))),
        (("--schedule", "invscaling"), fd.SGD(fd.InvScaling(0.05))),
    ],
)
def test_optimizers(train, tmp_path, options, optimizer):
    train("--epochs", 3, "--save", tmp_path / "model.npz", *options)
    assert fd.load(tmp_path / "model.npz").optimizer == optimizer


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        (("--dropout", 0.25), [fd.Dense(8, "relu"), fd.Dropout(0.25)]),
        (
            ("--batch-norm", "--activation", "gelu"),
            [fd.Dense(8), fd.BatchNormalization(), fd.Activation("gelu")],
        ),
        (
            ("--layer-norm", "--dropout", 0.5),
            [fd.Dense(8), fd.LayerNormalization(), fd.Activation("relu"), fd.Dropout(0.5)],
        ),
        (
            ("--l1", 0.01, "--l2", 0.1, "--activation", "mish"),
            [fd.Dense(8, "mish", kernel_regularizer=fd.L1L2(0.01, 0.1))],
        ),
        (("--l2", 0.1), [fd.Dense(8, "relu", kernel_regularizer=fd.L1L2(0, 0.1))]),
    ],
)
def test_layers(train, tmp_path, options, hidden):
    output = train("--epochs", 2, "--save", tmp_path / "model.npz", *options)
    net = fd.load(tmp_path / "model.npz")
    regularizer = hidden[0].kernel_regularizer
    assert [*net.layers] == [*hidden, fd.Dense(3, "softmax", kernel_regularizer=regularizer)]
    assert "network 4-8-3, " in output


def test_no_hidden_layer(train, tmp_path):
    model = tmp_path / "model.npz"
    output = train("--hidden", "none", "--epochs", 200, "--save", model)
    assert [*fd.load(model).layers] == [fd.Dense(3, "softmax")]
    assert "network 4-3, softmax, sparse_categorical_crossentropy, sgd, float32\n" in output
    assert float(re.search(r"^train +120 +[\d.]+ +([\d.]+)", output, re.M)[1]) > 0.9


def test_every_layer_is_as_every_other(train, tmp_path):
    train("--epochs", 1, "--hidden", "7,5", "--dropout", 0.5, "--save", tmp_path / "model.npz")
    dropout = fd.Dropout(0.5)
    expected = [fd.Dense(7, "relu"), dropout, fd.Dense(5, "relu"), dropout, fd.Dense(3, "softmax")]
    assert [*fd.load(tmp_path / "model.npz").layers] == expected


DATASETS = {"iris": 3, "breast_cancer": 2, "diabetes": 0}


@pytest.mark.parametrize(
    ("dataset", "options", "loss"),
    [
        ("iris", (), "sparse_categorical_crossentropy"),
        ("iris", ("--label-smoothing", 0.1), fd.SparseCategoricalCrossentropy(0.1)),
        ("breast_cancer", ("--label-smoothing", 0.1), fd.BinaryCrossentropy(0.1)),
        ("breast_cancer", ("--loss", "binary_focal_crossentropy"), "binary_focal_crossentropy"),
        ("breast_cancer", ("--loss", "hinge"), "hinge"),
        ("breast_cancer", ("--loss", "squared_hinge"), "squared_hinge"),
        ("diabetes", ("--loss", "mae"), "mean_absolute_error"),
        ("diabetes", ("--loss", "log_cosh"), "log_cosh"),
        ("diabetes", ("--loss", "huber"), "huber"),
        ("diabetes", ("--loss", "huber:0.5"), fd.Huber(0.5)),
        ("diabetes", ("--loss", "quantile:0.9"), fd.Quantile(0.9)),
    ],
)
def test_losses_and_what_the_file_predicts_then(capsys, tmp_path, dataset, options, loss):
    """The figures that were reported are those of the saved model's predictions."""
    model, data = tmp_path / "model.npz", tmp_path / "data.csv"
    arguments = ["train", "--dataset", dataset, "--epochs", 30, "--validation", 0, "--quiet"]
    arguments += ["--batch-norm", "--dropout", 0.1, "--schedule", "cosine", "--lr", 0.02]
    assert cli.main([str(each) for each in [*arguments, "--save", model, *options]]) == 0
    output = capsys.readouterr().out
    assert fd.load(model).loss == loss
    table = load_bundled(dataset)
    with open(data, "w", newline="") as file:
        write_csv(file, table.columns)
    assert cli.main(["predict", str(model), str(data)]) == 0
    predicted = [row["target"] for row in csv.DictReader(capsys.readouterr().out.splitlines())]
    truth = table.texts("target")
    figures = [float(x) for x in re.search(r"^train +\d+ +(.*)$", output, re.M)[1].split()]
    if DATASETS[dataset]:
        accuracy = np.mean([a == b for a, b in zip(predicted, truth, strict=True)])
        assert figures[1] == pytest.approx(accuracy, abs=1e-3)
        assert accuracy > 0.85
    else:
        error = np.array(predicted, float) - table.numbers("target")
        assert figures[1] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-3)
        assert (error > 0).mean() == pytest.approx(
            0.9 if "quantile:0.9" in options else 0.5, abs=0.1
        )


def test_scores_of_hinges_are_no_probabilities(train, capsys, tmp_path):
    model = str(tmp_path / "model.npz")
    options = ["--dataset", "breast_cancer", "--loss", "hinge", "--epochs", "1", "--quiet"]
    assert cli.main(["train", *options, "--save", model]) == 0
    with open(tmp_path / "data.csv", "w", newline="") as file:
        write_csv(file, load_bundled("breast_cancer").columns)
    assert cli.main(["predict", model, str(tmp_path / "data.csv"), "--proba"]) == 2
    message = "proba: the model was trained with 'hinge', its outputs are no probabilities"
    assert message in capsys.readouterr().err


def test_balanced_classes(train, tmp_path):
    """Of a column with few of one class: they count for more, and the weights differ."""
    models = [tmp_path / "plain.npz", tmp_path / "balanced.npz"]
    data = tmp_path / "data.csv"
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal() + rare},{'yes' if rare else 'no'}" for rare in [0] * 180 + [1] * 20]
    data.write_text("\n".join(["size,rare", *rows]))
    share = []
    for model, more in zip(models, ([], ["--class-weight", "balanced"]), strict=True):
        options = ["--epochs", "60", "--lr", "0.1", "--save", str(model), "--quiet", *more]
        assert cli.main(["train", str(data), *options]) == 0
        net = fd.load(model)
        share.append(net.predict_classes(np.linspace(-2, 3, 51)[:, np.newaxis]).mean())
    assert share[1] > share[0] + 0.2


def test_early_stopping(train, tmp_path):
    log = tmp_path / "log.csv"
    output = train("--early-stopping", 3, "--epochs", 2000, "--lr", 0.5, "--csv-log", log)
    losses = logged(log, "val_loss")
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 2000
    assert f"\nweights of epoch {best + 1}, the best of {len(losses)}\n" in output
    assert re.search(rf"^epoch +{len(losses)}/2000  .*val_loss", output, re.M)
    held_out = re.search(r"^validation +30 +([\d.]+)", output, re.M)
    assert float(held_out[1]) == pytest.approx(losses[best], abs=1e-4)


def test_early_stopping_has_a_patience_of_its_own(train, tmp_path):
    log = tmp_path / "log.csv"
    train("--epochs", 2000, "--lr", 0.5, "--csv-log", log, "--quiet", "--early-stopping")
    losses = logged(log, "val_loss")
    assert len(losses) == np.argmin(losses) + 11


@pytest.mark.parametrize(("part", "figure"), [(0.2, "val_loss"), (0, "loss")])
def test_a_checkpoint_is_a_whole_model_of_the_best_epoch(train, tmp_path, part, figure):
    model, log = tmp_path / "best.npz", tmp_path / "log.csv"
    options = ("--validation-split", part, "--lr", 1, "--quiet")
    train(*options, "--epochs", 9, "--checkpoint", model, "--csv-log", log)
    losses = logged(log, figure)
    net = fd.load(model)
    assert net.metadata["encoding"]["target"]["name"] == "target"
    epochs = int(np.argmin(losses)) + 1
    train(*options, "--epochs", epochs, "--save", tmp_path / "again.npz")
    np.testing.assert_array_equal(fd.load(tmp_path / "again.npz").params, net.params)


def test_the_plot_shows_the_held_out_rows(train, tmp_path):
    orange = []
    for part in (0, 0.2):
        train("--epochs", 5, "--validation", part, "--plot", tmp_path / "curve.png", "--quiet")
        image = imread(tmp_path / "curve.png")[..., :3]
        orange.append((np.abs(image - to_rgb(plots.ORANGE)) < 0.04).all(axis=-1).mean())
    assert orange[0] == 0
    assert orange[1] > 0.002


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--early-stopping", 0), "early-stopping: expected an integer >= 1, got 0"),
        (
            ("--validation-split", 0, "--early-stopping"),
            "early-stopping: expected rows held out, got --validation-split 0",
        ),
        (("--momentum", 0.5, "--optimizer", "adam"), "momentum: optimizer 'adam' has none"),
        (("--momentum", 1), "momentum: expected a finite number >= 0 and below 1, got 1.0"),
        (("--weight-decay", -1), "weight_decay: expected a finite number >= 0"),
        (("--clipnorm", 0), "clipnorm: expected a finite number above 0, got 0.0"),
        (("--clipvalue", "x"), "argument --clipvalue: invalid float value: 'x'"),
        (("--clipnorm", 1, "--global-clipnorm", 1), "global_clipnorm: expected one way to clip"),
        (("--dropout", 1), "dropout: expected a finite number >= 0 and below 1, got 1.0"),
        (
            ("--hidden", "none", "--dropout", 0.5),
            "dropout: expected hidden layers to go with it, got 0.5 and none",
        ),
        (("--hidden", "none", "--layer-norm"), "normalization: expected hidden layers to go with"),
        (("--hidden", "None"), "argument --hidden: expected layer sizes such as 64,32; got 'None'"),
        (("--l1", -1), "l1: expected a finite number >= 0, got -1.0"),
        (("--l2", "nan"), "l2: expected a finite number >= 0, got nan"),
        (("--batch-norm", "--layer-norm"), "--layer-norm: not allowed with argument --batch-norm"),
        (("--activation", "sine"), "argument --activation: invalid choice: 'sine'"),
        (("--schedule", "saw"), "schedule: expected one of 'cosine', 'onecycle', 'polynomial', "),
        (("--schedule", "cosine:x"), "expected a name, or one with numbers such as cosine:1000"),
        (("--schedule", "cosine:"), "expected a name, or one with numbers such as cosine:1000"),
        (("--schedule", "cosine:0"), "decay_steps: expected an integer >= 1, got 0"),
        (("--schedule", "cosine:9.5"), "decay_steps: expected an integer >= 1, got 9.5"),
        (
            ("--schedule", "exponential:5"),
            "schedule: expected exponential:STEPS,FACTOR, of which 2 must be there, got "
            "'exponential:5'",
        ),
        (
            ("--schedule", "invscaling:1,2"),
            "schedule: expected invscaling:POWER, of which none must be there, got 'invscaling:1,2",
        ),
        (("--warmup", 5), "warmup: expected it with --schedule cosine, got 5 alone"),
        (("--warmup", 5, "--schedule", "step:3"), "warmup: expected it with schedule 'cosine', "),
        (("--warmup", -5, "--schedule", "cosine"), "warmup_steps: expected an integer >= 0"),
        (("--loss", "huber:x"), "one with numbers such as cosine:1000 or huber:0.5; got 'huber:x'"),
        (("--schedule", "cosine", "--epochs", 0), "epochs: expected an integer >= 1, got 0"),
        (
            ("--loss", "hinge"),
            "loss: expected one of 'sparse_categorical_crossentropy' for several classes; "
            "got 'hinge'",
        ),
        (("--loss", "sparse_categorical_crossentropy:1"), "with fewer numbers, got 'sparse_cat"),
        (("--label-smoothing", 1), "label_smoothing: expected a finite number >= 0 and below 1"),
        (("--dataset", "diabetes", "--label-smoothing", 0.1), "label_smoothing: loss 'mean_squ"),
        (("--dataset", "diabetes", "--loss", "huber:1,2"), "loss: expected 'huber' with fewer num"),
        (("--dataset", "diabetes", "--loss", "huber:0"), "delta: expected a finite number above 0"),
        (("--class-weight", "fair"), "argument --class-weight: invalid choice: 'fair'"),
        (
            ("--dataset", "diabetes", "--class-weight", "balanced"),
            "class_weight: 'mean_squared_error' is a regression loss, it has no classes",
        ),
        (("--checkpoint", "model.txt"), "expected a name that ends in .npz"),
        (("--checkpoint", "absent/model.npz"), "absent: no such directory"),
        (("--csv-log", "absent/log.csv"), "absent: no such directory"),
    ],
)
def test_errors(train, options, message):
    assert message in train(*options, status=2)
