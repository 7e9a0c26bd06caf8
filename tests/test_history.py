"""History, and the lines that a fit prints."""

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import progress, text

X, Y = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([1.0, 1.0, 0.0])


def classifier(sequential):
    return sequential([fd.Dense(1, "sigmoid")], "binary_crossentropy", seed=1)


def regressor(sequential):
    return sequential([fd.Dense(1)], "mean_squared_error", seed=1)


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def run(clock, epochs, seconds_per_epoch, verbose=1, accuracy=np.nan):
    """Train nothing, on a clock set by hand; returns the numbers of epochs trained together."""
    results = np.tile([0.5, accuracy], (epochs, 1))
    reporter = progress.Progress(verbose, results)
    chunks = []
    while count := reporter.next_epochs():
        chunks.append(count)
        clock.now += count * seconds_per_epoch
        reporter.advance(count)
    assert sum(chunks) == epochs
    return chunks


# --------------------------------------------------------------------------------------- history


def test_history_that_ended_early_holds_no_memory_for_the_rest(sequential):
    """Room for a million losses is 8 MB, of which a finished history has no more than it shows."""

    class Stop(fd.Callback):
        def on_epoch_end(self, epoch, logs):
            self.model.stop_training = epoch == 2

    history = regressor(sequential).fit(X, Y, epochs=10**6, verbose=0, callbacks=Stop())
    owner = history.loss if history.loss.base is None else history.loss.base
    assert history.loss.shape == (3,)
    assert owner.nbytes == 3 * history.loss.itemsize


def test_history_of_a_classification(sequential):
    history = classifier(sequential).fit(X, Y, epochs=4, verbose=0)
    assert isinstance(history, fd.History)
    assert history.epoch == [0, 1, 2, 3]
    assert len(history) == 4
    assert history.loss.shape == history.accuracy.shape == (4,)
    assert history.loss.dtype == history.accuracy.dtype == np.float64
    assert (np.diff(history.loss) < 0).all()
    assert history.history == {"loss": [*history.loss], "accuracy": [*history.accuracy]}
    assert repr(history) == (
        f"History(4 epochs, final loss={history.loss[-1]:.6g}, accuracy={history.accuracy[-1]:.6g})"
    )


def test_history_of_a_regression_has_no_accuracy(sequential):
    history = regressor(sequential).fit(X, Y, epochs=2, verbose=0)
    assert list(history.history) == ["loss"]
    assert not hasattr(history, "accuracy")
    with pytest.raises(AttributeError, match="accuracy: only classification losses have one"):
        _ = history.accuracy


def test_a_new_fit_has_a_new_history(sequential):
    net = classifier(sequential)
    first, second = (net.fit(X, Y, epochs=n, verbose=0) for n in (3, 2))
    assert (len(first), len(second)) == (3, 2)
    assert second.loss[0] < first.loss[-1]


def test_figures_of_some_epochs_keep_their_epochs():
    results = np.array([[3.0], [2.0], [1.0]])
    others = {"none": {}, "text": {0: "a"}, "arrays": {1: np.ones(1)}, "huge": {1: 10**400}}
    more = {"some": {1: np.array(0.5)}, **others, "one": {0: 1}, "all": [7, 8, 9]}
    history = fd.History(results, False, more=more)
    assert list(history.history) == ["loss", "some", "one", "all"]
    np.testing.assert_array_equal(history.history["some"], [np.nan, 0.5, np.nan])
    np.testing.assert_array_equal(history.history["one"], [1, np.nan, np.nan])
    assert history.history["all"] == [7, 8, 9]
    assert repr(history) == "History(3 epochs, final loss=1, some=nan, one=nan, all=9)"


# -------------------------------------------------------------------------------------- progress


def test_silence(sequential, capsys):
    classifier(sequential).fit(X, Y, epochs=100, verbose=0)
    assert capsys.readouterr().out == ""


def test_a_line_every_so_many_epochs(sequential, capsys):
    history = classifier(sequential).fit(X, Y, epochs=1000)
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1].split("/")[0]) for line in lines] == list(range(50, 1001, 50))
    loss, accuracy = history.loss[49], history.accuracy[49]
    assert lines[0] == f"epoch   50/1000  loss {loss:.4f}  accuracy {accuracy:.4f}"


def test_a_line_per_epoch(sequential, capsys):
    history = regressor(sequential).fit(X, Y, epochs=30, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"epoch {epoch:2}/30  loss {text.figure(loss)}"
        for epoch, loss in enumerate(history.loss, start=1)
    ]


@pytest.mark.parametrize(
    ("epochs", "every"), [(1, 1), (20, 1), (21, 2), (100, 5), (999, 50), (7000, 500)]
)
def test_lines_stand_at_round_numbers(clock, capsys, epochs, every):
    run(clock, epochs, 1e-6)
    shown = [int(line.split()[1].split("/")[0]) for line in capsys.readouterr().out.splitlines()]
    assert shown == sorted({*range(every, epochs + 1, every), epochs})
    assert len(shown) <= 21


def test_long_runs_show_the_time_left(clock, capsys):
    run(clock, 100, 3.0, accuracy=0.25)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "epoch   1/100  loss 0.5000  accuracy 0.2500  3 s, 4 min 57 s left"
    assert lines[-2] == "epoch  95/100  loss 0.5000  accuracy 0.2500  4 min 45 s, 15 s left"
    assert lines[-1] == "epoch 100/100  loss 0.5000  accuracy 0.2500  5 min 00 s"
    assert len(lines) <= 24


def test_short_runs_do_not(clock, capsys):
    run(clock, 100, 0.001)
    assert all(line.endswith("loss 0.5000") for line in capsys.readouterr().out.splitlines())


def test_the_clock_is_looked_at_every_so_often(clock, capsys):
    chunks = run(clock, 100_000, 1e-4)
    assert chunks[:4] == [1, 1, 2, 4]
    assert max(chunks) == 2000
    assert run(clock, 1000, 1.0) == [1] * 1000
    assert max(run(clock, 100_000, 1e-4, verbose=2)) <= 2000
    capsys.readouterr()
    assert run(clock, 100_000, 1e-4, verbose=0) == [100_000]


# ------------------------------------------------------------------------------------------ text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (2.5e-7, "250 ns"),
        (1.234e-5, "12.3 us"),
        (0.0042, "4.2 ms"),
        (3.14159, "3.14 s"),
        (65, "1 min 05 s"),
        (3600 * 2 + 60 * 5 + 1, "2 h 05 min"),
    ],
)
def test_durations(seconds, shown):
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.09715, "0.0972"),
        (2.8e-7, "2.800e-07"),
        (0, "0.0000"),
        (1e6, "1.000e+06"),
        (-2, "-2.0000"),
    ],
)
def test_figures(value, shown):
    assert text.figure(value) == shown


def test_sizes():
    shown = [text.size(n) for n in (0, 512, 1536, 5 * 2**20, 3 * 2**30)]
    assert shown == ["0 B", "512 B", "1.5 KiB", "5 MiB", "3 GiB"]


def test_tables():
    shown = text.table(("Name", "n"), [("a", "1"), ("bcdef", "1,000")])
    assert shown.splitlines() == [
        "Name       n",
        "-----  -----",
        "a          1",
        "bcdef  1,000",
    ]
