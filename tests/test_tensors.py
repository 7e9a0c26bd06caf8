"""Penalties, clipping, accumulation and constraints in whole networks."""

import copy
import pickle

import numpy as np
import pytest
from cases import FUSED_ISAS

import fusedelta as fd
from fusedelta import _cpu, parameters

# ---- whole networks ------------------------------------------------------------------------------

LAYERS = {
    "free": {},
    "l2": {"kernel_regularizer": fd.L2(0.1)},
    "l1": {"kernel_regularizer": fd.L1(0.01), "bias_regularizer": "l2"},
    "max-norm": {"kernel_constraint": fd.MaxNorm(0.7)},
    "all": {
        "kernel_regularizer": fd.L1L2(0.01, 0.02),
        "bias_regularizer": fd.L1(0.001),
        "kernel_constraint": "max_norm",
    },
}
OPTIMIZERS = [
    fd.SGD(0.1),
    fd.SGD(0.1, 0.9, clipvalue=0.01),
    fd.SGD(0.1, clipnorm=0.05),
    fd.Adam(0.01, global_clipnorm=0.05, epsilon=1e-3),
    fd.SGD(0.1, 0.9, gradient_accumulation_steps=3),
    fd.SGD(0.1, gradient_accumulation_steps=1),
    fd.RMSprop(
        fd.StepDecay(0.1, 5), gradient_accumulation_steps=4, global_clipnorm=0.1, epsilon=1e-2
    ),
]
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def build(sequential, optimizer, layer, dtype="float64", hidden=20, **settings):
    """A network, all of whose layers have what `layer` says, and its data."""
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 3))
    layers = [fd.Dense(hidden, "tanh", **layer), fd.Dense(3, **layer)]
    settings = {"input_shape": (5,), "seed": 1, "dtype": dtype, **settings}
    return sequential(layers, "mean_squared_error", optimizer, **settings), X, y


each_width = pytest.mark.parametrize("hidden", [4, 20], ids=["thin", "wide"])


@each_layer
@each_optimizer
@each_width
def test_the_twin_takes_the_same_steps(hidden, optimizer, layer):
    check_steps("float64", hidden, optimizer, layer)


@each_optimizer
def test_the_twin_takes_the_same_steps_on_any_instruction_set(isa, dtype, optimizer):
    check_steps(dtype, 20, optimizer, LAYERS["all"])


def check_steps(dtype, hidden, optimizer, layer):
    """Also what is reported, single samples on the way, and in thin networks."""
    nets = [
        build(kind, optimizer, layer, dtype, hidden)[0]
        for kind in (fd.Sequential, fd.reference.Sequential)
    ]
    _, X, y = build(fd.Sequential, optimizer, layer)
    tolerance = {"float64": 1e-11, "float32": 3e-4}[dtype]
    figures = []
    for net in nets:
        losses = net.fit(X, y, epochs=3, batch_size=7, verbose=0).loss
        steps = [net.train_step(X[:1], y[:1]), net.train_step(X, y)]
        loss, gradients = net.gradients(X, y)
        figures.append((losses, steps, loss, net.evaluate(X, y)["loss"], *gradients, *net.weights))
    for got, expected in zip(*figures, strict=True):
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    counts = [{k: v for k, v in net.optimizer_state.items() if type(v) is int} for net in nets]
    assert counts[0] == counts[1]


def threaded(n_threads, optimizer, layer, dtype):
    layers = [fd.Dense(128, "tanh", **layer), fd.Dense(64, "relu"), fd.Dense(10, **layer)]
    rng = np.random.default_rng(6)
    X, y = rng.standard_normal((301, 300)), rng.standard_normal((301, 10))
    net = fd.Sequential(
        layers, "mean_squared_error", optimizer, (300,), dtype, seed=4, n_threads=n_threads
    )
    losses = net.fit(X, y, epochs=3, batch_size=150, verbose=0).loss
    return net.params, losses


@pytest.mark.any_isa
@each_optimizer
def test_threads_and_instruction_sets_give_the_same_bits(dtype, optimizer):
    results = []
    for isa in FUSED_ISAS or ["base"]:
        before = _cpu.use_isa(isa)
        results += [threaded(n_threads, optimizer, LAYERS["all"], dtype) for n_threads in (1, 2, 3)]
        _cpu.use_isa(before)
    for params, losses in results[1:]:
        np.testing.assert_array_equal(params, results[0][0])
        np.testing.assert_array_equal(losses, results[0][1])


