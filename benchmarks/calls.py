"""What one call costs, beside the step that it makes: ``python -m benchmarks.calls``.

Networks in loops of one's own feel it: a step of this one takes about as long as five calls of
NumPy. Least of some tries, on one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fusedelta as fd
from benchmarks import machine
from fusedelta import text

INPUTS, HIDDEN = 8, (64, 64)
BATCH = 32
CALLS, TRIES = 300, 7


def build(units: int = 4, loss: Any = "mse", act: str = "linear", **settings: Any) -> fd.Sequential:
    layers = [*(fd.Dense(n, "tanh") for n in HIDDEN), fd.Dense(units, act)]
    return fd.Sequential(layers, loss, input_shape=(INPUTS,), seed=0, n_threads=1, **settings)


def calls() -> dict[str, Callable[[], object]]:
    """What is timed, by its name in the table."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((BATCH, INPUTS), dtype=np.float32)
    Y = rng.standard_normal((BATCH, 4), dtype=np.float32)
    signs, column = np.where(Y[:, :1] > 0, np.float32(1), np.float32(-1)), Y[:, 0].copy()
    labels, weights = rng.integers(4, size=BATCH), np.ones(BATCH, np.float32)
    doubles, one_hot, x = X.astype(float), np.eye(4, dtype=np.float32)[labels], X[0]
    net, single, hinge = build(), build(1), build(1, "hinge")
    classes = build(4, "sparse_categorical_crossentropy", "softmax")
    shares = build(4, "categorical_crossentropy", "softmax")
    decaying = build(optimizer=fd.SGD(fd.CosineDecay(0.01, 10**9)))
    follower = fd.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    return {
        "train_step": lambda: net.train_step(X, Y),
        "train_step, float64": lambda: net.train_step(doubles, Y),
        "train_step, targets (m,)": lambda: single.train_step(X, column),
        "train_step, labels": lambda: classes.train_step(X, labels),
        "train_step, labels of 32 bits": lambda: classes.train_step(X, labels.astype(np.int32)),
        "train_step, one-hot": lambda: shares.train_step(X, one_hot),
        "train_step, signs": lambda: hinge.train_step(X, signs),
        "train_step, sample_weight": lambda: net.train_step(X, Y, weights),
        "train_step, schedule": lambda: decaying.train_step(X, Y),
        "train_step, one sample": lambda: net.train_step(X[:1], Y[:1]),
        "predict": lambda: net.predict(X),
        "predict_one": lambda: net.predict_one(x),
        "evaluate": lambda: net.evaluate(X, Y),
        "gradients": lambda: net.gradients(X, Y),
        "get_weights": net.get_weights,
        "fit": lambda: net.fit(X, Y, verbose=0),
        "fit, 100 epochs": lambda: net.fit(X, Y, 100, verbose=0),
        "fit, 100 epochs, a callback": lambda: net.fit(X, Y, 100, verbose=0, callbacks=follower),
        "fit, 8 batches": lambda: net.fit([(X, Y)] * 8, verbose=0),
        "partial_fit": lambda: net.partial_fit(X, Y),
        "partial_fit, one sample": lambda: net.partial_fit(X[:1], Y[:1]),
        "making a network": build,
    }


def measure(call: Callable[[], object], count: int = CALLS) -> float:
    """Seconds of a call."""
    call()
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        for _ in range(count):
            call()
        seconds.append(time.perf_counter() - start)
    return min(seconds) / count


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS, help="in a try (%(default)s)")
    options = parser.parse_args(argv)
    machine.pin(machine.cores(1))
    sizes = "-".join(map(str, (INPUTS, *HIDDEN, 4)))
    print(f"{sizes} tanh, float32, {BATCH} samples but where it says otherwise\n")
    rows = [(name, text.duration(measure(call, options.calls))) for name, call in calls().items()]
    print(text.table(("call", "time"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
