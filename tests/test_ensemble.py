"""Ensembles: each member is what a lone network would be, whatever runs beside it."""

import copy
import re
import threading
import tracemalloc

import numpy as np
import pytest
from cases import MIXED, OPTIMIZERS
from ensembles import LABELS, T, X, assert_alike, assert_untouched, build, lone

import fusedelta as fd
from fusedelta import _threads, progress, sources

pytestmark = pytest.mark.usefixtures("eager")  # threads, however little there is to do

# ---- each member is a lone network ---------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8, 12, None])
def test_members_are_lone_networks(cls, dtype, n_threads):
    nets = build(cls, dtype=dtype, n_threads=n_threads)
    history = nets.fit(X, T, epochs=4, batch_size=7, verbose=0)
    assert history is nets.history
    assert history.loss.shape == (4, 5)
    for i, member in enumerate(nets):
        other = lone(nets, i)
        expected = other.fit(X, T, epochs=4, batch_size=7, verbose=0)
        np.testing.assert_array_equal(history[i].loss, expected.loss)
        np.testing.assert_array_equal(history.loss[:, i], expected.loss)
        assert member.history is history[i]
        assert_alike(member, other)
    assert len({member.params.tobytes() for member in nets}) == 5


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_with_every_optimizer(isa, optimizer):
    nets = build(optimizer=optimizer)
    nets.fit(X, T, epochs=2, batch_size=9, verbose=0)
    for i, member in enumerate(nets):
        other = lone(nets, i)
        other.fit(X, T, epochs=2, batch_size=9, verbose=0)
        assert_alike(member, other)


@pytest.mark.parametrize("layers", MIXED.values(), ids=MIXED)
def test_with_every_layer(layers, rng):
    data = rng.standard_normal((60, 11))
    nets = build(n=3, layers=layers, loss="sparse_categorical_crossentropy")
    nets.fit(data, LABELS, epochs=2, batch_size=9, verbose=0)
    for i, member in enumerate(nets):
        other = lone(nets, i, 11)
        other.fit(data, LABELS, epochs=2, batch_size=9, verbose=0)
        assert_alike(member, other)


def test_the_twin_agrees():
    fits = {cls: build(cls, dtype="float64") for cls in (fd.Ensemble, fd.reference.Ensemble)}
    losses = [nets.fit(X, T, epochs=5, batch_size=7, verbose=0).loss for nets in fits.values()]
    np.testing.assert_allclose(*losses, rtol=1e-10)
    np.testing.assert_allclose(*(nets.predict(X) for nets in fits.values()), rtol=1e-8)


def test_a_second_fit_goes_on(cls):
    nets, others = build(cls), build(cls)
    nets.fit(X, T, epochs=5, batch_size=7, verbose=0)
    for epochs in (2, 3):
        others.fit(X, T, epochs=epochs, batch_size=7, verbose=0)
    for member, other in zip(nets, others, strict=True):
        assert_alike(member, other)


def test_threads_are_used():
    seen = set()
    barrier = threading.Barrier(3, timeout=60)

    def on_epoch_end(epoch, logs):
        barrier.wait()  # which only three threads together get through
        seen.add(threading.get_ident())

    nets = build(n=3)
    nets.fit(X, T, verbose=0, callbacks=fd.LambdaCallback(on_epoch_end=on_epoch_end))
    assert len(seen) == 3
    assert threading.get_ident() in seen


def test_little_work_stays_on_one_thread():
    _threads.use_flops_per_thread(1e6)
    seen = []
    note = fd.LambdaCallback(on_train_end=lambda logs: seen.append(threading.get_ident()))
    build().fit(X, T, verbose=0, callbacks=note)
    assert seen == [threading.get_ident()] * 5


def test_an_exception_of_one_member_ends_the_line_of_anothers_bar(capsys, monkeypatch):
    monkeypatch.setattr(progress, "bar", progress.Bar)

    def fail(logs):
        raise ZeroDivisionError

    each = [fd.ProgressBar(), fd.LambdaCallback(on_train_begin=fail)]
    with pytest.raises(ZeroDivisionError):
        build(n=2).fit(X, T, verbose=0, callbacks=lambda i: each[i])
    assert re.fullmatch(r"(\r\[ {30}\] 0/1){2}\n", capsys.readouterr().err)


