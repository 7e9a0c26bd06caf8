"""Networks in files: a JSON header and plain arrays, as ``.npz`` or ``.safetensors``. Never pickle.

The header holds the format's version, layers, number of inputs, loss, optimiser, dtype, seed, the
states of the shuffling generator and of dropout, the steps that the optimiser has counted, and the
user's own metadata, whose tuples come back as the lists that JSON has. The arrays are
``layers.<i>.W`` of shape (inputs, outputs), ``layers.<i>.b``, ``gamma``, ``beta``, ``moving_mean``
and ``moving_variance`` of normalisations, and what is trained again for what the optimiser keeps,
as ``optimizer.velocity.layers.<i>.W``: a loaded network goes on as the saved one would. A file is
written beside its place and then moved there, so that a crash never leaves half of one.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EINVAL, ENOENT
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fusedelta import parameters, validation
from fusedelta.activations import ELU, GELU, LeakyReLU
from fusedelta.initializers import INITIALIZERS
from fusedelta.layers import Activation, Dense, Dropout, Residual
from fusedelta.losses import CLASSES as LOSSES
from fusedelta.normalization import BatchNormalization, LayerNormalization
from fusedelta.optimizers import OPTIMIZERS
from fusedelta.regularizers import CONSTRAINTS, REGULARIZERS
from fusedelta.rows import Row, compile_rows
from fusedelta.schedules import SCHEDULES
from fusedelta.spreading import threads_each

if TYPE_CHECKING:
    from fusedelta.ensemble import Ensemble
    from fusedelta.network import Sequential

    Net = TypeVar("Net", bound=Sequential)

__all__ = ["check_network", "check_path", "load", "load_ensemble", "save", "save_ensemble"]

FORMAT = "fusedelta"
VERSION = 1

LAYERS = (Dense, Activation, Dropout, Residual, BatchNormalization, LayerNormalization)

#: Every value object that a header may hold, by the name it has there.
KINDS: dict[str, type[Any]] = {
    **{layer.name: layer for layer in LAYERS},
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
    **LOSSES,
    **INITIALIZERS,
    **OPTIMIZERS,
    **SCHEDULES,
    **REGULARIZERS,
    **CONSTRAINTS,
}
NAMES = {cls: name for name, cls in KINDS.items()}


def save(path: str | os.PathLike[str], net: Sequential, metadata: dict[str, Any]) -> None:
    """Write a network; see `fusedelta.Sequential.save`."""
    _file_format(path)
    with net._taken():
        arrays, header = _arrays(net), _header(net, metadata)
    _write(path, header, arrays)


def save_ensemble(path: str | os.PathLike[str], nets: Ensemble, metadata: dict[str, Any]) -> None:
    """Write an ensemble; see `fusedelta.Ensemble.save`."""
    _file_format(path)
    arrays, members = [], []
    for i, net in enumerate(nets):
        with net._taken():
            arrays.append(_arrays(net))
            members.append(_header(net, net.metadata, f"members[{i}]."))
    header = {
        "format": FORMAT,
        "version": VERSION,
        "members": members,
        "metadata": _checked_metadata(metadata),
    }
    _write(path, header, {name: np.stack([each[name] for each in arrays]) for name in arrays[0]})


def _arrays(net: Sequential) -> dict[str, np.ndarray]:
    """What is trained, what is kept beside it, and what the optimiser keeps, by name."""
    groups, state = [("", [weight.copy() for weight in net.weights])], net.optimizer_state
    groups += [(_prefix(name), state[name]) for name in net.optimizer.kept]
    arrays: dict[str, np.ndarray] = {}
    for prefix, pieces in groups:
        names = _array_names(net._rows, prefix, with_state=not prefix)
        arrays.update(zip(names, pieces, strict=True))
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"save: expected finite values, got nan or infinite ones in {name}")
    return arrays


def _write(
    path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    write, _ = _file_format(path)
    with _replacing(Path(path)) as temporary:
        write(temporary, json.dumps(header), arrays)


def load(path: str | os.PathLike[str], cls: type[Net]) -> Net:
    """Read a network into a class of networks; see `fusedelta.Sequential.load`."""
    with _reading(path) as (header, arrays):
        return _rebuild(header, arrays, cls)


def load_ensemble(path: str | os.PathLike[str], cls: type[Net]) -> tuple[list[Net], dict[str, Any]]:
    """Read an ensemble's members and its metadata; see `fusedelta.Ensemble.load`."""
    with _reading(path) as (header, arrays):
        if "members" not in header:
            raise ValueError("it holds a single network, for fusedelta.load")
        headers = header["members"]
        n_threads = threads_each(None, len(headers))
        for name, array in arrays.items():
            if array.ndim == 0 or len(array) != len(headers):
                raise ValueError(f"it has {len(headers)} members, and {name} of {array.shape}")
        members = [
            _rebuild(each, {name: array[i] for name, array in arrays.items()}, cls, n_threads)
            for i, each in enumerate(headers)
        ]
        return members, header["metadata"]


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
    """Header and arrays of a file; what is wrong with them is an error that names it."""
    _, read = _file_format(path)
    try:
        header, arrays = read(Path(path))
        header = json.loads(header)
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise ValueError("its header is not that of a model")
        yield header, arrays
    except ImportError:
        raise
    except Exception as error:  # whatever damaged bytes make the readers say
        if isinstance(error, OSError) and error.errno != EINVAL:  # a place outside of the file
            raise
        reason = f"there is no {error} in it" if isinstance(error, KeyError) else error
        raise ValueError(f"{os.fspath(path)}: not a readable fusedelta model: {reason}") from error


