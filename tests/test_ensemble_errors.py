"""Ensembles when something goes wrong: divergence, exceptions, bad settings, bad data."""

import copy
import re
import time

import numpy as np
import pytest
from ensembles import T, X, assert_alike, assert_untouched, build, lone

import fusedelta as fd
from fusedelta import sources

pytestmark = pytest.mark.usefixtures("eager")  # threads, however little there is to do


def test_a_missing_argument_is_told_by_the_name_of_the_class():
    with pytest.raises(TypeError, match=r"^Ensemble.__init__\(\) missing .* 'loss'"):
        fd.Ensemble([fd.Dense(1)], 3)


def test_divergence_of_some(cls):
    nets = build(cls, learning_rate=[0.01, 1e30, 0.02, 1e25, 0.03])
    with pytest.warns(fd.DivergenceWarning) as caught:
        history = nets.fit(X, T, epochs=3, batch_size=7, verbose=0)
    (message,) = (str(each.message) for each in caught)
    assert re.match(r"fit: 2 of 5 members diverged, .*\(member 1: the loss of step", message)
    assert "; member 3: " in message
    assert history.epochs[[0, 2, 4]].tolist() == [3, 3, 3]
    assert history.epochs[[1, 3]].max() < 3
    assert history[1].divergence is not None
    assert all(np.isfinite(member.params).all() for member in nets)
    other = lone(nets, 2)
    other.fit(X, T, epochs=3, batch_size=7, verbose=0)
    assert_alike(nets[2], other)


def test_the_warning_names_some_of_many():
    nets = build(n=6, learning_rate=1e30)
    with pytest.warns(fd.DivergenceWarning, match=r"6 of 6 .*member 2: .*; and 3 more\)"):
        nets.fit(X, T, epochs=3, batch_size=7, verbose=0)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_exception_names_its_member(cls, n_threads):
    nets = build(cls, n_threads=n_threads, n=8, input_shape=(3,))
    made = copy.deepcopy(nets)

    def fail(epoch, logs):
        if epoch == 2:
            raise IndexError("mine")

    def wait(epoch, logs):
        if epoch == 0:  # or the other threads might be through with all members before it fails
            time.sleep(0.1)

    def callbacks(i):
        return fd.LambdaCallback(**{"on_epoch_end": fail} if i == 2 else {"on_epoch_begin": wait})

    with pytest.raises(IndexError, match="mine") as caught:
        nets.fit(X, T, epochs=50, batch_size=7, verbose=0, callbacks=callbacks)
    assert caught.value.__notes__ == ["in member 2 of 8"]
    assert len(nets.history) == 8
    assert nets.history.epochs[2] == 3
    assert nets.history.epochs[-1] == 0
    for i in (0, 1, 3, 7):  # whole steps, and as many whole epochs as the history has
        other, epochs = made[i], nets.history.epochs[i]
        if epochs:
            expected = other.fit(X, T, epochs, 7, verbose=0)
            np.testing.assert_array_equal(nets.history[i].loss, expected.loss)
        order = np.random.Generator(np.random.PCG64())
        order.bit_generator.state = other.shuffle_state
        (rows,) = sources.draw_orders(order, 1, 60)
        for start in range(0, 60, 7):
            if (nets[i].params == other.params).all():
                break
            other.train_step(X[rows[start : start + 7]], T[rows[start : start + 7]])
        np.testing.assert_array_equal(nets[i].params, other.params)
    nets.fit(X, T, verbose=0)
    assert nets.history.epochs.tolist() == [1] * 8


def test_other_members_are_stopped_by_an_exception():
    """Those that train in one call of the core, too, and within a moment."""
    nets = build(n=3, layers=[fd.Dense(256, "tanh"), fd.Dense(256, "tanh"), fd.Dense(2)])

    def fail(epoch, logs):
        raise ZeroDivisionError

    def callbacks(i):
        return fd.LambdaCallback(on_epoch_end=fail) if i == 2 else None

    with pytest.raises(ZeroDivisionError):
        nets.fit(X, T, epochs=10_000_000, verbose=0, callbacks=callbacks, shuffle=False)
    assert nets.history.epochs.max() < 1_000_000
    nets.predict(X)


def test_a_member_in_training_is_busy():
    nets = build(n=3)
    errors = []

    def again(epoch, logs):
        for each in (nets, nets[1]):
            with pytest.raises(RuntimeError, match="already being fitted") as caught:
                each.fit(X, T, verbose=0)
            errors.append(caught.value)

    nets.fit(X, T, epochs=1, verbose=0, callbacks=fd.LambdaCallback(on_epoch_end=again))
    assert len(errors) == 6
    nets[1].fit(X, T, verbose=0)


