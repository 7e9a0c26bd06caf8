"""Learning rates that follow the steps."""

import copy
import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import schedules

GOLDEN = json.loads((Path(__file__).parent / "golden" / "schedules.json").read_text())

EXAMPLES = [
    fd.CosineDecay(0.0, 15, alpha=0.1, warmup_target=0.2, warmup_steps=5),
    fd.ExponentialDecay(0.2, 5, 0.5),
    fd.InvScaling(0.2),
    fd.InverseTimeDecay(0.2, 5, 0.5, staircase=True),
    fd.OneCycle(0.2, 20),
    fd.PiecewiseConstantDecay([3, 7], [0.2, 0.0, 0.1]),
    fd.PolynomialDecay(0.2, 15, power=2),
    fd.StepDecay(0.2, 4),
]
# Every way that a rate goes: plain SGD has it in the update itself, the others in their finish
OPTIMIZERS = [
    lambda rate: fd.SGD(rate),
    lambda rate: fd.SGD(rate, momentum=0.9),
    lambda rate: fd.SGD(rate, weight_decay=0.5),
    lambda rate: fd.AdamW(rate, weight_decay=0.5),
    lambda rate: fd.NAdam(rate),
    lambda rate: fd.Adamax(rate),
]


def halving(step):
    return 0.2 * 0.5**step


def build(sequential, rate, optimizer=fd.SGD, **settings):
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    layers = [fd.Dense(4, "tanh"), fd.Dense(2)]
    settings = {"input_shape": (3,), "seed": 0, "dtype": "float64", **settings}
    return sequential(layers, "mean_squared_error", optimizer(rate), **settings), X, y


# ---- the rates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_rates_are_those_of_other_libraries(case):
    schedule = getattr(fd, case["name"])(**case["parameters"])
    rates = schedule.rates(0, len(case["rates"]))
    np.testing.assert_allclose(rates, case["rates"], rtol=1e-14)
    assert [schedule(step) for step in range(len(rates))] == rates.tolist()
    np.testing.assert_array_equal(schedule.rates(7, 5), rates[7:12])


def test_every_schedule_was_recorded_or_is_a_formula_of_one_line():
    recorded = {case["name"] for case in GOLDEN["cases"]} | {"InvScaling"}
    assert recorded == {cls.__name__ for cls in schedules.SCHEDULES.values()}
    assert {type(each) for each in EXAMPLES} == set(schedules.SCHEDULES.values())


def test_inverse_scaling_is_that_of_scikit_learn():
    """Its formula in the user guide: learning_rate_init / pow(t, power_t)."""
    assert [fd.InvScaling(0.5, 2.0)(t - 1) for t in (1, 2, 4)] == [0.5, 0.125, 0.03125]


@pytest.mark.parametrize("total", [2, 3, 10])
def test_short_cycles(total):
    rates = fd.OneCycle(0.5, total, div_factor=10, final_div_factor=10).rates(0, total + 3)
    assert rates.max() == pytest.approx(0.5, rel=0.2)
    np.testing.assert_allclose(rates[total - 1 :], 0.005, rtol=1e-12)


