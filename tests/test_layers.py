"""Layers as data, their rows, and the flat block of parameters."""

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import parameters
from fusedelta.rows import compile_rows, stride_of


def test_rows_say_where_everything_is():
    layers = [fd.Dense(5, "relu"), fd.Dense(17, fd.LeakyReLU(0.2)), fd.Dense(16)]
    rows = compile_rows(layers, 3, np.dtype("float32"))
    assert [row[:7] for row in rows] == [
        ("dense", 3, 5, "relu", 0.0, 0, 16),
        ("dense", 5, 17, "leaky_relu", 0.2, 4 * 16, 32),
        ("dense", 17, 16, "linear", 0.0, 4 * 16 + 6 * 32, 16),
    ]
    assert [row.layer for row in rows] == layers
    assert [row.path for row in rows] == ["0", "1", "2"]
    assert parameters.shapes(rows) == [(3, 5), (5,), (5, 17), (17,), (17, 16), (16,)]
    assert parameters.names(rows, "{name}{path}") == ["W0", "b0", "W1", "b1", "W2", "b2"]
    strides = [row.stride for row in compile_rows(layers, 3, np.dtype("float64"))]
    assert strides == [8, 24, 16]


@pytest.mark.parametrize(("dtype", "line"), [("float32", 48), ("float64", 40)])
def test_kernels_of_few_outputs_and_many_inputs_lie_transposed(dtype, line):
    rows = compile_rows([fd.Dense(40), fd.Dense(3), fd.Dense(2)], 3, np.dtype(dtype))
    assert [row.is_tall for row in rows] == [False, True, False]
    tall, block = rows[1], parameters.allocate(rows, np.dtype(dtype))
    lanes = 64 // np.dtype(dtype).itemsize
    assert tall.end == rows[2].offset == tall.offset + 3 * line + lanes
    block[:] = np.arange(len(block))
    W, b = parameters.views([tall], block)
    assert W.shape == (40, 3)
    np.testing.assert_array_equal(W[:, 1], tall.offset + line + np.arange(40))
    np.testing.assert_array_equal(b, tall.offset + 3 * line + np.arange(3))
    parameters.clear_padding(rows, block)
    assert block.sum() == sum(view.sum() for view in parameters.views(rows, block))
    assert tall.height == line // lanes + 1


@pytest.mark.parametrize(
    ("n", "dtype", "stride"),
    [
        (496, "float32", 496),
        (512, "float32", 528),
        (513, "float32", 528),
        (529, "float32", 35 * 16),
        (1024, "float32", 65 * 16),
        (1030, "float32", 65 * 16),
        (256, "float64", 33 * 8),
        (1024, "float64", 129 * 8),
    ],
)
def test_wide_rows_are_an_odd_number_of_blocks_apart(n, dtype, stride):
    assert stride_of(n, np.dtype(dtype)) == stride


def outline(layers):
    """Kind, activation and path of every row."""
    rows = compile_rows(layers, 3, np.dtype("float32"))
    return [(row.kind, row.activation, row.path) for row in rows]


def test_an_activation_joins_the_row_below():
    layers = [fd.Dense(5), fd.Activation("relu"), fd.Dropout(0.1), fd.Activation("tanh")]
    assert outline(layers) == [("dense", "relu", "0"), ("dropout", "tanh", "2")]


def test_an_activation_is_a_row_where_the_one_below_has_its_own():
    layers = [fd.Activation("tanh"), fd.Dense(5, "relu"), fd.Activation(fd.LeakyReLU(0.2))]
    assert outline(layers) == [
        ("activation", "tanh", "0"),
        ("dense", "relu", "1"),
        ("activation", "leaky_relu", "2"),
    ]


def test_block_is_aligned_zeroed_and_seen_through_views(dtype):
    rows = compile_rows([fd.Dense(3), fd.Dense(20)], 2, np.dtype(dtype))
    block = parameters.allocate(rows, np.dtype(dtype))
    assert block.dtype == dtype
    assert block.__array_interface__["data"][0] % 64 == 0
    assert not block.any()
    views = parameters.views(rows, block)
    assert [view.shape for view in views] == [(2, 3), (3,), (3, 20), (20,)]
    for value, view in enumerate(views, start=1):
        assert view.base is not None
        view[...] = value
    assert block.sum() == 1 * 6 + 2 * 3 + 3 * 60 + 4 * 20
    assert views[2].strides[0] % 64 == 0


