"""How many threads share the work, who decides, and that nobody sees it in the results."""

import copy
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import MIXED, OPTIMIZERS

import fusedelta as fd
from fusedelta import _kernels, _threads, threads


def build(n_threads=None, dtype="float32", optimizer="sgd", loss="mean_squared_error"):
    activation = "softmax" if loss.endswith("crossentropy") else "sigmoid"
    layers = [fd.Dense(30, "tanh"), fd.Dense(21, "relu"), fd.Dense(5, activation)]
    return fd.Sequential(layers, loss, optimizer, (17,), dtype, seed=2, n_threads=n_threads)


def data(m, labels=False):
    rng = np.random.default_rng(m)
    X = rng.standard_normal((m, 17))
    return X, (rng.integers(0, 5, m) if labels else rng.random((m, 5)))


# ---- the same bits -------------------------------------------------------------------------------


def test_predictions_are_the_same(eager, isa, dtype):
    for m in (1, 2, 3, 256, 257, 1500):
        X, _ = data(m)
        expected = build(1, dtype).predict(X)
        for n_threads in (2, 3, 5, None):
            np.testing.assert_array_equal(build(n_threads, dtype).predict(X), expected)


@pytest.mark.parametrize("loss", ["mean_squared_error", "sparse_categorical_crossentropy"])
def test_evaluations_are_the_same(eager, isa, dtype, loss):
    for m in (2, 256, 257, 1500):
        X, y = data(m, labels=loss.startswith("sparse"))
        expected = build(1, dtype, loss=loss).evaluate(X, y)
        for n_threads in (2, 3, 5):
            assert build(n_threads, dtype, loss=loss).evaluate(X, y) == expected


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("batch_size", [1, 7])
def test_training_is_the_same(eager, optimizer, batch_size):
    check_training("float64", optimizer, batch_size)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64, 149, None])
def test_training_is_the_same_on_any_instruction_set(eager, isa, batch_size):
    for optimizer in (fd.SGD(0.05), fd.Adam(0.01)):
        check_training("float32", optimizer, batch_size)


def check_training(dtype, optimizer, batch_size):
    X, y = data(150)
    results = []
    for n_threads in (1, 2, 3, 5):
        net = build(n_threads, dtype, optimizer)
        losses = net.fit(X, y, epochs=2, batch_size=batch_size, verbose=0).loss
        results.append((net.params, losses, net.predict(X), net.train_step(X, y)))
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("layers", MIXED.values(), ids=MIXED)
def test_rows_of_all_kinds_are_the_same(eager, isa, dtype, layers):
    check_rows(layers, dtype)


def check_rows(layers, dtype):
    """Also where there are more threads than samples, or than columns to normalise."""
    X = np.random.default_rng(0).standard_normal((600, 11))
    y = np.random.default_rng(1).random((600, 4))
    results = []
    for n_threads in (1, 2, 3, 5):
        loss = "mean_squared_error"
        net = fd.Sequential(layers, loss, "adam", (11,), dtype, seed=1, n_threads=n_threads)
        losses = [net.train_step(X[:m], y[:m]) for m in (3, 64, 600)]
        results.append((losses, *net.get_weights(), net.predict(X), *net.evaluate(X, y).values()))
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_numbers_of_threads_may_change_between_calls(dtype):
    """More, fewer, none asleep and all asleep: what each call does is the same."""
    X, y = data(1500)
    results = []
    for figures in ([1e18] * 8, [1, 1e5, 1e18, 1e6, 1, 1e4, 1e18, 1]):
        net = build(5, dtype)
        for flops in figures * 5:
            before = _threads.use_flops_per_thread(flops)
            net.train_step(X, y)
            outputs = net.predict(X)
            _threads.use_flops_per_thread(before)
        results.append((net.params, outputs))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(got, expected)


SPEEDS = [[1.0, 3.0], [0.3, 1.0, 0.7, 3.9], [1e9, 1e-9, 2.0]]


@pytest.fixture(params=SPEEDS, ids=str)
def uneven(request, eager):
    """Threads start with parts that are not equal."""
    before = _threads.use_first_speeds(request.param)
    yield
    _threads.use_first_speeds(before)


def test_uneven_parts_give_the_same(uneven, isa, dtype):
    for batch_size in (2, 7, 64, 149):
        check_training(dtype, fd.SGD(0.05), batch_size)
    check_training(dtype, fd.Adam(0.01, clipnorm=0.1), 64)


@pytest.mark.parametrize("layers", MIXED.values(), ids=MIXED)
def test_uneven_parts_of_rows_of_all_kinds_are_the_same(uneven, layers):
    check_rows(layers, "float32")


def test_uneven_parts_of_long_rows_are_the_same(uneven, isa):
    """Kernels go other ways where rows are long, and where parts are small."""
    X = np.random.default_rng(0).standard_normal((150, 530))
    results = []
    for n_threads in (1, 2, 3, 5):
        layers = [fd.Dense(1040, "relu"), fd.Dense(530)]
        net = fd.Sequential(
            layers, "mean_squared_error", fd.SGD(0.01), (530,), seed=3, n_threads=n_threads
        )
        losses = [net.train_step(X[:m], X[:m]) for m in (5, 40, 150)]
        results.append((losses, net.params, net.predict(X)))
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


