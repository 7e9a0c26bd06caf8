"""The screen takes what NumPy's checks would let pass, makes the same of it, and takes no more."""

import warnings

import numpy as np
import pytest

from fusedelta import losses
from fusedelta._screen import Screen
from fusedelta.arrays import Prepare

M, K = 4, 3
BEYOND_FLOAT32 = 3.5e38
ROWS = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
SIGNS = np.array([[1.0, -1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
LABELS = np.array([0, 1, 1, 0])

#: A loss for each kind of targets.
KINDS = {
    "values": "mean_squared_error",
    "counts": "poisson",
    "signs": "hinge",
    "probabilities": "binary_crossentropy",
    "distributions": "categorical_crossentropy",
    "labels": "sparse_categorical_crossentropy",
}
TARGETS = {
    "rows that sum to 1": ROWS,
    "signs": SIGNS,
    "zeros and ones": (SIGNS + 1) / 2,
    "any": 7.5 * SIGNS,
    "large": 7.5 * ROWS,
    "beyond": np.full((M, 2), BEYOND_FLOAT32),
    "nan": np.full((M, 2), np.nan),
    "sums nearly 1": ROWS * (1 + 9.95e-4),
    "sums too far from 1": ROWS * (1 + 2e-3),
    "one column": ROWS[:, 0],
    "one column of two dimensions": ROWS[:, :1],
    "signs of one column": SIGNS[:, 0],
    "labels": LABELS,
    "labels in a column": LABELS[:, None],
    "labels of 32 bits": LABELS.astype(np.int32),
    "labels of 8 bits": LABELS.astype(np.uint8),
    "labels as floats": LABELS.astype(float),
    "labels out of range": 2 * LABELS,
    "labels below 0": -LABELS,
    "labels beyond int64": LABELS.astype(np.uint64) + np.uint64(2**63),
    "other byte order": ROWS.astype(">f8"),
    "float16": ROWS.astype(np.float16),
    "bools": ROWS > 0.3,
    "too few": ROWS[:3],
    "Fortran's order": np.asfortranarray(ROWS),
    "three dimensions": ROWS[..., None],
    "list": ROWS.tolist(),
    "masked": np.ma.masked_invalid(ROWS),
    "none at all": np.empty((0, 2)),
    "scalar": np.float64(1),
}
ROWS_OF = {"rows that sum to 1", "sums nearly 1", "sums too far from 1"}
#: Those that it takes, of float64 as well as in float32.
TAKEN = {
    "values": {*ROWS_OF, "signs", "zeros and ones", "any", "large"},
    "counts": {*ROWS_OF, "zeros and ones", "large"},
    "signs": {"signs"},
    "probabilities": {"rows that sum to 1", "zeros and ones"},
    "distributions": {"rows that sum to 1"},
    "labels": {"labels", "labels of 32 bits", "labels of 8 bits"},
}
INPUTS = {
    "ready": np.arange(12.0).reshape(M, K),
    "float32": np.arange(12, dtype=np.float32).reshape(M, K),
    "integers": np.arange(12).reshape(M, K),
    "nan": np.full((M, K), np.nan),
    "infinite": np.full((M, K), -np.inf, np.float32),
    "beyond": np.full((M, K), -BEYOND_FLOAT32),
    "largest": np.full((M, K), np.finfo(np.float32).max, np.float64),
    "tiny": np.full((M, K), 1e-300),
    "strided": np.arange(24.0).reshape(M, 2 * K)[:, ::2],
    "unaligned": np.frombuffer(b"x" + np.arange(12.0).tobytes(), np.uint8)[1:]
    .view(float)
    .reshape(M, K),
    "too wide": np.zeros((M, K + 1)),
    "empty": np.empty((0, K)),
    "one dimension": np.zeros(K),
}


def of(kind, dtype, screen_type=None, n=2):
    return Prepare(K, n, np.dtype(dtype), losses.LOSSES[KINDS[kind]], screen_type)


def outcome(prepare, *given):
    """What comes out, or which error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return prepare(*given)
        except (TypeError, ValueError) as error:
            return type(error), str(error)


def assert_same(screened, plain):
    assert type(screened) is type(plain)
    if isinstance(plain, np.ndarray):
        assert (screened.dtype, screened.shape) == (plain.dtype, plain.shape)
        assert screened.flags.carray or not screened.flags.writeable
        np.testing.assert_array_equal(screened, plain)
    else:
        assert screened == plain


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TARGETS)
def test_targets(kind, name, n, dtype):
    y = TARGETS[name]
    given = [y]
    if isinstance(y, np.ndarray) and y.dtype == float and name != "beyond":
        given.append(y.astype(np.float32))
    for each in given:
        plain = outcome(of(kind, dtype, n=n).targets, each, M)
        assert_same(outcome(of(kind, dtype, Screen, n).targets, each, M), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_which_targets_it_takes(kind, dtype):
    screen = of(kind, dtype, Screen).screen
    taken = {name for name, y in TARGETS.items() if screen.targets(y, M) is not None}
    beyond = {"beyond"} if kind in ("values", "counts") and dtype == "float64" else set()
    assert taken == TAKEN[kind] | beyond


@pytest.mark.parametrize("name", INPUTS)
def test_inputs(name, dtype):
    X = INPUTS[name]
    screened, plain = of("values", dtype, Screen), of("values", dtype)
    assert_same(outcome(lambda X: screened(X)[0], X), outcome(lambda X: plain(X)[0], X))
    for x in X[:1]:
        assert_same(outcome(screened.sample, x), outcome(plain.sample, x))


def test_which_inputs_it_takes():
    for dtype, beyond in (("float32", set()), ("float64", {"beyond"})):
        screen = of("values", dtype, Screen).screen
        taken = {name for name, X in INPUTS.items() if screen.inputs(X) is not None}
        assert taken == {"ready", "float32", "largest", "tiny"} | beyond


@pytest.mark.parametrize(
    "weights",
    [
        [1.0, 0.0, 2.5, -0.0],
        [1.0, -1.0, 0.0, 0.0],
        [np.nan] * M,
        [np.inf] * M,
        [1.0] * 3,
        [[1.0]] * M,
    ],
)
def test_weights(weights, dtype):
    for given in (np.array(weights), np.array(weights, np.float32), weights):
        plain = outcome(of("values", dtype).weights, given, M)
        assert_same(outcome(of("values", dtype, Screen).weights, given, M), plain)
    screen = of("values", dtype, Screen).screen
    assert (screen.weights(np.array(weights), M) is not None) == (weights[2] == 2.5)


def test_a_loss_of_ones_own_takes_no_weights():
    loss = losses.resolve(lambda Y, T: (0.0, Y), "linear")
    message = "sample_weight: expected None, because a loss of your own weighs the samples itself"
    with pytest.raises(ValueError, match=message):
        Prepare(K, 1, np.dtype("float32"), loss, Screen).weights(np.ones(M), M)
