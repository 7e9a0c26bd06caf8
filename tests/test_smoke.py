"""The tests that run anywhere: on a wheel just built, on another CPU, under an emulator.

It needs NumPy alone.  pytest collects it with the rest; without pytest it is run as
``python tests/test_smoke.py [ISA]``, where ISA is the instruction set that must be in use.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import fusedelta as fd

DTYPES = {"float32": 2e-5, "float64": 1e-12}
CASES = [  # hidden activation, output layer, loss
    ("tanh", fd.Dense(1, "sigmoid"), "binary_crossentropy"),
    ("sigmoid", fd.Dense(3), "half_sum_squared_error"),
    ("relu", fd.Dense(4, "softmax"), "categorical_crossentropy"),
    (fd.LeakyReLU(0.1), fd.Dense(5, "softmax"), "sparse_categorical_crossentropy"),
    ("tanh", fd.Dense(2, "linear"), "mean_squared_error"),
]
ODD_WIDTHS = (1, 7, 33, 65)  # below, between and above the vector widths


def data(output, loss, dtype, n_samples=37, n_inputs=19):
    """Return inputs and targets that suit the output layer and the loss."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_samples, n_inputs)).astype(dtype)
    labels = rng.integers(output.units, size=n_samples)
    if loss == "sparse_categorical_crossentropy":
        return X, labels
    if loss == "categorical_crossentropy":
        return X, np.eye(output.units, dtype=dtype)[labels]
    if loss == "binary_crossentropy":
        return X, rng.integers(2, size=(n_samples, 1)).astype(dtype)
    return X, rng.normal(size=(n_samples, output.units)).astype(dtype)


def build(kind, case, dtype, width=33):
    """Return a network of two hidden layers, compiled or the NumPy twin."""
    hidden, output, loss = case
    layers = [fd.Dense(width, hidden), fd.Dense(9, hidden), output]
    return kind(layers, loss=loss, optimizer=fd.SGD(0.05), input_shape=(19,), dtype=dtype, seed=1)


def assert_close(got, expected, tolerance):
    """Compare by the largest value, as rounding errors are spread."""
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


def test_isa_is_the_one_asked_for():
    config = fd.show_config()
    assert config["isa"] in config["available"]
    assert config["isa"] == os.environ.get("FUSEDELTA_ISA", config["isa"])


def test_gradients_agree_with_numpy():
    for dtype, tolerance in DTYPES.items():
        for case in CASES:
            for width in ODD_WIDTHS:
                net = build(fd.Sequential, case, dtype, width)
                twin = build(fd.reference.Sequential, case, dtype, width)
                X, y = data(case[1], case[2], dtype)
                loss, gradients = net.gradients(X, y)
                twin_loss, twin_gradients = twin.gradients(X, y)
                assert_close(loss, twin_loss, tolerance)
                for got, expected in zip(gradients, twin_gradients, strict=True):
                    assert_close(got, expected, tolerance)


def test_training_agrees_with_numpy():
    for dtype, tolerance in DTYPES.items():
        for case in CASES:
            net = build(fd.Sequential, case, dtype)
            twin = build(fd.reference.Sequential, case, dtype)
            X, y = data(case[1], case[2], dtype)
            for kind in (net, twin):
                kind.fit(X, y, epochs=4, batch_size=10, verbose=0)
            for got, expected in zip(net.get_weights(), twin.get_weights(), strict=True):
                assert_close(got, expected, 10 * tolerance)


def test_xor_is_learned():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
    y = np.array([0, 1, 1, 0], dtype="float32")
    layers = [fd.Dense(8, "tanh"), fd.Dense(1, "sigmoid")]
    net = fd.Sequential(layers, loss="binary_crossentropy", optimizer=fd.SGD(0.5), seed=0)
    history = net.fit(X, y, epochs=2000, verbose=0)
    assert history.loss[-1] < 0.05 < history.loss[0]
    assert net.predict_classes(X).tolist() == [0, 1, 1, 0]


def test_a_row_alone_gets_the_bits_of_the_batch():
    for dtype in DTYPES:
        net = build(fd.Sequential, CASES[0], dtype)
        X, _ = data(CASES[0][1], CASES[0][2], dtype)
        batch = net.predict(X)
        for row, expected in zip(X, batch, strict=True):
            np.testing.assert_array_equal(net.predict_one(row), expected)


def test_saved_and_loaded_network_predicts_the_same():
    net = build(fd.Sequential, CASES[2], "float32")
    X, _ = data(CASES[2][1], CASES[2][2], "float32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        net.save(path)
        np.testing.assert_array_equal(fd.load(path).predict(X), net.predict(X))


def main(arguments):
    """Run every test of this file, without pytest."""
    isa = fd.show_config()["isa"]
    if arguments and isa != arguments[0]:
        return f"the instruction set in use is {isa}, not {arguments[0]}"
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    for test in tests:
        test()
        print(f"ok   {test.__name__}")
    print(f"{len(tests)} smoke tests passed on {isa}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
