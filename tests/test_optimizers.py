"""Optimisers as data, and the steps they take."""

import copy
import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from cases import OPTIMIZERS

import fusedelta as fd
from fusedelta import parameters
from fusedelta.optimizers import OPTIMIZERS as BY_NAME
from fusedelta.optimizers import Optimizer

GOLDEN = {
    source: json.loads((Path(__file__).parent / "golden" / f"{source}_optimizers.json").read_text())
    for source in ("torch", "keras")
}
EVERY = list(BY_NAME.values())

# ---- as data -------------------------------------------------------------------------------------


def test_optimizers_are_checked_values():
    assert fd.SGD() == fd.SGD(learning_rate=0.01, momentum=0.0, nesterov=False)
    assert fd.SGD(np.float32(0.5)) == fd.SGD(0.5)
    assert fd.SGD(1).learning_rate == 1.0
    assert fd.Adam() == fd.Adam(0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False)
    assert type(fd.Adam(beta_1=0).beta_1) is float
    assert fd.SGD(0.1, 0.9, np.True_).nesterov is True
    assert fd.SGD(weight_decay=1).weight_decay == 1.0
    assert fd.AdamW() == fd.AdamW(0.001, weight_decay=0.004) != fd.Adam(weight_decay=0.004)


@pytest.mark.parametrize("optimizer", EVERY)
def test_optimizers_show_themselves(optimizer):
    """Each parameter of its own; of those that all have, the ones that are set."""
    for each in (optimizer(), optimizer(0.5, weight_decay=0.25)):
        assert eval(repr(each), vars(fd)) == each
    assert ("weight_decay" in repr(optimizer())) == (optimizer is fd.AdamW)


@pytest.mark.parametrize("optimizer", EVERY)
def test_senseless_rates_are_refused(optimizer):
    for rate in (0, -0.1, np.inf, np.nan):
        message = f"learning_rate: .* above 0 or a schedule, got {rate}"
        with pytest.raises(ValueError, match=message):
            optimizer(rate)
    for rate in ("0.1", None, True, 1j):
        with pytest.raises(TypeError, match=r"learning_rate: .* above 0 or a schedule, got"):
            optimizer(rate)


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (optimizer, name)
        for optimizer in EVERY
        for name in ("momentum", "rho", "beta_1", "beta_2")
        if hasattr(optimizer, name)
    ],
)
def test_senseless_shares_are_refused(optimizer, name):
    for value in (-0.1, 1, 1.5, np.inf, np.nan):
        message = f"{name}: expected a finite number >= 0 and below 1, got {value}"
        with pytest.raises(ValueError, match=message):
            optimizer(**{name: value})


def test_other_refusals():
    for optimizer in (fd.Adam, fd.NAdam, fd.Adamax, fd.RMSprop, fd.Adagrad, fd.Adadelta):
        with pytest.raises(ValueError, match="epsilon: expected a finite number above 0, got 0"):
            optimizer(epsilon=0)
    with pytest.raises(ValueError, match="momentum_decay: expected a finite number above 0, got 0"):
        fd.NAdam(momentum_decay=0)
    with pytest.raises(ValueError, match=r"initial_accumulator_value: expected .* >= 0, got -1"):
        fd.Adagrad(initial_accumulator_value=-1)
    with pytest.raises(ValueError, match=r"weight_decay: expected a finite number >= 0, got -0.1"):
        fd.AdamW(weight_decay=-0.1)
    with pytest.raises(TypeError, match="weight_decay: expected a finite number >= 0, got '1'"):
        fd.SGD(weight_decay="1")
    with pytest.raises(TypeError, match=r"amsgrad: expected True or False, got 1 \(int\)"):
        fd.Adam(amsgrad=1)
    with pytest.raises(TypeError, match=r"centered: expected True or False, got 1 \(int\)"):
        fd.RMSprop(centered=1)
    with pytest.raises(TypeError, match="momentum: expected a finite number >= 0 and below 1, got"):
        fd.SGD(momentum="0.9")
    with pytest.raises(TypeError, match=r"nesterov: expected True or False, got 1 \(int\)"):
        fd.SGD(momentum=0.9, nesterov=1)
    with pytest.raises(ValueError, match="nesterov: expected a momentum above 0 with it, got mom"):
        fd.SGD(nesterov=True)


