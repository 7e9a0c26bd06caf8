"""What is refused, with which words, and what passes without a copy."""

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import sources

X = np.arange(12.0).reshape(4, 3)
Y = {
    "mean_squared_error": np.ones((4, 2)),
    "binary_crossentropy": np.ones((4, 2)),
    "categorical_crossentropy": np.eye(2)[[0, 1, 1, 0]],
    "sparse_categorical_crossentropy": np.array([0, 1, 1, 0]),
}
OUTPUTS = {
    "mean_squared_error": "linear",
    "binary_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "sparse_categorical_crossentropy": "softmax",
}


def build(sequential, loss="mean_squared_error", units=2, **settings):
    settings = {"input_shape": (3,), "seed": 0, **settings}
    return sequential([fd.Dense(4, "tanh"), fd.Dense(units, OUTPUTS[loss])], loss, **settings)


def spoiled(array, at, value):
    array = np.array(array, float)
    array[at] = value
    return array


# ------------------------------------------------------------------------------------ the network


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"dtype": "float16"}, ValueError, "dtype: expected 'float32' or 'float64', got 'float16'"),
        ({"dtype": int}, ValueError, "dtype: expected 'float32' or 'float64', got"),
        ({"dtype": None}, ValueError, "dtype: expected 'float32' or 'float64', got None"),
        ({"dtype": "no"}, ValueError, "dtype: expected 'float32' or 'float64', got 'no'"),
        ({"dtype": ">f8"}, ValueError, "dtype: expected 'float32' or 'float64', got '>f8'"),
        ({"seed": -1}, ValueError, "seed: expected an integer >= 0, got -1"),
        ({"seed": 1.5}, TypeError, r"seed: expected an integer >= 0, got 1.5 \(float\)"),
        ({"n_threads": 0}, ValueError, "n_threads: expected an integer >= 1, got 0"),
        ({"n_threads": True}, TypeError, r"n_threads: .* got True \(bool\)"),
        ({"n_threads": 2.0}, TypeError, r"n_threads: .* got 2.0 \(float\)"),
        ({"input_shape": 3}, ValueError, r"input_shape: expected a tuple .* \(2,\), got 3 \(int\)"),
        ({"input_shape": (2, 3)}, ValueError, r"input_shape: .* got \(2, 3\)"),
        ({"input_shape": (0,)}, ValueError, r"input_shape\[0\]: expected an integer >= 1, got 0"),
        ({"input_shape": ("3",)}, TypeError, r"input_shape\[0\]: .* got '3' \(str\)"),
    ],
)
def test_refused_settings(sequential, settings, error, message):
    with pytest.raises(error, match=message):
        build(sequential, **settings)


@pytest.mark.parametrize("dtype", ["float32", np.float64, np.dtype("float32"), "f8"])
def test_accepted_dtypes(sequential, dtype):
    net = build(sequential, dtype=dtype, n_threads=np.int64(1), seed=np.uint8(3))
    assert net.dtype == np.dtype(dtype)
    assert net.params.dtype == net.dtype
    assert net.predict(X).dtype == net.dtype
    assert net.seed == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs: expected an integer >= 1, got 0"),
        ({"epochs": 1.0}, TypeError, r"epochs: expected an integer >= 1, got 1.0 \(float\)"),
        ({"epochs": True}, TypeError, r"epochs: .* got True \(bool\)"),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer >= 1, got 0"),
        ({"batch_size": -1}, ValueError, "batch_size: expected an integer >= 1, got -1"),
        ({"batch_size": "4"}, TypeError, r"batch_size: .* got '4' \(str\)"),
        ({"shuffle": 1}, TypeError, r"shuffle: expected True or False, got 1 \(int\)"),
        ({"verbose": 3}, ValueError, "verbose: expected one of 0, 1, 2; got 3"),
        ({"verbose": "yes"}, TypeError, r"verbose: expected one of 0, 1, 2; got 'yes' \(str\)"),
    ],
)
def test_refused_arguments_of_fit(sequential, arguments, error, message):
    net = build(sequential)
    before = net.params.copy()
    with pytest.raises(error, match=message):
        net.fit(X, Y["mean_squared_error"], **{"verbose": 0, **arguments})
    np.testing.assert_array_equal(net.params, before)


