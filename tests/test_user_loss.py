"""Losses of the user's own."""

import copy
import pickle
import threading

import numpy as np
import pytest
from cases import ACTIVATIONS, OPTIMIZERS, crossed

import fusedelta as fd


def squared(y_true, y_pred):
    e = y_pred - y_true
    return (e * e).mean(), 2 * e / e.size


def build(sequential, loss=squared, output="linear", optimizer=None, middle=(), **settings):
    settings = {"input_shape": (4,), "dtype": "float64", "seed": 3, **settings}
    layers = [fd.Dense(6, "tanh"), *middle, fd.Dense(3, output)]
    return sequential(layers, loss, optimizer or fd.SGD(0.1), **settings)


@pytest.fixture
def data(rng):
    return rng.standard_normal((20, 4)), rng.random((20, 3))


@pytest.mark.parametrize(("m", "output"), crossed([1, 20], ACTIVATIONS, [20], ["tanh"]))
def test_it_is_the_same_as_the_built_in_one(sequential, output, m, data):
    X, y = (each[:m] for each in data)
    ours, theirs = (build(sequential, loss, output) for loss in (squared, "mean_squared_error"))
    assert ours.evaluate(X, y)["loss"] == pytest.approx(theirs.evaluate(X, y)["loss"], rel=1e-13)
    (value, gradients), (expected, others) = ours.gradients(X, y), theirs.gradients(X, y)
    assert value == pytest.approx(expected, rel=1e-13)
    for got, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(got, other, rtol=1e-10, atol=1e-15)
    assert fd.gradient_check(ours, X, y).passed
    assert ours.train_step(X, y) == pytest.approx(theirs.train_step(X, y), rel=1e-13)
    losses = [net.fit(X, y, 5, 6, verbose=0).loss for net in (ours, theirs)]
    np.testing.assert_allclose(*losses, rtol=1e-12)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-11, atol=1e-14)
    assert not ours.is_classification


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_both_engines_agree(dtype, optimizer, data):
    nets = [
        build(cls, optimizer=optimizer, dtype=dtype)
        for cls in (fd.Sequential, fd.reference.Sequential)
    ]
    losses = [net.fit(*data, 4, 7, verbose=0).loss for net in nets]
    np.testing.assert_allclose(*losses, rtol={"float64": 1e-11, "float32": 1e-4}[dtype])


def test_what_it_is_called_with(sequential, dtype, data):
    calls = []

    def spy(y_true, y_pred):
        calls.append((y_true, y_pred))
        result = squared(y_true, y_pred)
        y_true[:], y_pred[:] = np.nan, np.nan  # they are the function's own
        return result

    X, y = (each.astype(dtype) for each in data)
    net = build(sequential, spy, dtype=dtype)
    net.fit(X, y, 2, 8, shuffle=False, verbose=0)
    assert [len(y_true) for y_true, _ in calls] == [8, 8, 4] * 2
    for y_true, y_pred in calls:
        for array in (y_true, y_pred):
            assert array.dtype == dtype
            assert array.shape[1] == 3
            assert array.flags.carray
    assert np.isfinite(net.params).all()
    assert np.isfinite(y).all()


def test_evaluate_is_the_mean_over_all_samples(sequential, rng):
    X, y = rng.standard_normal((1000, 4)), rng.random((1000, 3))
    expected = build(sequential, "mean_squared_error").evaluate(X, y)["loss"]
    assert build(sequential).evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-12)


ERRORS = [ZeroDivisionError("mine"), KeyboardInterrupt("stop")]


class Failing:
    """Raises at one of its calls."""

    def __init__(self, at, error):
        self.at, self.error, self.calls = at, error, 0

    def __call__(self, y_true, y_pred):
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return squared(y_true, y_pred)


