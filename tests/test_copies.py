"""Copies and pickles: they go on as the network would, and share nothing with it."""

import copy
import gc
import os
import pickle
import signal
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

import fusedelta as fd

X = np.random.default_rng(3).normal(size=(23, 3))
LABELS = np.arange(23) % 4


def classifier(sequential, *layers, **settings):
    settings = {"input_shape": (3,), "seed": 5, "optimizer": fd.SGD(0.1), **settings}
    layers = [fd.Dense(6, "relu"), *layers, fd.Dense(4, "softmax")]
    return sequential(layers, "sparse_categorical_crossentropy", **settings)


def assert_same_weights(net, other):
    for ours, theirs in zip(net.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["deepcopy", "copy", "pickle"],
)
def test_copies_go_on_alike_and_apart(sequential, duplicate):
    net = classifier(sequential, dtype="float64", n_threads=2)
    net.fit(X, LABELS, batch_size=5, verbose=0)
    net.metadata = {"classes": ["a", "b"]}
    start = net.get_weights()
    twin = duplicate(net)
    assert type(twin) is sequential
    assert repr(twin) == repr(net)
    assert twin.metadata == net.metadata
    assert twin.params.__array_interface__["data"][0] % 64 == 0
    history = twin.fit(X, LABELS, epochs=3, batch_size=5, verbose=0)
    for weight, expected in zip(net.weights, start, strict=True):
        np.testing.assert_array_equal(weight, expected)
    again = net.fit(X, LABELS, epochs=3, batch_size=5, verbose=0)
    np.testing.assert_array_equal(again.loss, history.loss)
    assert_same_weights(net, twin)


def test_copies_of_a_network_without_inputs(sequential):
    net = classifier(sequential, input_shape=None)
    twin = pickle.loads(pickle.dumps(net))
    for each in (net, twin):
        each.fit(X, LABELS, epochs=2, batch_size=5, verbose=0)
    assert_same_weights(net, twin)


def test_like_changes_dtype_or_class(sequential):
    net = classifier(sequential, n_threads=2)
    net.fit(X, LABELS, batch_size=5, verbose=0)
    twin = fd.reference.Sequential.like(net, dtype="float64")
    assert type(twin) is fd.reference.Sequential
    assert twin.dtype == np.float64
    assert (twin.seed, twin.n_threads, twin.optimizer) == (5, 2, fd.SGD(0.1))
    assert twin.shuffle_state == net.shuffle_state
    assert_same_weights(net, twin)


def test_the_step_of_dropout_waits_for_the_inputs(sequential):
    net = classifier(sequential, fd.Dropout(0.5), input_shape=None)
    net.dropout_state = {**net.dropout_state, "step": 5}
    twin = pickle.loads(pickle.dumps(net))
    for each in (net, twin):
        assert each.dropout_state["step"] == 5
        each.train_step(X, LABELS)
        assert each.dropout_state["step"] == 6
    assert_same_weights(net, twin)


def test_networks_are_freed(sequential):
    net = classifier(sequential)
    net.fit(X, LABELS, verbose=0)
    params = net.params
    held = sys.getrefcount(params)
    del net
    gc.collect()
    assert sys.getrefcount(params) < held


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickle.dumps, fd.Sequential.like])
def test_a_network_in_training_is_not_copied(duplicate):
    net = fd.Sequential([fd.Dense(256, "tanh"), fd.Dense(256)], "mse", input_shape=(3,), seed=0)

    def train():
        with suppress(KeyboardInterrupt):
            net.fit(X, np.zeros((23, 256)), epochs=10**6, batch_size=5, verbose=0)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        while thread.is_alive() and not net._engine.training:
            time.sleep(0.001)
        with pytest.raises(RuntimeError, match="this network is training in another thread"):
            duplicate(net)
    finally:
        net._engine.interrupted = True
        thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("use", ["predict", "fit"])
def test_the_child_of_a_fork_has_a_network_that_another_thread_was_using(use):
    net = fd.Sequential([fd.Dense(256, "tanh"), fd.Dense(256)], "mse", input_shape=(3,), seed=0)
    inputs, stop = np.ones((4000, 3), np.float32), []

    def go_on():
        while not stop:
            if use == "fit":
                net.fit(inputs, np.zeros((4000, 256)), batch_size=50, verbose=0)
            net.predict(inputs)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for _ in range(10):
            time.sleep(0.01)
            child = os.fork()
            if not child:
                signal.alarm(20)  # ends a child that would wait for ever
                wrong = True
                try:
                    net.fit(X, np.zeros((23, 256)), verbose=0)
                    wrong = bool(np.isnan(net.predict(X)).any())
                finally:
                    os._exit(wrong)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.append(True)
        thread.join()


def test_threads_that_use_a_new_network_at_once_build_it_once(rng):
    X, y = rng.normal(size=(50, 5)), np.zeros((50, 3))
    for _ in range(20):
        net = fd.Sequential([fd.Dense(30, "tanh"), fd.Dense(3)], "mse", fd.Adam())
        start = threading.Barrier(4)

        def step(net=net, start=start):
            start.wait()
            net.train_step(X, y)

        threads = [threading.Thread(target=step) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert net.optimizer_state["steps"] == 4
