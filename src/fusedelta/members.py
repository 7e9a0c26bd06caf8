"""What each member of an ensemble is given: seed, learning rate, data, draw, callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fusedelta import network, rates, validation
from fusedelta.callbacks import Callback, CSVLogger, ProgressBar
from fusedelta.calling import listed
from fusedelta.monitors import ModelCheckpoint
from fusedelta.opening import Data, Given, is_large, open_data
from fusedelta.rates import Rate
from fusedelta.sources import Rows, Samples, shuffled_by
from fusedelta.spreading import noted

if TYPE_CHECKING:
    from fusedelta.network import Sequential

__all__ = [
    "callbacks_of",
    "checked_alike",
    "draw_each",
    "in_arrays",
    "inputs_each",
    "learning_rates_of",
    "open_each",
    "ready_each",
    "seeds_of",
    "sets_of",
]

#: The stream of a member's draws; 0 to 2 are those of its weights, shuffles and dropout.
DRAWS = 3

#: Callbacks of which there cannot be one a member: copies would write to one place.
SINGLE = (CSVLogger, ModelCheckpoint, ProgressBar)


def seeds_of(seed: Any, n: int) -> list[int]:
    """Seeds of n members, from one (None: the system's) or from as many."""
    if is_sequence(seed):
        given = _of_length("seed", seed, n, "integers")
        return [
            validation.integer(f"seed[{i}]", each, minimum=0, bits=128)
            for i, each in enumerate(given)
        ]
    drawn = np.random.SeedSequence(validation.seed(seed)).generate_state(n, np.uint64)
    return [int(each) for each in drawn]


def learning_rates_of(rate: Any, n: int) -> list[Rate]:
    """Learning rates of n members, from one number or schedule or from as many."""
    if not is_sequence(rate):
        return [rates.check_rate("learning_rate", rate)] * n
    given = _of_length("learning_rate", rate, n, "numbers or schedules")
    return [rates.check_rate(f"learning_rate[{i}]", each) for i, each in enumerate(given)]


def sets_of(name: str, value: Any, n: int, ndim: int) -> list[Any] | None:
    """The n members' own arrays, or None where `value` is one for all.

    Parameters
    ----------
    name : str
    value : array_like or sequence of array_like
        Their own are n of `ndim` dimensions: a list of them, or an array with one more.
    n, ndim : int
    """
    if isinstance(value, list | tuple):
        are_own = len(value) > 0 and _ndim(value[0]) == ndim
    else:
        are_own = getattr(value, "ndim", 0) == ndim + 1
    return _of_length(name, value, n, "arrays") if are_own else None


def _ndim(value: Any) -> int:
    try:
        return np.ndim(value)
    except ValueError:  # rows of several lengths, which those who check the data will name
        return 0


def is_sequence(value: Any) -> bool:
    """Whether it may have an entry for each member."""
    is_array = isinstance(value, np.ndarray) and value.ndim > 0
    return is_array or isinstance(value, list | tuple | range)


def _of_length(name: str, value: Any, n: int, what: str) -> list[Any]:
    if len(value) != n:
        raise ValueError(f"{name}: expected {n} {what}, one a member, got {len(value)}")
    return [value[i] for i in range(n)]


def checked_alike(networks: Any) -> list[Sequential]:
    """Networks that can be members of one ensemble.

    Raises
    ------
    TypeError, ValueError
        If there is none, or one is no network, is there twice, or differs from the first in more
        than its seed and learning rate.
    """
    if not isinstance(networks, list | tuple) or not networks:
        raise TypeError(
            f"networks: expected a list of at least one network, got {validation.shown(networks)}"
        )
    for i, net in enumerate(networks):
        if not isinstance(net, network.Sequential):
            raise TypeError(
                f"networks[{i}]: expected a Sequential network, got {validation.shown(net)}"
            )
        if any(net is other for other in networks[:i]):
            raise ValueError(f"networks[{i}]: expected another network, got one of those before it")
        mine, first = _kind(net), _kind(networks[0])
        for name, value in mine.items():
            if value != first[name]:
                raise ValueError(
                    f"networks[{i}]: expected the {name} of networks[0], {first[name]}, got {value}"
                )
    return list(networks)


def _kind(net: Sequential) -> dict[str, Any]:
    """What members have in common."""
    return {
        "class": type(net),
        "layers": net.layers,
        "loss": net.loss,
        "dtype": net.dtype,
        "input_shape": net.input_shape,
        "optimizer (but for the learning rate)": replace(net.optimizer, learning_rate=1.0),
    }


# -------------------------------------------------------------------------------------------- data


def open_each(networks: Sequence[Sequential], given: Given) -> list[Data]:
    """What each member trains on and is measured on, all of it checked.

    What is the same for all is prepared once.

    Raises
    ------
    TypeError, ValueError
        With a note whose data are wrong, where each member has its own.
    """
    if given.y is None:
        raise TypeError("y: expected targets, got None (NoneType); an ensemble takes no batches")
    n, first, shared = len(networks), networks[0], given.validation_data
    own_X = sets_of("X", given.X, n, 2)
    own_weights = sets_of("sample_weight", given.sample_weight, n, 1)
    own_validation = _validation_sets(shared, n)
    if own_X is own_weights is own_validation is None:
        one = open_data(first, given)
        source = in_arrays(one)
        return [one._replace(source=shuffled_by(net._rng_shuffle, source)) for net in networks]
    pairs = _pairs(first, given.X, given.y, own_X, n)
    weights = own_weights or [given.sample_weight] * n
    measured = own_validation or [shared] + [None] * (n - 1)

    def open_one(i: int) -> Data:
        X, y = pairs[i]
        own = given._replace(X=X, y=y, validation_data=measured[i], sample_weight=weights[i])
        return open_data(networks[i], own)

    data = [noted(open_one, i, n) for i in range(n)]
    for i, each in enumerate(data):
        _check_features(i, each.n_inputs, data[0].n_inputs)
    if own_validation is None and shared is not None:
        data = [each._replace(measure=data[0].measure) for each in data]
    return data


def ready_each(
    networks: Sequence[Sequential], X: Any, y: Any, sample_weight: Any
) -> list[tuple[Any, Any, Any]]:
    """Each member's X, y and weights, all checked before anything is done with any."""
    n, prepare = len(networks), networks[0]._prepare
    own_X = sets_of("X", X, n, 2)
    weights = sets_of("sample_weight", sample_weight, n, 1) or [sample_weight] * n
    pairs = _pairs(networks[0], X, y, own_X, n)

    def ready(i: int) -> tuple[Any, Any, Any]:
        X, y = pairs[i]
        if is_large(X, prepare):
            return X, y, weights[i]
        if own_X is not None:
            X, y = prepare.pair(X, y)
        _check_features(i, X.shape[1], pairs[0][0].shape[1])
        return X, y, None if weights[i] is None else prepare.weights(weights[i], len(X))

    return [noted(ready, i, n) for i in range(n)]


def inputs_each(networks: Sequence[Sequential], X: Any) -> list[Any]:
    """Each member's inputs; those for all are checked here, others where they are used."""
    networks[0]._check_built()
    n, prepare = len(networks), networks[0]._prepare
    own = sets_of("X", X, n, 2)
    if own is None:
        return [X if is_large(X, prepare) else prepare(X)[0]] * n
    inputs = [noted(lambda i: prepare(own[i])[0], i, n) for i in range(n)]
    lengths = sorted({len(each) for each in inputs})
    if len(lengths) > 1:
        raise ValueError(
            f"X: expected as many samples for each member, got {lengths[0]} to {lengths[-1]}"
        )
    return inputs


def in_arrays(data: Data) -> Samples | Rows:
    """Where the samples come from, in an ensemble never from batches."""
    return cast("Samples | Rows", data.source)


def _pairs(
    first: Sequential, X: Any, y: Any, own_X: list[Any] | None, n: int
) -> list[tuple[Any, Any]]:
    """Each member's X and y: its own as they are, those for all ready."""
    if own_X is not None:
        return list(zip(own_X, _targets(y, n), strict=True))
    return [(X, y) if is_large(X, first._prepare) else first._prepare.pair(X, y)] * n


def _targets(y: Any, n: int) -> list[Any]:
    if is_sequence(y) or hasattr(y, "shape"):
        return _of_length("y", y, n, "arrays of targets")
    raise TypeError(f"y: expected {n} arrays of targets, one a member, got {validation.shown(y)}")


def _validation_sets(data: Any, n: int) -> list[Any] | None:
    """The members' own validation data, or None where they are one for all, or wrong."""
    if not isinstance(data, tuple | list) or not data:
        return None
    own = sets_of("validation_data: X", data[0], n, 2)
    if own is None:
        return None
    rest = [_of_length("validation_data", part, n, "arrays") for part in data[1:]]
    return list(zip(own, *rest, strict=True))


def _check_features(i: int, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(
            f"X: expected {expected} features for every member, as for member 0, got {found} for "
            f"member {i}"
        )


# ------------------------------------------------------------------------------------------- draws


def draw_each(
    seeds: Sequence[int | None], data: list[Data], bootstrap: bool, max_samples: Any
) -> tuple[list[Data], list[np.ndarray] | None]:
    """Each member's data with only what it draws, and the rows that these are (None: all)."""
    sizes = [in_arrays(each).m for each in data]
    counts = [number_drawn(max_samples, m) for m in sizes]
    if not bootstrap and counts == sizes:
        return data, None
    drawn, bags = [], []
    for seed, each, count in zip(seeds, data, counts, strict=True):
        if not isinstance(each.source, Samples):
            name = "bootstrap" if bootstrap else "max_samples"
            raise ValueError(f"{name}: expected data in memory with it, got data on disk")
        bags.append(draw_rows(seed, each.source.m, count, replace=bootstrap))
        drawn.append(each._replace(source=each.source.drawn(bags[-1])))
    return drawn, bags


def number_drawn(max_samples: Any, m: int) -> int:
    """How many of m samples a member draws."""
    expected = f"an integer from 1 to {m}, or a part of the samples in 0 < max_samples <= 1.0"
    if isinstance(max_samples, float | np.floating):
        if not 0 < max_samples <= 1:
            raise ValueError(f"max_samples: expected {expected}, got {max_samples}")
        return max(1, int(max_samples * m))
    if isinstance(max_samples, bool | np.bool_) or not isinstance(max_samples, int | np.integer):
        raise TypeError(f"max_samples: expected {expected}, got {validation.shown(max_samples)}")
    if not 1 <= max_samples <= m:
        raise ValueError(f"max_samples: expected {expected}, got {max_samples}")
    return int(max_samples)


def draw_rows(seed: int | None, m: int, count: int, *, replace: bool) -> np.ndarray:
    """So many of m samples, ascending; a seed draws the same each time, so that fits go on."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(DRAWS,))))
    rows = rng.integers(0, m, count) if replace else rng.choice(m, count, replace=False)
    return np.sort(rows).astype(np.intp)


# --------------------------------------------------------------------------------------- callbacks


def callbacks_of(callbacks: Any, n: int) -> list[list[Callback]]:
    """Lists of callbacks for n members: what a function returns for each, or else copies."""
    if callable(callbacks) and not isinstance(callbacks, Callback):
        return [listed(callbacks(i)) for i in range(n)]
    originals = listed(callbacks)
    for callback in originals:
        if isinstance(callback, SINGLE):
            name = type(callback).__name__
            raise ValueError(
                f"callbacks: expected a function of a member's number, such as lambda i: "
                f"[{name}(...)], got a {name}, which cannot be copied for each member"
            )
    return [[_copied(callback) for callback in originals] for _ in range(n)]


def _copied(callback: Callback) -> Callback:
    """A copy, but for the network of an earlier fit."""
    model: Any = getattr(callback, "model", None)
    return deepcopy(callback, {id(model): model})
