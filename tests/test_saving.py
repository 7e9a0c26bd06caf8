"""Files of networks: what comes back, and what is refused."""

import itertools
import json
import os
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import OPTIMIZERS

import fusedelta as fd
from fusedelta import initializers, saving

X = np.random.default_rng(3).normal(size=(12, 3))
Y = np.random.default_rng(4).random((12, 2))


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    return tmp_path / f"model{request.param}"


def build(sequential, **settings):
    layers = [
        fd.Dense(5, "relu", kernel_initializer="he_uniform"),
        fd.Dense(4, fd.LeakyReLU(0.2), bias_initializer=fd.RandomUniform(-1, 1)),
        fd.Dense(2, "sigmoid"),
    ]
    settings = {"input_shape": (3,), "seed": 8, "optimizer": fd.SGD(0.25), **settings}
    return sequential(layers, "binary_crossentropy", **settings)


def test_everything_comes_back(sequential, dtype, path):
    net = build(sequential, dtype=dtype)
    net.fit(X, Y, epochs=3, batch_size=5, verbose=0)
    net.save(path, metadata={"classes": ["a", "b"], "mean": [0.5, 1e-300]})
    loaded = sequential.load(path)
    assert type(loaded) is sequential
    assert repr(loaded) == repr(net)
    assert loaded.layers == net.layers
    assert loaded.metadata == net.metadata == {"classes": ["a", "b"], "mean": [0.5, 1e-300]}
    np.testing.assert_array_equal(loaded.params, net.params)
    for each in (loaded, net):
        each.fit(X, Y, epochs=2, batch_size=5, verbose=0)
    np.testing.assert_array_equal(loaded.params, net.params)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_training_goes_on_where_it_was(sequential, path, optimizer):
    net = build(sequential, optimizer=optimizer)
    net.fit(X, Y, epochs=3, batch_size=5, verbose=0)
    net.save(path)
    loaded = sequential.load(path)
    assert loaded.optimizer == optimizer
    assert repr(loaded.optimizer_state) == repr(net.optimizer_state)
    for each in (loaded, net):
        each.fit(X, Y, epochs=2, batch_size=5, verbose=0)
    np.testing.assert_array_equal(loaded.params, net.params)


def test_load_gives_a_compiled_network(path):
    build(fd.reference.Sequential).save(path)
    assert type(fd.load(path)) is fd.Sequential
    assert type(fd.reference.load(path)) is fd.reference.Sequential


def test_metadata_stay_until_others_are_given(path):
    net = build(fd.Sequential)
    net.save(path)
    assert fd.load(path).metadata == {}
    net.save(path, metadata={"a": 1})
    again = fd.load(path)
    again.save(path)
    assert fd.load(path).metadata == {"a": 1}


def test_names_may_be_strings_or_paths(path):
    build(fd.Sequential, seed=None).save(str(path))
    assert fd.load(path).seed is None
    assert fd.load(str(path)).input_shape == (3,)


@pytest.mark.parametrize("initializer", initializers.INITIALIZERS)
def test_every_initializer_comes_back(initializer, tmp_path):
    value = initializers.INITIALIZERS[initializer]()
    layer = fd.Dense(2, kernel_initializer=value, bias_initializer=initializer)
    fd.Sequential([layer], "mean_squared_error", input_shape=(1,)).save(tmp_path / "net.npz")
    assert fd.load(tmp_path / "net.npz").layers == (layer,)


def test_arrays_are_plain(tmp_path):
    net = build(fd.Sequential)
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"header"} | {f"layers.{i}.{n}" for i in range(3) for n in "Wb"}
        np.testing.assert_array_equal(arrays["layers.1.W"], net.weights[2])
        assert json.loads(str(arrays["header"]))["version"] == 1
    build(fd.Sequential, optimizer=fd.SGD(momentum=0.9)).save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as arrays:
        kept = {name: arrays[name].shape for name in arrays if name.startswith("optimizer.")}
    assert set(kept) == {f"optimizer.velocity.layers.{i}.{n}" for i in range(3) for n in "Wb"}
    assert kept["optimizer.velocity.layers.1.W"] == (5, 4)