def test_plain_nets_pay_for_nothing():
    """The gradient is stored where it is needed, and only there."""
    bytes_of = {
        name: build(fd.Sequential, fd.SGD(0.1), layer)[0].workspace_bytes
        for name, layer in LAYERS.items()
    }
    assert bytes_of["free"] == bytes_of["max-norm"]
    params = build(fd.Sequential, fd.SGD(0.1), {})[0].params
    assert bytes_of["l2"] - bytes_of["free"] == params.nbytes


# ---- penalties -----------------------------------------------------------------------------------


def test_penalties_are_part_of_the_loss(sequential, dtype):
    net, X, y = build(sequential, "sgd", {}, dtype)
    plain = net.evaluate(X, y)["loss"], net.gradients(X, y)[0]
    other, _, _ = build(sequential, "sgd", LAYERS["all"], dtype)
    other.set_weights([w + 0.1 for w in net.weights])
    net.set_weights(other.weights)
    W, b = net.weights[::2], net.weights[1::2]
    expected = sum(0.01 * abs(w).sum() + 0.02 * (w * w).sum() for w in W)
    expected += sum(0.001 * abs(each).sum() for each in b)
    plain = net.evaluate(X, y)["loss"]
    for loss in (other.evaluate(X, y)["loss"], other.gradients(X, y)[0], other.train_step(X, y)):
        assert loss == pytest.approx(plain + expected, rel=1e-5)


def test_the_loss_of_an_epoch_is_the_mean_of_its_batches(sequential):
    nets = [build(sequential, fd.SGD(0.1), LAYERS["all"])[0] for _ in range(2)]
    _, X, y = build(sequential, "sgd", {})
    whole = nets[0].fit(X, y, batch_size=16, shuffle=False, verbose=0).loss[0]
    losses = [nets[1].train_step(X[i : i + 16], y[i : i + 16]) for i in (0, 16, 32)]
    assert whole == pytest.approx(np.average(losses, weights=[16, 16, 8]), rel=1e-12)


def test_the_loss_of_an_epoch_is_the_sum_of_its_batches(sequential):
    layers = [fd.Dense(3, kernel_regularizer="l2")]
    nets = [
        sequential(layers, "half_sum_squared_error", fd.SGD(1e-3), (5,), "float64", seed=1)
        for _ in range(2)
    ]
    _, X, y = build(sequential, "sgd", {})
    whole = nets[0].fit(X, y, batch_size=16, shuffle=False, verbose=0).loss[0]
    losses = [nets[1].train_step(X[i : i + 16], y[i : i + 16]) for i in (0, 16, 32)]
    assert whole == pytest.approx(sum(losses), rel=1e-12)


@pytest.mark.parametrize("name", ["l2", "l1", "all"])
@each_width
def test_gradients_with_penalties_are_right(engine, name, hidden):
    net, X, y = build(engine, "sgd", LAYERS[name], hidden=hidden)
    net.set_weights([w + 0.05 for w in net.weights])
    result = fd.gradient_check(net, X, y)
    assert result.passed, str(result)


def test_decay_of_plain_descent_is_an_l2_penalty(sequential):
    """Decay also shrinks the biases: they have the penalty too."""
    penal = {"kernel_regularizer": fd.L2(0.05), "bias_regularizer": fd.L2(0.05)}
    nets = [
        build(sequential, fd.SGD(0.1, weight_decay=0.1), {})[0],
        build(sequential, fd.SGD(0.1), penal)[0],
    ]
    _, X, y = build(sequential, "sgd", {})
    for net in nets:
        net.fit(X, y, epochs=4, batch_size=8, verbose=0)
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=1e-10, atol=1e-13)


def test_l1_brings_useless_weights_to_zero(sequential):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 10))
    y = X[:, :1] - 2 * X[:, 1:2]
    layer = fd.Dense(1, kernel_regularizer=fd.L1(0.05))
    net = sequential([layer], "mean_squared_error", fd.SGD(fd.StepDecay(0.1, 100)), seed=0)
    net.fit(X, y, epochs=300, verbose=0)
    W = abs(net.weights[0][:, 0])
    assert W[:2].min() > 0.9
    assert W[2:].max() < 1e-3


