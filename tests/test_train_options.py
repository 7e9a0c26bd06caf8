"""What `fusedelta train` can do beside training: stop early, keep the best, write a log."""

import csv
import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

import fusedelta as fd
from fusedelta import cli, plots


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
    ],
)
def test_optimizers(train, tmp_path, options, optimizer):
    train("--epochs", 1, "--save", tmp_path / "model.npz", *options)
    assert fd.load(tmp_path / "model.npz").optimizer == optimizer


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
        (("--checkpoint", "model.txt"), "expected a name that ends in .npz"),
        (("--checkpoint", "absent/model.npz"), "absent: no such directory"),
        (("--csv-log", "absent/log.csv"), "absent/log.csv: No such file or directory"),
    ],
)
def test_errors(train, options, message):
    assert message in train(*options, status=2)