# ---- who takes how much --------------------------------------------------------------------------


@pytest.mark.parametrize("costs", [[7], [5, 5], [1, 3], [900, 1], [3, 1, 2, 8, 1], [0, 4], [-3, 4]])
def test_parts_are_the_whole_in_order(costs):
    """Whatever the total, and where the clock stood still or went back."""
    totals = [*range(40), 785, 10**9] * 3
    for total, parts in zip(totals, _kernels.parts_taken(costs, totals), strict=True):
        assert parts[0, 0] == 0
        assert parts[-1, 1] == total
        assert (parts[1:, 0] == parts[:-1, 1]).all()
        assert (parts[:, 0] <= parts[:, 1]).all()


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([5, 5], [0.5, 0.5]),
        ([100, 170], [17 / 27, 10 / 27]),
        ([3, 1, 2, 2], [1 / 7, 3 / 7, 1.5 / 7, 1.5 / 7]),
        ([10**9, 1], [1 / 17, 16 / 17]),  # no further
        ([0, 5], [0.5, 0.5]),  # one that does not tell
    ],
)
def test_parts_follow_the_speed(costs, expected):
    totals = [10**6] * 100
    parts = np.diff(_kernels.parts_taken(costs, totals))[..., 0] / 1e6
    np.testing.assert_allclose(parts[0], 1 / len(costs), atol=1e-5)
    np.testing.assert_allclose(parts[-1], expected, rtol=1e-3)
    assert (np.abs(parts[1:] / parts[:-1] - 1) < 0.12).all()  # in small steps


def test_no_thread_is_without_a_part_of_what_there_is_enough_of():
    parts = _kernels.parts_taken([10**9, 1], [100] * 100)
    assert (np.diff(parts) >= 4).all()


# ---- how many ------------------------------------------------------------------------------------

COUNT = """
import sys
import numpy as np, psutil
import threadpoolctl
import fusedelta as fd
layers = [fd.Dense(500, "relu"), fd.Dense(1)]
net = fd.Sequential(layers, "mean_squared_error", fd.SGD(1e-4), (500,), n_threads=4)
X, y = np.ones((2000, 500), "float32"), np.ones((2000, 1), "float32")
process = psutil.Process()
before = process.num_threads()
def more(m):
    net.train_step(X[:m], y[:m])
    return process.num_threads() - before
"""


def run(code, **environment):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment}
    environment.pop("FUSEDELTA_ISA", None)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_step_gets_a_thread_for_each_12_million_operations():
    """A sample is 6 * 500 * 501 = 1.5 million."""
    code = COUNT + "print(*[more(m) for m in (1, 16, 17, 24, 25, 26, 33, 34, 2000)])"
    assert run(code) == ["0", "0", "1", "1", "2", "2", "2", "3", "3"]


def test_the_figure_is_a_variable():
    code = COUNT + "print(*[more(m) for m in (1, 2, 3, 4)])"
    assert run(code, FUSEDELTA_THREAD_FLOPS="1.5e6") == ["0", "1", "2", "3"]
    assert run(code, FUSEDELTA_THREAD_FLOPS="") == ["0", "0", "0", "0"]


@pytest.mark.parametrize("value", ["many", "0", "-1", "nan", "inf"])
def test_a_wrong_figure_is_refused(value):
    message = (
        f"FUSEDELTA_THREAD_FLOPS='{value}': "
        "expected operations a thread, at least 1, such as 12.5e6"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        _threads.read_flops(value)
    done = subprocess.run(
        [sys.executable, "-m", "fusedelta", "info"],
        env={**os.environ, "FUSEDELTA_THREAD_FLOPS": value},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (2, f"fusedelta: error: {message}\n")


def test_threadpoolctl_limits_them():
    code = (
        COUNT
        + """
with threadpoolctl.threadpool_limits(limits=1):
    print(more(2000))
with threadpoolctl.threadpool_limits(limits=2, user_api="fusedelta"):
    print(more(2000))
with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
    print(more(2000))
(info,) = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "fusedelta"]
print(info["num_threads"], info["version"] == fd.__version__)
"""
    )
    assert run(code) == ["0", "1", "3", "32768", "True"]


# ---- what the process may use --------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 16 processors, without limits."""
    monkeypatch.setattr(threads, "_processors", lambda: 16)
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_all_processors_without_limits(machine):
    assert threads.available() == 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4", 4), (" 3 ,2", 3), ("99", 16), ("0", 16), ("", 16), ("many", 16), ("-2", 16)],
)
def test_openmp_s_variable(machine, monkeypatch, text, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads.available() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", 16), ("250000 100000", 3), ("10000 100000", 1), ("unreadable", 16)],
)
def test_a_container_s_quota(machine, text, expected):
    Path(threads.QUOTA).write_text(text)
    assert threads.available() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_affinity():
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import fusedelta as fd
print(fd.threads.available(), fd.show_config()["threads"])
"""
    assert run(code) == ["1", "1"]


def test_a_network_takes_what_there_is_unless_told(sequential, machine):
    assert threads.resolve(None) == 16
    assert threads.resolve(40) == 40
    net = sequential.like(build())
    for each in (net, copy.copy(net), pickle.loads(pickle.dumps(net)), sequential.like(net)):
        assert each.n_threads is None
    assert sequential.like(build(3)).n_threads == 3