# ---- clipping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clipvalue", "clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("limit", [0.01, 0.2, 1e6])
def test_steps_are_along_the_clipped_gradient(engine, name, limit):
    net, X, y = build(engine, fd.SGD(0.5, **{name: limit}), {}, hidden=300)
    before, (_, gradients) = net.get_weights(), net.gradients(X, y)
    norms = [np.linalg.norm(g) for g in gradients]
    if name == "clipvalue":
        expected = [np.clip(g, -limit, limit) for g in gradients]
    else:
        if name == "global_clipnorm":
            norms = [np.linalg.norm(norms)] * 4
        expected = [g * min(1, limit / norm) for g, norm in zip(gradients, norms, strict=True)]
    net.train_step(X, y)
    for weight, start, g in zip(net.weights, before, expected, strict=True):
        np.testing.assert_allclose(weight, start - 0.5 * g, rtol=1e-12, atol=1e-14)


def test_clipping_cures_a_fit_that_diverges(sequential, dtype):
    """An outlier in the targets throws plain descent off; with clipped gradients it converges."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((64, 4))
    y = X @ rng.standard_normal((4, 1))
    y[5] = 1e6
    layers = [fd.Dense(8, "relu"), fd.Dense(1)]
    losses = {}
    for name, clip in (("free", {}), ("clipped", {"global_clipnorm": 1.0})):
        optimizer = fd.SGD(0.05, **clip)
        net = sequential(layers, "mean_squared_error", optimizer, (4,), dtype, seed=0)
        rows = np.arange(64) != 5
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(150):
                for i in range(0, 64, 8):
                    net.train_step(X[i : i + 8], y[i : i + 8])
            losses[name] = net.evaluate(X[rows], y[rows])["loss"]
    assert not losses["free"] < 1e3
    assert losses["clipped"] < 0.5


# ---- accumulation --------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [fd.SGD, fd.Adam, fd.Lion])
def test_accumulated_steps_are_those_of_one_large_batch(engine, rule):
    many, X, y = build(engine, rule(0.01, gradient_accumulation_steps=4), LAYERS["l2"])
    one, _, _ = build(engine, rule(0.01), LAYERS["l2"])
    many.fit(X, y, epochs=2, batch_size=10, shuffle=False, verbose=0)
    one.fit(X, y, epochs=2, verbose=0)
    np.testing.assert_allclose(many.params, one.params, rtol=1e-9, atol=1e-12)
    assert many.optimizer_state["steps"] == one.optimizer_state["steps"] == 2


def test_an_update_that_is_not_due_waits(sequential):
    net, X, y = build(sequential, fd.SGD(0.1, gradient_accumulation_steps=3), {})
    start = net.params.copy()
    for accumulated in (1, 2):
        net.train_step(X, y)
        np.testing.assert_array_equal(net.params, start)
        assert net.optimizer_state["accumulated"] == accumulated
        assert net.optimizer_state["steps"] == 0
    net.train_step(X, y)
    assert (net.params != start).any()
    assert net.optimizer_state["accumulated"] == 0
    net.train_step(X, y)
    net.reset_optimizer()
    assert net.optimizer_state["accumulated"] == 0


# ---- constraints ---------------------------------------------------------------------------------


def test_no_unit_has_a_larger_norm(engine, dtype):
    net, X, y = build(engine, fd.SGD(0.5), LAYERS["max-norm"], dtype)
    net.fit(X, 10 * y, epochs=5, batch_size=8, verbose=0)
    for W in net.weights[::2]:
        norms = np.linalg.norm(W.astype(np.float64), axis=0)
        assert norms.max() <= 0.7 * (1 + 1e-6)
        assert norms.max() > 0.69
    assert max(abs(b).max() for b in net.weights[1::2]) > 0


# ---- what is kept --------------------------------------------------------------------------------


@each_optimizer
def test_copies_and_files_go_on(sequential, tmp_path, optimizer):
    net, X, y = build(sequential, optimizer, LAYERS["all"], "float32")
    net.fit(X, y, epochs=2, batch_size=8, verbose=0)
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net)), sequential.like(net)]
    for ending in ("npz", "safetensors"):
        net.save(tmp_path / f"net.{ending}")
        copies.append(sequential.load(tmp_path / f"net.{ending}"))
    net.fit(X, y, epochs=2, batch_size=8, verbose=0)
    for each in copies:
        assert each.layers == net.layers
        assert repr(each) == repr(sequential.load(tmp_path / "net.npz"))
        each.fit(X, y, epochs=2, batch_size=8, verbose=0)
        np.testing.assert_array_equal(each.params, net.params)
        assert repr(each.optimizer_state) == repr(net.optimizer_state)


def test_state_of_an_accumulation_is_checked(sequential):
    net, X, y = build(sequential, fd.SGD(0.1, gradient_accumulation_steps=3), {})
    net.train_step(X, y)
    state = net.optimizer_state
    assert list(state) == ["steps", "accumulated", "gradient"]
    with pytest.raises(ValueError, match="expected less than the 3 steps that make an update"):
        net.optimizer_state = {**state, "accumulated": 3}
    assert net.optimizer_state["accumulated"] == 1


def test_a_fit_that_diverges_goes_back_with_its_accumulation(sequential):
    net, X, y = build(sequential, fd.SGD(0.1, gradient_accumulation_steps=3), {})
    net.fit(X, y, epochs=4, verbose=0)
    state = net.optimizer_state
    assert state["accumulated"] == 1
    with pytest.warns(fd.DivergenceWarning):
        net.fit(X, 1e300 * y, epochs=1, verbose=0)
    assert repr(net.optimizer_state) == repr(state)


def test_padding_stays_zero(isa, dtype):
    for optimizer in OPTIMIZERS:
        net, X, y = build(fd.Sequential, optimizer, LAYERS["all"], dtype)
        net.fit(X, y, epochs=2, batch_size=8, verbose=0)
        used = np.zeros(net.params.size, bool)
        for view in parameters.views(net._rows, used):
            view[...] = True
        for each in (net.params, *net._engine.moments.values()):
            assert not each[~used].any()


# ---- as data -------------------------------------------------------------------------------------


def test_they_are_checked_values():
    assert fd.L2() == fd.L2(0.01) != fd.L1(0.01)
    assert fd.L1L2() == fd.L1L2(l1=0.0, l2=0.0)
    assert fd.MaxNorm() == fd.MaxNorm(2)
    assert fd.Dense(1, kernel_regularizer="l2", bias_regularizer=fd.L1(1)) == fd.Dense(
        1, kernel_regularizer="l2", bias_regularizer=fd.L1(1.0)
    )
    assert repr(fd.Dense(1, bias_regularizer="l1", kernel_constraint=fd.MaxNorm(3))) == (
        "Dense(units=1, activation='linear', bias_regularizer='l1', "
        "kernel_constraint=MaxNorm(max_value=3.0))"
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fd.L2(-1), ValueError, "l2: expected a finite number >= 0, got -1"),
        (lambda: fd.L1("1"), TypeError, "l1: expected a finite number >= 0, got '1'"),
        (lambda: fd.L1L2(l2=np.nan), ValueError, "l2: expected a finite number >= 0, got nan"),
        (lambda: fd.MaxNorm(0), ValueError, "max_value: expected a finite number above 0, got 0"),
        (
            lambda: fd.Dense(1, kernel_regularizer="l3"),
            ValueError,
            "kernel_regularizer: expected one of 'l1', .*, or an instance .*; got 'l3'",
        ),
        (
            lambda: fd.Dense(1, bias_regularizer=0.01),
            TypeError,
            "bias_regularizer: expected .*, or an instance such as L2.*; got 0.01",
        ),
        (
            lambda: fd.Dense(1, kernel_constraint=3.0),
            TypeError,
            "kernel_constraint: expected 'max_norm', or an instance such as MaxNorm.*; got 3.0",
        ),
        (lambda: fd.SGD(clipnorm=0), ValueError, "clipnorm: expected a finite number above 0"),
        (lambda: fd.SGD(clipvalue=-1), ValueError, "clipvalue: expected a finite number above 0"),
        (lambda: fd.SGD(global_clipnorm="1"), TypeError, "global_clipnorm: expected a finite"),
        (
            lambda: fd.SGD(clipvalue=1, global_clipnorm=1),
            ValueError,
            "global_clipnorm: expected one way to clip, got clipvalue too",
        ),
        (
            lambda: fd.SGD(gradient_accumulation_steps=0),
            ValueError,
            "gradient_accumulation_steps: expected an integer >= 1, got 0",
        ),
        (
            lambda: fd.SGD(gradient_accumulation_steps=2.0),
            TypeError,
            "gradient_accumulation_steps: expected an integer >= 1, got 2.0",
        ),
    ],
)
def test_senseless_values_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
