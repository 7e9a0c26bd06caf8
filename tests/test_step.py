"""Whole steps of thin networks: by stretches of samples, and with values that stay in registers."""

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


# Inputs, then outputs of each layer. Up to four are `tiny` in batches of a vector, up to a vector
# `thin` with one sample; others are neither, on some instruction sets or on all.
WIDTHS = [
    *((1, 1), (2, 2, 1), (4, 4, 3, 4), (5, 3, 5, 4)),
    *((31, 8, 2), (3, 16, 9), (2, 17, 2), (32, 4, 1)),
]
LOSSES = {"mean_squared_error": "sigmoid", "huber": "softmax", "binary_crossentropy": "sigmoid"}


def stepped(sequential, dtype, m, widths, hidden, loss, optimizer, weighted, **options):
    """Parameters and losses after two epochs of 13 samples in batches of m."""
    rng = np.random.default_rng(m)
    X = rng.standard_normal((13, widths[0])).astype(dtype)
    X[3] = 0
    X[7, 0] = 300  # some sigmoids are 0 or 1 there
    y = rng.integers(0, 2, (13, widths[-1])).astype(dtype)
    weights = rng.uniform(0.5, 2, 13).astype(dtype) if weighted else None
    output = LOSSES[loss] if widths[-1] > 1 else "sigmoid"
    layers = [*(fd.Dense(n, hidden) for n in widths[1:-1]), fd.Dense(widths[-1], output)]
    net = sequential(layers, loss, optimizer(), widths[:1], dtype, seed=1)
    history = net.fit(X, y, epochs=2, batch_size=m, verbose=0, sample_weight=weights, **options)
    return net, np.array(history.loss)


def descent():
    return fd.SGD(0.1)


def momentum():
    return fd.SGD(0.1, momentum=0.9)


CASES = [
    *product(("tanh", "sigmoid", "relu"), LOSSES, (descent,), (False, True)),
    *product(("leaky_relu", "elu", "mish"), ("mean_squared_error",), (momentum, fd.Adam), (False,)),
]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("m", [1, 3, 4, 7, 13])
def test_steps_in_registers_have_the_bits_of_their_passes(isa, dtype, m, widths):
    """While it is profiled, each pass writes to memory what the next one needs."""
    for case in CASES:
        whole, losses = stepped(fd.Sequential, dtype, m, widths, *case)
        passes, others = stepped(fd.Sequential, dtype, m, widths, *case, profile=True)
        np.testing.assert_array_equal(whole.params, passes.params, err_msg=str(case))
        np.testing.assert_array_equal(losses, others, err_msg=str(case))


@pytest.mark.parametrize("widths", WIDTHS)
def test_steps_in_registers_agree_with_the_twin(isa, dtype, widths):
    tolerance = 1e-11 if dtype == "float64" else 5e-5
    for m, case in product((1, 4, 13), CASES):
        net, losses = stepped(fd.Sequential, dtype, m, widths, *case)
        twin, others = stepped(fd.reference.Sequential, dtype, m, widths, *case)
        np.testing.assert_allclose(losses, others, rtol=tolerance, err_msg=str(case))
        for got, expected in zip(net.weights, twin.weights, strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