def test_a_rate_that_is_set_in_the_wrong_place(sequential):
    """As in PyTorch and Keras: the message says where it is set."""
    net = sequential([fd.Dense(1)], "mse")
    message = r"cannot assign to field 'learning_rate': SGD stays as it was made; net.learning_rate"
    with pytest.raises(dataclasses.FrozenInstanceError, match=message):
        net.optimizer.learning_rate = 0.5
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"Dense stays as .*; make another"):
        net.layers[0].units = 2


@pytest.mark.parametrize("name", BY_NAME)
def test_name_stands_for_the_defaults(sequential, name):
    net = sequential([fd.Dense(1)], "mean_squared_error", name)
    assert net.optimizer == BY_NAME[name]()
    assert sequential([fd.Dense(1)], "mean_squared_error", BY_NAME[name].__name__).optimizer == (
        BY_NAME[name]()
    )


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        ("adamant", ValueError, "optimizer: expected one of 'sgd', 'adam', .*; got 'adamant'"),
        (0.1, TypeError, r"optimizer: expected one of 'sgd', 'adam', .*; got 0.1 \(float\)"),
        (fd.SGD, TypeError, "optimizer: .* or an instance such as .*; got the class SGD"),
        (Optimizer(), TypeError, "optimizer: expected one of 'sgd', 'adam', .*; got Optimizer"),
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


each_case = pytest.mark.parametrize(
    ("source", "name"), [(source, name) for source in GOLDEN for name in GOLDEN[source]["cases"]]
)


@each_case
def test_steps_are_those_of_other_libraries(engine, source, name):
    check_steps(engine, "float64", source, name)


@each_case
def test_steps_in_single_precision_are_those_of_other_libraries(sequential, source, name):
    """How exact each kernel is, on each instruction set: test_finish.py."""
    check_steps(sequential, "float32", source, name)


def check_steps(sequential, dtype, source, name):
    golden = GOLDEN[source]
    case = golden["cases"][name]
    settings = dict(case["optimizer"])
    optimizer = BY_NAME[settings.pop("optimizer")](**settings)
    kinds = {"kernel_constraint": fd.MaxNorm}
    given = case.get("layer", {}).items()
    layer = {key: kinds.get(key, fd.L1L2)(**values) for key, values in given}
    layers = [fd.Dense(4, "tanh", **layer), fd.Dense(3, **layer)]
    net = sequential(layers, "mean_squared_error", optimizer, input_shape=(5,), dtype=dtype)
    net.set_weights([np.array(start) for start in golden["start"]])
    X, Y = (np.array(golden[each], dtype) for each in "XY")
    tolerance = max({"float64": 1e-12, "float32": 1e-5}[dtype], case.get("tolerance", 0))
    assert len(case["losses"]) == 20
    assert set(case["weights"]) == {"1", "2", "3", "20"}
    for step, loss in enumerate(case["losses"], 1):
        assert net.train_step(X, Y) == pytest.approx(loss, rel=tolerance)
        weights = case["weights"].get(str(step), net.get_weights())
        for ours, theirs in zip(net.weights, weights, strict=True):
            size = np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * size)


