"""Callbacks: when they are called, what the ready ones do, and that they change no weight."""

import csv
import json
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import progress

X = np.random.default_rng(3).normal(size=(23, 3))
LABELS = np.arange(23) % 4
KERAS = json.loads((Path(__file__).parent / "golden" / "keras_callbacks.json").read_text())


def classifier(sequential, **settings):
    settings = {"input_shape": (3,), "seed": 5, "optimizer": fd.SGD(0.1), **settings}
    layers = [fd.Dense(6, "relu"), fd.Dense(4, "softmax")]
    return sequential(layers, "sparse_categorical_crossentropy", **settings)


class Recorder(fd.Callback):
    """Notes every call."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(("train begin", logs))

    def on_train_end(self, logs=None):
        self.calls.append(("train end", logs))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch begin", epoch, logs))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch end", epoch, dict(logs)))


class BatchRecorder(Recorder):
    def on_batch_end(self, step, logs=None):
        self.calls.append(("batch end", step, logs))


class Scripted(fd.Callback):
    """Puts figures of the test's choice into the logs of each epoch."""

    def __init__(self, **figures):
        self.figures = figures

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: values[epoch] for name, values in self.figures.items()})


def fit(net, callbacks, epochs=1, **options):
    return net.fit(X, LABELS, epochs, 5, verbose=0, callbacks=callbacks, **options)


# ------------------------------------------------------------------------------------ the calls


def test_order_and_arguments_of_the_calls(sequential):
    net, recorder = classifier(sequential), BatchRecorder()
    history = fit(net, recorder, 2, validation_split=0.5)
    figures = [
        {name: values[epoch] for name, values in history.history.items()} for epoch in range(2)
    ]
    names = [call[:-1] for call in recorder.calls]
    epoch = [("batch end", 0), ("batch end", 1), ("batch end", 2)]
    assert names == [
        ("train begin",),
        *[("epoch begin", 0), *epoch, ("epoch end", 0)],
        *[("epoch begin", 1), *epoch, ("epoch end", 1)],
        ("train end",),
    ]
    ends = [call[-1] for call in recorder.calls if call[0] == "epoch end"]
    assert ends == figures
    assert recorder.calls[-1] == ("train end", figures[1])
    last_batch = [call[-1] for call in recorder.calls if call[0] == "batch end"][-1]
    assert last_batch == {"loss": history.loss[1], "accuracy": history.accuracy[1]}
    assert recorder.model is net
    assert recorder.params == {
        "epochs": 2,
        "steps": 3,
        "verbose": 0,
        "metrics": ["loss", "accuracy", "val_loss", "val_accuracy"],
    }


