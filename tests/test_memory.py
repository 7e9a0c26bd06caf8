"""What a network holds, part by part, and that training takes no more."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from cases import ISAS

import fusedelta as fd

PEAK = """
import sys
import numpy as np, psutil
import fusedelta as fd

optimizer, n_threads, shuffle = eval(sys.argv[1])

def build(k, units):
    layers = [fd.Dense(units, "relu"), fd.Dense(units, "relu"), fd.Dense(10, "softmax")]
    loss = "sparse_categorical_crossentropy"
    return fd.Sequential(layers, loss, optimizer, (k,), seed=0, n_threads=n_threads)

def data(m, k):
    rng = np.random.default_rng(0)
    return rng.random((m, k), dtype=np.float32), rng.integers(0, 10, m)

build(4, 20).fit(*data(9, 4), batch_size=3, shuffle=shuffle, verbose=0)
before = psutil.Process().memory_info().rss
X, y = data(1600, 500)
net = build(500, 1000)
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")  # the peak begins anew
net.fit(X, y, batch_size=1500, shuffle=shuffle, verbose=0)
with open("/proc/self/status") as status:
    (peak,) = [1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM")]
print(peak - before, sum(net.memory.values()) + X.nbytes + y.nbytes)
"""

EDGE = """
import ctypes, mmap, sys
import numpy as np
import fusedelta as fd

libc, blocks, rng = ctypes.CDLL(None), [], np.random.default_rng(0)

def at_the_edge(array):  # of memory: a page behind it must not be touched
    size = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    block = mmap.mmap(-1, size + mmap.PAGESIZE)
    blocks.append(block)
    end = ctypes.addressof(ctypes.c_char.from_buffer(block)) + size
    bytes = np.frombuffer(block, np.uint8)[size - array.nbytes : size]
    copy = bytes.view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert libc.mprotect(ctypes.c_void_p(end), mmap.PAGESIZE, 0) == 0
    return copy

if "beyond" in sys.argv:
    x = at_the_edge(np.ones(3))
    np.lib.stride_tricks.as_strided(x, (4,)).sum()
for dtype in ("float32", "float64"):
    for sizes in ((2, 1), (5, 4, 1), (17, 3), (30, 1), (1000, 2), (40, 20, 1), (33, 70), (99, 9)):
        for m in (1, 2, 5, 16, 37, 130):
            X, y = (at_the_edge(rng.random((m, n)).astype(dtype)) for n in (sizes[0], sizes[-1]))
            weights, out = at_the_edge(rng.random(m).astype(dtype)), at_the_edge(np.zeros_like(y))
            layers = [fd.Dense(n, "tanh") for n in sizes[1:]]
            net = fd.Sequential(layers, "mse", fd.SGD(0.01), (sizes[0],), dtype, n_threads=2)
            net.train_step(X, y, weights)
            net.fit(X, y, 2, sample_weight=weights, shuffle=False, verbose=0)
            for batch_size in (1, 4):
                net.fit(X, y, 2, batch_size, verbose=0)
            net.predict(X, out=out)
            net.predict_one(X[-1])
            net.evaluate(X, y)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="no /proc/self/clear_refs")
@pytest.mark.parametrize(
    ("optimizer", "n_threads", "shuffle"),
    [
        ("fd.SGD(0.01)", 1, True),
        ("fd.SGD(0.01)", 2, False),
        ("fd.Adam()", 1, False),
        ("fd.Adam()", 2, True),
    ],
)
def test_fit_takes_what_it_says(optimizer, n_threads, shuffle):
    """At its peak the process is larger by what `memory` lists and by the data, and no more."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, f"({optimizer}, {n_threads}, {shuffle})"],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    peak, listed = map(int, done.stdout.split())
    assert 0.8 * listed < peak < 1.1 * listed


def build(sizes, optimizer="sgd", **settings):
    layers = [*(fd.Dense(n, "tanh") for n in sizes[1:-1]), fd.Dense(sizes[-1])]
    settings = {"dtype": "float64", "seed": 0, "n_threads": 1, **settings}
    return fd.Sequential(layers, "mean_squared_error", optimizer, (sizes[0],), **settings)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("width", [523, 601])
def test_matrices_lie_on_whole_blocks_whatever_the_sizes(width, n_threads):
    """What lay behind scratch of 7 x 523 elements, which are no whole blocks, once crashed."""
    X = np.random.default_rng(0).standard_normal((7, width))
    nets = [
        cls(
            [fd.Dense(width, "tanh"), fd.Dense(width, "tanh"), fd.Dense(3)],
            "mean_squared_error",
            input_shape=(width,),
            dtype="float64",
            seed=0,
            n_threads=n_threads,
        )
        for cls in (fd.Sequential, fd.reference.Sequential)
    ]
    for net in nets:
        net.train_step(X, X[:, :3])
    assert nets[0].memory["scratch"] % 64 == 0
    for one, other in zip(*(net.get_weights() for net in nets), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_parts_of_plain_descent():
    """64-byte rows of 8 float64: one batch of activations and targets, two layers' deltas."""
    net = build((20, 40, 3))
    parameters = 8 * (21 * 40 + 3 * 40 + 8)  # the last W lies transposed
    assert {name: size for name, size in net.memory.items() if size} == {"parameters": parameters}
    X, y = np.ones((10, 20)), np.ones((10, 3))
    net.train_step(X, y)
    held = net.memory
    assert held.pop("scratch") > 0
    assert {name: size for name, size in held.items() if size} == {
        "parameters": parameters,
        "activations": 10 * 8 * (40 + 8),
        "deltas": 10 * 8 * 2 * 40,
        "targets": 10 * 8 * 8 + 128,  # and a weight a sample
    }
    net.fit(X, y, epochs=1, batch_size=5, verbose=0)
    assert net.memory["inputs"] == 10 * 8 * 20  # brought together, for batches as large as before
    assert net.memory["way_back"] == parameters
    assert net.workspace_bytes == sum(net.memory.values()) - parameters


