"""The compiled engine as a whole: against its NumPy twin, bit for bit with itself, under load."""

import dataclasses
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from itertools import product

import numpy as np
import psutil
import pytest
from cases import ACTIVATIONS, ELEMENTWISE, OPTIMIZERS
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import fusedelta as fd
from fusedelta import _cpu
from fusedelta.sources import draw_orders

# An exponential of an exponential overflows
HIDDEN = [act for act in ELEMENTWISE if act != "exponential"]
PAIRS = [(act, "mean_squared_error") for act in ACTIVATIONS] + [
    ("tanh", "half_sum_squared_error"),
    ("softmax", "half_sum_squared_error"),
    *((act, loss) for act in ("linear", "gelu") for loss in ("huber", "log_cosh", "quantile")),
    ("exponential", "poisson"),
    ("softplus", "poisson"),
    ("linear", "hinge"),
    ("tanh", "squared_hinge"),
    ("sigmoid", "binary_crossentropy"),
    ("sigmoid", "binary_focal_crossentropy"),
    ("softmax", "categorical_crossentropy"),
    ("softmax", "categorical_focal_crossentropy"),
    ("softmax", "kl_divergence"),
    ("softmax", "sparse_categorical_crossentropy"),
]


def layer(units, act):
    return fd.Dense(units, fd.LeakyReLU(0.1) if act == "leaky_relu" else act)


def data(loss, m, k, n, rng):
    """Random inputs, and targets that suit the loss."""
    X = rng.standard_normal((m, k))
    if loss == "sparse_categorical_crossentropy":
        return X, rng.integers(0, n, m)
    if "hinge" in loss:
        return X, rng.choice([-1.0, 1.0], (m, n))
    if loss.startswith(("categorical", "kl")):
        return X, np.eye(n)[rng.integers(0, n, m)]
    return X, (rng.random((m, n)) > 0.5) * 1.0 if "binary" in loss else rng.random((m, n))


@st.composite
def problems(draw):
    """Layers, loss and shapes of a random network with its batch."""
    act, loss = draw(st.sampled_from(PAIRS))
    k, m, seed = (draw(st.integers(1, top)) for top in (600, 300, 10_000))
    widest = draw(st.sampled_from([16, 200, 600]))
    hidden = draw(st.lists(st.tuples(st.integers(1, widest), st.sampled_from(HIDDEN)), max_size=5))
    n = draw(st.integers(2 if act == "softmax" else 1, widest))
    layers = [layer(units, kind) for units, kind in [*hidden, (n, act)]]
    return layers, loss, (m, min(k, widest), n), draw(st.sampled_from(OPTIMIZERS)), seed


def close(got, expected, tolerance):
    """Whether arrays agree relative to the largest value of all of them."""
    size = max(np.abs(e).max() for e in expected)
    return all(np.abs(g - e).max() <= tolerance * size for g, e in zip(got, expected, strict=True))


KINKS = {"relu": [0], "leaky_relu": [0], "selu": [0], "hard_sigmoid": [-3, 3], "hard_tanh": [-1, 1]}


def on_a_kink(twin, layers):
    """Whether rounding decides on which side of a kink an input lies."""
    return any(
        np.any(np.abs(computed.Z - kink) <= 5e-6 * np.abs(computed.Z).max())
        for computed, layer in zip(twin._engine._layers, layers, strict=True)
        for kink in KINKS.get(layer.kind, [])
    )