def test_every_optimizer_was_recorded():
    cases = [case for golden in GOLDEN.values() for case in golden["cases"].values()]
    assert {case["optimizer"]["optimizer"] for case in cases} == set(BY_NAME)


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate(sequential, dtype):
    net, X, y = build(sequential, fd.Adam(0.25, epsilon=1e-30), dtype)
    before, (_, gradients) = net.get_weights(), net.gradients(X, y)
    net.train_step(X, y)
    for weight, start, gradient in zip(net.weights, before, gradients, strict=True):
        np.testing.assert_allclose(weight, start - 0.25 * np.sign(gradient), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", [cls for cls in EVERY if hasattr(cls, "epsilon")])
def test_no_gradient_is_no_step(engine, optimizer):
    """Neither weights without a gradient nor the padding become 0 / 0, whatever epsilon is."""
    changes = {"weight_decay": 0.0} if optimizer is fd.AdamW else {}
    if optimizer is fd.Adagrad:
        changes = {"initial_accumulator_value": 0.0}
    for dtype in ("float32", "float64"):
        net, X, _ = build(engine, optimizer(0.1, epsilon=1e-300, **changes), dtype)
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
def test_reset_forgets_everything(sequential, optimizer):
    net, X, y = build(sequential, optimizer)
    start, fresh = net.get_weights(), net.optimizer_state
    first = [net.train_step(X, y) for _ in range(4)]
    net.set_weights(start)
    net.reset_optimizer()
    assert repr(net.optimizer_state) == repr(fresh)
    assert [net.train_step(X, y) for _ in range(4)] == first


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_copies_go_on_exactly(sequential, optimizer):
    net, X, y = build(sequential, optimizer, "float32")
    net.fit(X, y, epochs=5, batch_size=4, verbose=0)
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net)), sequential.like(net)]
    for each in (net, *copies):
        each.fit(X, y, epochs=3, batch_size=4, verbose=0)
    for each in copies:
        np.testing.assert_array_equal(each.params, net.params)
        assert repr(each.optimizer_state) == repr(net.optimizer_state)