@pytest.mark.parametrize("recorder", [fd.Callback, Recorder, BatchRecorder])
@pytest.mark.parametrize("sizes", [(3, 6, 4), (3, 20, 4)], ids=["thin", "wide"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_callbacks_change_no_bit(sequential, recorder, sizes, shuffle):
    """Batches of 11, 11 and 1: the last one would be alone if it came by itself."""
    layers = [fd.Dense(sizes[1], "tanh"), fd.Dense(sizes[2], "sigmoid")]
    nets = [sequential(layers, "mean_squared_error", fd.Adam(), (3,), seed=1) for _ in range(2)]
    y = np.eye(4)[LABELS]
    options = {"epochs": 5, "batch_size": 11, "shuffle": shuffle, "verbose": 0}
    expected = nets[0].fit(X, y, **options)
    history = nets[1].fit(X, y, callbacks=[recorder()], **options)
    np.testing.assert_array_equal(nets[1].params, nets[0].params)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-14)
    assert nets[1].shuffle_state == nets[0].shuffle_state


def test_logs_of_batches_are_those_of_the_epoch_so_far(sequential):
    recorder = BatchRecorder()
    net = sequential([fd.Dense(1)], "half_sum_squared_error", fd.SGD(1e-30), (3,), seed=1)
    net.fit(X, X[:, 0], batch_size=10, shuffle=False, verbose=0, callbacks=recorder)
    logs = [call[-1] for call in recorder.calls if call[0] == "batch end"]
    for m, figures in zip((10, 20, 23), logs, strict=True):
        assert figures.keys() == {"loss"}
        assert figures["loss"] == pytest.approx(net.evaluate(X[:m], X[:m, 0])["loss"], rel=1e-5)


def test_a_callback_can_end_the_training(sequential):
    def stop_after(moment, number):
        def stop(i, logs):
            if i == number:
                callback.model.stop_training = True

        callback = fd.LambdaCallback(**{moment: stop})
        return callback

    net = classifier(sequential)
    assert len(fit(net, stop_after("on_epoch_end", 2), 10)) == 3
    assert net.stop_training
    assert len(fit(net, None, 10)) == 10  # a new fit starts afresh
    other = classifier(sequential)
    before = classifier(sequential)
    history = fit(other, stop_after("on_batch_end", 1), 10, shuffle=False)
    losses = [before.train_step(X[i : i + 5], LABELS[i : i + 5]) for i in (0, 5)]
    assert history.loss == pytest.approx([np.mean(losses)], rel=1e-6)
    np.testing.assert_array_equal(other.params, before.params)


def test_an_early_end_is_shown(sequential, capsys):
    stopping = fd.EarlyStopping("loss", min_delta=1e9, patience=6)
    history = classifier(sequential).fit(X, LABELS, 100, callbacks=stopping)
    assert len(history) == 7
    shown = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["5/100", "7/100"]


def test_what_callbacks_add_is_kept(sequential):
    recorder = Recorder()
    history = fit(classifier(sequential), [Scripted(rate=[0.5, 0.25]), recorder], 2)
    assert history.history["rate"] == [0.5, 0.25]
    assert recorder.calls[2][2]["rate"] == 0.5
    assert list(history.history) == ["loss", "accuracy", "rate"]


def test_figures_that_come_in_some_epochs_keep_them(sequential):
    """In the order in which they were added first; also where an exception ends the training."""

    def add(epoch, logs):
        if epoch % 2:
            logs["second"], logs["first"] = epoch, -epoch
        if epoch == 4:
            raise ZeroDivisionError

    net = classifier(sequential)
    history = fit(net, fd.LambdaCallback(on_epoch_end=add), 4)
    assert list(history.history) == ["loss", "accuracy", "second", "first"]
    np.testing.assert_array_equal(history.history["second"], [math.nan, 1, math.nan, 3])
    with pytest.raises(ZeroDivisionError):
        fit(net, fd.LambdaCallback(on_epoch_end=add), 9)
    expected = [math.nan, -1, math.nan, -3, math.nan]
    np.testing.assert_array_equal(net.history.history["first"], expected)


def test_what_is_no_number_is_for_later_callbacks_alone(sequential, monkeypatch, tmp_path):
    """Others than the history see it; the history has nan for an epoch that has no number."""
    monkeypatch.setattr(progress, "bar", progress.Bar)
    added = Scripted(phase=["warm", "hot"], f1=[None, np.float32(0.5)], n=[1, np.array(2)])
    path = tmp_path / "log.csv"
    history = fit(classifier(sequential), [added, fd.ProgressBar(), fd.CSVLogger(path)], 2)
    assert list(history.history) == ["loss", "accuracy", "f1", "n"]
    np.testing.assert_array_equal(history.history["f1"], [math.nan, 0.5])
    assert history.history["n"] == [1, 2]
    assert repr(history).endswith(", f1=0.5, n=2)")
    with open(path, newline="") as file:
        assert [row["phase"] for row in csv.DictReader(file)] == ["warm", "hot"]


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (3, r"callbacks: expected a list of callbacks, got 3 \(int\)"),
        ([fd.Callback(), print], r"callbacks\[1\]: expected an instance of fusedelta.Callback"),
        (
            [fd.EarlyStopping],
            r"callbacks\[0\]: expected an instance of fusedelta.Callback, got the class EarlyStop",
        ),
        (
            type("Mine", (fd.Callback,), {"on_train_batch_end": print})(),
            r"callbacks\[0\]: expected methods named on_train_begin, .*; got Mine with "
            "on_train_batch_end, which would never be called",
        ),
        (
            type("Mine", (fd.Callback,), {"on_epoch_end": lambda self, logs: None})(),
            r"callbacks\[0\]: expected Mine.on_epoch_end\(self, epoch, logs\), got one that takes "
            r"\(logs\)",
        ),
    ],
)
def test_something_else_than_callbacks(sequential, callbacks, message):
    with pytest.raises(TypeError, match=message):
        fit(classifier(sequential), callbacks)