def test_parts_of_thin_networks():
    """Feature-major: samples in the lanes, a row of ones for the biases."""
    net = build((5, 7, 3))
    net.train_step(np.ones((10, 5)), np.ones((10, 3)))
    lanes = 8 * 16
    held = net.memory
    assert held["inputs"] == lanes * (5 + 1)
    assert held["activations"] == lanes * (7 + 1 + 3 + 1)
    assert held["deltas"] == lanes * 2 * 7
    assert held["targets"] == lanes * (3 + 1)  # and a weight a sample
    assert held["scratch"] == (5 + 1) * (7 * 64 + 128) + (7 + 1) * (3 * 64 + 128)  # sums by lane


def test_parts_of_optimizers():
    block = build((20, 40, 3)).params.nbytes
    for optimizer, kept, gradient in (
        (fd.SGD(0.1), 0, 0),
        (fd.SGD(0.1, 0.9), 1, 0),
        (fd.SGD(0.1, 0.9, nesterov=True), 1, 1),
        (fd.Adam(), 2, 1),
    ):
        held = build((20, 40, 3), optimizer).memory
        assert (held["optimizer"], held["gradient"]) == (kept * block, gradient * block)


def test_the_summary_lists_them(sequential):
    net = sequential.like(build((20, 40, 3)))
    net.fit(np.ones((10, 20)), np.ones((10, 3)), verbose=0)
    listed = str(net.summary()).rpartition("(")[2]
    parts = [part.strip() for part in re.findall(r"([a-z ]+) [0-9.]+ K?i?B", listed)]
    held = [name.replace("_", " ") for name, size in net.memory.items() if size]
    assert ["parameters", *parts] == held


def test_the_twin_tells_what_it_keeps():
    twin = fd.reference.Sequential.like(build((20, 40, 3), fd.Adam()))
    block = twin.params.nbytes
    assert {name: size for name, size in twin.memory.items() if size} == {
        "parameters": block,
        "optimizer": 2 * block,
        "gradient": block,
    }


def test_threads_take_all_deltas_only_where_they_share_a_step():
    X, y = np.ones((100, 300)), np.ones((100, 3))
    small, large = build((300, 300, 300, 3), n_threads=2), build((300, 300, 300, 3), n_threads=2)
    small.train_step(X[:2], y[:2])
    large.train_step(X, y)
    widest = 8 * 312
    assert small.memory["deltas"] == 2 * 2 * widest
    assert large.memory["deltas"] == 3 * 100 * widest


def test_what_an_earlier_batch_left_reaches_no_weight(isa):
    net, twin = (
        kind([fd.Dense(4, "exponential"), fd.Dense(1)], "mse", input_shape=(2,), seed=0)
        for kind in (fd.Sequential, fd.reference.Sequential)
    )
    larger = np.zeros((8, 2))
    larger[3] = 30
    net.gradients(larger, np.zeros(8))
    weights = net.get_weights()
    weights[0][:] = 3  # now the fourth of those samples overflows
    X, y = np.full((3, 2), 0.1), np.ones(3)
    for each in (net, twin):
        each.set_weights(weights)
        each.train_step(X, y)
    for ours, theirs in zip(net.weights, twin.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mprotect as Linux has it")
def test_nothing_is_read_beyond_the_data_of_users():
    """It would crash: the last sample lies at the end of a page, and the next one is closed."""

    def run(isa, *arguments):
        command = [sys.executable, "-c", EDGE, *arguments]
        done = subprocess.run(command, env={**os.environ, "FUSEDELTA_ISA": isa}, check=False)
        return done.returncode

    assert run(ISAS[0], "beyond") == -signal.SIGSEGV  # so that the test can fail
    for isa in ISAS:
        assert run(isa) == 0, isa
