"""Validation and early stopping inside the compiled core: the same bits as in Python."""

import numpy as np
import pytest
from cases import MIXED, OPTIMIZERS
from ensembles import assert_alike

import fusedelta as fd
from fusedelta import sources

ROWS = 90
THIN = [fd.Dense(9, "tanh"), fd.Dense(4, "sigmoid")]
WIDE = [fd.Dense(30, "gelu"), fd.Dense(4, "softmax")]


class Looker(fd.Callback):
    """Brings training back to Python after every epoch, and does nothing there."""

    def on_epoch_end(self, epoch, logs=None):
        pass


class Last(fd.Callback):
    def on_train_end(self, logs=None):
        self.logs = logs


def data(rng, labels):
    X = rng.standard_normal((ROWS, 11)).astype("float32")
    signal = X[:, :4] + 1.5 * rng.standard_normal((ROWS, 4))
    return X, signal.argmax(axis=1) if labels else (signal > 0).astype(float)


def fit_both(build, X, y, stopping, **settings):
    """The same fit, looked at by the core and by Python; all that is left of either."""
    both = []
    for more in ([], [Looker()]):
        net, last = build(), Last()
        own = [] if stopping is None else [fd.EarlyStopping(**stopping)]
        history = net.fit(X, y, callbacks=[*own, *more, last], **{"verbose": 0, **settings})
        assert (net.stop_training, bool(more)) in [(True, True), (True, False), (False, bool(more))]
        seen = {}
        if own:
            names = ("best", "best_epoch", "stopped_epoch", "_wait")
            seen = {name: getattr(own[0], name) for name in names}
        both.append((net, history, last.logs, seen, net.stop_training))
    (net, history, *rest), (other, expected, *others) = both
    assert_alike(net, other)
    np.testing.assert_equal(history.history, expected.history)
    np.testing.assert_equal(rest, others)
    assert history.divergence == expected.divergence
    return net, history


@pytest.mark.parametrize("case", range(60))
def test_as_in_python(case):
    rng = np.random.default_rng(case)
    pick = lambda *options: options[rng.integers(len(options))]  # noqa: E731
    layers = pick(THIN, WIDE, *MIXED.values())
    labels = layers is not THIN
    loss = "sparse_categorical_crossentropy" if labels else "binary_crossentropy"
    optimizer, dtype = pick(*OPTIMIZERS), pick("float32", "float64")
    X, y = data(rng, labels)
    monitor = pick("loss", "accuracy", "val_loss", "val_accuracy")
    stopping = {
        "monitor": monitor,
        "patience": pick(0, 1, 3, 8),
        "min_delta": pick(0.0, 0.01),
        "mode": pick("auto", "auto", "min", "max"),
        "baseline": pick(None, None, 0.6),
        "restore_best_weights": pick(True, False),
        "start_from_epoch": pick(0, 0, 4),
    }
    settings = {
        "epochs": 30,
        "batch_size": pick(1, 7, 32, None),
        "shuffle": pick(True, False),
        "sample_weight": pick(None, rng.random(ROWS)),
    }
    if "val_" in monitor or pick(True, False):
        settings |= pick(
            {"validation_split": 0.3},
            {"validation_data": (X[:40], y[:40], rng.random(40))},
            {"validation_data": (np.tile(X, (7, 1)), np.concatenate([y] * 7))},
        )

    def build():
        return fd.Sequential(layers, loss, optimizer, (11,), dtype, seed=case)

    _, history = fit_both(build, X, y, stopping, **settings)
    assert len(history) <= 30


def build(**settings):
    settings = {"optimizer": fd.SGD(0.2, 0.9), "input_shape": (11,), "seed": 3, **settings}
    return fd.Sequential(WIDE, "sparse_categorical_crossentropy", **settings)


@pytest.fixture
def calls(monkeypatch):
    """The number of epochs of each call of the engine."""
    counts = []
    train = sources.Samples.train

    def counted(self, engine, results, **watch):
        counts.append(len(results))
        train(self, engine, results, **watch)

    monkeypatch.setattr(sources.Samples, "train", counted)
    return counts


def test_a_fit_is_one_call(rng, calls):
    X, y = data(rng, True)
    stopping = fd.EarlyStopping(patience=5, restore_best_weights=True)
    history = build().fit(X, y, 400, 9, False, 0, validation_split=0.3, callbacks=stopping)
    assert calls == [400]
    assert len(history) == stopping.stopped_epoch + 1 < 400
    calls.clear()
    build().fit(X, y, 50, 9, False, 0, validation_data=(X, y))
    assert calls == [50]


