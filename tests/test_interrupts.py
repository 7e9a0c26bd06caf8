"""Ctrl-C, as a real signal to a process of its own."""

import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import signal, sys, time
import numpy as np
import fusedelta as fd

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
sizes, m, batch_size, optimizer, action = {arguments!r}

def build(seed=1):
    between = [fd.BatchNormalization(), fd.Dropout(0.1)] if action == "mixed" else []
    layers = [fd.Dense(n, "tanh") for n in sizes[1:-1]] + between + [fd.Dense(sizes[-1])]
    rules = {{"sgd": fd.SGD(1e-4), "adam": fd.Adam(1e-6)}}
    return fd.Sequential(layers, "mean_squared_error", rules[optimizer], sizes[:1], seed=seed)

rng = np.random.default_rng(0)
X, y = (rng.standard_normal((m, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
nets = [build(seed) for seed in range(3 if action == "ensemble" else 1)]
net = nets[0]
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
print("ready", flush=True)
try:
    if action in ("fit", "mixed"):
        net.fit(X, y, 10**7, batch_size, shuffle=False, verbose=0)
    elif action == "ensemble":  # two of the three are being trained
        ensemble = fd.Ensemble.from_members(nets, n_threads=2)
        ensemble.fit(X, y, 10**7, batch_size, shuffle=False, verbose=0)
    elif action == "callbacks":
        net.fit(X, y, 10**7, batch_size, False, 0, validation_split=0.5, callbacks=fd.Callback())
    elif action == "batches":
        data = [(X[i : i + batch_size], y[i : i + batch_size]) for i in range(0, m, batch_size)]
        net.fit(data, epochs=10**7, verbose=0)
    else:
        while True:
            getattr(net, action)(*((X, y) if action == "evaluate" else (X,)))
except KeyboardInterrupt:
    print(time.monotonic())

if action == "callbacks":
    X, y = X[: m // 2], y[: m // 2]
trained = []
for seed, net in enumerate(nets):
    epochs = 0 if net.history is None else len(net.history)
    other = build(seed)
    if epochs:
        expected = other.fit(X, y, epochs, batch_size, shuffle=False, verbose=0)
        np.testing.assert_allclose(net.history.loss, expected.loss, rtol=1e-14)
        assert np.isfinite(net.history.loss).all()
    for start in range(0, len(X), batch_size):
        if (net.params == other.params).all():
            break
        other.train_step(X[start : start + batch_size], y[start : start + batch_size])
    np.testing.assert_equal(net.get_weights(), other.get_weights())
    np.testing.assert_equal(net.optimizer_state, other.optimizer_state)
    assert net.dropout_state == other.dropout_state
    trained.append(epochs)
    net.fit(X[:batch_size], y[:batch_size], verbose=0)
print("sound", *trained)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
@pytest.mark.parametrize(
    ("sizes", "m", "batch_size", "optimizer", "action"),
    [
        ((2, 2, 1), 4, 4, "sgd", "fit"),
        ((2, 20, 1), 400, 1, "adam", "fit"),
        ((512, 1024, 1024, 8), 512, 64, "sgd", "fit"),
        ((512, 1024, 1024, 8), 16, 1, "adam", "fit"),
        ((64, 256, 1), 400, 10, "adam", "mixed"),
        ((2, 2, 1), 400, 400, "sgd", "ensemble"),
        ((2, 20, 1), 400, 10, "sgd", "callbacks"),
        ((64, 256, 1), 400, 10, "adam", "batches"),
        ((256, 2048, 2048, 8), 10_000, 100, "sgd", "evaluate"),
        ((256, 2048, 2048, 8), 10_000, 100, "sgd", "predict"),
    ],
)
def test_ctrl_c(sizes, m, batch_size, optimizer, action):
    """It comes through at once; the weights are those of a whole step, the history is kept."""
    script = SCRIPT.format(arguments=(sizes, m, batch_size, optimizer, action))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    caught, verdict = output.splitlines()
    verdict, *epochs = verdict.split()
    assert verdict == "sound"
    if action == "ensemble":
        assert [int(n) > 0 for n in epochs] == [True, True, False]
    if sys.platform == "linux":  # where the clock is the same for both
        assert float(caught) - sent < 1.5  # 0.1 on a machine that is not busy
