"""Callbacks that watch a figure: early stopping, plateaus, checkpoints."""

import math

import numpy as np
import pytest
from test_callbacks import KERAS, LABELS, Scripted, X, classifier, fit

import fusedelta as fd

# ------------------------------------------------------------------------------- early stopping


@pytest.mark.parametrize("case", KERAS["early_stopping"], ids=str)
def test_early_stopping_as_in_keras(sequential, case):
    for restore in (True, False):
        check_early_stopping(sequential, case, restore)


def check_early_stopping(sequential, case, restore):
    figures = [float(figure) for figure in case["figures"]]
    stopping = fd.EarlyStopping("mine", **case["options"], restore_best_weights=restore)
    weights = []
    keep = fd.LambdaCallback(on_epoch_end=lambda *_: weights.append(net.get_weights()))
    net = classifier(sequential)
    history = fit(net, [Scripted(mine=figures), stopping, keep], len(figures))
    assert len(history) == case["epochs"]
    assert stopping.stopped_epoch == case["stopped_epoch"]
    assert stopping.best_epoch == case["best_epoch"]
    expected = weights[case["best_epoch"] if restore else -1]
    for weight, other in zip(net.weights, expected, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_nan_is_never_the_best(sequential):
    stopping = fd.EarlyStopping("mine", patience=2)
    script = Scripted(mine=[math.nan, 2, math.nan, 1, math.nan, math.nan, 0])
    assert len(fit(classifier(sequential), [script, stopping], 7)) == 6
    assert (stopping.best, stopping.best_epoch) == (1, 3)


@pytest.mark.parametrize(
    ("monitor", "mode", "stopped_epoch"),
    [
        ("mine", "auto", 1),
        ("my_accuracy", "auto", 3),
        ("my_accuracy", "min", 1),
        ("mine", "max", 3),
    ],
)
def test_which_direction_is_better(sequential, monitor, mode, stopped_epoch):
    stopping = fd.EarlyStopping(monitor, mode=mode)
    fit(classifier(sequential), [Scripted(**{monitor: [1, 2, 3, 2]}), stopping], 4)
    assert stopping.stopped_epoch == stopped_epoch


def test_early_stopping_can_be_used_again(sequential):
    stopping = fd.EarlyStopping("mine", restore_best_weights=True)
    net = classifier(sequential)
    for _ in range(2):
        assert len(fit(net, [Scripted(mine=[3, 2, 1, 2]), stopping], 4)) == 4
        assert (stopping.best, stopping.best_epoch) == (1, 2)


def test_early_stopping_with_real_validation(sequential):
    net = classifier(sequential, optimizer=fd.SGD(2.0))
    stopping = fd.EarlyStopping(patience=5, restore_best_weights=True)
    history = fit(net, stopping, 500, validation_split=0.5)
    assert len(history) == history.val_loss.argmin() + 6 < 500
    held_out = X[11:], LABELS[11:]
    assert net.evaluate(*held_out)["loss"] == history.val_loss.min()


def test_early_stopping_cures_overfitting():
    """Few samples, many features, noisy labels: far less loss on data that nobody looked at."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 20))
    y = ((X[:, :3].sum(1) + rng.standard_normal(600)) > 0) * 1
    losses = []
    for callbacks in (None, fd.EarlyStopping(patience=5, restore_best_weights=True)):
        layers = [fd.Dense(32, "relu"), fd.Dense(32, "relu"), fd.Dense(1, "sigmoid")]
        net = fd.Sequential(layers, "binary_crossentropy", fd.Adam(0.001), seed=1)
        held_out = X[100:200], y[100:200]
        net.fit(X[:100], y[:100], 100, 10, verbose=0, validation_data=held_out, callbacks=callbacks)
        losses.append(net.evaluate(X[200:], y[200:])["loss"])
    without, stopped_early = losses
    assert stopped_early < 0.75 * without


def test_a_divergence_restores_the_best_weights_too(sequential):
    net = sequential([fd.Dense(1)], "mean_squared_error", fd.SGD(4.0), (3,), seed=1)
    stopping = fd.EarlyStopping("loss", patience=10**6, restore_best_weights=True)
    first = []
    keep = fd.LambdaCallback(
        on_epoch_end=lambda epoch, logs: first.append(net.get_weights()) if epoch == 0 else None
    )
    with pytest.warns(fd.DivergenceWarning):
        net.fit(X, X[:, 0], 1000, verbose=0, callbacks=[stopping, keep])
    assert stopping.best_epoch == 0
    np.testing.assert_array_equal(net.weights[0], first[0][0])


def test_a_misspelt_figure_of_validation_data_asks_for_no_more_data(sequential):
    expected = "one of 'loss', 'accuracy', 'val_loss', 'val_accuracy'; got 'val_acc'$"
    with pytest.raises(ValueError, match=expected):
        fit(classifier(sequential), fd.EarlyStopping("val_acc"), validation_split=0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (fd.EarlyStopping, "'loss', 'accuracy'; got 'val_loss'; give fit validation_data or"),
        (lambda: fd.EarlyStopping("mine"), "'loss', 'accuracy'; got 'mine'"),
        (lambda: fd.EarlyStopping("los"), "'loss', 'accuracy'; got 'los'"),
        (lambda: fd.ReduceLROnPlateau("acuracy"), "'loss', 'accuracy'; got 'acuracy'"),
        (lambda: fd.ReduceLROnPlateau("learning_rate"), "'accuracy'; got 'learning_rate'"),
        (lambda: fd.ModelCheckpoint("a.npz", save_best_only=True), "got 'val_loss'; give fit"),
        (lambda: fd.ModelCheckpoint("a.npz", "mine", save_best_only=True), "got 'mine'"),
    ],
)
@pytest.mark.parametrize("later", [[], [Scripted(mine=[1])]], ids=["alone", "before others"])
def test_figures_that_are_not_there(sequential, tmp_path, make, message, later):
    """Nothing has happened: not even the file of a log that stands before has been emptied."""
    net = classifier(sequential)
    before = net.params.copy()
    log = tmp_path / "log.csv"
    log.write_text("an old file")
    with pytest.raises(ValueError, match=f"monitor: .* expected one of .*{message}"):
        fit(net, [fd.CSVLogger(log), fd.LambdaCallback(), make(), *later])
    np.testing.assert_array_equal(net.params, before)
    assert log.read_text() == "an old file"


def test_figures_that_other_callbacks_add(sequential):
    """What the package's own add is known; a method of the user's may add anything."""
    scheduler = fd.LearningRateScheduler(lambda epoch, rate: rate)
    history = fit(classifier(sequential), [scheduler, fd.EarlyStopping("learning_rate")], 3)
    assert len(history) == 2
    expected = "one of 'loss', 'accuracy', 'learning_rate'; got 'rate'"
    with pytest.raises(ValueError, match=expected):
        fit(classifier(sequential), [scheduler, fd.EarlyStopping("rate")])
    net = classifier(sequential)
    before = net.params.copy()
    with pytest.raises(ValueError, match="one of 'loss', 'accuracy', 'mine'; got 'yours'"):
        fit(net, [Scripted(mine=[1]), fd.EarlyStopping("yours")])
    assert (net.params != before).any()


def test_a_monitor_may_add_its_figure_itself(sequential):
    class Mine(fd.EarlyStopping):
        def on_epoch_end(self, epoch, logs=None):
            logs["mine"] = -epoch
            super().on_epoch_end(epoch, logs)

    stopping = Mine("mine")
    assert len(fit(classifier(sequential), stopping, 3)) == 3
    assert stopping.best == -2


def test_figures_that_are_no_numbers(sequential):
    with pytest.raises(TypeError, match=r"monitor: .* a number for 'mine', got 'low' \(str\)"):
        fit(classifier(sequential), [Scripted(mine=["low"]), fd.EarlyStopping("mine")])


def test_an_exception_lets_go_of_the_best_weights(sequential):
    def fail(epoch, logs):
        assert stopping._best_weights is not None
        raise ZeroDivisionError

    stopping = fd.EarlyStopping("loss", restore_best_weights=True)
    with pytest.raises(ZeroDivisionError):
        fit(classifier(sequential), [stopping, fd.LambdaCallback(on_epoch_end=fail)])
    assert stopping._best_weights is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fd.EarlyStopping(3), TypeError, "monitor: expected the name of a figure"),
        (lambda: fd.EarlyStopping(mode="up"), ValueError, "mode: expected one of 'auto', 'min'"),
        (lambda: fd.EarlyStopping(patience=-1), ValueError, "patience: expected an integer >= 0"),
        (lambda: fd.EarlyStopping(min_delta=-1), ValueError, "min_delta: expected .* >= 0, got -1"),
        (lambda: fd.EarlyStopping(baseline="a"), TypeError, "baseline: expected a finite number"),
        (lambda: fd.EarlyStopping(restore_best_weights=1), TypeError, "restore_best_weights: ex"),
        (lambda: fd.EarlyStopping(start_from_epoch=0.5), TypeError, "start_from_epoch: expected"),
        (lambda: fd.ModelCheckpoint(3), TypeError, "filepath: expected a str or a path, got 3"),
        (
            lambda: fd.ModelCheckpoint(b"a.npz"),
            TypeError,
            "filepath: expected a str or a path, got",
        ),
        (lambda: fd.ModelCheckpoint("{loss.x}.npz"), ValueError, "filepath: expected names of fig"),
        (lambda: fd.ModelCheckpoint("{loss[0]}.npz"), ValueError, "got '{loss.0.}.npz': {loss.0.}"),
        (
            lambda: fd.ModelCheckpoint("{}.npz"),
            ValueError,
            "got '{}.npz': {} is no name of a figure",
        ),
        (
            lambda: fd.ModelCheckpoint("{epoch.npz"),
            ValueError,
            "such as {epoch} or {loss:.3f}, got",
        ),
        (lambda: fd.ModelCheckpoint("a.npz", save_best_only=2), TypeError, "save_best_only: exp"),
        (lambda: fd.ReduceLROnPlateau(factor=1), ValueError, "factor: expected .* below 1, got 1"),
        (lambda: fd.ReduceLROnPlateau(patience=0.5), TypeError, "patience: expected an integer"),
        (lambda: fd.ReduceLROnPlateau(cooldown=-1), ValueError, "cooldown: expected an integer"),
        (lambda: fd.ReduceLROnPlateau(min_lr=-1), ValueError, "min_lr: expected .* >= 0, got -1"),
        (lambda: fd.LearningRateScheduler(0.1), TypeError, "schedule: expected a function, got 0"),
        (lambda: fd.CSVLogger(3), TypeError, "filename: expected a str or a path, got 3"),
        (lambda: fd.CSVLogger("a", separator=", "), ValueError, "separator: expected one char"),
        (lambda: fd.CSVLogger("a", append="no"), TypeError, "append: expected True or False"),
    ],
)
def test_bad_parameters(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ------------------------------------------------------------------------------ learning rates


@pytest.mark.parametrize("case", KERAS["plateau"], ids=str)
def test_plateaus_as_in_keras(sequential, case):
    figures = [float(figure) for figure in case["figures"]]
    net = classifier(sequential, optimizer=fd.SGD(1.0))
    rates = []
    keep = fd.LambdaCallback(on_epoch_end=lambda *_: rates.append(net.learning_rate))
    plateau = fd.ReduceLROnPlateau("mine", **case["options"])
    history = fit(net, [Scripted(mine=figures), plateau, keep], len(figures))
    assert rates == case["rates"]
    assert history.history["learning_rate"] == [1.0, *case["rates"][:-1]]


# ---------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_of_every_epoch(sequential, tmp_path):
    net = classifier(sequential)
    path = tmp_path / "net-{epoch:02d}-{loss:.3f}.npz"
    weights = []
    keep = fd.LambdaCallback(on_epoch_end=lambda *_: weights.append(net.get_weights()))
    history = fit(net, [fd.ModelCheckpoint(path), keep], 3)
    names = [f"net-{i:02d}-{loss:.3f}.npz" for i, loss in enumerate(history.loss, 1)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    for name, expected in zip(names, weights, strict=True):
        loaded = sequential.load(tmp_path / name)
        np.testing.assert_array_equal(loaded.weights[0], expected[0])


def test_a_checkpoint_goes_on_as_the_training_did(sequential, tmp_path):
    path = tmp_path / "net.npz"
    net = classifier(sequential, optimizer=fd.Adam())
    fit(net, [fd.ModelCheckpoint(path)], 2)
    loaded = sequential.load(path)
    fit(net, None, 2)
    fit(loaded, None, 2)
    np.testing.assert_array_equal(loaded.params, net.params)


@pytest.mark.parametrize(
    ("options", "saved"),
    [({}, [0, 1, 3]), ({"initial_value_threshold": 2.5}, [1, 3]), ({"mode": "max"}, [0, 2, 4])],
)
def test_the_best_checkpoints(sequential, tmp_path, options, saved):
    checkpoint = fd.ModelCheckpoint(
        tmp_path / "{epoch}.npz", "mine", save_best_only=True, **options
    )
    fit(classifier(sequential), [Scripted(mine=[3, 2, 4, 1, 5]), checkpoint], 5)
    assert sorted(int(file.stem) - 1 for file in tmp_path.iterdir()) == saved


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("net.txt", ValueError, "path: expected a name that ends in .npz or .safetensors"),
        ("absent/net.npz", FileNotFoundError, "no such directory"),
        ("{rate}.npz", ValueError, "filepath: expected only epoch, loss, accuracy in braces, got"),
        (
            "{loss:d}.npz",
            ValueError,
            "filepath: expected only epoch, loss, accuracy in braces, got",
        ),
        ("{epoch:{loss.x}}.npz", ValueError, "filepath: expected only epoch, loss, accuracy in"),
        ("{epoch:x.}.npz", ValueError, "filepath: expected only epoch, loss, accuracy in braces"),
    ],
)
def test_bad_paths_are_refused_before_the_training(sequential, tmp_path, path, error, message):
    net = classifier(sequential)
    before = net.params.copy()
    with pytest.raises(error, match=message):
        fit(net, fd.ModelCheckpoint(tmp_path / path))
    np.testing.assert_array_equal(net.params, before)


def test_figures_of_other_callbacks_in_paths(sequential, tmp_path):
    net, rate = classifier(sequential), fd.LearningRateScheduler(lambda epoch, rate: 0.5)
    fit(net, [rate, fd.ModelCheckpoint(tmp_path / "{learning_rate}.npz")])
    fit(net, [Scripted(n=[7]), fd.ModelCheckpoint(tmp_path / "{n:d}.npz")])
    assert {file.name for file in tmp_path.iterdir()} == {"0.5.npz", "7.npz"}


@pytest.mark.parametrize(
    ("settings", "metadata", "error", "message"),
    [
        ({"optimizer": fd.SGD(lambda step: 0.1)}, {}, TypeError, "optimizer.learning_rate: expec"),
        ({}, {"a": object()}, TypeError, "metadata: expected what JSON can hold"),
        ({}, {"a": math.nan}, ValueError, "metadata: expected what JSON can hold"),
    ],
)
def test_a_network_that_no_file_can_hold_is_refused_before_the_training(
    sequential, tmp_path, settings, metadata, error, message
):
    net = classifier(sequential, **settings)
    net.metadata = metadata
    before = net.params.copy()
    with pytest.raises(error, match=message):
        fit(net, fd.ModelCheckpoint(tmp_path / "net.npz"))
    np.testing.assert_array_equal(net.params, before)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_a_loss_of_ones_own_is_refused_before_the_training(sequential, tmp_path):
    def squares(Y, T):
        return ((Y - T) ** 2).sum(1), 2 * (Y - T)

    net = sequential([fd.Dense(1)], squares, fd.SGD(0.1), (3,), seed=0)
    before = net.params.copy()
    with pytest.raises(ValueError, match="save: expected a loss of this package"):
        net.fit(X, X[:, 0], verbose=0, callbacks=fd.ModelCheckpoint(tmp_path / "net.npz"))
    np.testing.assert_array_equal(net.params, before)