def check_path(path: str | os.PathLike[str]) -> None:
    """Find out before a long training that a network cannot be saved to a file afterwards.

    Raises
    ------
    TypeError, ValueError
        If it is no path, or has another ending than those that can be written.
    ImportError
        If the package for the ending is not installed.
    OSError
        If there is no such directory.
    """
    _file_format(path)
    directory = Path(path).absolute().parent
    if not directory.is_dir():
        raise FileNotFoundError(ENOENT, "no such directory", str(directory))


def check_network(net: Sequential) -> None:
    """Find out before a long training that a network is one that no file can hold.

    Raises
    ------
    TypeError, ValueError
        If layers, loss or optimiser are not this package's own, or its metadata not JSON's.
    """
    _header(net, net.metadata)


# ------------------------------------------------------------------------------------ the header


def _header(net: Sequential, metadata: Any, owner: str = "") -> dict[str, Any]:
    return {**_describe(net), "metadata": _checked_metadata(metadata, f"{owner}metadata")}


def _describe(net: Sequential) -> dict[str, Any]:
    if callable(net.loss):
        raise ValueError(
            f"save: expected a loss of this package, got {validation.shown(net.loss)}; files hold "
            "nothing that is executed: pickle the network, or save its weights alone"
        )
    counts = net._optimizer_counts
    return {
        "format": FORMAT,
        "version": VERSION,
        "layers": _encode("layers", net.layers),
        "inputs": net._rows[0].n_inputs,
        "loss": _encode("loss", net.loss),
        "optimizer": _encode("optimizer", net.optimizer),
        "dtype": net.dtype.name,
        "seed": net.seed,
        "shuffle": net.shuffle_state,
        "dropout": net.dropout_state,
        "steps": counts["steps"],
        "accumulated": counts.get("accumulated", 0),
    }


def _rebuild(
    header: dict[str, Any],
    arrays: dict[str, np.ndarray],
    cls: type[Net],
    n_threads: int | None = None,
) -> Net:
    if header["version"] != VERSION:
        raise ValueError(f"it has format version {header['version']}; expected {VERSION}")
    if "members" in header:
        raise ValueError("it holds an ensemble, for fusedelta.Ensemble.load")
    layers = [_decode(layer) for layer in header["layers"]]
    dtype = validation.float_dtype(header["dtype"])
    n_inputs = header["inputs"] if "inputs" in header else len(arrays["layers.0.W"])  # in 0.1.0
    rows = compile_rows(layers, n_inputs, dtype)
    weights = [arrays[name] for name in _array_names(rows, with_state=True)]
    _check_shapes(rows, weights)
    net = cls(
        layers,
        _decode(header["loss"]),
        _decode(header["optimizer"]),
        input_shape=(n_inputs,),
        dtype=dtype,
        seed=header["seed"],
        n_threads=n_threads,
    )
    net.set_weights(weights)
    net.optimizer_state = {
        "steps": header.get("steps", 0),  # which 0.1.0 did not write
        **({"accumulated": header["accumulated"]} if "gradient" in net.optimizer.kept else {}),
        **{
            name: [arrays[each] for each in _array_names(rows, _prefix(name))]
            for name in net.optimizer.kept
        },
    }
    net.shuffle_state = header["shuffle"]
    if "dropout" in header:
        net.dropout_state = header["dropout"]
    net.metadata = _checked_metadata(header["metadata"])
    return net


