"""The NumPy twin: its formulas, its dtype, and that it is the same network."""

import math
import subprocess
import sys

import numpy as np
import pytest
from cases import ELEMENTWISE, crossed

import fusedelta as fd
from fusedelta import reference
from fusedelta.reference_activations import ACTIVATIONS, softmax, softmax_backward
from fusedelta.reference_layers import product

Z = np.array([[-1000.0, -40.0, -2.0, -0.5, 0.0, 1e-300, 0.5, 2.0, 40.0, 1000.0]])


SELU = 1.0507009873554805


def logistic(z):
    return 1 / (1 + math.exp(-z)) if z > -700 else math.exp(z)


@pytest.mark.parametrize(
    ("name", "slope", "formula"),
    [
        ("linear", 0.0, lambda z: z),
        ("sigmoid", 0.0, logistic),
        ("tanh", 0.0, math.tanh),
        ("relu", 0.0, lambda z: max(z, 0)),
        ("leaky_relu", 0.1, lambda z: z if z > 0 else 0.1 * z),
        ("elu", 0.1, lambda z: z if z > 0 else 0.1 * math.expm1(z)),
        (
            "selu",
            0.0,
            lambda z: 1.05070098735548 * z if z > 0 else 1.75809934084737 * math.expm1(z),
        ),
        ("softplus", 0.0, lambda z: math.log1p(math.exp(z)) if z < 700 else z),
        ("silu", 0.0, lambda z: z * logistic(z)),
        ("mish", 0.0, lambda z: z * math.tanh(math.log1p(math.exp(z)) if z < 700 else z)),
        ("gelu", 0.0, lambda z: z * math.erfc(-z / math.sqrt(2)) / 2),
        (
            "gelu_tanh",
            0.0,
            lambda z: z / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
        ),
        ("hard_sigmoid", 0.0, lambda z: min(max(z + 3, 0), 6) / 6),
        ("hard_tanh", 0.0, lambda z: min(max(z, -1), 1)),
    ],
)
def test_activations(name, slope, formula):
    forward, _ = ACTIVATIONS[name]
    expected = [[formula(z) for z in Z[0]]]
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(forward(Z, slope), expected, rtol=4e-15, atol=1e-17)


def test_product_leaves_it_to_nan_to_tell():
    A, B = np.array([[np.inf, 1.0]]), np.array([[0.0], [1.0]])
    with np.errstate(all="raise"):
        with pytest.raises(FloatingPointError, match="invalid value"):
            A @ B
        assert np.isnan(product(A, B)).all()


def test_softmax():
    with np.errstate(all="raise", under="ignore"):
        Y = softmax(np.array([[1000.0, 1000.0], [-1000.0, 0.0], [0.0, math.log(3)]]))
    np.testing.assert_allclose(Y, [[0.5, 0.5], [0, 1], [0.25, 0.75]], rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "slope", "derivatives"),
    [
        ("relu", 0.0, [0, 0, 1]),
        ("leaky_relu", 0.2, [0.2, 0.2, 1]),
        ("linear", 0.0, [1, 1, 1]),
        ("sigmoid", 0.0, [0.25 / math.cosh(0.5) ** 2, 0.25, 0.25 / math.cosh(0.5) ** 2]),
        ("tanh", 0.0, [1 / math.cosh(1) ** 2, 1, 1 / math.cosh(1) ** 2]),
        ("elu", 0.5, [0.5 * math.exp(-1), 0.5, 1]),
        ("selu", 0.0, [1.758099340847377 * math.exp(-1), 1.758099340847377, 1.0507009873554805]),
        ("softplus", 0.0, [logistic(-1), 0.5, logistic(1)]),
        ("exponential", 0.0, [math.exp(-1), 1, math.e]),
        ("hard_sigmoid", 0.0, [1 / 6, 1 / 6, 1 / 6]),
        ("hard_tanh", 0.0, [0, 1, 0]),
        ("silu", 0.0, [0.07232948812851323, 0.5, 0.9276705118714868]),
        ("mish", 0.0, [0.059216755877394948, 0.6, 1.0490362200997922]),
        ("gelu", 0.0, [-0.08331547058768635, 0.5, 1.0833154705876864]),
        ("gelu_tanh", 0.0, [-0.08296408384578256, 0.5, 1.0829640838457826]),
    ],
)
def test_derivatives(name, slope, derivatives):
    forward, backward = ACTIVATIONS[name]
    Z = np.array([[-1.0, 0.0, 1.0]])
    got = backward(np.full((1, 3), 3.0), Z, forward(Z, slope), slope)
    np.testing.assert_allclose(got, 3 * np.array([derivatives]), rtol=1e-14)