# ----------------------------------------------------------------------------------------- inputs


class Sparse:
    """NumPy knows no better than to take one as an object."""

    def toarray(self):
        return X


REFUSED_X = [
    (X[0], ValueError, r"X: .* \(samples, 3\), got \(3,\); X.reshape\(1, -1\) makes it one sample"),
    (X[:, :2], ValueError, r"X: expected shape \(samples, 3\), got \(4, 2\)"),
    (
        X.reshape(2, 2, 3),
        ValueError,
        r"X: .* \(2, 2, 3\); X.reshape\(len\(X\), -1\) makes a row",
    ),
    (X[:0], ValueError, r"X: .* with at least one sample, got \(0, 3\)"),
    (spoiled(X, (2, 1), np.nan), ValueError, "X: expected finite .* got nan at row 2, column 1"),
    (spoiled(X, (0, 2), -np.inf), ValueError, "X: expected finite .* got -inf at row 0, column 2"),
    (X + 0j, TypeError, "X: expected real numbers, got dtype complex128"),
    (X.astype(str), TypeError, "X: expected real numbers, got dtype <U"),
    (np.where(X == 7, None, X), TypeError, r"X: .* got None \(NoneType\) at row 2, column 1"),
    (np.where(X == 2, "2", X.astype(object)), TypeError, r"X: .* got '2' \(str\) at row 0, col"),
    (np.array([[10**400, 1, 2]]), ValueError, "X: expected numbers within the range of float64"),
    (np.ma.masked_equal(X, 4), ValueError, "X: expected numbers in all places, got masked ones"),
    (Sparse(), TypeError, "X: expected real numbers, .* its toarray\\(\\) gives them"),
    (X.astype("M8[s]"), TypeError, "X: expected real numbers, got dtype datetime64"),
    ([[1, 2, 3], [4, 5]], ValueError, "X: expected a rectangular array of numbers"),
    (None, TypeError, r"X: expected real numbers, got None \(NoneType\)"),
    ("abc", TypeError, r"X: expected real numbers, got 'abc' \(str\)"),
]


@pytest.mark.parametrize(("bad", "error", "message"), REFUSED_X)
def test_refused_inputs(sequential, bad, error, message):
    net = build(sequential)
    before = net.params.copy()
    for method in (net.fit, net.train_step, net.evaluate, net.gradients):
        with pytest.raises(error, match=message):
            method(bad, Y["mean_squared_error"])
    with pytest.raises(error, match=message):
        net.predict(bad)
    np.testing.assert_array_equal(net.params, before)


def test_double_precision_beyond_the_range_of_single(sequential):
    bad = spoiled(X, (1, 2), 1e39)
    with pytest.raises(ValueError, match=r"X: .*range of float32, got 1e\+39 at row 1, column 2"):
        build(sequential).predict(bad)
    assert np.isfinite(build(sequential, dtype="float64").predict(bad)).all()


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (X, ValueError, r"x: expected one sample of shape \(3,\), got \(4, 3\)"),
        (X[:1], ValueError, r"x: expected one sample of shape \(3,\), got \(1, 3\)"),
        ([1.0, 2.0], ValueError, r"x: expected one sample of shape \(3,\), got \(2,\)"),
        (1.0, ValueError, r"x: expected one sample of shape \(3,\), got \(\)"),
        ([1.0, np.nan, 2.0], ValueError, "x: expected finite numbers, got nan at column 1"),
        (["a", "b", "c"], TypeError, "x: expected real numbers, got dtype <U1"),
    ],
)
def test_refused_single_samples(sequential, bad, error, message):
    with pytest.raises(error, match=message):
        build(sequential).predict_one(bad)