def test_attributes_may_be_named_as_methods_are(sequential):
    class Mine(fd.Callback):
        on_trees = 3

        def __init__(self):
            self.on_cluster = True

        @property
        def on_time(self):
            raise ZeroDivisionError

        def epoch_end(self):
            raise ZeroDivisionError

    fit(classifier(sequential), Mine())


def test_lambda_callback(sequential):
    calls = []
    callback = fd.LambdaCallback(
        on_train_begin=lambda logs: calls.append("begin"),
        on_train_end=lambda logs: calls.append("end"),
        on_epoch_begin=lambda epoch, logs: calls.append(("epoch", epoch)),
        on_epoch_end=lambda epoch, logs: calls.append(("done", epoch, logs["loss"])),
    )
    history = fit(classifier(sequential), callback)
    assert calls == ["begin", ("epoch", 0), ("done", 0, history.loss[0]), "end"]
    with pytest.raises(TypeError, match=r"on_epoch_end: expected a function, got 3 \(int\)"):
        fd.LambdaCallback(on_epoch_end=3)


# ------------------------------------------------------------------------------ learning rates


def test_rates_of_a_schedule(sequential):
    net, other = (classifier(sequential, optimizer=fd.Adam(0.1)) for _ in range(2))
    seen = []

    def schedule(epoch, rate):
        seen.append((epoch, rate))
        return rate / 2

    history = fit(net, fd.LearningRateScheduler(schedule), 3)
    assert seen == [(0, 0.1), (1, 0.05), (2, 0.025)]
    assert history.history["learning_rate"] == [0.05, 0.025, 0.0125]
    assert net.learning_rate == 0.0125
    for rate in (0.05, 0.025, 0.0125):
        other.learning_rate = rate
        fit(other, None)
    np.testing.assert_array_equal(net.params, other.params)


def test_a_schedule_of_schedules(sequential):
    net = classifier(sequential)
    fit(net, fd.LearningRateScheduler(lambda epoch, rate: fd.StepDecay(0.5, 3)))
    assert net.optimizer.learning_rate == fd.StepDecay(0.5, 3)


def test_a_schedule_of_no_rate(sequential):
    with pytest.raises(ValueError, match=r"learning_rate: .* above 0 or a schedule, got -1"):
        fit(classifier(sequential), fd.LearningRateScheduler(lambda epoch, rate: -1))


# ----------------------------------------------------------------------------- logs and the bar


