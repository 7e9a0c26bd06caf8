"""Every public integer argument: absurd numbers and what is no integer are refused by its name."""

import re

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import datasets, demos

X = np.random.default_rng(0).normal(size=(6, 2))
Y = X[:, :1] * X[:, 1:]


def network(cls=fd.Sequential, **settings):
    layers = [fd.Dense(3, "tanh"), fd.Dropout(0.2), fd.Dense(1)]
    return cls(layers, "mean_squared_error", **{"input_shape": (2,), "seed": 0, **settings})


def fit(net=None, **options):
    return (net or network()).fit(X, Y, **{"epochs": 2, "verbose": 0, **options})


def fit_batches(steps):
    network().fit([(X, Y)], steps_per_epoch=steps, verbose=0)


def fit_by_class(key):
    net = fd.Sequential([fd.Dense(1, "sigmoid")], "binary_crossentropy")
    net.fit(X, Y > 0, class_weight={key: 2.0}, verbose=0)


def ensemble(n=2, **settings):
    layers = [fd.Dense(3, "tanh"), fd.Dense(1)]
    return fd.Ensemble(layers, n, "mean_squared_error", **{"seed": 0, **settings})


def set_dropout_state(count):
    net = network()
    net.dropout_state = dict.fromkeys(net.dropout_state, count)


def set_steps(steps):
    net = network(optimizer="adam")
    net.optimizer_state = net.optimizer_state | {"steps": steps}
    fit(net)


def watch(**settings):
    return fit(callbacks=fd.EarlyStopping("loss", **settings))


def plateau(**settings):
    return fit(callbacks=fd.ReduceLROnPlateau("loss", **settings))


def scheduled(schedule):
    return fit(network(optimizer=fd.SGD(schedule)))


#: Python refuses to write it in digits.
LEAST = -(10**5000)

#: The argument by its name, its least value, and what takes it.
ARGUMENTS = [
    ("epochs", 1, lambda value: fit(epochs=value)),
    ("epochs", 1, lambda value: fit(network(fd.reference.Sequential), epochs=value)),
    ("epochs", 1, lambda value: ensemble().fit(X, Y, epochs=value, verbose=0)),
    ("batch_size", 1, lambda value: fit(batch_size=value)),
    ("batch_size", 1, lambda value: network().partial_fit(X, Y, batch_size=value)),
    ("batch_size", 1, lambda value: ensemble().fit(X, Y, batch_size=value, verbose=0)),
    ("batch_size", 1, lambda value: fd.compare(network(), X, Y, 1, value, verbose=0)),
    ("steps_per_epoch", 1, fit_batches),
    ("steps", 1, lambda value: fd.compare(network(), X, Y, value, verbose=0)),
    ("class_weight: a class", 0, fit_by_class),
    ("seed", 0, datasets.xor),
    ("seed", 0, lambda value: datasets.spiral(seed=value)),
    ("seed", 0, datasets.jumping_back),
    ("seed", 0, datasets.softmax),
    ("seed", 0, lambda value: demos.build("xor", seed=value)),
    ("samples_per_class", 1, datasets.spiral),
    ("n_threads", 1, lambda value: fit(network(n_threads=value))),
    ("n_threads", 1, lambda value: network(fd.reference.Sequential, n_threads=value)),
    ("n_threads", 1, lambda value: ensemble(n_threads=value)),
    ("n_threads", 1, lambda value: fd.Ensemble.from_members([network()], value)),
    ("n", 1, ensemble),
    ("units", 1, lambda value: fd.Dense(value)),
    ("input_shape[0]", 1, lambda value: network(input_shape=(value,))),
    ("input_shape[0]", 1, lambda value: ensemble(input_shape=(value,))),
    ("optimizer_state['steps']", 0, set_steps),
    ("patience", 0, lambda value: watch(patience=value)),
    ("start_from_epoch", 0, lambda value: watch(start_from_epoch=value)),
    ("patience", 0, lambda value: plateau(patience=value)),
    ("cooldown", 0, lambda value: plateau(cooldown=value)),
    (
        "gradient_accumulation_steps",
        1,
        lambda value: fit(network(optimizer=fd.SGD(gradient_accumulation_steps=value))),
    ),
    ("decay_steps", 1, lambda value: scheduled(fd.CosineDecay(0.1, value))),
    ("warmup_steps", 0, lambda value: scheduled(fd.CosineDecay(0.1, 9, 0.0, 0.2, value))),
    ("decay_steps", 1, lambda value: scheduled(fd.ExponentialDecay(0.1, value, 0.5))),
    ("decay_steps", 1, lambda value: scheduled(fd.InverseTimeDecay(0.1, value, 0.5))),
    ("decay_steps", 1, lambda value: scheduled(fd.PolynomialDecay(0.1, value))),
    ("decay_steps", 1, lambda value: scheduled(fd.StepDecay(0.1, value))),
    ("total_steps", 2, lambda value: scheduled(fd.OneCycle(0.1, value))),
    ("boundaries[0]", 1, lambda value: scheduled(fd.PiecewiseConstantDecay([value], [1, 2]))),
    ("step", 0, fd.StepDecay(0.1, 3)),
]

