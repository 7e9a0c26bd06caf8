"""Networks with rows of several kinds: against the twin, the same bits, states that survive."""

import copy
import pickle
from itertools import product

import numpy as np
import pytest
from cases import MIXED
from conftest import ENGINES

import fusedelta as fd
from fusedelta import _cpu

K, CLASSES = 11, 4


def build(sequential, name, dtype="float64", optimizer="sgd", **settings):
    """A network of `MIXED` that classifies."""
    loss = "sparse_categorical_crossentropy"
    settings = {"input_shape": (K,), "seed": 3, **settings}
    return sequential(MIXED[name], loss, optimizer, dtype=dtype, **settings)


def problem(m=50):
    rng = np.random.default_rng(5)
    return rng.standard_normal((m, K)), rng.integers(0, CLASSES, m)


@pytest.mark.parametrize("batch_size", [1, 7, None])
@pytest.mark.parametrize("optimizer", [fd.SGD(0.02, 0.5), fd.Adam(0.01, epsilon=1e-3)], ids=str)
@pytest.mark.parametrize("name", MIXED)
def test_training_agrees_with_numpy(name, optimizer, batch_size):
    check_training("float64", name, optimizer, batch_size)


@pytest.mark.parametrize("name", MIXED)
def test_training_agrees_with_numpy_on_any_instruction_set(isa, dtype, name):
    check_training(dtype, name, fd.SGD(0.02, 0.5), 7)


def check_training(dtype, name, optimizer, batch_size):
    X, y = problem()
    histories, nets = [], []
    for sequential in ENGINES.values():
        net = build(sequential, name, dtype, optimizer)
        histories.append(net.fit(X, y, epochs=3, batch_size=batch_size, verbose=0))
        nets.append(net)
    tolerance = {"float64": 1e-10, "float32": 3e-4}[dtype]
    np.testing.assert_allclose(histories[0].loss, histories[1].loss, rtol=tolerance)
    for ours, theirs in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(nets[0].predict(X), nets[1].predict(X), atol=tolerance)
    assert nets[0].dropout_state == nets[1].dropout_state


@pytest.mark.parametrize("name", MIXED)
def test_gradients_are_right(engine, name):
    net = build(engine, name)
    for m in (1, 7) if engine is fd.Sequential else (7,):  # the twin does the same for one sample
        check = fd.gradient_check(net, *problem(m))
        assert check.passed, str(check)
        assert any(row.gradient_norm > 0 for row in check.rows[-2:])


@pytest.mark.parametrize("name", MIXED)
def test_gradients_are_those_of_the_next_step(sequential, dtype, name):
    X, y = problem()
    net = build(sequential, name, dtype, fd.SGD(0.125))
    net.fit(X, y, epochs=2, batch_size=7, verbose=0)
    before, state = [w.copy() for w in net.trainable_weights], net.dropout_state
    loss, gradients = net.gradients(X, y)
    assert net.gradients(X, y)[0] == loss
    assert net.dropout_state == state
    assert net.train_step(X, y) == loss
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    for old, gradient, new in zip(before, gradients, net.trainable_weights, strict=True):
        np.testing.assert_allclose(old - 0.125 * gradient, new, atol=tolerance)


@pytest.mark.parametrize("name", MIXED)
def test_a_sample_has_the_same_outputs_alone_and_in_any_batch(isa, dtype, name):
    net = build(fd.Sequential, name, dtype)
    X, y = problem(300)
    net.fit(X, y, epochs=1, batch_size=20, verbose=0)
    X = X.astype(dtype)
    whole = net.predict(X)
    np.testing.assert_array_equal(net.predict(X[100:107]), whole[100:107])
    for i in (0, 17, 299):
        np.testing.assert_array_equal(net.predict_one(X[i]), whole[i])


@pytest.mark.parametrize("name", MIXED)
def test_instruction_sets_train_to_the_same_bits(fused_isas, dtype, name):
    results = []
    for isa in fused_isas:
        before = _cpu.use_isa(isa)
        net = build(fd.Sequential, name, dtype, fd.Adam(0.01))
        losses = [net.fit(*problem(), 2, size, verbose=0).loss for size in (1, 7, None)]
        results.append([*losses, *net.get_weights()])
        _cpu.use_isa(before)
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", MIXED)
def test_any_number_of_threads_gives_the_same_bits(dtype, name):
    """The data are wide, so that steps are large enough for threads."""
    rng = np.random.default_rng(6)
    X, y = rng.standard_normal((301, 1500)), rng.integers(0, CLASSES, 301)
    layers = [fd.Dense(K, "tanh"), *MIXED[name]]
    results = []
    for n_threads in (1, 2, 3):
        net = fd.Sequential(
            layers,
            "sparse_categorical_crossentropy",
            fd.Adam(0.01),
            (1500,),
            dtype,
            seed=4,
            n_threads=n_threads,
        )
        assert 6 * 1500 * K * 301 > 25e6
        net.fit(X, y, epochs=2, verbose=0)
        results.append(net.get_weights())
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


# ---- states --------------------------------------------------------------------------------------


def through_file(net, path):
    net.save(path)
    return type(net).load(path)