# ---- seeds and learning rates --------------------------------------------------------------------


def test_seeds():
    drawn = np.random.SeedSequence(3).generate_state(5, np.uint64).tolist()
    assert build().seeds == drawn
    assert build(n=2).seeds == drawn[:2]
    assert build(n=2, seed=[4, 4]).seeds == [4, 4]
    assert build(n=2, seed=np.array([4, 5])).seeds == [4, 5]
    assert build(n=2, seed=range(4, 6)).seeds == [4, 5]
    free = build(seed=None)
    assert len(set(free.seeds)) == 5
    assert not set(free.seeds) & set(build(seed=None).seeds)


def test_learning_rates():
    decay = fd.ExponentialDecay(0.1, 10, 0.5)
    nets = build(n=3, learning_rate=[0.1, 0.2, decay])
    assert nets.learning_rate == [0.1, 0.2, 0.1]
    assert nets[2].optimizer == fd.SGD(decay, 0.9)
    nets.fit(X, T, epochs=3, verbose=0)
    for i, rate in enumerate([0.1, 0.2, decay]):
        assert nets[i].optimizer.learning_rate == rate
        other = lone(nets, i)
        other.fit(X, T, epochs=3, verbose=0)
        assert_alike(nets[i], other)
    nets.learning_rate = 0.5
    assert nets.learning_rate == [0.5] * 3
    nets.learning_rate = np.array([0.5, 0.25, 1.0])
    assert nets.learning_rate == [0.5, 0.25, 1.0]
    assert build(n=2).learning_rate == [0.1, 0.1]
    assert build(n=2, optimizer="adam", learning_rate=0.5).learning_rate == [0.5, 0.5]


# ---- the data ------------------------------------------------------------------------------------


def test_each_its_own_data(cls):
    sets = [X[:10], X[5:60], X[20:50].tolist()]
    targets = [T[:10], T[5:60], T[20:50].tolist()]
    weights = [np.arange(10.0), np.ones(55), np.linspace(0, 2, 30)]
    nets = build(cls, n=3)
    nets.fit(sets, targets, epochs=3, batch_size=4, verbose=0, sample_weight=weights)
    for i, member in enumerate(nets):
        other = lone(nets, i)
        data = sets[i], targets[i]
        other.fit(*data, epochs=3, batch_size=4, verbose=0, sample_weight=weights[i])
        assert_alike(member, other)


@pytest.mark.parametrize("batch_size", [4, None])
def test_arrays_with_one_more_dimension(cls, batch_size, rng):
    stacked, targets = rng.standard_normal((2, 30, 3)), rng.standard_normal((2, 30, 2))
    weights = rng.random((2, 30))
    split = {"validation_split": 0.2, "verbose": 0}
    nets = build(cls, n=2)
    history = nets.fit(stacked, targets, 3, batch_size, sample_weight=weights, **split)
    for i, member in enumerate(nets):
        other = lone(nets, i)
        expected = other.fit(
            stacked[i], targets[i], 3, batch_size, sample_weight=weights[i], **split
        )
        assert_alike(member, other)
        np.testing.assert_array_equal(history.val_loss[:, i], expected.val_loss)


def test_weights_for_all_and_for_each(rng):
    one, each = rng.random(60), rng.random((3, 60))
    held_out = X[:20], T[:20]
    for weights in (one, each, list(each)):
        nets = build(n=3)
        history = nets.fit(X, T, 3, 7, sample_weight=weights, validation_data=held_out, verbose=0)
        for i, member in enumerate(nets):
            other = lone(nets, i)
            own = one if weights is one else each[i]
            expected = other.fit(X, T, 3, 7, sample_weight=own, validation_data=held_out, verbose=0)
            assert_alike(member, other)
            np.testing.assert_array_equal(history.val_loss[:, i], expected.val_loss)