@pytest.mark.parametrize(
    ("optimizer", "error"),
    crossed(OPTIMIZERS, ERRORS, OPTIMIZERS[:1], ERRORS[:1]),
    ids=repr,
)
def test_an_exception_ends_a_fit_after_a_whole_step(sequential, optimizer, error, data):
    """With all that a step moves: weights, moving averages, moments, the count of the masks."""
    X, y = data
    middle = [fd.BatchNormalization(), fd.Dropout(0.25)]
    net = build(sequential, Failing(4, error), optimizer=optimizer, middle=middle)
    with pytest.raises(type(error), match=str(error)):
        net.fit(X, y, 2, 8, shuffle=False, verbose=0)  # 3 steps an epoch
    other = build(sequential, optimizer=optimizer, middle=middle)
    other.fit(X, y, 1, 8, shuffle=False, verbose=0)
    for got, wanted in zip(net.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    state, expected = net.optimizer_state, other.optimizer_state
    assert state["steps"] == expected["steps"]
    assert net.dropout_state == other.dropout_state
    for got, wanted in zip(pieces(state), pieces(expected), strict=True):
        np.testing.assert_array_equal(got, wanted)
    net.fit(X, y, 1, 8, verbose=0)  # and goes on


def pieces(state):
    return [piece for name, block in state.items() if name != "steps" for piece in block]


def test_an_exception_ends_the_other_calls(sequential, data):
    for call in ("train_step", "evaluate", "gradients", "partial_fit"):
        error = ZeroDivisionError("mine")
        net = build(sequential, Failing(1, error), middle=[fd.BatchNormalization()])
        before = net.get_weights()
        with pytest.raises(ZeroDivisionError, match="mine"):
            getattr(net, call)(*data)
        for got, expected in zip(net.get_weights(), before, strict=True):
            np.testing.assert_array_equal(got, expected)
        getattr(net, call)(*data)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (None, TypeError, r"loss: expected it to return \(value, gradient\), got None"),
        (1.0, TypeError, r"loss: expected it to return \(value, gradient\), got 1.0"),
        (("x", np.zeros((20, 3))), TypeError, "loss: its value: expected a finite number, got 'x'"),
        ((np.zeros(2), np.zeros((20, 3))), TypeError, "loss: its value: expected a finite number"),
        ((np.nan, np.zeros((20, 3))), ValueError, "loss: its value: .* got nan"),
        ((np.inf, np.zeros((20, 3))), ValueError, "loss: its value: .* got inf"),
        ((1.0, np.zeros(20)), ValueError, r"loss: .* shape of y_pred, \(20, 3\), got \(20,\)"),
        ((1.0, np.full((20, 3), np.nan)), ValueError, r"loss: .* finite .* got nan at \(0, 0\)"),
        ((1.0, np.full((20, 3), 1e300)), ValueError, r"loss: .* finite .* got 1e\+300 at"),
        ((1.0, np.full((20, 3), "a")), TypeError, "loss: expected a gradient of real numbers"),
    ],
)
def test_results_that_are_refused(sequential, result, error, message, data):
    net = build(sequential, lambda y_true, y_pred: result, dtype="float32")
    before = net.params.copy()
    for call in (
        net.train_step,
        net.evaluate,
        net.gradients,
        lambda X, y: net.fit(X, y, verbose=0),
    ):
        with pytest.raises(error, match=message):
            call(*data)
    np.testing.assert_array_equal(net.params, before)


def test_results_that_pass(sequential, data):
    for wrap in (
        tuple,
        list,
        lambda r: (np.float32(r[0]), r[1].tolist()),
        lambda r: (r[0], r[1].T.copy().T),
    ):
        net = build(sequential, lambda y_true, y_pred, wrap=wrap: wrap(squared(y_true, y_pred)))
        assert np.isfinite(net.train_step(*data))


def test_weights_are_its_own_matter(sequential, data):
    net = build(sequential)
    for call in (net.train_step, net.evaluate, net.gradients):
        with pytest.raises(ValueError, match="sample_weight: expected None, because a loss of"):
            call(*data, sample_weight=np.ones(20))
    with pytest.raises(ValueError, match=r"class_weight: .* is a regression loss"):
        net.fit(*data, verbose=0, class_weight="balanced")


def test_a_class_is_no_loss(sequential):
    with pytest.raises(TypeError, match="loss: expected one of"):
        build(sequential, fd.Huber)


def test_copies_and_pickles_but_no_files(sequential, data, tmp_path):
    net = build(sequential)
    net.fit(*data, verbose=0)
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), sequential.like(net)):
        assert other.loss is squared
        assert other.evaluate(*data) == net.evaluate(*data)
    with pytest.raises(ValueError, match="save: expected a loss of this package, got <function"):
        net.save(tmp_path / "net.npz")
    assert not list(tmp_path.iterdir())


def test_calling_the_network_from_its_loss_is_an_error(data):
    X, y = data

    def calling(y_true, y_pred):
        net.predict(X)
        return squared(y_true, y_pred)

    net = build(fd.Sequential, calling)
    for call in (
        net.train_step,
        net.gradients,
        net.evaluate,
        lambda X, y: net.fit(X, y, verbose=0),
    ):
        with pytest.raises(RuntimeError, match="in use by the call that this one comes from"):
            call(X, y)
    assert net.predict(X).shape == (20, 3)


def test_several_networks_in_several_threads(data):
    X, y = data
    nets = [build(fd.Sequential, n_threads=2) for _ in range(4)]
    threads = [
        threading.Thread(target=net.fit, args=(X, y, 50, 5), kwargs={"verbose": 0}) for net in nets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for net in nets[1:]:
        np.testing.assert_array_equal(net.params, nets[0].params)