@pytest.mark.filterwarnings("ignore::fusedelta.DivergenceWarning")  # as some do: both together
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(problem=problems())
def test_random_networks_agree_with_numpy(isa, dtype, problem):
    layers, loss, (m, k, n), optimizer, seed = problem
    X, y = data(loss, m, k, n, np.random.default_rng(seed))
    rate = 1e-3 / (m * n) if loss == "half_sum_squared_error" else 1e-3
    # first steps go by the signs of gradients, so that these must not be rounding alone
    changes = {"epsilon": 1e-3} if hasattr(optimizer, "epsilon") else {}
    if isinstance(optimizer, fd.Lion):  # all its steps do
        rate = {"float64": 1e-13, "float32": 1e-7}[dtype]
    optimizer = dataclasses.replace(optimizer, learning_rate=rate, **changes)
    net, twin = (
        kind(layers, loss, optimizer, input_shape=(k,), dtype=dtype, seed=seed)
        for kind in (fd.Sequential, fd.reference.Sequential)
    )
    tolerance = {"float64": 1e-11, "float32": 2e-4}[dtype]
    assert close([net.predict(X)], [twin.predict(X)], tolerance)
    assume(dtype == "float64" or not on_a_kink(twin, layers))
    (value, gradients), (expected, expected_gradients) = net.gradients(X, y), twin.gradients(X, y)
    assume(abs(expected) < 1e20)  # of exponential outputs: its steps magnify every rounding
    assert value == pytest.approx(expected, rel=tolerance)
    assert close(gradients, expected_gradients, tolerance)
    batch = max(1, m // 3)
    histories = [each.fit(X, y, epochs=2, batch_size=batch, verbose=0) for each in (net, twin)]
    assert histories[0].divergence == histories[1].divergence
    assert histories[0].loss == pytest.approx(histories[1].loss, rel=tolerance)
    assert close(net.get_weights(), twin.get_weights(), tolerance)
    padding = net.params.size - sum(w.size for w in net.weights)
    assert np.count_nonzero(net.params == 0) >= padding


@pytest.mark.parametrize(
    ("hidden", "act", "loss"),
    [
        *(("tanh", act, loss) for act, loss in PAIRS),
        *((hidden, "softmax", "sparse_categorical_crossentropy") for hidden in ELEMENTWISE),
    ],
)
def test_gradients_are_right(isa, hidden, act, loss, rng):
    for widths, m in (((5, 4), 1), ((5, 4), 7), ((20, 18), 7)):
        layers = [layer(widths[0], hidden), layer(widths[1], hidden), layer(3, act)]
        net = fd.Sequential(layers, loss, input_shape=(4,), dtype="float64", seed=1)
        X, y = data(loss, m, 4, 3, rng)
        result = fd.gradient_check(net, X, y)
        assert result.passed, str(result)


# ---- the same bits -------------------------------------------------------------------------------

NETS = [
    ([2, 16, 8, 1], "tanh", "sigmoid", "binary_crossentropy"),
    ([7, 33, 20, 5], "relu", "softmax", "sparse_categorical_crossentropy"),
    ([130, 1030, 3], "sigmoid", "sigmoid", "mean_squared_error"),
]


def build(sizes, hidden, act, loss, dtype, optimizer=OPTIMIZERS[0]):
    layers = [*(layer(units, hidden) for units in sizes[1:-1]), layer(sizes[-1], act)]
    return fd.Sequential(layers, loss, optimizer, input_shape=(sizes[0],), dtype=dtype, seed=3)


@pytest.mark.parametrize("spec", NETS, ids=lambda spec: "-".join(map(str, spec[0])))
def test_a_sample_has_the_same_outputs_alone_and_in_any_batch(isa, dtype, spec, rng):
    net = build(*spec, dtype)
    X = rng.standard_normal((300, spec[0][0])).astype(dtype)
    whole = net.predict(X)
    np.testing.assert_array_equal(net.predict(X[100:107]), whole[100:107])
    for i in (0, 17, 299):
        np.testing.assert_array_equal(net.predict_one(X[i]), whole[i])
        np.testing.assert_array_equal(net.predict(X[i : i + 1])[0], whole[i])


def trained_params(spec, dtype, batch_size, optimizer=OPTIMIZERS[0]):
    rng = np.random.default_rng(5)
    net = build(*spec, dtype, optimizer)
    X, y = data(spec[3], 50, spec[0][0], spec[0][-1], rng)
    net.fit(X, y, epochs=3, batch_size=batch_size, verbose=0)
    return net.params.copy()


@pytest.mark.parametrize(
    ("spec", "batch_size", "optimizer"),
    [
        *product(NETS, [1, 2, 16, None], OPTIMIZERS[:2]),
        *product(NETS[1:2], [16], OPTIMIZERS[2:]),
    ],
    ids=lambda value: "-".join(map(str, value[0])) if type(value) is tuple else str(value),
)
def test_instruction_sets_train_to_the_same_bits(fused_isas, dtype, spec, batch_size, optimizer):
    results = []
    for isa in fused_isas:
        before = _cpu.use_isa(isa)
        results.append(trained_params(spec, dtype, batch_size, optimizer))
        _cpu.use_isa(before)
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("spec", NETS, ids=lambda spec: "-".join(map(str, spec[0])))
def test_training_repeats_itself(isa, dtype, spec):
    np.testing.assert_array_equal(trained_params(spec, dtype, 16), trained_params(spec, dtype, 16))


# ---- threads -------------------------------------------------------------------------------------


def threaded(n_threads, dtype="float32", optimizer=OPTIMIZERS[0]):
    """A network and data that are large enough for several threads."""
    layers = [fd.Dense(128, "tanh"), fd.Dense(64, "relu"), fd.Dense(10, "softmax")]
    loss = "sparse_categorical_crossentropy"
    net = fd.Sequential(layers, loss, optimizer, (300,), dtype, seed=4, n_threads=n_threads)
    return net, *data(loss, 301, 300, 10, np.random.default_rng(6))


@pytest.mark.parametrize("optimizer", [fd.SGD(0.05), fd.SGD(0.05, 0.9), fd.Adam(0.01)], ids=str)
def test_any_number_of_threads_gives_the_same_bits(isa, dtype, optimizer):
    """With the work that a thread is worth; with less, and other optimisers: test_threads.py."""
    results = []
    for n_threads in (1, 2, 4):
        net, X, y = threaded(n_threads, dtype, optimizer)
        history = net.fit(X, y, epochs=3, batch_size=150, verbose=0)
        net.train_step(X, y)
        results.append((net.params, history.loss, history.accuracy))
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_gets_a_team_of_its_own():
    code = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_net import threaded
net, X, y = threaded(2)
net.train_step(X, y)
child = os.fork()
loss = net.train_step(X, y)
if child == 0:
    os._exit(0 if loss > 0 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code, os.path.dirname(__file__)], timeout=60)
    assert done.returncode == 0