CARRIERS = {
    "copy": lambda net, path: copy.copy(net),
    "pickle": lambda net, path: pickle.loads(pickle.dumps(net)),
    "like": lambda net, path: type(net).like(net),
    "npz": lambda net, path: through_file(net, path / "net.npz"),
    "safetensors": lambda net, path: through_file(net, path / "net.safetensors"),
}


@pytest.mark.parametrize(
    ("name", "carry", "seed"),
    [
        *((name, carry, 3) for name, carry in product(MIXED, ["npz", "pickle"])),
        *(("dropout", carry, None) for carry in CARRIERS),
    ],
)
def test_training_goes_on_where_it_was(sequential, name, carry, seed, tmp_path):
    X, y = problem()
    net = build(sequential, name, "float32", fd.Adam(0.01), seed=seed)
    net.fit(X, y, epochs=2, batch_size=16, verbose=0)
    other = CARRIERS[carry](net, tmp_path)
    assert repr(other) == repr(net)
    assert other.dropout_state == net.dropout_state
    for each in (net, other):
        each.fit(X, y, epochs=2, batch_size=16, verbose=0)
    for got, expected in zip(other.get_weights(), net.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_networks_without_inputs_are_copied_too(sequential):
    X, y = problem()
    net = build(sequential, "dropout", input_shape=None, seed=None)
    other = pickle.loads(pickle.dumps(net))
    for each in (net, other):
        each.fit(X, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(net.params, other.params)


# ---- dropout -------------------------------------------------------------------------------------


def test_masks_follow_from_seed_and_step(sequential):
    X, y = problem()

    def losses(seed, step=0):
        net = build(sequential, "dropout", seed=seed)
        net.set_weights([np.linspace(-1, 1, w.size).reshape(w.shape) for w in net.weights])
        net.dropout_state = {**net.dropout_state, "step": step}
        loss = net.gradients(X, y)[0]
        assert net.gradients(X, y)[0] == loss
        assert net.evaluate(X, y)["loss"] == net.evaluate(X, y)["loss"] != loss
        return loss

    assert losses(1) == losses(1)
    assert len({losses(1), losses(2), losses(1, step=1), losses(1, step=2**32)}) == 4


def test_steps_are_counted_where_there_is_dropout(sequential):
    X, y = problem()
    for name, expected in (("dropout", 3 * 4 + 1), ("activation", 0)):
        net = build(sequential, name)
        net.fit(X, y, epochs=3, batch_size=16, verbose=0)
        net.predict(X)
        net.evaluate(X, y)
        net.gradients(X, y)
        net.train_step(X, y)
        net.reset_optimizer()
        assert net.dropout_state["step"] == expected


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (3, ValueError, "dropout_state: expected a dict with 'key', 'step', got 3"),
        ({"step": 3}, ValueError, "dropout_state: expected a dict with 'key', 'step', got"),
        ({"key": 2**64, "step": 3}, ValueError, r"dropout_state\['key'\]: .* and below"),
        ({"key": 0, "step": -1}, ValueError, r"dropout_state\['step'\]: .* >= 0 .*got -1"),
        ({"key": 0, "step": 0.5}, TypeError, r"dropout_state\['step'\]: .*got 0.5"),
    ],
)
def test_refused_states(sequential, state, error, message):
    net = build(sequential, "dropout")
    before = net.dropout_state
    with pytest.raises(error, match=message):
        net.dropout_state = state
    assert net.dropout_state == before


def test_dropout_cures_overfitting():
    """Few samples, many features, noisy labels: far less loss on data that were not trained on."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 20))
    y = ((X[:, :3].sum(1) + rng.standard_normal(500)) > 0) * 1
    train, test = (X[:100], y[:100]), (X[100:], y[100:])
    losses = []
    for rate in (0.0, 0.5):
        layers = [
            fd.Dropout(rate),
            fd.Dense(32, "relu"),
            fd.Dropout(rate),
            fd.Dense(32, "relu"),
            fd.Dropout(rate),
            fd.Dense(1, "sigmoid"),
        ]
        net = fd.Sequential(layers, "binary_crossentropy", fd.Adam(0.001), seed=1)
        net.fit(*train, epochs=100, batch_size=10, verbose=0)
        losses.append([net.evaluate(*part)["loss"] for part in (train, test)])
    (train_without, test_without), (train_with, test_with) = losses
    assert train_without < 0.05 < train_with
    assert test_with < 0.75 * test_without


# ---- tables --------------------------------------------------------------------------------------


def test_summary_shows_every_layer():
    net = build(fd.Sequential, "dropout")
    assert net.summary().rows == [
        ("dropout_0", "(None, 11)", "", 0),
        ("dense_1", "(None, 20)", "tanh", 240),
        ("dropout_2", "(None, 20)", "", 0),
        ("dense_3", "(None, 17)", "sigmoid", 357),
        ("dropout_4", "(None, 17)", "", 0),
        ("dense_5", "(None, 4)", "softmax", 72),
    ]
    names = [row.name for row in fd.gradient_check(net, *problem(2)).rows]
    assert names == ["W1", "b1", "W3", "b3", "W5", "b5"]
    shapes = [row.shape for row in fd.gradient_flow(net, *problem(2)).rows]
    assert shapes == [(11, 20), (20, 17), (17, 4)]
