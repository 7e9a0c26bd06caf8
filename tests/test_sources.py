"""Batches from iterables, data on disk larger than memory, one pass at a time."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from cases import crossed

import fusedelta as fd
from fusedelta import sources

X = np.random.default_rng(3).normal(size=(230, 3)).astype(np.float32)
LABELS = np.arange(230) % 4


def classifier(sequential, **settings):
    settings = {"input_shape": (3,), "seed": 5, "optimizer": fd.Adam(0.01), **settings}
    layers = [fd.Dense(6, "relu"), fd.Dense(4, "softmax")]
    return sequential(layers, "sparse_categorical_crossentropy", **settings)


def assert_alike(net, other):
    np.testing.assert_array_equal(net.params, other.params)
    np.testing.assert_equal(net.optimizer_state, other.optimizer_state)


def batches(size=50):
    return [(X[i : i + size], LABELS[i : i + size]) for i in range(0, 230, size)]


class Table:
    """As a DataFrame: it has a shape, and going through it gives the names of its columns."""

    shape = X.shape

    def __iter__(self):
        return iter("abc")


class Store:
    """As a data set of h5py: rows by slices, never as a whole."""

    chunks = None

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.rows = []

    def __len__(self):
        return len(self.array)

    def __getitem__(self, part):
        rows = range(len(self))[part]
        assert len(rows) <= 64
        self.rows += rows
        return self.array[part]

    def __array__(self, *args, **kwargs):
        raise AssertionError("read as a whole")


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 64 rows of X, which are 12 bytes, in blocks of 7."""
    monkeypatch.setattr(sources, "CHUNK_BYTES", 64 * 12)
    monkeypatch.setattr(sources, "BLOCK_BYTES", 7 * 12)


# ------------------------------------------------------------------------------------- batches


def test_a_list_of_batches(sequential):
    net, other = classifier(sequential), classifier(sequential)
    history = net.fit(batches(), epochs=3, verbose=0)
    expected = other.fit(X, LABELS, 3, 50, shuffle=False, verbose=0)
    assert_alike(net, other)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-14)
    np.testing.assert_allclose(history.accuracy, expected.accuracy, rtol=1e-14)


def test_sums_of_losses_stay_sums(sequential):
    net = sequential([fd.Dense(1)], "half_sum_squared_error", fd.SGD(1e-30), (3,), seed=1)
    parts = [(X[:100], X[:100, 0]), (X[100:], X[100:, 0])]
    history = net.fit(parts, verbose=0)
    assert history.loss[0] == pytest.approx(net.evaluate(X, X[:, 0])["loss"], rel=1e-5)


@pytest.mark.parametrize("known", [True, False])
def test_a_generator_with_steps_per_epoch(sequential, known):
    """Epochs of three go on in the generator; a network without inputs loses no batch."""
    net = classifier(sequential, **({} if known else {"input_shape": None}))
    other = classifier(sequential)
    endless = (batch for _ in iter(int, 1) for batch in batches())
    history = net.fit(endless, epochs=4, steps_per_epoch=3, verbose=0)
    assert len(history) == 4
    for part in (batches() * 3)[:12]:
        other.train_step(*part)
    assert_alike(net, other)
    assert next(endless)[0] is not None  # and it is not drawn from beyond what is needed
    np.testing.assert_array_equal(next(endless)[0], batches()[3][0])


def test_what_can_be_gone_through_again_starts_again(sequential):
    net, other = classifier(sequential), classifier(sequential)
    net.fit(batches(), epochs=4, steps_per_epoch=3, verbose=0)
    for part in (batches() * 3)[:12]:
        other.train_step(*part)
    assert_alike(net, other)


def test_an_iterator_is_one_epoch(sequential):
    net, other = classifier(sequential), classifier(sequential)
    recorder = Recorder()
    net.fit(iter(batches()), callbacks=recorder, verbose=0)
    other.fit(batches(), verbose=0, callbacks=recorder)
    assert_alike(net, other)
    assert recorder.steps == [None, 5]


class Recorder(fd.Callback):
    def __init__(self):
        self.steps = []

    def on_train_begin(self, logs=None):
        self.steps.append(self.params["steps"])


@pytest.mark.parametrize(
    ("steps", "message", "epochs"),
    [
        (2, "the batches ended after 1 of 2 steps of epoch 3; training stopped", 3),
        (5, "the batches ended after 0 of 5 steps of epoch 2; training stopped", 1),
        (9, "the batches ended after 5 of 9 steps of epoch 1; training stopped", 1),
    ],
)
def test_batches_that_run_out(sequential, steps, message, epochs):
    net, other = classifier(sequential), classifier(sequential)
    with pytest.warns(UserWarning, match=message) as warned:
        history = net.fit(iter(batches()), epochs=10, steps_per_epoch=steps, verbose=0)
    assert warned[0].filename == __file__
    assert len(history) == epochs
    other.fit(batches(), verbose=0)
    assert_alike(net, other)