def test_bias_lies_behind_its_kernel():
    rows = compile_rows([fd.Dense(3)], 2, np.dtype("float32"))
    block = np.arange(48, dtype="float32")
    W, b = parameters.views(rows, block)
    np.testing.assert_array_equal(W, [[0, 1, 2], [16, 17, 18]])
    np.testing.assert_array_equal(b, [32, 33, 34])


def test_dense_is_a_value():
    assert fd.Dense(3, "relu") == fd.Dense(np.int64(3), "relu")
    assert fd.Dense(3) == fd.Dense(3, "linear")
    assert repr(fd.Dense(3, fd.LeakyReLU(0.1))) == (
        "Dense(units=3, activation=LeakyReLU(negative_slope=0.1))"
    )
    assert repr(fd.Dense(3, kernel_initializer="ones", bias_initializer=fd.Constant(1))) == (
        "Dense(units=3, activation='linear', kernel_initializer='ones', "
        "bias_initializer=Constant(value=1.0))"
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fd.Dense(0), ValueError, "units: expected an integer >= 1, got 0"),
        (lambda: fd.Dense(-3), ValueError, "units: expected an integer >= 1, got -3"),
        (lambda: fd.Dense(2.0), TypeError, r"units: expected an integer >= 1, got 2.0 \(float\)"),
        (lambda: fd.Dense(True), TypeError, r"units: .* got True \(bool\)"),
        (lambda: fd.Dense("3"), TypeError, r"units: .* got '3' \(str\)"),
        (lambda: fd.Dense(3, "rely"), ValueError, "activation: .*'relu', .* got 'rely'"),
        (lambda: fd.Dense(3, []), TypeError, r"activation: .* got \[\] \(list\)"),
        (
            lambda: fd.Dense(3, fd.LeakyReLU),
            TypeError,
            r"activation: .*, or an object such as LeakyReLU\(0.1\); got the class LeakyReLU",
        ),
        (
            lambda: fd.Dense(3, kernel_initializer="he"),
            ValueError,
            "kernel_initializer: expected one of .*'he_normal', .*; got 'he'",
        ),
        (lambda: fd.Dense(3, bias_initializer=0), TypeError, r"bias_initializer: .* got 0 \(int\)"),
        (lambda: fd.Activation("rely"), ValueError, "activation: .*'relu', .* got 'rely'"),
        (lambda: fd.Dropout(1), ValueError, "rate: .*number >= 0 and below 1, got 1"),
        (lambda: fd.Dropout(-0.1), ValueError, "rate: .*number >= 0 and below 1, got -0.1"),
        (lambda: fd.Dropout("x"), TypeError, r"rate: .* got 'x' \(str\)"),
        (lambda: fd.LeakyReLU(-0.1), ValueError, "negative_slope: .*number >= 0, got -0.1"),
        (lambda: fd.LeakyReLU(np.nan), ValueError, "negative_slope: .* got nan"),
        (lambda: fd.LeakyReLU("x"), TypeError, r"negative_slope: .* got 'x' \(str\)"),
    ],
)
def test_refused_layers(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([], ValueError, "layers: expected at least one layer"),
        (fd.Dense(3), TypeError, "layers: expected a list of layers, got Dense"),
        ([fd.Dense(3), 4], TypeError, r"layers\[1\]: expected a layer such as .* got 4"),
        (
            [fd.Dense(3, "softmax"), fd.Dense(3)],
            ValueError,
            r"layers\[0\]: softmax is for the output layer, because",
        ),
        (
            [fd.Dense(3), fd.Activation("softmax"), fd.Dropout(0.5)],
            ValueError,
            r"layers\[1\]: softmax is for the output layer, .* hidden layer Activation\(",
        ),
        (
            [fd.Dense(1), fd.Activation("softmax")],
            ValueError,
            r"layers\[1\]: softmax over 1 unit is always 1",
        ),
        (
            [fd.Dropout(0.5), fd.Activation("tanh")],
            ValueError,
            r"layers: expected at least one Dense layer, got \[Dropout",
        ),
        ([fd.Dense(1, "softmax")], ValueError, r"layers\[0\]: softmax over 1 unit is always 1"),
    ],
)
def test_refused_lists_of_layers(sequential, layers, error, message):
    with pytest.raises(error, match=message):
        sequential(layers, "mean_squared_error")


def test_layers_that_fit_into_no_memory(sequential):
    message = "layers: expected parameters that fit into memory, got .* GiB of them"
    with pytest.raises(ValueError, match=message):
        sequential([fd.Dense(10**9), fd.Dense(10**9)], "mean_squared_error", input_shape=(3,))
    with pytest.raises(ValueError, match=message):
        sequential([fd.Dense(2**63 - 1)], "mean_squared_error", input_shape=(3,))