def test_csv_log(sequential, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("an old file\n")
    net = classifier(sequential)
    first = fit(net, fd.CSVLogger(path), 2, validation_split=0.2)
    second = fit(net, fd.CSVLogger(path, append=True), 1, validation_split=0.2)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert [row["epoch"] for row in rows] == ["0", "1", "0"]
    for name in ("loss", "val_accuracy"):
        expected = [*first.history[name], *second.history[name]]
        assert [float(row[name]) for row in rows] == expected
    assert fit(net, fd.CSVLogger(path, separator="\t")).loss[0] == pytest.approx(
        float(path.read_text().splitlines()[1].split("\t")[1])
    )


def test_a_csv_log_that_cannot_be_written(sequential, tmp_path):
    net = classifier(sequential)
    before = net.params.copy()
    with pytest.raises(OSError, match="absent"):
        fit(net, fd.CSVLogger(tmp_path / "absent" / "log.csv"))
    np.testing.assert_array_equal(net.params, before)


def test_plain_progress_bar(sequential, capsys, monkeypatch):
    monkeypatch.setattr(progress, "bar", progress.Bar)
    history = fit(classifier(sequential), fd.ProgressBar(), 4)
    shown = capsys.readouterr()
    assert shown.out == ""
    first, *_, last = shown.err.split("\r")[1:]
    assert first == f"[{30 * ' '}] 0/4"
    assert last == (
        f"[{30 * '='}] 4/4  loss {history.loss[3]:.4f}  accuracy {history.accuracy[3]:.4f}\n"
    )


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("moment", ["on_train_begin", "on_epoch_begin", "on_batch_end"])
def test_an_exception_ends_the_line_of_the_bar(sequential, capsys, monkeypatch, error, moment):
    monkeypatch.setattr(progress, "bar", progress.Bar)

    def fail(*arguments):
        if arguments[0] in (2, {}):  # the third epoch or step, or the start
            raise error

    bar, failing = fd.ProgressBar(), fd.LambdaCallback(**{moment: fail})
    net = classifier(sequential)
    with pytest.raises(error):
        fit(net, [bar, failing], 4)
    done = 2 if moment == "on_epoch_begin" else 0
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert re.search(rf"\r\[[= ]{{30}}\] {done}/4[^\r]*\n$", shown)
    fit(net, bar, 1)  # it goes on with a line of its own
    assert re.search(r"\r\[={30}\] 1/1  loss [^\r]*\n$", capsys.readouterr().err)


def test_divergence_ends_the_line_of_the_bar_before_its_warning(sequential, capsys, monkeypatch):
    monkeypatch.setattr(progress, "bar", progress.Bar)
    net = sequential([fd.Dense(1)], "mean_squared_error", fd.SGD(1e30), (2,), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", fd.DivergenceWarning)
        with pytest.raises(fd.DivergenceWarning):
            net.fit(np.ones((4, 2)), np.ones(4), 9, verbose=0, callbacks=fd.ProgressBar())
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.endswith("\n")


def test_a_shorter_line_covers_a_longer_one(capsys):
    bar = progress.Bar(2)
    bar.set_postfix_str("a long figure", refresh=False)
    bar._shown = -math.inf
    bar.update()
    bar.set_postfix_str("short", refresh=False)
    bar.close()
    lines = capsys.readouterr().err.split("\r")[1:]
    assert re.fullmatch(r"\[={15} {15}\] 1/2  a long figure", lines[1])
    assert lines[2] == f"[{15 * '='}{15 * ' '}] 1/2  short        \n"


def test_tqdm_is_used_where_it_is_installed(sequential, monkeypatch):
    import sys
    import types

    class Tqdm:
        def __init__(self, total, unit):
            assert (total, unit) == (3, "epoch")
            self.calls = []
            bars.append(self)

        def set_postfix_str(self, text, refresh):
            self.calls.append(text)

        def update(self):
            self.calls.append("update")

        def close(self):
            self.calls.append("close")

    bars = []
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    module = types.ModuleType("tqdm.auto")
    module.tqdm = Tqdm
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    history = fit(classifier(sequential), fd.ProgressBar(), 3)
    texts = [
        f"loss {loss:.4f}  accuracy {accuracy:.4f}"
        for loss, accuracy in zip(history.loss, history.accuracy, strict=True)
    ]
    expected = [call for text in texts for call in (text, "update")]
    assert bars[0].calls == [*expected, "close"]