def test_an_epoch_without_batches(sequential):
    class Once:
        def __init__(self):
            self.times = 0

        def __iter__(self):
            self.times += 1
            return iter(batches() if self.times == 1 else [])

    with pytest.warns(UserWarning, match="the batches ended after 0 of all steps of epoch 2"):
        assert len(classifier(sequential).fit(Once(), epochs=3, verbose=0)) == 1


@pytest.mark.parametrize(
    ("X", "options", "error", "message"),
    [
        (X, {}, TypeError, "y: expected real numbers, got None .*; X alone would"),
        (3, {}, TypeError, "y: expected real numbers, got None .*; X alone would"),
        (Table(), {}, TypeError, "y: expected real numbers, got None .*; X alone would"),
        ([], {}, ValueError, r"X: expected at least one batch \(X, y\), got none"),
        ([X], {}, TypeError, r"X: expected batches that are tuples .* as batch 1"),
        ([(X, LABELS, None, X)], {}, TypeError, r"X: expected batches that are tuples \(X, y\)"),
        ([(X, LABELS + 1)], {}, ValueError, "batch 1: y: expected integer labels 0 to 3, got 4"),
        ([(X[:, :2], LABELS)], {}, ValueError, r"batch 1: X: expected shape \(samples, 3\)"),
        ([(X, LABELS)], {"batch_size": 5}, ValueError, "batch_size: expected none with batches"),
        ([(X, LABELS)], {"validation_split": 0.1}, ValueError, "validation_split: expected arrays"),
        ([(X, LABELS)], {"steps_per_epoch": 0}, ValueError, "steps_per_epoch: expected an integer"),
        (iter([(X, LABELS)]), {"epochs": 2}, ValueError, "epochs: expected 1 for an iterator"),
        (X, {"y": LABELS, "steps_per_epoch": 3}, ValueError, "steps_per_epoch: expected it only"),
    ],
)
def test_wrong_batches(sequential, X, options, error, message):
    net = classifier(sequential)
    before = net.params.copy()
    with pytest.raises(error, match=message):
        net.fit(X, verbose=0, **options)
    np.testing.assert_array_equal(net.params, before)


def test_a_wrong_batch_moves_nothing_but_those_before_it_did(sequential):
    net, other = classifier(sequential), classifier(sequential)
    bad = X[:5].copy()
    bad[2, 1] = np.nan
    parts = [*batches()[:2], (bad, LABELS[:5])]
    message = "batch 3: X: expected finite numbers, got nan at row 2, column 1"
    with pytest.raises(ValueError, match=message):
        net.fit(parts, verbose=0)
    for part in batches()[:2]:
        other.train_step(*part)
    assert_alike(net, other)
    assert len(net.history) == 0


def test_callbacks_and_validation_of_batches(sequential):
    seen = []
    callback = fd.LambdaCallback(on_batch_end=lambda step, logs: seen.append(step))
    net, other = classifier(sequential), classifier(sequential)
    options = {"validation_data": (X[:20], LABELS[:20]), "verbose": 0}
    history = net.fit(batches(), epochs=2, callbacks=callback, **options)
    expected = other.fit(X, LABELS, 2, 50, shuffle=False, **options)
    assert seen == [*range(5), *range(5)]
    np.testing.assert_array_equal(history.val_loss, expected.val_loss)
    assert_alike(net, other)


def test_divergence_in_a_batch(sequential):
    layers = [fd.Dense(4, "linear"), fd.Dense(1)]
    net, other = (
        sequential(layers, "mean_squared_error", fd.SGD(0.6, 0.5), (3,), seed=1) for _ in range(2)
    )
    parts = [(part, part[:, 0]) for part, _ in batches()]
    with pytest.warns(fd.DivergenceWarning, match="the loss of step . in epoch .* as it was at"):
        history = net.fit(parts, epochs=100, verbose=0)
    other.fit(parts, epochs=len(history), verbose=0)
    assert_alike(net, other)


def test_partial_fit(sequential):
    net, other = classifier(sequential, input_shape=None), classifier(sequential)
    for part in batches():
        assert net.partial_fit(*part, batch_size=20) is net
        other.fit(*part, batch_size=20, shuffle=False, verbose=0)
    assert_alike(net, other)
    assert len(net.history) == 1


# ---------------------------------------------------------------------------------------- disk