@pytest.mark.parametrize("schedule", EXAMPLES, ids=str)
def test_rates_of_any_step_are_sound(schedule):
    rates = schedule.rates(0, 300)
    assert rates.dtype == np.float64
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
    assert schedule(10**9) >= 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fd.StepDecay(0, 5), ValueError, "initial_learning_rate: expected .* above 0, got"),
        (lambda: fd.StepDecay(0.1, 0), ValueError, "decay_steps: expected an integer >= 1, got 0"),
        (lambda: fd.StepDecay(0.1, 2.5), TypeError, "decay_steps: expected an integer >= 1, got 2"),
        (lambda: fd.StepDecay(0.1, 5, -1), ValueError, "decay_rate: expected .* above 0, got -1"),
        (lambda: fd.CosineDecay(0.0, 5), ValueError, "initial_learning_rate: .* above 0, got 0.0"),
        (lambda: fd.CosineDecay(0.1, 5, -1), ValueError, "alpha: expected a finite number >= 0"),
        (
            lambda: fd.CosineDecay(0.1, 5, warmup_steps=3),
            ValueError,
            "warmup_steps: expected a warmup_target with it, got None",
        ),
        (lambda: fd.OneCycle(0.1, 1), ValueError, "total_steps: expected an integer >= 2, got 1"),
        (lambda: fd.OneCycle(0.1, 9, 1), ValueError, "pct_start: .* above 0 and below 1, got 1"),
        (lambda: fd.PolynomialDecay(0.1, 5, power=0), ValueError, "power: expected .* above 0"),
        (lambda: fd.InvScaling(0.1, "1"), TypeError, "power_t: expected a finite number >= 0, got"),
        (
            lambda: fd.ExponentialDecay(0.1, 5, 0.5, 1),
            TypeError,
            r"staircase: expected True or False, got 1 \(int\)",
        ),
        (
            lambda: fd.PiecewiseConstantDecay(5, [1, 2]),
            TypeError,
            r"boundaries: expected a list, got 5 \(int\)",
        ),
        (
            lambda: fd.PiecewiseConstantDecay([5, 5], [1, 2, 3]),
            ValueError,
            r"boundaries: expected ascending steps, got \[5, 5\]",
        ),
        (
            lambda: fd.PiecewiseConstantDecay([5], [1]),
            ValueError,
            "values: expected one more than the 1 boundaries, got 1",
        ),
        (
            lambda: fd.PiecewiseConstantDecay([5], [1, np.nan]),
            ValueError,
            r"values\[1\]: expected a finite number >= 0, got nan",
        ),
        (lambda: fd.StepDecay(0.1, 5)(-1), ValueError, "step: expected an integer >= 0, got -1"),
        (lambda: fd.SGD(fd.StepDecay), TypeError, "learning_rate: .* above 0 or a schedule, got"),
    ],
)
def test_senseless_schedules_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---- in training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", [EXAMPLES[0], halving], ids=["cosine", "function"])
def test_steps_are_those_of_rates_set_by_hand(sequential, optimizer, schedule):
    """In one fit, in steps, in two fits, the last batch of an epoch smaller, shuffled or not."""
    net, X, y = build(sequential, schedule, optimizer)
    net.fit(X, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    net.train_step(X, y)
    net.fit(X, y, epochs=1, batch_size=6, verbose=0)
    by_hand, _, _ = build(sequential, 1.0, optimizer)
    by_hand._rng_shuffle.bit_generator.state = build(sequential, 1.0)[0].shuffle_state
    order = by_hand._rng_shuffle.permuted(np.arange(10)[np.newaxis], axis=1)[0]
    batches = [slice(0, 4), slice(4, 8), slice(8, 10)] * 2 + [slice(None), order[:6], order[6:]]
    for step, batch in enumerate(batches):
        rate = schedule(step)
        by_hand.learning_rate = rate or 1e-300  # a number must be above zero, a schedule's may be
        by_hand.train_step(X[batch], y[batch])
    np.testing.assert_array_equal(net.params, by_hand.params)
    assert net.optimizer_state["steps"] == 9
    assert net.learning_rate == schedule(9)


@pytest.mark.parametrize("schedule", EXAMPLES, ids=str)
def test_the_twin_takes_the_same_steps(dtype, schedule):
    nets = [
        build(each, schedule, fd.Adam, dtype=dtype)[0]
        for each in (fd.Sequential, fd.reference.Sequential)
    ]
    _, X, y = build(fd.Sequential, schedule)
    for net in nets:
        net.fit(X, y, epochs=5, batch_size=4, verbose=0)
    tolerance = {"float64": 1e-10, "float32": 1e-3}[dtype]
    np.testing.assert_allclose(*(net.params for net in nets), rtol=tolerance, atol=tolerance)


def test_rates_that_are_worked_out_in_several_turns():
    """More steps than there is room for: the rates go on where they were."""
    epochs = 100_000  # three steps each: more than 2^18
    schedule = fd.PiecewiseConstantDecay([3 * epochs - 2], [0.0, 0.5])
    net, X, y = build(fd.Sequential, schedule)
    before = net.get_weights()
    net.fit(X[:3], y[:3], epochs=epochs, batch_size=1, shuffle=False, verbose=0)
    last, _, _ = build(fd.Sequential, 0.5)
    _, gradients = last.gradients(X[2:3], y[2:3])
    for weight, start, gradient in zip(net.weights, before, gradients, strict=True):
        np.testing.assert_allclose(weight, start - 0.5 * gradient, rtol=1e-12, atol=1e-15)


def test_the_rate_of_the_next_step_can_be_seen_and_set(sequential):
    net, X, y = build(sequential, halving)
    assert net.learning_rate == 0.2
    net.train_step(X, y)
    assert net.learning_rate == 0.1
    net.learning_rate = 0.5
    assert net.optimizer == fd.SGD(0.5)
    before, (_, gradients) = net.get_weights(), net.gradients(X, y)
    net.train_step(X, y)
    for weight, start, gradient in zip(net.weights, before, gradients, strict=True):
        np.testing.assert_allclose(weight, start - 0.5 * gradient, rtol=1e-12, atol=1e-15)
    net.learning_rate = fd.StepDecay(0.25, 100)
    before, (_, gradients) = net.get_weights(), net.gradients(X, y)
    net.train_step(X, y)
    for weight, start, gradient in zip(net.weights, before, gradients, strict=True):
        np.testing.assert_allclose(weight, start - 0.25 * gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf, "0.1", None])
