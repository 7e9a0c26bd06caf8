"""Normalisations and dropout against figures from elsewhere: PyTorch's, and expected values."""

import json
from pathlib import Path

import numpy as np
import pytest

import fusedelta as fd

GOLDEN = json.loads((Path(__file__).parent / "golden" / "torch_normalizations.json").read_text())
BATCHES = [slice(*batch) for batch in GOLDEN["batches"]]
PLAIN = {"scale": False, "center": False}
BATCH = {"momentum": GOLDEN["momentum"], "epsilon": GOLDEN["epsilon"]}
LAYER = {"epsilon": GOLDEN["epsilon"]}
TANH = fd.Activation("tanh")
MIDDLE = {
    "batch": [fd.BatchNormalization(**BATCH), TANH],
    "batch, neither scale nor center": [fd.BatchNormalization(**BATCH, **PLAIN), TANH],
    "layer": [fd.LayerNormalization(**LAYER), TANH],
    "layer, neither scale nor center": [fd.LayerNormalization(**LAYER, **PLAIN), TANH],
    "batch in a residual": [
        fd.Residual([fd.Dense(4), fd.BatchNormalization(**BATCH), TANH, fd.Dense(4)])
    ],
}
# 20 steps were seen to leave 1e-15 and 8e-7
TOLERANCE = {"float64": 1e-12, "float32": 5e-6}


def assert_all_close(got, expected, dtype):
    for ours, theirs in zip(got, expected, strict=True):
        tolerance = TOLERANCE[dtype] * max(1, np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", MIDDLE)
def test_normalisations_are_those_of_pytorch(engine, dtype, name):
    golden, X, Y = GOLDEN["cases"][name], np.array(GOLDEN["X"]), np.array(GOLDEN["Y"])
    layers = [fd.Dense(4), *MIDDLE[name], fd.Dense(3)]
    optimizer = fd.SGD(GOLDEN["learning_rate"])
    net = engine(layers, "mean_squared_error", optimizer, (5,), dtype)
    for weight, start in zip(net.trainable_weights, golden["start"], strict=True):
        weight[...] = start
    variances = averages_of_biased_variances(golden.get("running_var", []))
    assert_all_close(net.gradients(X[:7], Y[:7])[1], golden["gradients"], dtype)
    for step, loss in enumerate(golden["losses"]):
        batch = BATCHES[step % 2]
        assert net.train_step(X[batch], Y[batch]) == pytest.approx(loss, rel=TOLERANCE[dtype])
        after = str(step + 1)
        if after in golden["weights"]:
            assert_all_close(net.trainable_weights, golden["weights"][after], dtype)
        if net.non_trainable_weights:
            expected = golden["running_mean"][step], variances[step]
            assert_all_close(net.non_trainable_weights, expected, dtype)
    assert_all_close([net.predict(X)], [golden["predictions"]], dtype)


def averages_of_biased_variances(recorded):
    """What PyTorch's averages of unbiased variances are of those that it normalises with."""
    kept, before, average, averages = GOLDEN["momentum"], 1.0, 1.0, []
    for step, after in enumerate(np.array(recorded)):
        m = BATCHES[step % 2].stop - BATCHES[step % 2].start
        average = kept * average + (after - kept * before) * (m - 1) / m
        before = after
        averages.append(average)
    return averages


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_has_the_expected_loss_and_gradient(engine, rate):
    """Of a sum of dropped inputs w x, whose variance is rate / (1 - rate) sum (w x)^2."""
    rng = np.random.default_rng(1)
    m, x, w, y = 40_000, rng.standard_normal(6), rng.standard_normal(6), 0.7
    net = engine(
        [fd.Dropout(rate), fd.Dense(1)], "mean_squared_error", "sgd", (6,), "float64", seed=3
    )
    net.set_weights([w[:, np.newaxis], [0.0]])
    assert net.evaluate([x], [y])["loss"] == pytest.approx((w @ x - y) ** 2, rel=1e-12)
    loss, (gradient, _) = net.gradients(np.tile(x, (m, 1)), np.full(m, y))
    spread = rate / (1 - rate)
    variance = spread * ((w * x) ** 2).sum()
    expected = (w @ x - y) ** 2 + variance
    assert loss == pytest.approx(expected, rel=0.01)
    slope = 2 * (w @ x - y) * x + 2 * spread * w * x**2
    np.testing.assert_allclose(gradient[:, 0], slope, rtol=0, atol=0.01 * np.abs(slope).max())