@pytest.mark.parametrize("state", [None, {}, {"bit_generator": "PCG64"}])
def test_a_wrong_state_of_the_shuffles(sequential, state):
    net = build(sequential)
    before = net.shuffle_state
    with pytest.raises(ValueError, match="shuffle_state: expected a state of this kind"):
        net.shuffle_state = state
    assert net.shuffle_state == before


def test_first_data_need_a_feature(sequential):
    net = build(sequential, input_shape=None)
    with pytest.raises(ValueError, match=r"X: expected shape \(samples, features\), got \(4, 0\)"):
        net.fit(X[:, :0], Y["mean_squared_error"])


def test_refused_first_data_leave_the_network_unbuilt(sequential):
    net = build(sequential, input_shape=None)
    with pytest.raises(ValueError, match="X: expected finite numbers"):
        net.fit(spoiled(np.ones((4, 5)), (0, 0), np.nan), Y["mean_squared_error"])
    assert net.input_shape is None
    with pytest.raises(TypeError, match="callbacks: expected a list of callbacks"):
        net.fit(np.ones((4, 5)), Y["mean_squared_error"], callbacks=3)
    with pytest.raises(ValueError, match="sample_weight: expected one weight a sample"):
        net.train_step(np.ones((4, 5)), Y["mean_squared_error"], sample_weight=[1])
    assert net.input_shape is None
    net.fit(X, Y["mean_squared_error"], verbose=0)
    assert net.input_shape == (3,)


def test_masks_of_ready_arrays_are_seen_too(sequential):
    net = build(sequential)
    ready = np.ma.masked_equal(X.astype(np.float32), 4)
    with pytest.raises(ValueError, match="X: expected numbers in all places, got masked ones"):
        net.predict(ready)
    with pytest.raises(ValueError, match="x: expected numbers in all places, got masked ones"):
        net.predict_one(ready[1])


# ---------------------------------------------------------------------------------------- targets

REFUSED_Y = {
    "mean_squared_error": [
        (np.ones((3, 2)), ValueError, "y: expected as many targets as X has samples, 4, got 3"),
        (np.ones(4), ValueError, r"y: expected shape \(4, 2\), got \(4,\)"),
        (np.ones((4, 3)), ValueError, r"y: expected shape \(4, 2\), got \(4, 3\)"),
        (3.0, ValueError, r"y: expected shape \(4, 2\), got \(\)"),
        (spoiled(np.ones((4, 2)), (3, 1), np.inf), ValueError, "y: .* got inf at row 3, column 1"),
        (None, TypeError, r"y: expected real numbers, got None \(NoneType\)"),
        (np.full((4, 2), "a"), TypeError, "y: expected real numbers, got dtype <U1"),
    ],
    "binary_crossentropy": [
        (spoiled(np.ones((4, 2)), (2, 0), 1.5), ValueError, "y: .* 0 to 1, got 1.5 at row 2, col"),
        (spoiled(np.ones((4, 2)), (1, 1), -1), ValueError, "y: .* 0 to 1, got -1.0 at row 1, col"),
        (spoiled(np.ones((4, 2)), (0, 0), np.nan), ValueError, "y: expected finite .* nan at row"),
    ],
    "categorical_crossentropy": [
        ([0, 1, 1, 0], ValueError, r"y: .* got \(4,\); for integer labels use loss 'sparse_cat"),
        ([[1, 0], [1, 1], [0, 1], [0, 1]], ValueError, "y: .* rows that sum to 1, got 2 in row 1"),
        ([[1, 0], [1, 0], [-1, 2], [0, 1]], ValueError, "y: .*>= 0, got -1.0 at row 2, column 0"),
        ([[1, 0], [1, 0], [0, 0], [0, 1]], ValueError, "y: .* rows that sum to 1, got 0 in row 2"),
    ],
    "sparse_categorical_crossentropy": [
        ([0, 1, 2, 1], ValueError, "y: expected integer labels 0 to 1, got 2 at row 2"),
        ([0, -1, 0, 1], ValueError, "y: expected integer labels 0 to 1, got -1 at row 1"),
        ([0, 1, 0, 0.5], ValueError, "y: expected integer labels 0 to 1, got 0.5 at row 3"),
        ([0, np.nan, 0, 1], ValueError, "y: expected integer labels 0 to 1, got nan at row 1"),
        (np.eye(2)[[0, 1, 1, 0]], ValueError, r"y: .* got \(4, 2\); for one-hot targets use loss"),
        (["a", "b", "a", "b"], TypeError, "y: expected real numbers, got dtype <U1; numpy.unique"),
        (np.array(["a", None] * 2), TypeError, r"y: .* got 'a' \(str\) at row 0; numpy.unique"),
        ([0, 1, 1], ValueError, "y: expected as many targets as X has samples, 4, got 3"),
    ],
}