def test_each_its_own_validation_data():
    held_out = [X[:20], X[20:50]], [T[:20], T[20:50]], [np.arange(20.0), np.ones(30)]
    nets = build(n=2)
    history = nets.fit(X, T, 3, 7, validation_data=held_out, verbose=0)
    for i, member in enumerate(nets):
        other = lone(nets, i)
        own = tuple(part[i] for part in held_out)
        expected = other.fit(X, T, 3, 7, validation_data=own, verbose=0)
        assert_alike(member, other)
        np.testing.assert_array_equal(history.val_loss[:, i], expected.val_loss)


def test_class_weights():
    layers, loss = [fd.Dense(4, "softmax")], "sparse_categorical_crossentropy"
    nets = build(n=2, layers=layers, loss=loss)
    nets.fit(X, LABELS, 3, 7, class_weight="balanced", verbose=0)
    for i, member in enumerate(nets):
        other = lone(nets, i)
        other.fit(X, LABELS, 3, 7, class_weight="balanced", verbose=0)
        assert_alike(member, other)


@pytest.mark.parametrize("weights", [None, "each"])
def test_shared_data_are_converted_once(weights, rng):
    data, targets = rng.standard_normal((100_000, 8)), rng.standard_normal((100_000, 1))
    nets = build(n=20, layers=[fd.Dense(1)], input_shape=(8,))
    if weights:
        weights = np.ones((20, 100_000), np.float32)
    tracemalloc.start()
    nets.fit(data, targets, batch_size=1000, sample_weight=weights, shuffle=False, verbose=0,
             validation_data=(data, targets))  # fmt: skip
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    once = data.nbytes / 2 + targets.nbytes / 2
    assert peak < 2 * once + 2e6


def test_data_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CHUNK_BYTES", 64 * 12)
    np.save(tmp_path / "X.npy", np.vstack([X, X, X]).astype(np.float32))
    data, targets = np.load(tmp_path / "X.npy", mmap_mode="r"), np.vstack([T, T, T])
    nets = build(n=3)
    nets.fit(data, targets, epochs=2, batch_size=8, validation_split=0.25, verbose=0)
    for i, member in enumerate(nets):
        other = lone(nets, i)
        other.fit(data, targets, epochs=2, batch_size=8, validation_split=0.25, verbose=0)
        assert_alike(member, other)
    np.testing.assert_array_equal(nets.predict(data)[1], nets[1].predict(data))
    assert nets.evaluate(data, targets)["loss"][2] == nets[2].evaluate(data, targets)["loss"]
    made = copy.deepcopy(nets)
    for settings, name in (({"bootstrap": True}, "bootstrap"), ({"max_samples": 9}, "max_samples")):
        with pytest.raises(ValueError, match=f"{name}: expected data in memory"):
            nets.fit(data, targets, batch_size=8, verbose=0, **settings)
    assert_untouched(nets, made)


# ---- bagging -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 7, 45, None])
@pytest.mark.parametrize("settings", [{"bootstrap": True}, {"max_samples": 0.5}])
def test_a_member_trains_on_its_bag(cls, shuffle, batch_size, settings, rng):
    weights = rng.random(60)
    nets = build(cls, n=3, optimizer=fd.SGD(0.01))
    fit = {"epochs": 3, "batch_size": batch_size, "shuffle": shuffle, "verbose": 0}
    nets.fit(X, T, sample_weight=weights, validation_split=0.1, **fit, **settings)
    for i, (member, bag) in enumerate(zip(nets, nets.bags, strict=True)):
        other = lone(nets, i)
        held_out = X[54:], T[54:]
        other.fit(X[bag], T[bag], sample_weight=weights[bag], validation_data=held_out, **fit)
        assert_alike(member, other)


