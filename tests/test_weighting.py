"""Weights of samples and of classes; label smoothing."""

import numpy as np
import pytest
from cases import FUSED_ISAS

import fusedelta as fd
from fusedelta import _cpu

LOSSES = [
    ("mean_squared_error", "linear", "values"),
    ("mean_squared_error", "softmax", "values"),
    (fd.Huber(0.3), "gelu", "values"),
    ("hinge", "linear", "signs"),
    ("binary_crossentropy", "sigmoid", "probabilities"),
    (fd.BinaryCrossentropy(0.1), "sigmoid", "probabilities"),
    (fd.BinaryFocalCrossentropy(True), "sigmoid", "probabilities"),
    ("sparse_categorical_crossentropy", "softmax", "labels"),
    (fd.SparseCategoricalCrossentropy(0.1), "softmax", "labels"),
    (fd.CategoricalCrossentropy(0.2), "softmax", "distributions"),
    ("categorical_focal_crossentropy", "softmax", "distributions"),
    ("kl_divergence", "softmax", "distributions"),
]


def targets(kind, m, n, rng):
    return {
        "values": lambda: rng.random((m, n)),
        "signs": lambda: rng.choice([-1.0, 1.0], (m, n)),
        "probabilities": lambda: rng.integers(0, 2, (m, n)) * 1.0,
        "labels": lambda: rng.integers(0, n, m),
        "distributions": lambda: np.eye(n)[rng.integers(0, n, m)],
    }[kind]()


def build(sequential, loss, output, hidden=6, **settings):
    layers = [fd.Dense(hidden, "tanh"), fd.Dense(3, output)]
    settings = {"dtype": "float64", "seed": 1, "input_shape": (4,), **settings}
    return sequential(layers, loss, fd.SGD(0.1), **settings)


@pytest.mark.parametrize("hidden", [6, 40], ids=["thin", "wide"])
@pytest.mark.parametrize(("loss", "output", "kind"), LOSSES, ids=str)
def test_a_weight_is_as_many_copies(sequential, loss, output, kind, hidden, rng):
    """What is divided by stays the number of samples."""
    X, y = rng.standard_normal((9, 4)), targets(kind, 9, 3, rng)
    copies = np.array([2, 0, 1, 3, 1, 1, 0, 2, 1])
    net = build(sequential, loss, output, hidden)
    value, gradients = net.gradients(X, y, sample_weight=copies)
    several = np.repeat(X, copies, axis=0), np.repeat(y, copies, axis=0)
    expected, expected_gradients = net.gradients(*several)
    ratio = copies.sum() / len(X)
    assert value == pytest.approx(expected * ratio, rel=1e-12)
    for got, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(got, other * ratio, rtol=1e-10, atol=1e-14)
    assert net.evaluate(X, y, sample_weight=copies)["loss"] == pytest.approx(value, rel=1e-12)
    before = net.get_weights()
    assert net.train_step(X, y, sample_weight=copies) == pytest.approx(value, rel=1e-12)
    for now, old, gradient in zip(net.get_weights(), before, gradients, strict=True):
        np.testing.assert_allclose(now, old - 0.1 * gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("hidden", "dtype"), [(6, "float64"), (40, "float32")], ids=["thin", "wide"]
)
@pytest.mark.parametrize(("loss", "output", "kind"), LOSSES, ids=str)
def test_both_engines_agree_in_a_fit(dtype, loss, output, kind, hidden, rng):
    X, y = rng.standard_normal((50, 4)), targets(kind, 50, 3, rng)
    weights = rng.random(50) * 2
    nets = [
        build(cls, loss, output, hidden, dtype=dtype)
        for cls in (fd.Sequential, fd.reference.Sequential)
    ]
    losses = [net.fit(X, y, 4, 8, verbose=0, sample_weight=weights).loss.tolist() for net in nets]
    tolerance = {"float64": 1e-12, "float32": 2e-5}[dtype]
    assert losses[0] == pytest.approx(losses[1], rel=tolerance)
    for ours, theirs in zip(*(net.get_weights() for net in nets), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("loss", "output", "kind"), LOSSES, ids=str)
def test_weights_of_one_change_no_gradient(sequential, loss, output, kind, rng):
    X, y = rng.standard_normal((20, 4)), targets(kind, 20, 3, rng)
    net = build(sequential, loss, output, 40)
    plain, weighted = net.gradients(X, y), net.gradients(X, y, sample_weight=np.ones(20))
    if str(loss).lower().replace("_", "").startswith("binarycrossentropy"):  # logs of products
        assert weighted[0] == pytest.approx(plain[0], rel=1e-15)
    else:
        assert weighted[0] == plain[0]
    for got, expected in zip(weighted[1], plain[1], strict=True):
        np.testing.assert_array_equal(got, expected)
    # and a plain call after a weighted one knows nothing of the weights
    net.train_step(X, y, sample_weight=np.zeros(20))
    assert net.gradients(X, y)[0] == plain[0]