def on_disk(tmp_path, array, name="X"):
    np.save(tmp_path / f"{name}.npy", array)
    return np.load(tmp_path / f"{name}.npy", mmap_mode="r")


@pytest.mark.parametrize(
    ("kind", "batch_size"),
    crossed(
        ["memmap", "store", "float64", "columns"],
        [1, 7, 10, 64, 100, 229, 230, 1000],
        ["memmap"],
        [7, 64],
    ),
)
def test_the_same_bits_as_in_memory(sequential, small_chunks, tmp_path, batch_size, kind):
    net, other = classifier(sequential), classifier(sequential)
    if kind == "store":
        batch_size = min(batch_size, 64)
        data = Store(X)
    elif kind == "columns":
        data = on_disk(tmp_path, np.hstack([X, X]))[:, 3:]
    else:
        data = on_disk(tmp_path, X.astype("f8" if kind == "float64" else "f4"))
    labels = on_disk(tmp_path, LABELS, "y") if kind == "memmap" else LABELS
    options = {"epochs": 2, "batch_size": batch_size, "shuffle": False, "verbose": 0}
    history = net.fit(data, labels, **options)
    expected = other.fit(X, LABELS, **options)
    assert_alike(net, other)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-14)
    np.testing.assert_allclose(history.accuracy, expected.accuracy, rtol=1e-14)


def test_small_data_are_read_once(sequential, tmp_path):
    net, other = classifier(sequential), classifier(sequential)
    for each, data in ((net, on_disk(tmp_path, X)), (other, X)):
        each.fit(data, LABELS, 3, 20, verbose=0)
    assert_alike(net, other)
    assert net.shuffle_state == other.shuffle_state


def test_each_row_once_an_epoch_and_well_mixed(small_chunks):
    store = Store(np.arange(230, dtype=np.float32)[:, np.newaxis].repeat(3, 1))
    prepare = classifier(fd.Sequential)._prepare
    rows = sources.Rows(store, LABELS, 10, 210, 20, np.random.default_rng(0), prepare)
    epochs = []
    for _ in range(2):
        pieces = list(rows.pieces())
        assert [piece.m for piece in pieces] == [60, 60, 60, 20]
        assert sum(piece.steps for piece in pieces) == rows.steps == 10
        for piece in pieces:
            np.testing.assert_array_equal(piece.y, piece.X[:, 0] % 4)
        epochs.append(np.concatenate([piece.X[piece.order[0], 0] for piece in pieces]))
        assert sorted(epochs[-1]) == list(range(10, 210))
    assert (epochs[0] != epochs[1]).any()
    assert sorted(store.rows) == sorted([*range(10, 210)] * 2)
    distances = [np.ptp(epochs[0][i : i + 20]) for i in range(0, 200, 20)]
    assert min(distances) > 60  # a batch has rows from far apart


def test_rows_as_they_lie_come_in_smaller_chunks(small_chunks, monkeypatch):
    monkeypatch.setattr(sources, "NEAR_BYTES", 25 * 12)
    prepare = classifier(fd.Sequential)._prepare
    for rng, expected in ((None, [20, 20, 20, 10]), (np.random.default_rng(0), [60, 10])):
        rows = sources.Rows(Store(X), LABELS, 0, 70, 20, rng, prepare)
        assert [piece.m for piece in rows.pieces()] == expected


def test_shuffles_of_data_on_disk_repeat(sequential, small_chunks):
    nets = [classifier(sequential) for _ in range(3)]
    for net, epochs in zip(nets, ([4], [1, 3], [2, 2]), strict=True):
        for number in epochs:
            net.fit(Store(X), LABELS, number, 20, verbose=0)
    for net in nets[1:]:
        assert_alike(net, nets[0])
        assert net.shuffle_state == nets[0].shuffle_state


def test_validation_on_disk(sequential, small_chunks):
    net, other = classifier(sequential), classifier(sequential)
    options = {"epochs": 2, "batch_size": 20, "shuffle": False, "verbose": 0}
    history = net.fit(Store(X), LABELS, validation_split=0.4, **options)
    expected = other.fit(X, LABELS, validation_split=0.4, **options)
    assert_alike(net, other)
    np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=1e-6)
    np.testing.assert_allclose(history.val_accuracy, expected.val_accuracy, rtol=1e-6)
    history = net.fit(X, LABELS, verbose=0, validation_data=(Store(X), Store(LABELS)))
    assert history.val_loss[0] == pytest.approx(net.evaluate(X, LABELS)["loss"], rel=1e-6)
    assert net.evaluate(Store(X), LABELS) == pytest.approx(net.evaluate(X, LABELS), rel=1e-6)