def test_a_function_that_gives_nonsense_is_refused_before_any_step(sequential, value):
    net, X, y = build(sequential, lambda step: value if step == 2 else 0.1)
    net.train_step(X, y)
    net.train_step(X, y)
    before = net.params.copy()
    message = r"learning_rate\(2\): expected a finite number >= 0, got"
    for call in (net.train_step, lambda X, y: net.fit(X, y, epochs=3, verbose=0)):
        with pytest.raises((TypeError, ValueError), match=message):
            call(X, y)
    np.testing.assert_array_equal(net.params, before)
    net.learning_rate = 0.1
    net.train_step(X, y)


class Scripted(schedules.Schedule):
    """Gives a value of the test's choice in step 3."""

    def __init__(self, value):
        object.__setattr__(self, "value", value)

    def _at(self, steps):
        return np.where(steps == 3, self.value, 0.1)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize("accumulate", [None, 2])
def test_a_schedule_that_gives_nonsense_is_refused_before_any_step(sequential, value, accumulate):
    def optimizer(rate):
        return fd.SGD(rate, gradient_accumulation_steps=accumulate)

    net, X, y = build(sequential, Scripted(value), optimizer)
    net.fit(X, y, epochs=3 * (accumulate or 1), verbose=0)
    before = net.params.copy()
    message = r"learning_rate\(3\): expected a finite number >= 0, got"
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, epochs=6, verbose=0)
    if accumulate:
        net.train_step(X, y)
    with pytest.raises(ValueError, match=message):
        net.train_step(X, y)
    np.testing.assert_array_equal(net.params, before)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("cls", [fd.ExponentialDecay, fd.StepDecay])
def test_a_rate_that_grows_beyond_all_numbers(sequential, cls):
    net, X, y = build(sequential, cls(1e-300, 1, 1e160))
    with pytest.raises(ValueError, match=r"learning_rate\(2\): expected a finite number >= 0, got"):
        net.fit(X, y, epochs=10, verbose=0)


def test_a_function_that_asks_the_busy_network_is_refused():
    net, X, y = build(fd.Sequential, lambda step: float(net.predict(X)[0, 0]) ** 2)
    for run in (net.train_step, lambda X, y: net.fit(X, y, verbose=0)):
        with pytest.raises(RuntimeError, match="in use by the call that this one comes from"):
            run(X, y)
    assert net.predict(X).shape == (10, 2)


# ---- what is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", EXAMPLES, ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS[:2])
def test_copies_and_files_go_on(sequential, tmp_path, schedule, optimizer):
    net, X, y = build(sequential, schedule, optimizer)
    net.fit(X, y, epochs=3, batch_size=4, verbose=0)
    net.save(tmp_path / "net.npz")
    copies = [
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        sequential.like(net),
        sequential.load(tmp_path / "net.npz"),
    ]
    net.fit(X, y, epochs=2, batch_size=4, verbose=0)
    for each in copies:
        assert each.optimizer == net.optimizer
        assert each.learning_rate == schedule(9)
        each.fit(X, y, epochs=2, batch_size=4, verbose=0)
        np.testing.assert_array_equal(each.params, net.params)
    net.reset_optimizer()
    assert net.learning_rate == schedule(0)


def test_a_function_cannot_be_written_to_a_file(sequential, tmp_path):
    net, _, _ = build(sequential, halving)
    with pytest.raises(TypeError, match=r"learning_rate: expected a number or one of fused"):
        net.save(tmp_path / "net.npz")
    assert not list(tmp_path.iterdir())
    assert pickle.loads(pickle.dumps(net)).learning_rate == 0.2


@pytest.mark.parametrize("schedule", EXAMPLES, ids=str)
def test_schedules_are_values(schedule):
    assert eval(repr(schedule), vars(fd)) == schedule == dataclasses.replace(schedule)
    assert f"learning_rate={schedule!r}" in repr(fd.Adam(schedule))