# --------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("name", ["model", "model.pkl", "model.h5"])
def test_other_endings_are_refused(tmp_path, name):
    message = rf"path: expected a name that ends in .npz or .safetensors, got '.*{name}'"
    with pytest.raises(ValueError, match=message):
        build(fd.Sequential).save(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        fd.load(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_safetensors_that_are_not_installed(tmp_path, monkeypatch):
    path, net = tmp_path / "net.safetensors", build(fd.Sequential)
    net.save(path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda: net.save(path), lambda: fd.load(path), lambda: saving.check_path(path)):
        with pytest.raises(ImportError, match=r"needs safetensors: pip install 'fusedelta\[safe"):
            call()


def test_paths_that_are_none(tmp_path):
    with pytest.raises(TypeError, match=r"path: expected a str or a path, got 3 \(int\)"):
        fd.load(3)


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ([1], TypeError, r"metadata: expected a dict, got \[1\] \(list\)"),
        ({"a": object()}, TypeError, "metadata: expected what JSON can hold: .*object"),
        ({"a": np.float32(1)}, TypeError, "metadata: expected what JSON can hold: .*float32"),
        ({"a": float("nan")}, ValueError, "metadata: expected what JSON can hold: .*not JSON"),
        ({1: "a"}, TypeError, r"metadata: expected keys that are str, got 1 \(int\)"),
        ({"a": [{None: 2}]}, TypeError, r"metadata: expected keys that are str, got None"),
    ],
)
def test_metadata_that_json_cannot_hold(path, metadata, error, message):
    net = build(fd.Sequential)
    with pytest.raises(error, match=message):
        net.save(path, metadata)
    assert net.metadata == {}
    assert not path.exists()


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ({"a": object()}, TypeError, "expected what JSON can hold: .*object"),
        ({"a": float("nan")}, ValueError, "expected what JSON can hold: .*not JSON"),
        ({1: "a"}, TypeError, r"expected keys that are str, got 1 \(int\)"),
        ([1], TypeError, r"expected a dict, got \[1\] \(list\)"),
    ],
)
def test_metadata_of_members_that_json_cannot_hold(path, metadata, error, message):
    nets = fd.Ensemble([fd.Dense(1)], 3, "mean_squared_error", input_shape=(2,))
    nets[2].metadata = metadata
    with pytest.raises(error, match=rf"^members\[2\]\.metadata: {message}"):
        nets.save(path)
    assert not path.exists()


def test_tuples_in_metadata_come_back_as_lists(path):
    build(fd.Sequential).save(path, {"shape": (2, 3)})
    assert fd.load(path).metadata == {"shape": [2, 3]}


class OwnZeros(fd.Zeros):
    """An initialiser that no file can hold."""


class OwnDense(fd.Dense):
    """A layer that no file can hold."""


def squares(Y, T):
    return ((Y - T) ** 2).sum(1), 2 * (Y - T)


@pytest.mark.parametrize(
    ("first", "settings", "error", "message"),
    [
        (
            OwnDense(3),
            {},
            TypeError,
            r"^layers\[0\]: expected one of fusedelta's own, .*\(OwnDense\)",
        ),
        (
            fd.Dense(3, kernel_initializer=OwnZeros()),
            {},
            TypeError,
            r"^layers\[0\].kernel_initializer: expected one of fusedelta's own, as a file holds no "
            r"code; got OwnZeros\(\)",
        ),
        (
            fd.Residual([OwnDense(2)]),
            {},
            TypeError,
            r"^layers\[0\].layers\[0\]: expected one of fusedelta's own, .*\(OwnDense\)",
        ),
        (
            fd.Dense(3),
            {"optimizer": fd.SGD(lambda step: 0.1)},
            TypeError,
            "^optimizer.learning_rate: expected a number or one of fusedelta.schedules, as a file",
        ),
        (fd.Dense(3), {"loss": squares}, ValueError, "^save: expected a loss of this package, got"),
    ],
)
def test_what_no_file_can_hold_is_named(path, first, settings, error, message):
    settings = {"loss": "mean_squared_error", "input_shape": (2,), **settings}
    net = fd.Sequential([first, fd.Dense(2)], **settings)
    for refuse in (net.save, lambda path: saving.check_network(net)):
        with pytest.raises(error, match=message):
            refuse(path)
    assert not path.exists()


