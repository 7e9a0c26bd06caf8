"""Optimisers as data, and the steps they take."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from cases import OPTIMIZERS

import fusedelta as fd
from fusedelta.optimizers import OPTIMIZERS as BY_NAME

GOLDEN = json.loads((Path(__file__).parent / "golden" / "torch_optimizers.json").read_text())

# ---- as data -------------------------------------------------------------------------------------


def test_optimizers_are_checked_values():
    assert fd.SGD() == fd.SGD(learning_rate=0.01, momentum=0.0, nesterov=False)
    assert fd.SGD(np.float32(0.5)) == fd.SGD(0.5)
    assert fd.SGD(1).learning_rate == 1.0
    assert fd.Adam() == fd.Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    assert type(fd.Adam(beta_1=0).beta_1) is float
    assert fd.SGD(0.1, 0.9, np.True_).nesterov is True


@pytest.mark.parametrize("rate", [0, -0.1, np.inf, np.nan])
@pytest.mark.parametrize("optimizer", [fd.SGD, fd.Adam])
def test_senseless_rates_are_refused(optimizer, rate):
    with pytest.raises(ValueError, match=f"learning_rate: .* above 0, got {rate}"):
        optimizer(rate)


@pytest.mark.parametrize("rate", ["0.1", None, True, 1j])
@pytest.mark.parametrize("optimizer", [fd.SGD, fd.Adam])
def test_rates_that_are_no_numbers_are_refused(optimizer, rate):
    with pytest.raises(TypeError, match="learning_rate: expected a finite number above 0, got"):
        optimizer(rate)


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, np.inf, np.nan])
@pytest.mark.parametrize(
    ("optimizer", "name"), [(fd.SGD, "momentum"), (fd.Adam, "beta_1"), (fd.Adam, "beta_2")]
)
def test_senseless_shares_are_refused(optimizer, name, value):
    message = f"{name}: expected a finite number >= 0 and below 1, got {value}"
    with pytest.raises(ValueError, match=message):
        optimizer(**{name: value})


def test_other_refusals():
    with pytest.raises(ValueError, match="epsilon: expected a finite number above 0, got 0"):
        fd.Adam(epsilon=0)
    with pytest.raises(TypeError, match="momentum: expected a finite number >= 0 and below 1, got"):
        fd.SGD(momentum="0.9")
    with pytest.raises(TypeError, match=r"nesterov: expected True or False, got 1 \(int\)"):
        fd.SGD(momentum=0.9, nesterov=1)
    with pytest.raises(ValueError, match="nesterov: expected a momentum above 0 with it, got mom"):
        fd.SGD(nesterov=True)


@pytest.mark.parametrize("name", BY_NAME)
def test_name_stands_for_the_defaults(sequential, name):
    net = sequential([fd.Dense(1)], "mean_squared_error", name)
    assert net.optimizer == BY_NAME[name]()


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        ("adamant", ValueError, "optimizer: expected one of 'sgd', 'adam'; got 'adamant'"),
        (0.1, TypeError, r"optimizer: expected one of 'sgd', 'adam'; got 0.1 \(float\)"),
        (fd.SGD, TypeError, "optimizer: expected one of 'sgd', 'adam'"),
    ],
)
def test_refused_optimizers(sequential, optimizer, error, message):
    with pytest.raises(error, match=message):
        sequential([fd.Dense(1)], "mean_squared_error", optimizer)


# ---- the steps -----------------------------------------------------------------------------------


def build(sequential, optimizer, dtype="float64", widths=(4, 2), **settings):
    """A net with two layers, its inputs and its targets."""
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(6, 3)), rng.normal(size=(6, widths[-1]))
    layers = [fd.Dense(widths[0], "tanh"), fd.Dense(widths[1])]
    settings = {"input_shape": (3,), "seed": 0, "dtype": dtype, **settings}
    return sequential(layers, "mean_squared_error", optimizer, **settings), X, y


def test_sgd_steps_against_the_gradient(sequential):
    net, X, y = build(sequential, fd.SGD(0.3))
    before = net.get_weights()
    loss, gradients = net.gradients(X, y)
    assert net.train_step(X, y) == pytest.approx(loss, rel=1e-13)
    for weight, start, gradient in zip(net.weights, before, gradients, strict=True):
        np.testing.assert_allclose(weight, start - 0.3 * gradient, rtol=1e-12, atol=1e-15)
    net.reset_optimizer()
    assert net.gradients(X, y)[0] < loss


@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_steps_are_those_of_torch(isa, sequential, dtype, name):
    case = GOLDEN["cases"][name]
    settings = dict(case["optimizer"])
    optimizer = BY_NAME[settings.pop("optimizer")](**settings)
    layers = [fd.Dense(4, "tanh"), fd.Dense(3)]
    net = sequential(layers, "mean_squared_error", optimizer, input_shape=(5,), dtype=dtype)
    net.set_weights([np.array(start) for start in GOLDEN["start"]])
    X, Y = (np.array(GOLDEN[each], dtype) for each in "XY")
    tolerance = {"float64": 1e-12, "float32": 1e-5}[dtype]
    assert len(case["losses"]) == 20
    for loss, weights in zip(case["losses"], case["weights"], strict=True):
        assert net.train_step(X, Y) == pytest.approx(loss, rel=tolerance)
        for ours, theirs in zip(net.weights, weights, strict=True):
            size = np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * size)


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate(sequential, dtype):
    net, X, y = build(sequential, fd.Adam(0.25, epsilon=1e-30), dtype)
    before, (_, gradients) = net.get_weights(), net.gradients(X, y)
    net.train_step(X, y)
    for weight, start, gradient in zip(net.weights, before, gradients, strict=True):
        np.testing.assert_allclose(weight, start - 0.25 * np.sign(gradient), rtol=1e-5, atol=1e-6)


def test_no_gradient_is_no_step(sequential, dtype):
    """Neither weights without a gradient nor the padding become 0 / 0, whatever epsilon is."""
    net, X, _ = build(sequential, fd.Adam(0.1, epsilon=1e-300), dtype)
    start = net.params.copy()
    for _ in range(3):
        net.train_step(np.zeros_like(X), net.predict(np.zeros_like(X)))
    np.testing.assert_array_equal(net.params, start)


def test_the_rate_of_adam_settles(sequential):
    """The corrections vanish without a trace, long after their powers have."""
    net, X, y = build(sequential, fd.Adam(1e-3, beta_1=0.5, beta_2=0.5))
    state = net.optimizer_state
    ones = [np.ones_like(piece) for piece in state["m"]]
    net.optimizer_state = {"steps": 10**12, "m": ones, "v": ones}
    assert net.optimizer_state["steps"] == 10**12
    start = net.get_weights()
    _, gradients = net.gradients(X, y)
    net.train_step(X, y)
    assert net.optimizer_state["steps"] == 10**12 + 1
    for weight, before, g in zip(net.weights, start, gradients, strict=True):
        step = 1e-3 * (0.5 + 0.5 * g) / (np.sqrt(0.5 + 0.5 * g * g) + 1e-7)
        np.testing.assert_allclose(weight, before - step, rtol=1e-12)


# ---- what is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_reset_forgets_everything(isa, sequential, dtype, optimizer):
    net, X, y = build(sequential, optimizer, dtype)
    start, fresh = net.get_weights(), net.optimizer_state
    first = [net.train_step(X, y) for _ in range(4)]
    net.set_weights(start)
    net.reset_optimizer()
    assert repr(net.optimizer_state) == repr(fresh)
    assert [net.train_step(X, y) for _ in range(4)] == first


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), lambda net: type(net).like(net)],
    ids=["deepcopy", "pickle", "like"],
)
def test_copies_go_on_exactly(sequential, dtype, optimizer, copied):
    net, X, y = build(sequential, optimizer, dtype)
    net.fit(X, y, epochs=5, batch_size=4, verbose=0)
    twin = copied(net)
    for each in (net, twin):
        each.fit(X, y, epochs=3, batch_size=4, verbose=0)
    np.testing.assert_array_equal(net.params, twin.params)
    assert repr(net.optimizer_state) == repr(twin.optimizer_state)


def test_the_twin_goes_on_where_the_compiled_network_was():
    net, X, y = build(fd.Sequential, fd.Adam(0.01))
    net.fit(X, y, epochs=5, verbose=0)
    twin = fd.reference.Sequential.like(net)
    for each in (net, twin):
        each.fit(X, y, epochs=5, verbose=0)
    np.testing.assert_allclose(net.params, twin.params, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_batches_of_any_size_share_what_is_kept(isa, dtype, optimizer):
    """Single samples go another way through a thin network than batches, with the same velocity."""
    nets = [build(each, optimizer, dtype)[0] for each in (fd.Sequential, fd.reference.Sequential)]
    _, X, y = build(fd.Sequential, optimizer)
    for net in nets:
        for rows in (slice(None), slice(1), slice(2, 5), slice(3, 4)):
            net.train_step(X[rows], y[rows])
    tolerance = {"float64": 1e-11, "float32": 2e-4}[dtype]
    np.testing.assert_allclose(*(net.params for net in nets), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_gradients_leave_everything_as_it_is(sequential, optimizer):
    net, X, y = build(sequential, optimizer)
    net.train_step(X, y)
    params, state = net.params.copy(), repr(net.optimizer_state)
    net.gradients(X, y)
    np.testing.assert_array_equal(net.params, params)
    assert repr(net.optimizer_state) == state


def test_memory_is_counted(sequential):
    sizes = {}
    for optimizer in OPTIMIZERS:
        net, X, y = build(sequential, optimizer)
        net.train_step(X, y)
        sizes[optimizer] = net.workspace_bytes
        assert len(net._engine.moments) == len(optimizer.moments)
    blocks = [(size - min(sizes.values())) / net.params.nbytes for size in sizes.values()]
    assert blocks == [0, 1, 2, 3] if sequential is fd.Sequential else [0, 1, 1, 2]


# ---- its state, set by hand ----------------------------------------------------------------------


def test_state_is_in_the_shapes_of_the_weights(sequential):
    net, X, y = build(sequential, fd.SGD(0.1, 0.9))
    _, gradients = net.gradients(X, y)
    net.train_step(X, y)
    state = net.optimizer_state
    assert list(state) == ["steps", "velocity"]
    assert state["steps"] == 1
    for velocity, gradient in zip(state["velocity"], gradients, strict=True):
        np.testing.assert_allclose(velocity, gradient, rtol=1e-12)
    unbuilt, _, _ = build(sequential, fd.Adam(), input_shape=None)
    assert unbuilt.optimizer_state == {"steps": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m": None}, r"optimizer_state\['m'\]: expected a list of arrays, got None"),
        ({"v": []}, r"optimizer_state\['v'\]: expected 4 arrays .*, got 0"),
        ({"v": [[[1]]] * 4}, r"optimizer_state\['v'\]\[0\]: expected .*"),
        ({"steps": -1}, r"optimizer_state\['steps'\]: expected an integer >= 0, got -1"),
        ({"velocity": []}, r"optimizer_state: expected a dict with 'steps', 'm', 'v' for Adam\("),
    ],
)
def test_state_that_does_not_fit_is_refused(sequential, changes, message):
    net, X, y = build(sequential, fd.Adam())
    net.train_step(X, y)
    state = net.optimizer_state
    other = {**state, "m": [piece + 1 for piece in state["m"]], **changes}
    with pytest.raises((TypeError, ValueError), match=message):
        net.optimizer_state = other
    assert repr(net.optimizer_state) == repr(state)