def test_predictions_for_data_on_disk(sequential, small_chunks):
    net = classifier(sequential)
    out = np.empty((230, 4), np.float32)
    assert net.predict(Store(X), out=out) is out
    np.testing.assert_allclose(out, net.predict(X), rtol=1e-6)
    np.testing.assert_array_equal(net.predict(Store(X)), out)
    np.testing.assert_array_equal(net.predict_classes(Store(X)), net.predict_classes(X))
    with pytest.raises(ValueError, match=r"out: expected a C-contiguous, .* got shape \(230, 3\)"):
        net.predict(Store(X), out=out[:, :3])
    with pytest.raises(ValueError, match=r"X: expected shape \(samples, 3\), got"):
        net.predict(Store(X[:, :2]))


def test_a_wrong_row_on_disk(sequential, small_chunks):
    net, other = classifier(sequential), classifier(sequential)
    bad = X.copy()
    bad[130, 2] = np.inf
    message = "rows 120 to 179, counted from 0 there: X: expected finite .* inf at row 10, column 2"
    with pytest.raises(ValueError, match=message):
        net.fit(Store(bad), LABELS, 2, 20, shuffle=False, verbose=0)
    other.fit(X[:120], LABELS[:120], 1, 20, shuffle=False, verbose=0)
    assert_alike(net, other)
    assert not any("reader" in thread.name for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("data", "y", "options", "message"),
    [
        (X, LABELS, {"batch_size": None}, "batch_size: expected an integer with data on disk"),
        (X, LABELS[:9], {}, "y: expected as many targets as X has samples, 230, got shape"),
        (X, 3, {}, "y: expected as many targets as X has samples, 230, got shape"),
        (X[:, 0], LABELS, {}, r"X: expected shape \(samples, features\), got \(230,\)"),
        (X[:, :2].copy(), LABELS, {}, r"X: expected shape \(samples, 3\)"),
        (X, LABELS - 1, {}, "y: expected integer labels 0 to 3, got -1 at row 0"),
        (X, LABELS, {"validation_split": 0.999}, "validation_split: expected samples on both"),
    ],
)
def test_wrong_data_on_disk(sequential, monkeypatch, data, y, options, message):
    monkeypatch.setattr(sources, "CHUNK_BYTES", 64)
    net = classifier(sequential)
    before = net.params.copy()
    with pytest.raises(ValueError, match=message):
        net.fit(Store(data), y, verbose=0, **{"batch_size": 3, **options})
    np.testing.assert_array_equal(net.params, before)


def test_a_training_on_disk_can_be_ended_in_an_epoch(sequential, small_chunks):
    def stop(step, logs):
        net.stop_training = step == 5

    net, other = classifier(sequential), classifier(sequential)
    callback = fd.LambdaCallback(on_batch_end=stop)
    history = net.fit(Store(X), LABELS, 9, 20, shuffle=False, verbose=0, callbacks=callback)
    assert len(history) == 1
    other.fit(X[:120], LABELS[:120], 1, 20, shuffle=False, verbose=0)
    assert_alike(net, other)
    assert not any("reader" in thread.name for thread in threading.enumerate())


MEMORY = """
import resource, sys
import numpy as np
import fusedelta as fd

path = sys.argv[1]
table = np.lib.format.open_memmap(path, "w+", np.float64, ({rows}, 16))
rng = np.random.default_rng(0)
for start in range(0, len(table), 10_000):
    table[start : start + 10_000] = rng.random((10_000, 16)) - 0.5
table.flush()
table = np.load(path, mmap_mode="r")

net = fd.Sequential([fd.Dense(8, "tanh"), fd.Dense(1)], "mean_squared_error", fd.SGD(0.1), seed=0)
net.fit(table[:100, :15], table[:100, 15], verbose=0)

def held():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmData")) * 1024

limit = held() + {room}
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
if resource.getrlimit(resource.RLIMIT_DATA)[0] != limit:
    sys.exit("no limit")
try:
    np.array(table, np.float32)
except MemoryError:
    print("too large for memory")
for shuffle in (True, False):
    history = net.fit(table[:, :15], table[:, 15], 1, 1000, shuffle, 0, validation_split=0.1)
    print(history.val_loss[0] < 0.1)
print(net.evaluate(table[:, :15], table[:, 15])["loss"] < 0.1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits private memory alone")
def test_data_larger_than_memory(tmp_path):
    """256 MB in float32, with room for 192: it is enough for what 32 MiB at a time take."""
    script = MEMORY.format(rows=4_000_000, room=192 * 2**20)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "table.npy")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.stderr == "no limit\n":
        pytest.skip("emulated: qemu forgets limits of private memory")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["too large for memory", "True", "True", "True"]
