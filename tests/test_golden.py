"""The four texts' networks, against figures computed without this package (golden/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest

import fusedelta as fd

FOLDER = Path(__file__).parent / "golden"
NAMES = ["jumping_back", "softmax", "spiral", "xor"]
LOSSES = {
    "half_sse": "half_sum_squared_error",
    "mse": "mean_squared_error",
    "bce": "binary_crossentropy",
    "cce": "categorical_crossentropy",
}


@pytest.fixture(params=NAMES)
def case(request):
    return json.loads((FOLDER / f"{request.param}.json").read_text())


def build(engine, case, dtype="float64"):
    """The network of a case, with its starting weights, and its data."""
    widths = [len(b) for b in case["start"]["b"]]
    activations = [
        fd.LeakyReLU(0.1) if name == "leaky_relu_0.1" else name for name in case["activations"]
    ]
    X, Y = np.array(case["X"], dtype), np.array(case["Y"], dtype)
    net = engine(
        [fd.Dense(n, activation) for n, activation in zip(widths, activations, strict=True)],
        loss=LOSSES[case["loss"]],
        optimizer=fd.SGD(case["lr"]),
        input_shape=(X.shape[1],),
        dtype=dtype,
    )
    net.set_weights(interleaved(case["start"]["W"], case["start"]["b"]))
    return net, X, Y


def interleaved(kernels, biases):
    """[W0, b0, W1, b1, ...]"""
    return [np.array(a) for pair in zip(kernels, biases, strict=True) for a in pair]


def assert_close(actual, expected, tolerance):
    """Relative to the largest value."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_first_step(engine, case):
    net, X, Y = build(engine, case)
    first = case["first_step"]
    loss, gradients = net.gradients(X, Y)
    assert loss == pytest.approx(first["loss"], rel=1e-12)
    assert_close(net.predict(X), first["output"], 1e-12)
    for layer, golden in enumerate(zip(first["dW"], first["db"], strict=True)):
        largest = max(np.abs(expected).max() for expected in golden)
        for gradient, expected in zip(gradients[2 * layer :][:2], golden, strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-12 * largest)


def test_first_step_in_single_precision(engine, case):
    net, X, Y = build(engine, case, "float32")
    first = case["first_step"]
    loss, gradients = net.gradients(X, Y)
    assert loss == pytest.approx(first["loss"], rel=1e-5)
    assert_close(net.predict(X), first["output"], 1e-5)
    golden = interleaved(first["dW"], first["db"])
    largest = max(np.abs(expected).max() for expected in golden)
    for gradient, expected in zip(gradients, golden, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5 * largest)


def test_losses_on_the_way(engine, case):
    net, X, Y = build(engine, case)
    steps = min(case["steps"], 1000)
    losses = net.fit(X, Y, epochs=steps, verbose=0).loss
    shown = {int(step): loss for step, loss in case["loss_before_step"].items()}
    checked = {step: loss for step, loss in shown.items() if step <= steps}
    assert len(checked) >= 4
    for step, loss in checked.items():
        assert losses[step - 1] == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize("case", ["spiral"], indirect=True)
def test_weights_after_fifty_steps(engine, case):
    net, X, Y = build(engine, case)
    net.fit(X, Y, epochs=50, verbose=0)
    for weights, expected in zip(
        net.get_weights(), interleaved(case["final"]["W"], case["final"]["b"]), strict=True
    ):
        assert_close(weights, expected, 1e-10)


@pytest.mark.parametrize("case", ["xor", "jumping_back", "softmax"], indirect=True)
def test_final_loss_weights_and_output(engine, case):
    net, X, Y = build(engine, case)
    net.fit(X, Y, epochs=case["steps"], verbose=0)
    assert net.evaluate(X, Y)["loss"] == pytest.approx(case["final_loss"], rel=1e-8)
    assert_close(net.predict(X), case["final_output"], 1e-8)
    for weights, expected in zip(
        net.get_weights(), interleaved(case["final"]["W"], case["final"]["b"]), strict=True
    ):
        assert_close(weights, expected, 1e-8)