@pytest.mark.parametrize(
    "callbacks",
    [
        [Looker()],
        [fd.EarlyStopping(patience=50), fd.EarlyStopping("loss", patience=50)],
        [fd.EarlyStopping(patience=50), fd.LearningRateScheduler(lambda epoch, rate: rate)],
        [type("Mine", (fd.EarlyStopping,), {})(patience=50)],
    ],
    ids=["other", "two", "more", "subclass"],
)
def test_what_python_has_to_look_at(rng, calls, callbacks):
    X, y = data(rng, True)
    build().fit(X, y, 5, 9, verbose=0, validation_split=0.3, callbacks=callbacks)
    assert calls == [1] * 5


def test_methods_of_an_instance_are_called(rng, calls):
    X, y = data(rng, True)
    stopping, seen = fd.EarlyStopping("loss", patience=50), []
    stopping.on_epoch_end = lambda epoch, logs: seen.append(epoch)
    build().fit(X, y, 5, 9, verbose=0, callbacks=stopping)
    assert seen == [0, 1, 2, 3, 4]


def test_penalties_are_looked_at_in_python(rng, calls):
    X, y = data(rng, True)
    layers = [fd.Dense(4, "softmax", kernel_regularizer=fd.L2(0.1))]
    net = fd.Sequential(layers, "sparse_categorical_crossentropy", seed=1)
    history = net.fit(X, y, 3, 9, verbose=0, validation_data=(X, y))
    assert calls == [1] * 3
    assert history.val_loss[-1] == net.evaluate(X, y)["loss"]


@pytest.mark.parametrize("verbose", [1, 2])
def test_lines_are_printed_in_time(rng, capsys, verbose):
    X, y = data(rng, True)
    stopping = {"patience": 3, "restore_best_weights": True}
    printed = []
    for more in ([], [Looker()]):
        callbacks = [fd.EarlyStopping(**stopping), *more]
        build().fit(X, y, 60, 9, verbose=verbose, validation_split=0.3, callbacks=callbacks)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "val_loss" in printed[0]


def test_a_schedule_goes_on(rng):
    X, y = data(rng, True)
    optimizer = fd.Adam(fd.CosineDecay(0.01, 300))
    fit_both(lambda: build(optimizer=optimizer), X, y, {"patience": 4}, epochs=60, batch_size=9,
             validation_split=0.3)  # fmt: skip


@pytest.mark.parametrize("rate", [3e3, 1e18, 1e30])
@pytest.mark.parametrize("stopping", [None, {"patience": 40}, {"patience": 1, "monitor": "loss"}])
def test_divergence_is_found_at_the_same_place(rng, rate, stopping):
    X, y = data(rng, False)

    def diverging():
        layers = [fd.Dense(20, "relu"), fd.Dense(4)]
        return fd.Sequential(layers, "mean_squared_error", fd.SGD(rate), (11,), seed=1)

    with np.errstate(over="ignore"), pytest.warns(fd.DivergenceWarning):
        fit_both(diverging, X, y, stopping, epochs=40, batch_size=9, validation_split=0.3)


def test_a_second_fit_begins_anew(rng):
    X, y = data(rng, True)
    both = []
    for more in ([], [Looker()]):
        net, stopping = build(), fd.EarlyStopping(patience=4, restore_best_weights=True)
        for _ in range(2):
            net.fit(X, y, 60, 9, verbose=0, validation_split=0.3, callbacks=[stopping, *more])
        both.append((net, stopping.best, stopping.best_epoch, stopping.stopped_epoch))
    assert_alike(both[0][0], both[1][0])
    assert both[0][1:] == both[1][1:]


def test_an_exception_leaves_whole_epochs(rng):
    X, y = data(rng, True)

    def rate(step):
        if step == 7 * 20 + 3:
            raise ZeroDivisionError
        return 0.01

    both = []
    for more in ([], [Looker()]):
        net, stopping = build(optimizer=fd.SGD(rate)), fd.EarlyStopping(patience=50)
        with pytest.raises(ZeroDivisionError):
            net.fit(X, y, 60, 9, verbose=0, validation_split=0.3, callbacks=[stopping, *more])
        both.append(len(net.history))
        assert np.isfinite(net.history.val_loss).all()
    assert both == [20, 20]  # rates of an epoch are worked out before its first step


def test_a_function_is_asked_for_no_rate_of_an_epoch_that_does_not_come(rng):
    X, y = data(rng, True)
    asked = []

    def rate(step):
        asked.append(step)
        return 0.01

    net = build(optimizer=fd.SGD(rate))
    stopping = fd.EarlyStopping("loss", min_delta=10, patience=3)
    net.fit(X, y, 60, 9, verbose=0, callbacks=stopping)
    assert len(net.history) < 60
    assert asked == list(range(len(net.history) * -(-len(X) // 9)))
