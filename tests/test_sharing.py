"""Several threads with one network: each gets its turn, and whole states only."""

import signal
import threading

import numpy as np
import pytest

import fusedelta as fd

X = np.ones((64, 256), np.float32)
Y = np.zeros((64, 256), np.float32)
ENOUGH = 20_000  # steps, after which a learner gives up


def build(**settings):
    return fd.Sequential(
        [fd.Dense(256)], "mse", input_shape=(256,), seed=0, n_threads=1, **settings
    )


@pytest.fixture
def learner():
    """Starts a thread that takes step after step of a network; its list grows by one with each."""
    steps, threads = [], []

    def start(net):
        def learn():
            while len(steps) < ENOUGH:
                net.train_step(X, Y)
                steps.append(len(steps))

        threads.append(threading.Thread(target=learn))
        threads[0].start()
        while not steps:
            pass
        return steps

    yield start
    steps += [None] * ENOUGH
    threads[0].join()


@pytest.mark.parametrize(
    "use",
    [
        lambda net: net.predict_one(X[0]),
        lambda net: net.evaluate(X, Y),
        lambda net: net.get_weights(),
        lambda net: net.train_step(X, Y),
    ],
)
def test_a_thread_that_takes_step_after_step_lets_others_in(learner, use):
    net = build()
    steps = learner(net)
    before = len(steps)
    for _ in range(20):
        use(net)
    assert len(steps) - before < ENOUGH / 10


def test_whole_states_are_read(learner):
    net = build()
    net.set_weights([np.ones((256, 256)), np.ones(256)])  # whose columns stay alike in each step
    learner(net)
    for _ in range(50):
        for weight in net.get_weights():
            np.testing.assert_array_equal(weight, np.broadcast_to(weight[..., :1], weight.shape))


def test_they_come_in_their_order():
    turns, order, threads = build()._engine, [], []
    turns.acquire()

    def use(number):
        turns.acquire()
        order.append(number)
        turns.release()

    for number in range(5):
        threads.append(threading.Thread(target=use, args=(number,)))
        threads[-1].start()
        threads[-1].join(0.05)  # it waits by now
    turns.release()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    turns.acquire()
    turns.release()


def test_states_of_a_network_in_training_are_neither_read_nor_set():
    net = build(optimizer=fd.Adam())
    weights, state = net.get_weights(), net.optimizer_state
    seen = []

    def loss(Y, P):
        for use in (
            lambda: own.get_weights(),
            lambda: own.set_weights(weights),
            lambda: setattr(own, "optimizer_state", state),
        ):
            with pytest.raises(RuntimeError, match="in use by the call that this one comes from"):
                use()
            seen.append(use)
        return 0.0, P - Y

    own = fd.Sequential([fd.Dense(256)], loss, fd.Adam(), input_shape=(256,), seed=0)
    own.train_step(X, Y)
    assert len(seen) == 3


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on Windows")
def test_a_signal_handler_that_uses_the_busy_network_is_refused():
    net, inputs = build(), np.ones((20_000, 256), np.float32)
    raised = []

    def handler(number, frame):
        try:
            net.predict(X)
        except RuntimeError as error:
            raised.append(str(error))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(100):
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            net.predict(inputs)
            if raised:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert raised
    assert all("in use by the call that this one comes from" in each for each in raised)
    net.predict(X)