#: Those that may have more than 63 bits.
WIDE = [
    ("seed", 0, lambda value: network(seed=value)),
    ("seed", 0, lambda value: ensemble(seed=value)),
    ("seed[1]", 0, lambda value: ensemble(seed=[1, value])),
    ("dropout_state['key']", 0, set_dropout_state),
]


def over(arguments):
    """Take each of them, called by its name."""
    ids = [f"{i}-{name}" for i, (name, *_) in enumerate(arguments)]
    return pytest.mark.parametrize(("name", "least", "call"), arguments, ids=ids)


def refusal(name, least):
    """The start of the message, as a pattern."""
    return "^" + re.escape(f"{name}: expected an integer >= {least}")


@over(ARGUMENTS)
@pytest.mark.parametrize("value", [10**30, np.uint64(2**63)])
def test_too_large_for_the_core(name, least, call, value):
    with pytest.raises(ValueError, match=rf"{refusal(name, least)} and below [0-9^]+, got {value}"):
        call(value)


@over([*ARGUMENTS, *WIDE])
class TestIntegers:
    def test_larger_than_all(self, name, least, call):
        given = "and below [0-9^]+, got about 2\\^16610"
        with pytest.raises(ValueError, match=f"{refusal(name, least)} {given}$"):
            call(-LEAST)

    @pytest.mark.parametrize("value", [np.int8(-1), LEAST], ids=["-1", "-1e5000"])
    def test_negative(self, name, least, call, value):
        with pytest.raises(ValueError, match=f"{refusal(name, least)}.*, got .*-"):
            call(value)

    @pytest.mark.parametrize("value", [True, np.True_, 2.0, "2"])
    def test_no_integer(self, name, least, call, value):
        with pytest.raises(TypeError, match=f"{refusal(name, least)}.*, got .*[)]$"):
            call(value)

    @pytest.mark.parametrize("dtype", [np.int8, np.uint64])
    def test_integers_of_numpy(self, name, least, call, dtype):
        if name == "class_weight: a class":
            least = 1
        call(dtype(least))


@pytest.mark.parametrize("call", [fit, lambda **options: ensemble().fit(X, Y, **options)])
def test_verbose(call, capsys):
    for value in (True, np.True_, np.int8(1), 1):
        call(verbose=value)
        assert "loss" in capsys.readouterr().out
    for value in (False, np.False_, np.int64(0)):
        call(verbose=value)
        assert capsys.readouterr().out == ""
    for value, given in ((3, "3"), (-1, "-1"), (10**5000, r"about 2\^16610")):
        with pytest.raises(ValueError, match=f"^verbose: expected one of 0, 1, 2; got {given}$"):
            call(verbose=value)
    with pytest.raises(TypeError, match=r"^verbose: expected one of 0, 1, 2; got 1.0 \(float\)$"):
        call(verbose=1.0)


@pytest.mark.parametrize("epochs", [2**62, 2**63 - 1])
@pytest.mark.parametrize(
    ("loss", "size"), [("mean_squared_error", "8"), ("binary_crossentropy", "16")]
)
def test_figures_of_the_epochs_must_fit_into_memory(sequential, epochs, loss, size):
    net = sequential([fd.Dense(1, "sigmoid")], loss, input_shape=(2,), seed=0)
    before = net.get_weights()
    expected = f"^epochs: expected as many as there is memory for, {size} bytes each, got {epochs}$"
    with pytest.raises(ValueError, match=expected):
        net.fit(X, Y > 0, epochs=epochs)
    for weight, start in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, start)


def test_as_many_threads_as_there_may_be():
    """Those without work are not started."""
    assert fit(network(n_threads=2**15 - 1)).loss[1] == fit(network(n_threads=1)).loss[1]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("learning_rate", fd.SGD),
        ("momentum", lambda value: fd.SGD(0.1, momentum=value)),
        ("mean", lambda value: fd.RandomNormal(value, 1.0)),
        ("l2", fd.L2),
        ("max_value", fd.MaxNorm),
        ("min_delta", lambda value: fd.EarlyStopping(min_delta=value)),
        ("baseline", lambda value: fd.EarlyStopping(baseline=value)),
        ("delta", fd.Huber),
        ("rate", fd.Dropout),
        ("decay_rate", lambda value: fd.StepDecay(0.1, 3, value)),
    ],
)
def test_integers_beyond_float64(name, call):
    for value, given in ((10**400, r"about 2\^1329"), (10**5000, r"about 2\^16610")):
        with pytest.raises(ValueError, match=f"^{name}: expected a finite number.*, got {given}$"):
            call(value)
