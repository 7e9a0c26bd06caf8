"""`profile`: what is counted, that nothing else changes, and who is watched."""

import copy
import pickle
import re
import threading

import numpy as np
import pytest
from cases import OPTIMIZERS

import fusedelta as fd
from fusedelta import cli, profiling
from fusedelta.profiling import PassTime, Profile

# Sizes, batch: batches by samples, one sample at a time, and feature-major
PATHS = {"dense": ([20, 40, 3], 8), "online": ([20, 40, 3], 1), "narrow": ([5, 7, 3], 8)}
SAMPLES = 24


def build(cls, sizes, optimizer="sgd", dtype="float32", **settings):
    layers = [*(fd.Dense(n, "tanh") for n in sizes[1:-1]), fd.Dense(sizes[-1], "sigmoid")]
    settings = {"input_shape": (sizes[0],), "seed": 3, **settings}
    return cls(layers, "mean_squared_error", optimizer, dtype=dtype, **settings)


def data(sizes, m=SAMPLES):
    rng = np.random.default_rng(0)
    return rng.standard_normal((m, sizes[0])), rng.random((m, sizes[-1]))


@pytest.mark.parametrize("path", PATHS)
def test_passes_are_counted(sequential, dtype, path):
    (k, h, n), batch = PATHS[path]
    net = build(sequential, (k, h, n), fd.Adam(), dtype)
    X, y = data((k, h, n))
    net.fit(X, y, epochs=5, batch_size=batch, verbose=0, profile=True)
    steps, first, second = 5 * SAMPLES // batch, 2.0 * k * h, 2.0 * h * n
    hidden, output = ("dense_0", f"{k} x {h} tanh"), ("dense_1", f"{h} x {n} sigmoid")
    assert [(*row[:4], row.flops) for row in net.profile_.rows] == [
        (*hidden, "forward", steps, first * 5 * SAMPLES),
        (*output, "forward", steps, second * 5 * SAMPLES),
        ("", "", "loss", steps, 0),
        (*output, "backward", steps, second * 5 * SAMPLES),
        (*output, "update", steps, second * 5 * SAMPLES),
        (*hidden, "update", steps, first * 5 * SAMPLES),
        ("", "", "optimizer", steps, 0),
    ]
    assert all(row.seconds > 0 for row in net.profile_.rows if row.layer)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("path", PATHS)
def test_nothing_else_changes(path, optimizer):
    check_that_nothing_else_changes(fd.Sequential, "float32", path, optimizer)


@pytest.mark.parametrize("path", PATHS)
def test_nothing_else_changes_in_any_engine(engine, dtype, path):
    """Without a profile some steps are one kernel, with one they are several."""
    for optimizer in (fd.SGD(0.05), fd.Adam(0.01)):
        check_that_nothing_else_changes(engine, dtype, path, optimizer)


def check_that_nothing_else_changes(sequential, dtype, path, optimizer):
    sizes, batch = PATHS[path]
    X, y = data(sizes)
    results = []
    for profiles in ((False, False, False), (True, False, True)):
        net = build(sequential, sizes, optimizer, dtype)
        losses = [
            net.fit(X, y, epochs=2, batch_size=batch, verbose=0, profile=profile).loss
            for profile in profiles
        ]
        results.append((net.params, np.concatenate(losses), net.predict(X)))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_plain_descent_has_no_optimizer_of_its_own():
    X, y = data((20, 40, 3))
    net, twin = (build(cls, (20, 40, 3)) for cls in (fd.Sequential, fd.reference.Sequential))
    with fd.profile() as passes:
        net.train_step(X, y)
    assert "optimizer" not in [row.phase for row in passes.rows]
    with fd.profile(twin) as passes:
        twin.train_step(X, y)
    assert passes.rows[-1].phase == "optimizer"


def test_seconds_are_seconds(sequential):
    net = build(sequential, (200, 300, 50), n_threads=1)
    X, y = data((200, 300, 50), 500)
    net.fit(X, y, epochs=10, batch_size=100, verbose=0, profile=True)
    passes = net.profile_
    within = sum(row.seconds for row in passes.rows)
    assert passes.seconds / 4 < within < passes.seconds
    assert within + passes.other_seconds == pytest.approx(passes.seconds)
    by_phase = [passes.of(phase) for phase in profiling.PHASES]
    assert sum(by_phase) == pytest.approx(within)
    assert 0 <= passes.clock_seconds < passes.seconds
    assert passes.rows[0].gflops == pytest.approx(2e-9 * 200 * 300 * 5000 / passes.rows[0].seconds)
    with pytest.raises(ValueError, match="phase: expected one of 'forward', 'loss'"):
        passes.of("sideways")


