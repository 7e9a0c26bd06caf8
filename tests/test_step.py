"""Whole steps of thin networks by stretches of samples: nothing of a batch but its last digits."""

from itertools import pairwise, product

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import _cpu

# A stretch has 256 samples, or up to 383 where the batch ends, and a span 16384: a part of a
# stretch, two of them, three with a short one, a span and one sample, two spans.
BATCHES = [383, 384, 700, 16_385, 33_000]
OUTPUTS = {"sigmoid": "binary_crossentropy", "softplus": "poisson", "gelu": "mean_squared_error"}


def trained(sequential, dtype, m, hidden, output, weighted, **options):
    """Parameters and losses after three steps on one batch of m samples."""
    rng = np.random.default_rng(m)
    X = rng.standard_normal((m, 3)).astype(dtype)
    y = (X @ rng.standard_normal((3, 2)) > 0).astype(dtype)
    weights = rng.uniform(0.5, 2, m).astype(dtype) if weighted else None
    layers = [fd.Dense(5, hidden), fd.Dense(2, output)]
    net = sequential(layers, OUTPUTS[output], fd.SGD(0.1), (3,), dtype, seed=1)
    history = net.fit(X, y, epochs=3, shuffle=False, verbose=0, sample_weight=weights, **options)
    return net, np.array(history.loss)


@pytest.mark.parametrize("m", BATCHES)
def test_stretches_have_the_bits_of_passes_over_the_batch(isa, dtype, m):
    """While it is profiled, each pass goes over the whole batch."""
    cases = [("tanh", "softplus", True)]
    if m < 1000:
        cases = product(("tanh", "mish"), OUTPUTS, (False, True))
    for case in cases:
        stretches, losses = trained(fd.Sequential, dtype, m, *case)
        whole, others = trained(fd.Sequential, dtype, m, *case, profile=True)
        np.testing.assert_array_equal(stretches.params, whole.params, err_msg=str(case))
        np.testing.assert_array_equal(losses, others, err_msg=str(case))


@pytest.mark.parametrize("m", BATCHES)
def test_stretches_agree_with_the_twin(dtype, m):
    tolerance = 1e-11 if dtype == "float64" else 2e-5
    for output in OUTPUTS:
        net, losses = trained(fd.Sequential, dtype, m, "tanh", output, True)
        twin, others = trained(fd.reference.Sequential, dtype, m, "tanh", output, True)
        np.testing.assert_allclose(losses, others, rtol=tolerance, err_msg=output)
        for got, expected in zip(net.weights, twin.weights, strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("m", BATCHES)
def test_stretches_have_the_same_bits_on_every_instruction_set(fused_isas, dtype, m):
    results = []
    for isa in fused_isas:
        before = _cpu.use_isa(isa)
        net, losses = trained(fd.Sequential, dtype, m, "tanh", "sigmoid", True)
        _cpu.use_isa(before)
        results.append((net.params, losses))
    for (params, losses), (others, expected) in pairwise(results):
        np.testing.assert_array_equal(params, others)
        np.testing.assert_array_equal(losses, expected)
