"""`compare`: both engines timed and checked."""

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import network, reference

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.random.default_rng(1).random((20, 1))


def build(**settings):
    layers = [fd.Dense(4, "tanh"), fd.Dense(1, "sigmoid")]
    settings = {"input_shape": (3,), "seed": 1, **settings}
    return fd.Sequential(layers, "binary_crossentropy", fd.SGD(0.1), **settings)


def test_it_times_both_and_checks_that_they_agree(dtype, capsys):
    net = build(dtype=dtype)
    before, state = net.params.copy(), net.shuffle_state
    result = fd.compare(net, X, Y, steps=20)
    assert result.agrees
    assert result.difference < {"float32": 1e-5, "float64": 1e-12}[dtype]
    for timing in (result.compiled, result.reference):
        assert 0 < timing.best <= timing.median < 1
    assert result.ratio == result.reference.median / result.compiled.median
    printed = capsys.readouterr().out
    assert printed == f"{result}\n"
    lines = printed.splitlines()
    assert lines[0].split("  ")[0] == "Time per training step"
    assert [line.split()[0] for line in lines[2:4]] == ["compiled", "NumPy"]
    assert f"{result.ratio:.1f} times faster; results agree" in lines[4]
    assert repr(result).startswith("Comparison(ratio=")
    np.testing.assert_array_equal(net.params, before)
    assert net.shuffle_state == state


def test_it_can_be_silent(capsys):
    fd.compare(build(), X, Y, steps=1, verbose=0)
    assert capsys.readouterr().out == ""


def test_it_can_be_asked_by_either_network():
    assert fd.compare(reference.Sequential.like(build()), X, Y, steps=2, verbose=0).agrees


@pytest.mark.parametrize(("steps", "epochs"), [(12, 4), (1, 1), (13, 5)])
def test_steps_are_counted_by_batch(monkeypatch, steps, epochs):
    seen = []
    fit = network.Sequential.fit

    def spy(self, X, y, epochs, batch_size, **settings):
        seen.append((type(self), epochs, batch_size, settings["shuffle"]))
        return fit(self, X, y, epochs, batch_size, **settings)

    monkeypatch.setattr(network.Sequential, "fit", spy)
    fd.compare(build(), X, Y, steps=steps, batch_size=8, verbose=0)
    timed = seen[2:]
    assert len(timed) >= 10
    turns = [fd.Sequential, reference.Sequential]
    assert [cls for cls, *_ in timed] == turns * (len(timed) // 2)
    assert {call[1:] for call in timed} == {(epochs, 8, False)}


def test_a_difference_is_reported(monkeypatch, capsys):
    original = reference.Net.train

    def wrong(self, X, y, batch_size, orders, results, weights):
        original(self, X, y, batch_size, orders, results, weights)
        results *= 1.01

    monkeypatch.setattr(reference.Net, "train", wrong)
    result = fd.compare(build(), X, Y, steps=1)
    assert not result.agrees
    assert result.difference == pytest.approx(0.01, rel=0.02)
    assert "results DISAGREE: largest relative difference 9.9e-03" in capsys.readouterr().out


def test_networks_that_diverge_cannot_be_compared():
    net = fd.Sequential([fd.Dense(1)], "mean_squared_error", fd.SGD(1e30), input_shape=(3,))
    message = "net: expected a training that does not diverge; the loss of step 1 in epoch 2 was"
    with pytest.raises(ValueError, match=message):
        fd.compare(net, X, Y, steps=1, verbose=0)


def test_without_steps_it_takes_about_as_long_for_both():
    result = fd.compare(build(), X, Y, verbose=0)
    assert result.agrees


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps: expected an integer >= 1, got 0"),
        ({"steps": 2.5}, TypeError, r"steps: expected an integer >= 1, got 2.5 \(float\)"),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer >= 1, got 0"),
        ({"verbose": 2}, ValueError, "verbose: expected one of 0, 1; got 2"),
    ],
)
def test_refused_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        fd.compare(build(), X, Y, **arguments)


def test_refused_data():
    with pytest.raises(ValueError, match=r"X: expected shape \(samples, 3\), got \(20, 2\)"):
        fd.compare(build(), X[:, :2], Y)
    with pytest.raises(TypeError, match="X: expected real numbers, got dtype <U"):
        fd.compare(build(), X.astype(str), Y)