def test_the_clock_is_counted_in_the_compiled_engine():
    net = build(fd.Sequential, (5, 7, 3))
    net.fit(*data((5, 7, 3)), epochs=200, verbose=0, profile=True)
    assert net.profile_.clock_seconds > 0


def test_threads_are_one_line_each():
    X, y = data((300, 200, 10), 301)
    results = []
    for n_threads in (1, 3):
        net = build(fd.Sequential, (300, 200, 10), fd.Adam(), n_threads=n_threads)
        net.fit(X, y, epochs=4, verbose=0, profile=True)
        counts = [(row.layer, row.phase, row.calls, row.flops) for row in net.profile_.rows]
        results.append((counts, net.params.tobytes()))
    assert results[0] == results[1]


def test_other_work_is_counted_too(sequential):
    sizes = (5, 7, 3)
    X, y = data(sizes)
    net = build(sequential, sizes)
    with fd.profile(net) as passes:
        net.predict(X)
        net.predict_one(X[0])
        net.evaluate(X, y)
        net.gradients(X, y)
        net.train_step(X, y)
    calls = {(row.layer, row.phase): row.calls for row in passes.rows}
    assert calls["dense_0", "forward"] == 5
    assert calls["", "loss"] == 3
    assert calls["dense_1", "backward"] == calls["dense_0", "update"] == 2
    net.train_step(X, y)
    assert {(row.layer, row.phase): row.calls for row in passes.rows} == calls


def test_who_is_watched(sequential):
    X, y = data((5, 7, 3))
    first, second = build(sequential, (5, 7, 3)), build(sequential, (5, 8, 3))
    with fd.profile(second) as passes:
        first.train_step(X, y)
        second.train_step(X, y)
    assert {row.shape for row in passes.rows if row.layer == "dense_0"} == {"5 x 8 tanh"}
    with fd.profile() as passes:
        first.train_step(X, y)
        made_here = build(sequential, (5, 9, 3), input_shape=None)
        made_here.train_step(X, y)
    shapes = {row.shape for row in passes.rows if row.layer == "dense_0"}
    assert shapes == {"5 x 7 tanh", "5 x 9 tanh"}
    unbuilt = build(sequential, (5, 6, 3), input_shape=None)
    with fd.profile(unbuilt) as passes:
        made_here.train_step(X, y)
        unbuilt.fit(X, y, verbose=0)
    assert {row.shape for row in passes.rows if row.layer == "dense_0"} == {"5 x 6 tanh"}


def test_an_error_within_ends_the_profile(sequential):
    net = build(sequential, (5, 7, 3))
    X, y = data((5, 7, 3))
    with pytest.raises(ValueError, match="y: expected"), fd.profile(net) as passes:
        net.train_step(net.predict(X) @ np.ones((3, 5)), y[:0])
    assert [row.calls for row in passes.rows] == [1, 1]
    with pytest.raises(ValueError, match="X: expected shape"):
        net.fit(X[:, :2], y, verbose=0, profile=True)
    assert net.profile_.rows == []
    with fd.profile(net) as passes:
        net.train_step(X, y)
    assert passes.rows[0].calls == 1


def test_refusals():
    net = build(fd.Sequential, (5, 7, 3))
    X, y = data((5, 7, 3))
    with (
        pytest.raises(TypeError, match=r"profile: expected networks, got 3 \(int\)"),
        fd.profile(net, 3),
    ):
        pass
    with pytest.raises(TypeError, match=r"profile: expected True or False, got 1 \(int\)"):
        net.fit(X, y, profile=1)
    with fd.profile(net), pytest.raises(RuntimeError, match="another profile is being recorded"):
        net.fit(X, y, verbose=0, profile=True)