@pytest.mark.parametrize(
    ("loss", "bad", "error", "message"),
    [(loss, *case) for loss, cases in REFUSED_Y.items() for case in cases],
)
def test_refused_targets(sequential, loss, bad, error, message):
    net = build(sequential, loss)
    before = net.params.copy()
    for method in (net.fit, net.train_step, net.evaluate, net.gradients):
        with pytest.raises(error, match=message):
            method(X, bad)
    np.testing.assert_array_equal(net.params, before)


def test_ready_arrays_of_wrong_values_are_refused_too(sequential):
    """They need no conversion, so that an engine might be tempted to take them as they are."""
    net = build(sequential, "categorical_crossentropy")
    ready = np.ascontiguousarray(X, np.float32)
    with pytest.raises(ValueError, match="y: expected rows that sum to 1"):
        net.train_step(ready, np.full((4, 2), 0.7, np.float32))
    labels = build(sequential, "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="y: expected integer labels 0 to 1, got 7 at row 3"):
        labels.train_step(ready, np.array([0, 1, 1, 7]))


@pytest.mark.parametrize(
    "y",
    [
        [True, False, True, True],
        [1, 0, 1, 1],
        np.array([[1], [0], [1], [1]], np.uint8),
        np.array([1, 0, 1, 1], np.float16),
        np.array([1, 9, 0, 9, 1, 9, 1, 9.0])[::2],
    ],
    ids=["bools", "ints", "column", "float16", "strided"],
)
def test_equal_targets_in_any_form(sequential, y):
    net = build(sequential, "binary_crossentropy", units=1)
    assert net.evaluate(X, y) == net.evaluate(X, np.array([[1.0], [0.0], [1.0], [1.0]]))


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 1, 0],
        [[0], [1], [1], [0]],
        [False, True, True, False],
        np.array([0, 1, 1, 0], np.uint8),
        np.array([0, 1, 1, 0], np.float32),
        np.array([0, 1, 1, 0], ">i4"),
    ],
)
def test_equal_labels_in_any_form(sequential, labels):
    net = build(sequential, "sparse_categorical_crossentropy")
    assert net.evaluate(X, labels) == net.evaluate(X, np.array([0, 1, 1, 0]))


IN_ANY_FORM = {
    "list": X.tolist(),
    "int": X.astype(np.int16),
    "float32": X.astype(np.float32),
    "big-endian": X.astype(">f8"),
    "object": X.astype(object),
    "unmasked": np.ma.masked_equal(X, 99),
    "fortran": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": X[::-1].copy()[::-1],
    "unaligned": np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:].view(float).reshape(4, 3),
}


@pytest.mark.parametrize("data", IN_ANY_FORM.values(), ids=IN_ANY_FORM)
def test_equal_inputs_in_any_form(sequential, dtype, data):
    net = build(sequential, dtype=dtype)
    np.testing.assert_array_equal(net.predict(data), net.predict(X))
    np.testing.assert_array_equal(net.predict_one(data[1]), net.predict_one(X[1]))


def test_data_frames_are_arrays(sequential):
    class Frame:
        """Looks like a table of pandas: something that NumPy can convert."""

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return np.array(self.values, dtype)

    net = build(sequential)
    y = Y["mean_squared_error"]
    assert net.evaluate(Frame(X), Frame(y)) == net.evaluate(X, y)