def test_bags():
    nets = build(n=50, layers=[fd.Dense(2)])
    nets.fit(X, T, verbose=0, bootstrap=True)
    bags = np.array(nets.bags)
    assert bags.shape == (50, 60)
    assert (np.diff(bags) >= 0).all()
    assert 0 <= bags.min() < 3 < 57 < bags.max() < 60
    distinct = [len(set(bag)) / 60 for bag in bags]
    assert np.mean(distinct) == pytest.approx(1 - 1 / np.e, abs=0.02)
    assert len({bag.tobytes() for bag in bags}) == 50
    counts = np.bincount(bags.ravel(), minlength=60)
    assert counts.min() > 20  # of 50 expected

    before = bags
    nets.fit(X, T, verbose=0, bootstrap=True)
    np.testing.assert_array_equal(nets.bags, before)
    nets.fit(X, T, verbose=0, bootstrap=True, max_samples=7)
    assert np.shape(nets.bags) == (50, 7)
    nets.fit(X, T, verbose=0, max_samples=0.5)
    assert np.shape(nets.bags) == (50, 30)
    assert all(len(set(bag)) == 30 for bag in nets.bags)
    nets.fit(X, T, verbose=0)
    assert nets.bags is None


def test_a_second_fit_keeps_the_bags():
    nets, others = build(), build()
    nets.fit(X, T, epochs=5, batch_size=7, bootstrap=True, verbose=0)
    for epochs in (2, 3):
        others.fit(X, T, epochs=epochs, batch_size=7, bootstrap=True, verbose=0)
    for member, other in zip(nets, others, strict=True):
        assert_alike(member, other)


# ---- callbacks -----------------------------------------------------------------------------------


def stopping():
    return fd.EarlyStopping(patience=2, min_delta=1e-3, restore_best_weights=True)


def test_each_stops_early_by_itself(cls):
    nets, original = build(cls, learning_rate=[0.5, 0.1, 0.03, 0.01, 0.003]), stopping()
    fit = {"epochs": 40, "batch_size": 7, "validation_split": 0.3, "verbose": 0}
    history = nets.fit(X, T, callbacks=original, **fit)
    assert original.best is None
    for i, member in enumerate(nets):
        other, callback = lone(nets, i), stopping()
        expected = other.fit(X, T, callbacks=callback, **fit)
        (copied,) = nets.callbacks[i]
        assert (copied.best, copied.best_epoch) == (callback.best, callback.best_epoch)
        assert copied.model is member
        assert len(history[i]) == history.epochs[i] == len(expected)
        np.testing.assert_array_equal(history.val_loss[: len(expected), i], expected.val_loss)
        assert np.isnan(history.val_loss[len(expected) :, i]).all()
        assert_alike(member, other)
    assert len(set(history.epochs)) > 1
    assert history.loss.shape == (max(history.epochs), 5)


def test_callbacks_from_a_function(tmp_path):
    nets = build(n=2)
    nets.fit(X, T, 3, verbose=0, callbacks=lambda i: [fd.CSVLogger(tmp_path / f"{i}.csv")] * i)
    assert nets.callbacks[0] == []
    assert len((tmp_path / "1.csv").read_text().splitlines()) == 4
    assert not (tmp_path / "0.csv").exists()


def test_callbacks_are_copied_without_networks():
    callback = stopping()
    net = lone(build(), 0)
    net.fit(X, T, validation_split=0.5, verbose=0, callbacks=callback)
    nets = build(n=2)
    nets.fit(X, T, validation_split=0.5, verbose=0, callbacks=[callback, fd.Callback()])
    assert callback.model is net
    assert [len(callbacks) for callbacks in nets.callbacks] == [2, 2]
    assert nets.callbacks[0][0] is not nets.callbacks[1][0]


@pytest.mark.parametrize(
    "callback",
    [fd.CSVLogger("log"), fd.ModelCheckpoint("m.npz"), fd.ProgressBar()],
    ids=lambda c: type(c).__name__,
)
def test_callbacks_that_cannot_be_copied(callback):
    name = type(callback).__name__
    with pytest.raises(
        ValueError, match=rf"callbacks: .* lambda i: \[{name}\(\.\.\.\)\], got a {name}"
    ):
        build(n=2).fit(X, T, verbose=0, callbacks=[callback])