def test_a_network_in_training_cannot_be_watched():
    net = build(fd.Sequential, (64, 256, 3))
    X, y = data((64, 256, 3), 2000)
    settings = {"epochs": 40, "batch_size": 50, "verbose": 0}
    thread = threading.Thread(target=net.fit, args=(X, y), kwargs=settings)
    thread.start()
    while thread.is_alive() and not net._engine.training:
        pass
    with pytest.raises(RuntimeError, match="training in another thread"), fd.profile(net):
        pass
    thread.join()
    with fd.profile(net) as passes:
        net.train_step(X, y)
    assert passes.rows[0].calls == 1


def test_fit_prints_and_keeps_the_table(sequential, capsys):
    net = build(sequential, (5, 7, 3))
    X, y = data((5, 7, 3))
    assert net.profile_ is None
    net.fit(X, y, verbose=0, profile=True)
    assert capsys.readouterr().out == ""
    assert str(pickle.loads(pickle.dumps(net)).profile_) == str(net.profile_)
    assert str(copy.copy(net).profile_) == str(net.profile_)
    net.fit(X, y, profile=True)
    assert capsys.readouterr().out.endswith(f"\n{net.profile_}\n")
    net.fit(X, y, verbose=0)
    assert net.profile_ is None


def test_the_table():
    rows = [
        PassTime("dense_0", "784 x 128 relu", "forward", 1000, 0.05, 4e9),
        PassTime("", "", "loss", 1000, 0.01, 0.0),
    ]
    passes = Profile(rows, seconds=0.1, clock_seconds=0.002)
    assert str(passes).splitlines() == [
        "Layer    Shape           Phase    Calls  Time a call  GFLOP/s  Share",
        "-------  --------------  -------  -----  -----------  -------  -----",
        "dense_0  784 x 128 relu  forward  1,000        50 us       80  50.0%",
        "                         loss     1,000        10 us           10.0%",
        "                         other                                 40.0%",
        "Total: 100 ms, and 2 ms to read the clock",
    ]
    assert repr(passes) == "Profile(2 passes, 100 ms)"
    assert np.isnan(rows[1].gflops)
    assert "other" in str(Profile())


# ---- both engines side by side -------------------------------------------------------------------


def test_compare_shows_the_passes_of_both():
    net = build(fd.Sequential, (20, 40, 3))
    X, y = data((20, 40, 3))
    result = fd.compare(net, X, y, steps=20, batch_size=8, verbose=0, profile=True)
    assert result.passes.steps == 21  # whole epochs of three
    calls = [
        {(row.layer, row.phase): row.calls for row in passes.rows}
        for passes in (result.passes.compiled, result.passes.reference)
    ]
    assert set(calls[0].values()) == {21}
    assert {**calls[0], ("", "optimizer"): 21} == calls[1]  # plain SGD has none, compiled
    lines = str(result).splitlines()
    assert lines[0].split() == ["Layer", "Shape", "Phase", "Compiled", "NumPy", "Ratio"]
    phases = ["forward", "forward", "loss", "backward", "update", "update", "optimizer", "other"]
    for line, phase in zip(lines[2:10], phases, strict=True):
        columns = re.split("  +", line.strip())
        assert phase in columns
        assert len(columns) == columns.index(phase) + (2 if phase == "optimizer" else 4)
    assert lines[11].startswith("Time per training step")
    assert repr(result.passes).startswith("StepProfile(Profile(6 passes")
    assert fd.compare(net, X, y, steps=1, verbose=0).passes is None
    with pytest.raises(TypeError, match=r"profile: expected True or False, got 'all' \(str\)"):
        fd.compare(net, X, y, profile="all")


def test_command_line(capsys):
    assert cli.main(["compare", "xor", "--profile", "--dtype", "float64"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("xor, float64\nLayer ")
    assert re.search(r"^dense_1 +2 x 1 sigmoid +backward +\S+ [nu]s +\S+ [um]s +\S+$", output, re.M)
    arguments = ["train", "--dataset", "iris", "--epochs", "2", "--hidden", "8", "--profile"]
    for quiet in ([], ["--quiet"]):
        assert cli.main([*arguments, *quiet]) == 0
        output = capsys.readouterr().out
        assert len(re.findall("Time a call", output)) == 1
        assert "dense_0  4 x 8 relu" in output


def test_a_network_named_twice_is_watched_once():
    net = fd.Sequential([fd.Dense(3, "relu")], "mse", input_shape=(2,), seed=0)
    with fd.profile(net, net) as passes:
        net.predict(np.ones((5, 2)))
    assert [row.calls for row in passes.rows if row.phase == "forward"] == [1]