def test_read_only_data_are_used_and_never_written(sequential):
    inputs, y = X.astype(np.float32), Y["mean_squared_error"].astype(np.float32)
    inputs.flags.writeable = y.flags.writeable = False
    net = build(sequential)
    net.fit(inputs, y, epochs=2, batch_size=2, verbose=0)
    net.train_step(inputs, y)
    np.testing.assert_array_equal(net.predict(inputs), net.predict(X))


# -------------------------------------------------------------------------------------------- out


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.empty((4, 3), np.float32), ValueError),
        (np.empty((3, 2), np.float32), ValueError),
        (np.empty(8, np.float32), ValueError),
        (np.empty((4, 2)), TypeError),
        (np.empty((4, 2), np.float32, order="F"), ValueError),
        (np.empty((4, 4), np.float32)[:, ::2], ValueError),
        ([[0, 0]] * 4, TypeError),
    ],
)
def test_refused_out(sequential, out, error):
    message = r"out: expected a C-contiguous, writable array of shape \(4, 2\) and dtype float32; "
    with pytest.raises(error, match=message):
        build(sequential).predict(X, out)


def test_scattered_out_is_refused(sequential):
    with pytest.raises(ValueError, match="got one that is not C-contiguous"):
        build(sequential).predict(X, np.empty((4, 4), np.float32)[:, ::2])


def test_read_only_out_is_refused(sequential):
    out = np.empty(2, np.float32)
    out.flags.writeable = False
    message = r"out: expected .* of shape \(2,\) and dtype float32; got one that is read-only"
    with pytest.raises(ValueError, match=message):
        build(sequential).predict_one(X[0], out)


def test_out_must_not_overlap_the_inputs(sequential):
    net = sequential([fd.Dense(3)], "mean_squared_error", input_shape=(3,), dtype="float64")
    inputs = X.copy()
    message = "out: expected memory of its own, got an array that overlaps the inputs"
    with pytest.raises(ValueError, match=message):
        net.predict(inputs, out=inputs)
    with pytest.raises(ValueError, match=message):
        net.predict_one(inputs[0], out=inputs[0])
    np.testing.assert_array_equal(inputs, X)


def test_out_must_not_overlap_inputs_on_disk(sequential, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CHUNK_BYTES", 64)
    table = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (60, 1))
    table[:] = 1
    net = sequential([fd.Dense(1)], "mean_squared_error", input_shape=(1,))
    with pytest.raises(ValueError, match="out: expected memory of its own"):
        net.predict(table[:40], out=np.asarray(table)[20:])
    assert (table == 1).all()


# ---------------------------------------------------------------------------------------- weights


def test_refused_weights_leave_all_as_they_were(sequential):
    net = build(sequential)
    good = net.get_weights()
    cases = [
        (good[:3], ValueError, r"weights: expected 4 arrays \(W and b of each layer\), got 3"),
        (np.ones(3), TypeError, "weights: expected a list of arrays, got an array of shape"),
        (
            [w + 1 for w in good[:2]] + [good[2].T, good[3]],
            ValueError,
            r"weights\[2\]: expected shape \(4, 2\), got \(2, 4\), its transpose",
        ),
        ([*good[:3], [np.nan, 0]], ValueError, r"weights\[3\]: expected finite .* nan at row 0"),
        ([*good[:3], ["a", "b"]], TypeError, r"weights\[3\]: expected real numbers"),
        ([*good[:3], [0, 1e300]], ValueError, r"weights\[3\]: .*range of float32, got 1e\+300"),
    ]
    for weights, error, message in cases:
        with pytest.raises(error, match=message):
            net.set_weights(weights)
        for weight, expected in zip(net.weights, good, strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_a_missing_argument_is_told_by_the_name_of_the_class(sequential):
    with pytest.raises(TypeError, match=r"^Sequential.__init__\(\) missing .* 'loss'"):
        sequential([fd.Dense(1)])