def test_a_folder_that_is_missing(path):
    target = path.parent / "missing" / path.name
    with pytest.raises(FileNotFoundError) as caught:
        build(fd.Sequential).save(target)
    assert caught.value.filename == str(target)


def test_a_failed_save_leaves_the_old_file(path, monkeypatch):
    net = build(fd.Sequential)
    net.save(path)
    old = path.read_bytes()

    def fail(target, *args):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(saving._FORMATS, path.suffix, (fail, None))
    with pytest.raises(OSError, match=r"No space left on device: '.*model"):
        net.save(path)
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


def test_threads_that_save_to_one_path_leave_a_whole_file(path):
    """All are between opening and moving their files at the same time."""
    nets = [build(fd.Sequential, seed=seed) for seed in range(4)]
    write, read = saving._FORMATS[path.suffix]
    together = threading.Barrier(len(nets), timeout=60)

    def write_slowly(target, header, arrays):
        together.wait()
        target.write_bytes(b"half")
        together.wait()
        write(target, header, arrays)
        together.wait()

    with pytest.MonkeyPatch.context() as patched, ThreadPoolExecutor(len(nets)) as pool:
        patched.setitem(saving._FORMATS, path.suffix, (write_slowly, read))
        list(pool.map(lambda net: net.save(path), nets))
    assert fd.load(path).seed in range(4)
    assert list(path.parent.iterdir()) == [path]


def test_what_a_crash_left_behind_is_neither_used_nor_removed(path, monkeypatch):
    monkeypatch.setattr(saving, "_NUMBERS", itertools.count())
    left = saving._new_beside(path)
    monkeypatch.setattr(saving, "_NUMBERS", itertools.count())
    build(fd.Sequential).save(path)
    assert left.read_bytes() == b""
    assert set(path.parent.iterdir()) == {left, path}


def test_a_saved_file_has_the_permissions_of_any_new_file(path):
    build(fd.Sequential).save(path)
    other = path.with_name("other")
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


# --------------------------------------------------------------------------------------- reading


def test_a_file_that_is_missing(path):
    with pytest.raises(FileNotFoundError, match=path.name):
        fd.load(path)


def test_a_file_cut_anywhere_is_refused(path):
    build(fd.Sequential).save(path)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"{path.name}: not a readable fusedelta model: "):
            fd.load(path)


def test_a_file_with_a_wrong_byte_never_crashes(path, rng):
    net = build(fd.Sequential)
    net.save(path)
    whole = path.read_bytes()
    refused = 0
    for at in rng.integers(len(whole), size=200):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            fd.load(path)
        except (ValueError, OSError):
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY", bytes(1000)])
def test_other_files_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.name}: not a readable fusedelta model: "):
        fd.load(path)


def change_header(path, **changes):
    """Write a model whose header has other values."""
    net = build(fd.Sequential)
    header = {**saving._describe(net), "metadata": {}, **changes}
    arrays = dict(zip(saving._array_names(net._rows), net.get_weights(), strict=True))
    saving._FORMATS[path.suffix][0](path, json.dumps(header), arrays)


