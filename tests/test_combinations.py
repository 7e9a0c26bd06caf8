"""What a training can be made of, together: both engines, the same bits, all pairs of choices."""

from functools import cache, partial
from itertools import combinations, product

import numpy as np
import pytest
from cases import FUSED_ISAS

import fusedelta as fd
from fusedelta import _cpu, _threads

K, CLASSES, M = 7, 3, 60

DENSE = {
    "free": {},
    "penalised": {"kernel_regularizer": fd.L1L2(0.002, 0.01), "bias_regularizer": fd.L2(0.01)},
    "limited": {"kernel_regularizer": "l2", "kernel_constraint": fd.MaxNorm(0.8)},
}
HIDDEN = {
    "dropout": lambda dense: [fd.Dropout(0.1), dense(14, "tanh"), fd.Dropout(0.3)],
    "batch": lambda dense: [dense(14), fd.BatchNormalization(0.8), fd.Activation("tanh")],
    "layer": lambda dense: [dense(14, "tanh"), fd.LayerNormalization(), dense(5, "gelu")],
    "residual": lambda dense: [
        dense(12, "tanh"),
        fd.Residual([dense(18), fd.BatchNormalization(0.5), fd.Dropout(0.2), dense(12)]),
    ],
    "plain": lambda dense: [dense(6, "tanh")],
}
CHOICES = {
    "hidden": list(HIDDEN),
    "dense": list(DENSE),
    "rule": [
        partial(fd.SGD, momentum=0.9),
        partial(fd.Adam, epsilon=1e-2),
        partial(fd.RMSprop, epsilon=1e-2),
        fd.SGD,
    ],
    "rate": [0.02, fd.CosineDecay(0.05, 12, 0.1), fd.OneCycle(0.05, 20)],
    "clip": [{}, {"clipvalue": 0.02}, {"clipnorm": 0.1}, {"global_clipnorm": 0.1}],
    "accumulate": [None, 3],
    "decay": [None, 0.1],
    "weights": ["none", "samples", "classes", "both"],
    "way": ["fit", "partial_fit", "batches", "early stopping", "steps"],
}


def all_pairs(choices):
    """Few rows such that any two choices of two kinds are together in one of them: greedily."""
    kinds = list(choices)
    missing = {
        pair
        for a, b in combinations(range(len(kinds)), 2)
        for pair in product(
            [(a, i) for i in indices(choices, a)], [(b, j) for j in indices(choices, b)]
        )
    }
    while missing:
        row = dict(min(missing))
        for kind in range(len(kinds)):
            if kind not in row:
                gains = [
                    sum(tuple(sorted([(kind, i), other])) in missing for other in row.items())
                    for i in indices(choices, kind)
                ]
                row[kind] = int(np.argmax(gains))
        missing -= set(combinations(sorted(row.items()), 2))
        yield {name: choices[name][row[kind]] for kind, name in enumerate(kinds)}


def indices(choices, kind):
    return range(len(list(choices.values())[kind]))


CASES = list(all_pairs(CHOICES))
each_case = pytest.mark.parametrize("case", range(len(CASES)))


def build(sequential, case, dtype, **settings):
    dense = partial(fd.Dense, **DENSE[case["dense"]])
    optimizer = case["rule"](
        case["rate"],
        weight_decay=case["decay"],
        gradient_accumulation_steps=case["accumulate"],
        **case["clip"],
    )
    layers = [*HIDDEN[case["hidden"]](dense), dense(CLASSES, "softmax")]
    loss = "sparse_categorical_crossentropy"
    settings = {"input_shape": (K,), "seed": 2, "dtype": dtype, **settings}
    return sequential(layers, loss, optimizer, **settings)


def problem(dtype):
    rng = np.random.default_rng(4)
    return rng.standard_normal((M, K)).astype(dtype), rng.integers(0, CLASSES, M), rng.random(M)


def train(net, case):
    """Some epochs in the way of the case; the losses."""
    X, y, weights = problem(net.dtype)
    by_class = np.array([0.5, 1, 2])
    given = {
        "none": {},
        "samples": {"sample_weight": weights},
        "classes": {"class_weight": dict(enumerate(by_class))},
        "both": {"sample_weight": weights, "class_weight": dict(enumerate(by_class))},
    }[case["weights"]]
    every = weights if "sample_weight" in given else np.ones(M)
    every = every * by_class[y] if "class_weight" in given else every
    if case["way"] == "fit":
        return net.fit(X, y, 3, 16, verbose=0, **given).loss
    if case["way"] == "partial_fit":
        for _ in range(2):
            net.partial_fit(X, y, batch_size=16, sample_weight=every)
        return net.history.loss
    if case["way"] == "batches":
        classes = given.get("class_weight")
        part = weights if "sample_weight" in given else np.ones(M)
        batches = [(X[i : i + 16], y[i : i + 16], part[i : i + 16]) for i in range(0, M, 16)]
        return net.fit(batches, epochs=2, verbose=0, class_weight=classes).loss
    if case["way"] == "early stopping":
        stopping = fd.EarlyStopping(patience=2, restore_best_weights=True)
        held_out = {"validation_data": (X[40:], y[40:], every[40:]), "callbacks": stopping}
        return net.fit(X, y, 5, 16, verbose=0, **held_out, **given).val_loss
    return np.array([net.train_step(X[i:], y[i:], every[i:]) for i in (0, 30, 59, 0)])