# ---- the instruction set that was asked for ------------------------------------------------------


def run_python(code, **environment):
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)


@pytest.mark.parametrize("name", _cpu.available_isas())
def test_environment_forces_the_instruction_set(name):
    done = run_python("import fusedelta; print(fusedelta.show_config()['isa'])", FUSEDELTA_ISA=name)
    assert done.stdout.strip() == name


def test_unknown_instruction_set_is_refused():
    done = run_python("import fusedelta", FUSEDELTA_ISA="avx9000")
    runs = ", ".join(_cpu.available_isas())
    assert f"ValueError: FUSEDELTA_ISA='avx9000': this machine runs {runs}" in done.stderr


@pytest.mark.parametrize("started", ["module", "script"])
def test_the_command_refuses_it_in_one_line(started, tmp_path):
    script = tmp_path / "fusedelta"
    script.write_text("import sys\nfrom fusedelta.cli import main\nsys.exit(main())\n")
    done = subprocess.run(
        [sys.executable, *(["-m", "fusedelta"] if started == "module" else [script]), "info"],
        env={**os.environ, "FUSEDELTA_ISA": "avx9000"},
        capture_output=True,
        text=True,
    )
    runs = ", ".join(_cpu.available_isas())
    error = f"FUSEDELTA_ISA='avx9000': this machine runs {runs}; name one of them or none"
    assert done.stderr == f"fusedelta: error: {error}\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_instruction_sets_really_differ(dtype):
    """The tables are not one table under three names: base rounds twice where the others fuse."""
    if _cpu.available_isas() == ["base"]:
        pytest.skip("only base runs here")
    results = []
    for isa in ("base", _cpu.available_isas()[0]):
        before = _cpu.use_isa(isa)
        results.append(trained_params(NETS[1], dtype, 16))
        _cpu.use_isa(before)
    assert (results[0] != results[1]).any()


# ---- memory, threads, signals --------------------------------------------------------------------