LAYER = {
    "name": "dense",
    "units": 5,
    "activation": "relu",
    "kernel_initializer": None,
    "bias_initializer": "zeros",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "its header is not that of a model"),
        ({"version": 2}, "it has format version 2; expected 1"),
        (
            {"layers": [{**LAYER, "units": 10**12}]},
            "its layers want layers.0.W of shape .3, 1000000000000., it is .3, 5.",
        ),
        ({"layers": [LAYER] * 4}, "'layers.3.W'|layers.1"),
        ({"layers": [{**LAYER, "name": "conv"}]}, "'conv'"),
        ({"layers": [{**LAYER, "activation": "boom"}]}, "activation: expected one of"),
        ({"loss": "none"}, "loss: expected one of"),
        ({"optimizer": {"name": "sgd", "learning_rate": -1}}, "learning_rate: expected"),
        ({"steps": -1}, "optimizer_state.'steps'.: expected an integer >= 0, got -1"),
        ({"optimizer": {"name": "adam"}}, "'optimizer.m.layers.0.W'"),
        ({"dtype": "object"}, "dtype: expected"),
        ({"inputs": "3"}, "input_shape|str"),
        ({"inputs": 10**12}, "its layers want layers.0.W of shape"),
        ({"dropout": {"key": -1, "step": 0}}, "dropout_state.'key'.: expected an integer >= 0"),
        ({"dropout": {"key": 1}}, "dropout_state: expected a dict with 'key', 'step'"),
        ({"shuffle": {"bit_generator": "PCG64"}}, "not a readable"),
        ({"metadata": None}, "metadata: expected a dict, got None"),
    ],
)
def test_damaged_headers_are_refused(path, changes, message):
    change_header(path)
    fd.load(path)
    change_header(path, **changes)
    with pytest.raises(ValueError, match=rf"{path.name}: not a readable fusedelta model: .*") as e:
        fd.load(path)
    assert e.match(message)


def test_what_the_system_says_of_damaged_bytes_names_the_file(tmp_path):
    fd.Sequential([fd.Dense(1)], "mse", input_shape=(2,)).save(path := tmp_path / "net.npz")
    path.write_bytes(path.read_bytes()[:-3] + b"\x7f\0\0")  # where its table is
    with pytest.raises(ValueError, match=r"net.npz: not a readable fusedelta model: "):
        fd.load(path)


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "evil.npz"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "hacked"),)

    np.savez(path, header=np.array([Evil()], dtype=object))
    assert not (tmp_path / "hacked").exists()
    with pytest.raises(ValueError, match=r"evil.npz: not a readable .*allow_pickle=False"):
        fd.load(path)
    assert not (tmp_path / "hacked").exists()


def test_files_of_the_first_version_are_read(path):
    """They know neither momentum nor steps nor dropout."""
    net = build(fd.Sequential)
    header = {**saving._describe(net), "metadata": {}}
    header["optimizer"] = {"name": "sgd", "learning_rate": 0.25}
    for unknown in ("steps", "inputs", "dropout"):
        del header[unknown]
    arrays = dict(zip(saving._array_names(net._rows), net.get_weights(), strict=True))
    saving._FORMATS[path.suffix][0](path, json.dumps(header), arrays)
    assert fd.load(path).optimizer == fd.SGD(0.25)


def test_archives_of_something_else_are_refused(tmp_path):
    path = tmp_path / "other.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="not a readable fusedelta model"):
        fd.load(path)
    np.savez(path, W=np.ones(3))
    for load in (fd.load, fd.Ensemble.load):
        with pytest.raises(ValueError, match="its header is not that of a model"):
            load(path)


def test_what_a_header_lacks_is_named(path):
    net = build(fd.Sequential)
    header = saving._describe(net)
    del header["layers"]
    saving._FORMATS[path.suffix][0](path, json.dumps(header), saving._arrays(net))
    with pytest.raises(ValueError, match="not a readable fusedelta model: there is no 'layers' in"):
        fd.load(path)


def test_non_finite_weights_are_refused(path):
    net = build(fd.Sequential)
    header = {**saving._describe(net), "metadata": {}}
    arrays = {**saving._arrays(net), "layers.0.W": np.full((3, 5), np.nan, np.float32)}
    saving._FORMATS[path.suffix][0](path, json.dumps(header), arrays)
    with pytest.raises(ValueError, match=r"weights\[0\]: expected finite numbers, got nan"):
        fd.load(path)


@pytest.mark.parametrize("what", ["weights", "velocity"])
def test_what_could_not_be_loaded_is_not_saved(path, what):
    net = build(fd.Sequential, optimizer=fd.SGD(0.1, momentum=0.9))
    net.save(path)
    old = path.read_bytes()
    block = net.weights[0] if what == "weights" else net._engine.moments["velocity"]
    block[...] = np.inf
    name = {"weights": "layers.0.W", "velocity": "optimizer.velocity.layers.0.W"}[what]
    with pytest.raises(ValueError, match=f"save: expected finite values, .* ones in {name}"):
        net.save(path)
    assert path.read_bytes() == old