def results(net, case):
    """All that a training leaves."""
    losses, state = train(net, case), net.optimizer_state
    counts = [value for value in state.values() if isinstance(value, int)]
    counts.append(net.dropout_state["step"])
    return [losses, *net.get_weights(), *blocks(state)], counts


def blocks(state):
    return [piece for value in state.values() if isinstance(value, list) for piece in value]


@cache
def of_the_twin(case, dtype):
    return results(build(fd.reference.Sequential, CASES[case], dtype), CASES[case])


def test_all_pairs_of_choices_are_tried():
    for a, b in combinations(CHOICES, 2):
        tried = [(case[a], case[b]) for case in CASES]
        assert all(pair in tried for pair in product(CHOICES[a], CHOICES[b]))
    assert len(CASES) < 40


@each_case
def test_the_twin_trains_to_the_same_figures(isa, dtype, case):
    expected, counts = of_the_twin(case, dtype)
    got, own_counts = results(build(fd.Sequential, CASES[case], dtype), CASES[case])
    assert own_counts == counts
    tolerance = {"float64": 1e-11, "float32": 2e-4}[dtype]
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@each_case
def test_threads_and_instruction_sets_train_to_the_same_bits(dtype, case):
    """As many threads as there can be: each is given work without a minimum."""
    before = _threads.use_flops_per_thread(1)
    outcomes = []
    try:
        for isa in FUSED_ISAS or ["base"]:
            own = _cpu.use_isa(isa)
            for n_threads in (1, 2):
                net = build(fd.Sequential, CASES[case], dtype, n_threads=n_threads)
                outcomes.append(results(net, CASES[case])[0])
            _cpu.use_isa(own)
    finally:
        _threads.use_flops_per_thread(before)
    for outcome in outcomes[1:]:
        for got, expected in zip(outcome, outcomes[0], strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("dense", ["penalised", "limited"])
def test_gradients_with_penalties_are_right(hidden, dense):
    """The compiled ones, whose steps are the twin's."""
    case = CASES[0] | {"hidden": hidden, "dense": dense}
    net = build(fd.Sequential, case, "float64")
    X, y, _ = problem("float64")
    net.fit(X, y, 2, 20, verbose=0)
    check = fd.gradient_check(net, X[:20], y[:20])
    assert check.passed, str(check)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_best_weights_come_back_with_their_averages(sequential, hidden):
    """A rate that is too high: the held-out loss is best early, and `evaluate` gives it again."""
    case = CASES[0] | {"hidden": hidden, "rule": fd.SGD, "rate": 0.5, "clip": {}, "decay": None}
    net = build(sequential, case | {"accumulate": None}, "float64")
    X, y, weights = problem("float64")
    stopping = fd.EarlyStopping(patience=4, restore_best_weights=True)
    held_out = X[40:], y[40:], weights[40:]
    history = net.fit(
        *(X[:40], y[:40], 30, 10), verbose=0, validation_data=held_out, callbacks=stopping
    )
    assert len(history) == stopping.best_epoch + 5
    assert net.evaluate(*held_out)["loss"] == history.val_loss.min()
    assert np.isfinite(history.val_loss).all()


# ---- what accumulation means for what goes by batches --------------------------------------------


def accumulating(sequential, hidden, steps, **settings):
    layers = [fd.Dense(6), hidden, fd.Dense(1)]
    optimizer = fd.SGD(0.1, gradient_accumulation_steps=steps)
    return sequential(layers, "mean_squared_error", optimizer, (K,), "float64", seed=1, **settings)


def test_each_batch_of_an_update_moves_the_averages_and_has_its_own_statistics(sequential):
    X, _, y = problem("float64")
    parts = [slice(i, i + 20) for i in range(0, M, 20)]
    net = accumulating(sequential, fd.BatchNormalization(0.5), 3)
    start = net.get_weights()
    gradients = [net.gradients(X[part], y[part])[1] for part in parts]
    mean, variance = np.zeros(6), np.ones(6)
    for part in parts:
        net.train_step(X[part], y[part])
        H = X[part] @ start[0] + start[1]
        mean, variance = 0.5 * (mean + H.mean(axis=0)), 0.5 * (variance + H.var(axis=0))
        for got, expected in zip(net.non_trainable_weights, (mean, variance), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    trained = [w for i, w in enumerate(start) if i not in (4, 5)]
    for i, (weight, before) in enumerate(zip(net.trainable_weights, trained, strict=True)):
        step = np.mean([each[i] for each in gradients], axis=0)
        np.testing.assert_allclose(weight, before - 0.1 * step, rtol=1e-10, atol=1e-14)


def test_each_batch_of_an_update_has_its_own_mask(sequential):
    X, _, y = problem("float64")
    net = accumulating(sequential, fd.Dropout(0.5), 2)
    state, gradients, before = net.dropout_state, [], [w.copy() for w in net.weights]
    for step in range(2):
        net.dropout_state = {**state, "step": step}
        gradients.append(net.gradients(X, y)[1])
    assert (gradients[0][0] != gradients[1][0]).any()
    net.dropout_state = state
    net.fit(X, y, 2, verbose=0, shuffle=False)
    assert net.dropout_state["step"] == 2
    for i, (weight, start) in enumerate(zip(net.weights, before, strict=True)):
        step = (gradients[0][i] + gradients[1][i]) / 2
        np.testing.assert_allclose(weight, start - 0.1 * step, rtol=1e-10, atol=1e-14)