def test_accuracy_knows_no_weights(sequential, rng):
    net = build(sequential, "sparse_categorical_crossentropy", "softmax")
    X, y = rng.standard_normal((20, 4)), rng.integers(0, 3, 20)
    weighted = net.evaluate(X, y, sample_weight=rng.random(20))
    assert weighted["accuracy"] == net.evaluate(X, y)["accuracy"]


@pytest.mark.any_isa
@pytest.mark.parametrize(("loss", "output", "kind"), LOSSES, ids=str)
def test_threads_and_instruction_sets_do_not_change_a_bit(dtype, loss, output, kind, rng):
    X, y = rng.standard_normal((200, 4)).astype(dtype), targets(kind, 200, 3, rng)
    weights, results = rng.random(200), []
    for isa in FUSED_ISAS or ["base"]:
        before = _cpu.use_isa(isa)
        for n_threads in (1, 2):
            net = build(fd.Sequential, loss, output, 3000, dtype=dtype, n_threads=n_threads)
            net.fit(X, y, 1, verbose=0, sample_weight=weights)
            results.append(net.params.copy())
        _cpu.use_isa(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# ---- weights of classes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "output", "y"),
    [
        ("sparse_categorical_crossentropy", "softmax", np.array([0, 2, 2, 0, 0])),
        ("categorical_crossentropy", "softmax", np.eye(3)[[0, 2, 2, 0, 0]]),
    ],
)
def test_weights_of_classes(sequential, loss, output, y, rng):
    X = rng.standard_normal((5, 4))
    for class_weight, expected in (
        ({0: 0.5, 2: 3}, [0.5, 3, 3, 0.5, 0.5]),
        ({2: 2.0}, [1, 2, 2, 1, 1]),
        ("balanced", [5 / 6, 5 / 4, 5 / 4, 5 / 6, 5 / 6]),
    ):
        ours, theirs = (build(sequential, loss, output) for _ in range(2))
        ours.fit(X, y, 3, verbose=0, class_weight=class_weight)
        theirs.fit(X, y, 3, verbose=0, sample_weight=expected)
        np.testing.assert_array_equal(ours.params, theirs.params)
        ours.fit(X, y, 1, verbose=0, class_weight=class_weight, sample_weight=[1, 2, 3, 4, 5])
        theirs.fit(X, y, 1, verbose=0, sample_weight=np.array(expected) * [1, 2, 3, 4, 5])
        np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-14)


@pytest.mark.parametrize(
    ("loss", "output"), [("binary_crossentropy", "sigmoid"), ("hinge", "linear")]
)
def test_weights_of_two_classes(sequential, loss, output, rng):
    X, y = rng.standard_normal((4, 4)), [0, 1, 1, 1]
    nets = [
        sequential([fd.Dense(1, output)], loss, fd.SGD(0.1), dtype="float64", seed=0)
        for _ in range(2)
    ]
    nets[0].fit(X, y, 2, verbose=0, class_weight="balanced")
    nets[1].fit(X, y, 2, verbose=0, sample_weight=[2, 2 / 3, 2 / 3, 2 / 3])
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


# ---- label smoothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [6, 40], ids=["thin", "wide"])
def test_label_smoothing(sequential, hidden, rng):
    X, labels = rng.standard_normal((30, 4)), rng.integers(0, 3, 30)
    one_hot, s = np.eye(3)[labels], 0.3
    for smooth, plain, y, softened in (
        (
            fd.BinaryCrossentropy(s),
            "binary_crossentropy",
            one_hot,
            one_hot * (1 - s) + s / 2,
        ),
        (
            fd.CategoricalCrossentropy(s),
            "categorical_crossentropy",
            one_hot,
            one_hot * (1 - s) + s / 3,
        ),
        (
            fd.SparseCategoricalCrossentropy(s),
            "categorical_crossentropy",
            labels,
            one_hot * (1 - s) + s / 3,
        ),
    ):
        output = "sigmoid" if "binary" in plain else "softmax"
        net, other = (build(sequential, loss, output, hidden) for loss in (smooth, plain))
        figures, expected = net.evaluate(X, y), other.evaluate(X, softened)
        assert figures["loss"] == pytest.approx(expected["loss"], rel=1e-13)
        assert figures["accuracy"] == other.evaluate(X, one_hot)["accuracy"]
        net.fit(X, y, 3, 7, verbose=0)
        other.fit(X, softened, 3, 7, verbose=0)
        np.testing.assert_allclose(net.params, other.params, rtol=1e-12, atol=1e-15)
        # twice the same data, staged once, are not smoothed twice
        net.fit(X, y, 3, verbose=0)
        other.fit(X, softened, 3, verbose=0)
        np.testing.assert_allclose(net.params, other.params, rtol=1e-12, atol=1e-15)


# ---- what is refused -----------------------------------------------------------------------------