def test_many_small_calls_do_not_grow_memory(rng):
    net = build(*NETS[0], "float32")
    X = rng.standard_normal((30, 2)).astype("float32")
    y = np.ones((30, 1), "float32")

    def calls(count):
        for _ in range(count):
            net.train_step(X, y)
            net.predict(X)
            net.predict_one(X[0])
            net.fit(X, y, epochs=1, batch_size=7, verbose=0)
        gc.collect()

    calls(200)
    process = psutil.Process()
    resident = process.memory_info().rss
    tracemalloc.start()
    calls(200)
    before, _ = tracemalloc.get_traced_memory()
    calls(1000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 10_000
    calls(2000)
    assert process.memory_info().rss - resident < 4_000_000


def test_predictions_from_many_threads_agree(rng):
    net = build(*NETS[1], "float32")
    X = rng.standard_normal((3000, 7)).astype("float32")
    expected = net.predict(X)
    wrong = []

    def predict():
        wrong.extend(np.count_nonzero(net.predict(X) != expected) for _ in range(30))

    threads = [threading.Thread(target=predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 4 * 30
    assert not any(wrong)


def test_a_network_in_training_is_busy(rng):
    net = build([64, 256, 256, 1], "tanh", "linear", "mean_squared_error", "float32")
    X, y = data("mean_squared_error", 2000, 64, 1, rng)
    thread = threading.Thread(
        target=net.fit, args=(X, y), kwargs={"epochs": 40, "batch_size": 50, "verbose": 0}
    )
    thread.start()
    while thread.is_alive() and not net._engine.training:
        time.sleep(0.001)
    with pytest.raises(
        RuntimeError, match="this network is already being fitted in another thread"
    ):
        net.fit(X, y, verbose=0)
    with pytest.raises(RuntimeError, match="this network is training in another thread"):
        net.train_step(X, y)
    with pytest.raises(RuntimeError, match="this network is training in another thread"):
        net.predict(X)
    thread.join()
    assert np.isfinite(net.predict(X)).all()


@pytest.mark.skipif(sys.platform == "win32", reason="no interval timer on Windows")
def test_ctrl_c_ends_a_fit_at_once_and_leaves_a_sound_network(rng):
    net = build([64, 256, 256, 1], "tanh", "linear", "mean_squared_error", "float32")
    X, y = data("mean_squared_error", 5000, 64, 1, rng)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, y, epochs=10**6, batch_size=100, shuffle=False, verbose=0)
        assert time.monotonic() - start < 1.5
    finally:
        signal.signal(signal.SIGALRM, before)
    assert np.isfinite(net.params).all()
    net.fit(X, y, epochs=1, batch_size=100, verbose=0)


# ---- real data -----------------------------------------------------------------------------------


def test_digits_are_learned():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X = X / 16
    parts = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    X_train, X_test, y_train, y_test = parts
    net = fd.Sequential(
        [fd.Dense(64, "relu"), fd.Dense(64, "relu"), fd.Dense(10, "softmax")],
        loss="sparse_categorical_crossentropy",
        optimizer=fd.SGD(0.2),
        seed=0,
    )
    net.fit(X_train, y_train, epochs=60, batch_size=32, verbose=0)
    assert net.evaluate(X_test, y_test)["accuracy"] >= 0.97


@pytest.mark.parametrize(("zeros", "shuffle"), [(0.0, True), (0.3, False), (0.9, True)])
def test_the_next_sample_may_be_begun_with_an_update(isa, dtype, rng, zeros, shuffle):
    """One walk over the first weights for an update and the next product: the bits of two."""
    k, n, m, epochs = 600, 40, 7, 3
    X = rng.standard_normal((m, k)) * (rng.random((m, k)) >= zeros)
    y = rng.standard_normal((m, n))
    layers = [fd.Dense(n, "tanh"), fd.Dense(n)]
    nets = [
        fd.Sequential(layers, "mean_squared_error", fd.SGD(0.01), (k,), dtype, seed=3)
        for _ in range(2)
    ]
    losses = nets[0].fit(X, y, epochs, batch_size=1, shuffle=shuffle, verbose=0).loss
    orders = np.tile(np.arange(m), (epochs, 1))
    if shuffle:
        orders = draw_orders(nets[1]._rng_shuffle, epochs, m)
    steps = [[nets[1].train_step(X[[i]], y[[i]]) for i in order] for order in orders]
    assert losses == pytest.approx(np.mean(steps, axis=1))
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_next_batch_may_be_asked_for_with_an_update(isa, dtype, rng, shuffle, n_threads):
    """Batches that no near cache holds, the last of an epoch smaller: the bits of single steps."""
    k, n, m, size, epochs = 300, 100, 150, 64, 2
    X = rng.standard_normal((m, k))
    y = rng.standard_normal((m, n))
    settings = {"input_shape": (k,), "dtype": dtype, "seed": 3, "n_threads": n_threads}
    nets = [
        fd.Sequential([fd.Dense(n, "relu"), fd.Dense(n)], "mean_squared_error", **settings)
        for _ in range(2)
    ]
    nets[0].fit(X, y, epochs, batch_size=size, shuffle=shuffle, verbose=0)
    orders = np.tile(np.arange(m), (epochs, 1))
    if shuffle:
        orders = draw_orders(nets[1]._rng_shuffle, epochs, m)
    for order in orders:
        for first in range(0, m, size):
            batch = order[first : first + size]
            nets[1].train_step(X[batch], y[batch])
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