def test_softmax_backward_is_the_jacobian():
    Y, G = np.array([[0.2, 0.3, 0.5]]), np.array([[1.0, -2.0, 0.5]])
    jacobian = np.diag(Y[0]) - np.outer(Y[0], Y[0])
    np.testing.assert_allclose(softmax_backward(G, G, Y), G @ jacobian, rtol=1e-14)


HIDDEN = [*ELEMENTWISE, fd.LeakyReLU(0.1), fd.ELU(0.5)]
PAIRS = [
    ("mean_squared_error", "softmax"),
    ("half_sum_squared_error", "linear"),
    ("binary_crossentropy", "sigmoid"),
    ("categorical_crossentropy", "softmax"),
    ("sparse_categorical_crossentropy", "softmax"),
]


@pytest.mark.parametrize(("pair", "hidden"), crossed(PAIRS, HIDDEN, PAIRS[:1], ["tanh"]), ids=str)
def test_single_precision_stays_single(pair, hidden):
    loss, output = pair
    layers = [fd.Dense(3, hidden), fd.Dense(2, output)]
    net = reference.Sequential(layers, loss, input_shape=(2,), seed=0)
    y = [0, 1] if loss.startswith("sparse") else [[0, 1], [1, 0]]
    net.train_step([[1, 2], [3, 4]], y)
    for layer in net._engine._layers:
        arrays = (layer.X, layer.Z, layer.Y, *layer.pieces, *layer.gradients)
        assert {array.dtype for array in arrays} == {np.dtype("float32")}


def test_a_step_by_hand():
    """One unit, one sample: z = 2 * 3 + 1 = 7, loss (7 - 5)^2 / 2, dW = (7 - 5) * 3, db = 7 - 5."""
    net = reference.Sequential(
        [fd.Dense(1)], "half_sum_squared_error", fd.SGD(0.25), input_shape=(1,), dtype="float64"
    )
    net.set_weights([[[2.0]], [1.0]])
    assert net.train_step([[3.0]], [5.0]) == 2.0
    assert net.get_weights() == [[[2 - 0.25 * 6]], [1 - 0.25 * 2]]


def test_it_is_the_same_network(dtype):
    layers = [fd.Dense(5, "relu"), fd.Dense(3, "softmax")]
    nets = [
        cls(layers, "sparse_categorical_crossentropy", fd.SGD(0.1), dtype=dtype, seed=3)
        for cls in (fd.Sequential, reference.Sequential)
    ]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)), rng.integers(3, size=30)
    histories = [net.fit(X, y, epochs=5, batch_size=7, verbose=0) for net in nets]
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(histories[0].loss, histories[1].loss, rtol=tolerance)
    np.testing.assert_array_equal(histories[0].accuracy, histories[1].accuracy)
    for ours, theirs in zip(nets[0].weights, nets[1].weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    assert nets[0].evaluate(X, y)["loss"] == pytest.approx(
        nets[1].evaluate(X, y)["loss"], rel=tolerance
    )
    np.testing.assert_array_equal(nets[0].predict_classes(X), nets[1].predict_classes(X))


def test_it_runs_no_compiled_code():
    """Whatever the compiled engine would do, the twin does not ask it."""
    code = (
        "import fusedelta as fd\n"
        "fd.Sequential._engine_type = None\n"
        "net = fd.reference.Sequential([fd.Dense(1)], 'mean_squared_error', input_shape=(1,))\n"
        "net.fit([[1.0]], [2.0], epochs=3, verbose=0)\n"
        "print(net.predict([[1.0]]).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 1)\n"