def _encode(name: str, value: Any) -> Any:
    """A value object as a dict of its name and fields, layers as a list; all else as it is."""
    if isinstance(value, tuple):
        return [_encode(f"{name}[{i}]", each) for i, each in enumerate(value)]
    if type(value) in NAMES:
        fields = [field.name for field in dataclasses.fields(value)]
        encoded = {each: _encode(f"{name}.{each}", getattr(value, each)) for each in fields}
        return {"name": NAMES[type(value)], **encoded}
    if value is not None and not isinstance(value, str | int | float):
        is_rate = name == "optimizer.learning_rate"
        expected = "a number or one of fusedelta.schedules" if is_rate else "one of fusedelta's own"
        raise TypeError(
            f"{name}: expected {expected}, as a file holds no code; got {validation.shown(value)}"
        )
    return value


def _decode(value: Any) -> Any:
    """What `_encode` was given; the objects check their fields themselves."""
    if isinstance(value, list):
        return [_decode(each) for each in value]
    if not isinstance(value, dict):
        return value
    fields = {key: _decode(field) for key, field in value.items() if key != "name"}
    return KINDS[value["name"]](**fields)


def _checked_metadata(metadata: Any, name: str = "metadata") -> dict[str, Any]:
    if not isinstance(metadata, dict):
        raise TypeError(f"{name}: expected a dict, got {validation.shown(metadata)}")
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: expected what JSON can hold: {error}") from None
    _check_keys(metadata, name)
    return metadata


def _check_keys(value: Any, name: str) -> None:
    """JSON would make strings of other keys, and a file would give back other metadata."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{name}: expected keys that are str, got {validation.shown(key)}")
    if isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            _check_keys(each, name)


# ------------------------------------------------------------------------------------ the arrays


def _array_names(rows: Sequence[Row], prefix: str = "", *, with_state: bool = False) -> list[str]:
    return parameters.names(rows, prefix + "layers.{path}.{name}", with_state=with_state)


def _prefix(moment: str) -> str:
    """Of the arrays that hold what an optimiser keeps."""
    return f"optimizer.{moment}."


def _check_shapes(rows: Sequence[Row], weights: list[np.ndarray]) -> None:
    """Before anything of a header's sizes is allocated."""
    for name, expected, found in zip(
        _array_names(rows, with_state=True), parameters.shapes(rows), weights, strict=True
    ):
        if found.shape != expected:
            raise ValueError(f"its layers want {name} of shape {expected}, it is {found.shape}")


# ------------------------------------------------------------------------------------- the files


def _write_npz(path: Path, header: str, arrays: dict[str, np.ndarray]) -> None:
    everything: dict[str, Any] = {"header": np.array(header), **arrays}
    np.savez(path, **everything)


def _read_npz(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no .npz archive, or a truncated one")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
    return str(arrays.pop("header", "null")), arrays


def _write_safetensors(path: Path, header: str, arrays: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save as to_bytes

    path.write_bytes(to_bytes(arrays, {FORMAT: header}))


def _read_safetensors(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return metadata.get(FORMAT, "null"), arrays


_FORMATS: dict[str, tuple[Callable[..., None], Callable[..., Any]]] = {
    ".npz": (_write_npz, _read_npz),
    ".safetensors": (_write_safetensors, _read_safetensors),
}


def _file_format(path: str | os.PathLike[str]) -> tuple[Callable[..., None], Callable[..., Any]]:
    """How to write and read a file of that name."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path: expected a str or a path, got {validation.shown(path)}")
    suffix = Path(path).suffix
    if suffix not in _FORMATS:
        raise ValueError(
            f"path: expected a name that ends in {' or '.join(_FORMATS)}, got {os.fspath(path)!r}"
        )
    if suffix == ".safetensors":
        try:
            import_module("safetensors")
        except ImportError:
            raise ImportError(
                "a .safetensors file needs safetensors: pip install 'fusedelta[safetensors]'"
            ) from None
    return _FORMATS[suffix]


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to; moved to `path` at the end, removed after an error."""
    temporary = None
    try:
        temporary = _new_beside(path)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _new_beside(path: Path) -> Path:
    """An empty file that is this call's alone, with the permissions that any new file has."""
    while True:
        mine = f"{os.getpid()}-{threading.get_ident()}-{next(_NUMBERS)}"
        temporary = path.with_name(f".{path.stem[:32]}.{mine}.tmp{path.suffix}")
        with suppress(FileExistsError):  # which a crash has left behind
            temporary.touch(exist_ok=False)
            return temporary


_NUMBERS = itertools.count()