def test_an_error_in_a_members_data_names_it():
    nets = build(n=3, input_shape=(3,))
    made = copy.deepcopy(nets)
    bad = X.copy()
    bad[4, 1] = np.nan
    for train in (nets.fit, nets.train_step):
        with pytest.raises(ValueError, match="X: expected finite numbers, got nan at row 4") as e:
            train([X, bad, X], [T] * 3, **({"verbose": 0} if train == nets.fit else {}))
        assert e.value.__notes__ == ["in member 1 of 3"]
    assert_untouched(nets, made)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n": 0}, ValueError, "n: expected an integer >= 1, got 0"),
        ({"n": 2.0}, TypeError, "n: expected an integer >= 1, got 2.0"),
        ({"seed": [1, 2]}, ValueError, "seed: expected 5 integers, one a member, got 2"),
        ({"seed": [1, 2, 3, -4, 5]}, ValueError, r"seed\[3\]: expected an integer >= 0, got -4"),
        ({"seed": "1"}, TypeError, "seed: expected an integer >= 0"),
        ({"learning_rate": [1, 2]}, ValueError, "learning_rate: expected 5 numbers or schedules"),
        ({"learning_rate": [1, 2, 3, 4, 0]}, ValueError, r"learning_rate\[4\]: expected a finite"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate: expected a finite number"),
        ({"n_threads": 0}, ValueError, "n_threads: expected an integer >= 1, got 0"),
        ({"loss": "no"}, ValueError, "loss: expected one of"),
    ],
)
def test_bad_settings(settings, error, message):
    with pytest.raises(error, match=message):
        build(**settings)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"y": None}, TypeError, "y: expected targets, got None"),
        ({"y": T[:9]}, ValueError, "y: expected as many targets as X has samples, 60, got 9"),
        ({"X": [X] * 2}, ValueError, "X: expected 3 arrays, one a member, got 2"),
        ({"X": np.stack([X] * 4)}, ValueError, "X: expected 3 arrays, one a member, got 4"),
        ({"X": [X] * 3}, ValueError, "y: expected 3 arrays of targets, one a member, got 60"),
        ({"X": [X] * 3, "y": 3}, TypeError, "y: expected 3 arrays of targets, one a member, got 3"),
        (
            {"X": [X, T, X], "y": [T] * 3},
            ValueError,
            r"X: .* \(samples, 3\), got \(60, 2\)\nin m.* 1",
        ),
        ({"X": [[[1, 2], [3]]]}, ValueError, "X: expected"),
        ({"X": "data"}, TypeError, "X: expected real numbers"),
        ({"epochs": 0}, ValueError, "epochs: expected an integer >= 1, got 0"),
        ({"bootstrap": 1}, TypeError, "bootstrap: expected True or False, got 1"),
        ({"max_samples": 0}, ValueError, "max_samples: expected an integer from 1 to 60, .* got 0"),
        ({"max_samples": 61}, ValueError, "max_samples: expected an integer from 1 to 60"),
        ({"max_samples": 1.5}, ValueError, "max_samples: .* 0 < max_samples <= 1.0, got 1.5"),
        ({"max_samples": np.nan}, ValueError, "max_samples: .* got nan"),
        ({"max_samples": "all"}, TypeError, "max_samples: .* got 'all'"),
        ({"max_samples": True}, TypeError, "max_samples: .* got True"),
        ({"sample_weight": np.ones(9)}, ValueError, r"sample_weight: .* shape \(60,\), got \(9,\)"),
        ({"sample_weight": np.ones((2, 60))}, ValueError, "sample_weight: expected 3 arrays"),
        ({"validation_data": X}, TypeError, r"validation_data: expected a tuple \(X, y\)"),
        ({"validation_data": ([X] * 3, [T] * 2)}, ValueError, "validation_data: expected 3 arrays"),
        ({"validation_data": ([X] * 2, T)}, ValueError, "validation_data: X: expected 3 arrays"),
        ({"callbacks": 3}, TypeError, "callbacks: expected a list of callbacks, got 3"),
        ({"callbacks": lambda i: i}, TypeError, "callbacks: expected a list of callbacks, got 0"),
        ({"callbacks": fd.EarlyStopping()}, ValueError, "monitor: EarlyStopping expected one of"),
    ],
)
def test_bad_data(settings, error, message):
    nets = build(n=3, input_shape=(3,))
    made = copy.deepcopy(nets)
    with pytest.raises(error, match=message):
        nets.fit(**{"X": X, "y": T, "verbose": 0, **settings})
    assert_untouched(nets, made)


def test_the_first_data_have_one_number_of_features():
    nets = build(n=2)
    for train in (nets.fit, nets.train_step):
        with pytest.raises(
            ValueError, match=r"X: expected 3 features for every member, .* got 2 f"
        ):
            train([X, T], [T, T])
    assert nets[0].input_shape is nets[1].input_shape is None