def test_weights_that_are_all_zero(sequential):
    net = build(sequential, "mean_squared_error", "linear")
    X, y = np.ones((3, 4)), np.ones((3, 3))
    with pytest.raises(ValueError, match="sample_weight: expected some above 0, got zeros"):
        net.fit(X, y, verbose=0, sample_weight=np.zeros(3))
    net.train_step(X, y, sample_weight=np.zeros(3))  # one batch of many may count for nothing


def test_weights_in_a_column(sequential, rng):
    net = build(sequential, "mean_squared_error", "linear")
    X, y, weights = np.ones((3, 4)), np.ones((3, 3)), rng.random((3, 1))
    column = net.evaluate(X, y, sample_weight=weights)
    assert column == net.evaluate(X, y, sample_weight=weights[:, 0])


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1, 2], ValueError, r"sample_weight: expected one weight a sample, shape \(3,\), got"),
        ([[1, 1], [1, 1], [1, 1]], ValueError, r"sample_weight: .* got \(3, 2\)"),
        ([1, -2, 1], ValueError, "sample_weight: expected values >= 0, got -2.0 at row 1"),
        ([1, np.nan, 1], ValueError, "sample_weight: expected finite numbers, got nan at row 1"),
        ([1, np.inf, 1], ValueError, "sample_weight: expected finite numbers, got inf at row 1"),
        ("abc", TypeError, "sample_weight: expected real numbers, got 'abc'"),
    ],
)
def test_refused_weights(sequential, weights, error, message, rng):
    net = build(sequential, "mean_squared_error", "linear")
    X, y, before = np.ones((3, 4)), np.ones((3, 3)), net.params.copy()
    for call in (
        lambda: net.fit(X, y, verbose=0, sample_weight=weights),
        lambda: net.train_step(X, y, sample_weight=weights),
        lambda: net.evaluate(X, y, sample_weight=weights),
        lambda: net.gradients(X, y, sample_weight=weights),
    ):
        with pytest.raises(error, match=message):
            call()
    np.testing.assert_array_equal(net.params, before)


@pytest.mark.parametrize(
    ("class_weight", "error", "message"),
    [
        ({3: 1.0}, ValueError, "class_weight: expected classes 0 to 2, got 3"),
        ({0: -1}, ValueError, r"class_weight\[0\]: expected a finite number >= 0, got -1"),
        ({"a": 1}, TypeError, r"class_weight: a class: expected an integer >= 0, got 'a'"),
        ("equal", ValueError, "or a dict of class and weight; got 'equal'$"),
        ("balance", ValueError, "or a dict of class and weight; got 'balance'; did you mean 'bal"),
        ([1, 2, 3], TypeError, r"class_weight: expected a dict .*, or 'balanced', got \[1, 2, 3\]"),
    ],
)
def test_refused_weights_of_classes(sequential, class_weight, error, message):
    net = build(sequential, "sparse_categorical_crossentropy", "softmax")
    with pytest.raises(error, match=message):
        net.fit(np.ones((3, 4)), [0, 1, 2], verbose=0, class_weight=class_weight)


def test_classes_that_there_are_not(sequential):
    X = np.ones((3, 4))
    with pytest.raises(ValueError, match="class_weight: 'mean_squared_error' is a regression"):
        build(sequential, "mean_squared_error", "linear").fit(
            X, np.ones((3, 3)), verbose=0, class_weight="balanced"
        )
    with pytest.raises(ValueError, match="class_weight: expected a network with one output"):
        build(sequential, "binary_crossentropy", "sigmoid").fit(
            X, np.ones((3, 3)), verbose=0, class_weight="balanced"
        )


def test_held_out_samples_have_their_weights(sequential, rng):
    X, y, weights = rng.standard_normal((10, 4)), rng.random((10, 3)), rng.random(10)
    net = build(sequential, "mean_squared_error", "linear")
    history = net.fit(X, y, 1, verbose=0, validation_split=0.3, sample_weight=weights)
    expected = net.evaluate(X[7:], y[7:], sample_weight=weights[7:])["loss"]
    assert history.val_loss[0] == pytest.approx(expected, rel=1e-14)
    plain = build(sequential, "mean_squared_error", "linear")
    plain.fit(X[:7], y[:7], 1, verbose=0, sample_weight=weights[:7])
    np.testing.assert_array_equal(net.params, plain.params)


def test_weights_with_a_callback_at_every_batch(sequential, rng):
    X, y, weights = rng.standard_normal((10, 4)), rng.random((10, 3)), rng.random(10)
    nets = [build(sequential, "mean_squared_error", "linear") for _ in range(2)]
    watch = fd.LambdaCallback(on_batch_end=lambda step, logs: None)
    for shuffle in (False, True):
        nets[0].fit(X, y, 2, 4, shuffle, verbose=0, sample_weight=weights, callbacks=watch)
        nets[1].fit(X, y, 2, 4, shuffle, verbose=0, sample_weight=weights)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