def test_the_twin_goes_on_where_the_compiled_network_was():
    net, X, y = build(fd.Sequential, fd.Adam(0.01))
    net.fit(X, y, epochs=5, verbose=0)
    twin = fd.reference.Sequential.like(net)
    for each in (net, twin):
        each.fit(X, y, epochs=5, verbose=0)
    np.testing.assert_allclose(net.params, twin.params, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_batches_of_any_size_share_what_is_kept(isa, optimizer):
    """Single samples go another way through a thin network than batches, with the same velocity."""
    nets = [build(each, optimizer)[0] for each in (fd.Sequential, fd.reference.Sequential)]
    _, X, y = build(fd.Sequential, optimizer)
    for net in nets:
        for rows in (slice(None), slice(1), slice(2, 5), slice(3, 4)):
            net.train_step(X[rows], y[rows])
    np.testing.assert_allclose(*(net.params for net in nets), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_gradients_leave_everything_as_it_is(sequential, optimizer):
    net, X, y = build(sequential, optimizer)
    net.train_step(X, y)
    params, state = net.params.copy(), repr(net.optimizer_state)
    net.gradients(X, y)
    np.testing.assert_array_equal(net.params, params)
    assert repr(net.optimizer_state) == state


def test_memory_is_counted(sequential):
    """The blocks of what is kept, and one of gradients: the twin has it always, plain SGD never."""
    sizes = {}
    for optimizer in OPTIMIZERS:
        net, X, y = build(sequential, optimizer)
        net.train_step(X, y)
        sizes[optimizer] = net.workspace_bytes
        assert tuple(net._engine.moments) == optimizer.moments
    for optimizer, size in sizes.items():
        blocks = (size - sizes[fd.SGD(0.05)]) / net.params.nbytes
        accumulates_in_place = optimizer in (fd.SGD(0.05), fd.SGD(0.05, 0.9))
        gradient = 0 if sequential is not fd.Sequential or accumulates_in_place else 1
        assert blocks == len(optimizer.moments) + gradient


def test_padding_stays_zero(isa, dtype):
    for optimizer in OPTIMIZERS:
        net, X, y = build(fd.Sequential, optimizer, dtype, widths=(20, 2))
        for _ in range(3):
            net.train_step(X, y)
        used = np.zeros(net.params.size, bool)
        for view in parameters.views(net._rows, used):
            view[...] = True
        for block in (net.params, *net._engine.moments.values()):
            assert not block[~used].any(), optimizer
            assert block[used].all(), optimizer


# ---- the learning rate ---------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_the_learning_rate_can_be_set_at_any_time(optimizer):
    """Steps as of networks that had the rates from the start; what is kept goes on."""
    nets = [build(each, optimizer)[0] for each in (fd.Sequential, fd.reference.Sequential)]
    _, X, y = build(fd.Sequential, optimizer)
    for net in nets:
        assert net.learning_rate == optimizer.learning_rate
        net.fit(X, y, epochs=2, batch_size=4, verbose=0)
        state, before = repr(net.optimizer_state), net.get_weights()
        net.learning_rate = 1e-30
        assert repr(net.optimizer_state) == state
        net.train_step(X, y)
        for weight, start in zip(net.weights, before, strict=True):
            np.testing.assert_allclose(weight, start, rtol=0, atol=1e-25)
        net.learning_rate = np.float64(0.002)
        assert net.optimizer == dataclasses.replace(optimizer, learning_rate=0.002)
        net.train_step(X, y)
        net = copy.deepcopy(net)
        assert net.learning_rate == 0.002
        net.train_step(X, y)
    np.testing.assert_allclose(*(net.params for net in nets), rtol=1e-11, atol=1e-11)


def test_the_learning_rate_changes_steps_in_proportion(sequential):
    net, X, y = build(sequential, fd.SGD(0.5))
    for rate in (0.5, 0.25):
        net.learning_rate = rate
        before, (_, gradients) = net.get_weights(), net.gradients(X, y)
        net.train_step(X, y)
        for weight, start, gradient in zip(net.weights, before, gradients, strict=True):
            np.testing.assert_allclose(weight, start - rate * gradient, rtol=1e-12, atol=1e-15)


def test_the_learning_rate_of_a_network_without_inputs(sequential):
    net, X, y = build(sequential, "adam", input_shape=None)
    net.learning_rate = 0.25
    net.train_step(X, y)
    assert net.learning_rate == 0.25
    assert f"{net}".count("learning_rate=0.25") == 1


def test_learning_rates_that_are_none_change_nothing(sequential):
    net, _, _ = build(sequential, "adam")
    with pytest.raises(ValueError, match=r"learning_rate: .* above 0 or a schedule, got -1"):
        net.learning_rate = -1
    with pytest.raises(TypeError, match=r"learning_rate: .* above 0 or a schedule, got '1'"):
        net.learning_rate = "1"
    assert net.optimizer == fd.Adam()


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
    with pytest.raises(ValueError, match="the number of inputs is not known yet"):
        unbuilt.optimizer_state = {"steps": 3}


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


@pytest.mark.parametrize(
    ("optimizer", "moment"),
    [
        (fd.Adam(), "v"),
        (fd.Adam(amsgrad=True), "u"),
        (fd.Adamax(), "u"),
        (fd.RMSprop(), "v"),
        (fd.Adagrad(), "v"),
        (fd.Adadelta(), "d"),
    ],
)
def test_sums_of_squares_are_not_negative(sequential, optimizer, moment):
    net = sequential([fd.Dense(2)], "mse", optimizer, input_shape=(3,), seed=0)
    net.train_step(np.ones((4, 3)), np.ones((4, 2)))
    state = net.optimizer_state
    before = repr(state)
    state[moment][1][0] = -0.5
    message = rf"optimizer_state\['{moment}'\]: expected values >= 0, got -0.5"
    with pytest.raises(ValueError, match=message):
        net.optimizer_state = state
    assert repr(net.optimizer_state) == before


def test_any_number_of_steps_is_taken_at_once(sequential):
    net = sequential([fd.Dense(1)], "mse", fd.Adam(beta_2=1 - 1e-15), input_shape=(2,), seed=0)
    net.optimizer_state = {**net.optimizer_state, "steps": 2**61}
    net.train_step([[1, 2]], [[0]])
    assert net.optimizer_state["steps"] == 2**61 + 1
    assert np.isfinite(net.params).all()
