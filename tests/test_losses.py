"""Losses: values, reductions, accuracy, pairings with output activations."""

import copy
import math
import pickle

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import losses
from fusedelta.activations import ACTIVATIONS

CROSS_ENTROPIES = {
    "binary_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "sparse_categorical_crossentropy": "softmax",
}


def through(sequential, n, activation, loss, dtype="float64"):
    """A network whose logits are its inputs."""
    net = sequential([fd.Dense(n, activation)], loss, input_shape=(n,), dtype=dtype)
    net.set_weights([np.eye(n), np.zeros(n)])
    return net


def test_squared_errors(sequential):
    X, y = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[0.0, 2.0], [1.0, 2.0]])
    errors = np.array([[1.0, 0.0], [2.0, 3.0]])
    half = through(sequential, 2, "linear", "half_sum_squared_error")
    mean = through(sequential, 2, "linear", "mean_squared_error")
    assert half.evaluate(X, y) == {"loss": pytest.approx(0.5 * 14, rel=1e-15)}
    assert mean.evaluate(X, y) == {"loss": pytest.approx(14 / 4, rel=1e-15)}
    np.testing.assert_allclose(half.gradients(X, y)[1][1], errors.sum(0), rtol=1e-15)
    np.testing.assert_allclose(mean.gradients(X, y)[1][1], errors.sum(0) / 2, rtol=1e-15)


def test_binary_crossentropy_is_the_mean_over_samples_and_outputs(sequential, rng):
    Z, y = rng.normal(size=(5, 3)), rng.random((5, 3))
    p = 1 / (1 + np.exp(-Z))
    net = through(sequential, 3, "sigmoid", "binary_crossentropy")
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert net.evaluate(Z, y)["loss"] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(net.gradients(Z, y)[1][1], (p - y).sum(0) / 15, rtol=1e-12)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_categorical_crossentropy_is_the_mean_over_samples(sequential, rng, loss):
    Z, labels = rng.normal(size=(6, 4)), np.array([0, 3, 1, 2, 3, 3])
    p = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
    one_hot = np.eye(4)[labels]
    net = through(sequential, 4, "softmax", loss)
    y = labels if loss.startswith("sparse") else one_hot
    expected = -np.log(p[np.arange(6), labels]).mean()
    assert net.evaluate(Z, y)["loss"] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(net.gradients(Z, y)[1][1], (p - one_hot).sum(0) / 6, rtol=1e-10)


def test_soft_targets_of_categorical_crossentropy(sequential, rng):
    Z, y = rng.normal(size=(6, 4)), rng.dirichlet(np.ones(4), size=6)
    p = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
    net = through(sequential, 4, "softmax", "categorical_crossentropy")
    assert net.evaluate(Z, y)["loss"] == pytest.approx(-(y * np.log(p)).sum(1).mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("z", "y", "expected"),
    [
        (70.0, 1, math.log1p(math.exp(-70))),  # 4e-31: 1 - p is 0
        (-70.0, 0, math.log1p(math.exp(-70))),
        (700.0, 1, math.exp(-700)),
        (70.0, 0, 70.0),
        (-1000.0, 1, 1000.0),
        (1000.0, 1, 0.0),
    ],
)
def test_binary_crossentropy_is_exact_where_it_saturates(sequential, z, y, expected):
    net = through(sequential, 1, "sigmoid", "binary_crossentropy")
    assert net.evaluate([[z]], [y])["loss"] == pytest.approx(expected, rel=1e-12, abs=1e-320)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize(
    ("logits", "label", "expected"),
    [
        ([70.0, 0.0, 0.0], 0, math.log1p(2 * math.exp(-70))),
        ([1000.0, 0.0, 930.0], 0, math.log1p(math.exp(-70))),
        ([70.0, 0.0, -5.0], 1, 70.0),
        ([-2000.0, 2000.0, 0.0], 0, 4000.0),
        ([800.0, 800.0, 800.0], 2, math.log(3)),
    ],
)
def test_categorical_crossentropy_is_exact_where_it_saturates(
    sequential, loss, logits, label, expected
):
    net = through(sequential, 3, "softmax", loss)
    y = [label] if loss.startswith("sparse") else np.eye(3)[[label]]
    assert net.evaluate([logits], y)["loss"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
def test_predictions_stay_finite_with_huge_logits(sequential, dtype, loss):
    net = through(sequential, 2, CROSS_ENTROPIES[loss], loss, dtype)
    Z = np.array([[1e30, -1e30], [-1e4, 1e4], [0, 0]])
    expected = [[1, 0], [0, 1], [0.5, 0.5]]
    np.testing.assert_array_equal(net.predict(Z), expected)


def test_accuracy_of_binary_counts_outputs(sequential):
    net = through(sequential, 2, "sigmoid", "binary_crossentropy")
    Z = [[3.0, -3.0], [3.0, 0.0], [-1.0, 2.0]]  # classes 1 0, 1 0 (0.5 is not above 0.5), 0 1
    y = [[1, 0], [0, 0], [0, 0]]
    assert net.evaluate(Z, y)["accuracy"] == pytest.approx(4 / 6)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_accuracy_of_categorical_counts_samples(sequential, loss):
    net = through(sequential, 3, "softmax", loss)
    Z = [[3.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 2.0], [5.0, 5.0, 5.0]]  # 0, 1, 2, 0
    labels = np.array([0, 1, 1, 0])
    y = labels if loss.startswith("sparse") else np.eye(3)[labels]
    assert net.evaluate(Z, y)["accuracy"] == 0.75


def test_regressions_have_no_accuracy(sequential):
    net = through(sequential, 2, "sigmoid", "mean_squared_error")
    assert list(net.evaluate([[0.0, 0.0]], [[0.0, 1.0]])) == ["loss"]
    assert not net.is_classification


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_squared_errors_pair_with_every_output(sequential, activation):
    for loss in ("half_sum_squared_error", "mean_squared_error"):
        net = sequential([fd.Dense(2, activation)], loss, input_shape=(2,), seed=1)
        assert math.isfinite(net.train_step([[1, 2]], [[0, 1]]))


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
def test_cross_entropies_pair_with_their_own_output(sequential, loss):
    needed = CROSS_ENTROPIES[loss]
    assert sequential([fd.Dense(2, needed)], loss).loss == loss
    for activation in set(ACTIVATIONS) - {needed}:
        message = (
            f"loss: '{loss}' needs an output layer with activation '{needed}', because it is "
            f"computed from the logits of a {needed}; got '{activation}'"
        )
        with pytest.raises(ValueError, match=message):
            sequential([fd.Dense(2, activation)], loss)


@pytest.mark.parametrize(("loss", "error"), [("msd", ValueError), (None, TypeError)])
def test_unknown_losses_are_refused(sequential, loss, error):
    expected = r"loss: expected one of 'half_sum_squared_error', .*, an instance such as Huber"
    with pytest.raises(error, match=expected):
        sequential([fd.Dense(1)], loss)


@pytest.mark.parametrize(
    ("short", "output", "name"),
    [
        ("mse", "linear", "mean_squared_error"),
        ("mae", "linear", "mean_absolute_error"),
        ("bce", "sigmoid", "binary_crossentropy"),
        ("kld", "softmax", "kl_divergence"),
    ],
)
def test_short_names_as_in_keras(sequential, short, output, name):
    assert sequential([fd.Dense(2, output)], short).loss == name


def test_the_list_of_losses():
    assert list(losses.LOSSES) == [
        "half_sum_squared_error",
        "mean_squared_error",
        "mean_absolute_error",
        "huber",
        "log_cosh",
        "quantile",
        "poisson",
        "hinge",
        "squared_hinge",
        "binary_crossentropy",
        "binary_focal_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "categorical_focal_crossentropy",
        "kl_divergence",
    ]


E, T = np.array([[0.5, -2.0], [0.0, 3.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
P = np.array([[0.2, 0.9], [0.5, 0.6]])
BITS = np.array([[0.0, 1.0], [1.0, 0.0]])
Q = np.where(BITS == 1, 1 - P, P)  # how wrong
ENTROPY = -np.log(1 - Q)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mean_absolute_error", 5.5 / 4),
        ("huber", (0.125 + 1.5 + 2.5) / 4),
        (fd.Huber(2.5), (0.125 + 2 + 2.5 * 1.75) / 4),
        ("log_cosh", np.log(np.cosh(E)).mean()),
        ("quantile", 5.5 / 8),
        (fd.Quantile(0.9), (0.05 + 1.8 + 0.3) / 4),
    ],
)
def test_losses_of_quantities(sequential, loss, expected):
    net = through(sequential, 2, "linear", loss)
    assert net.evaluate(T + E, T) == {"loss": pytest.approx(expected, rel=1e-14)}
    assert not net.is_classification


def test_poisson(sequential):
    y = np.array([[0.0, 3.0], [1.0, 2.0]])
    net = through(sequential, 2, "exponential", "poisson")
    expected = (np.exp(E) - y * E).mean()
    assert net.evaluate(E, y)["loss"] == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(net.gradients(E, y)[1][1], (np.exp(E) - y).sum(0) / 4, rtol=1e-13)
    net = through(sequential, 2, "softplus", "poisson")
    rate = np.log1p(np.exp(E))
    expected = (rate - y * np.log(rate + 1e-7)).mean()
    assert net.evaluate(E, y)["loss"] == pytest.approx(expected, rel=1e-13)
    with pytest.raises(ValueError, match=r"y: expected values >= 0, got -1\.0 at row 0"):
        net.train_step(E, [[0, -1], [1, 1]])
    with pytest.raises(ValueError, match=r"'poisson' needs .* 'exponential' or 'softplus'"):
        through(sequential, 2, "relu", "poisson")


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_hinges(sequential, loss):
    Z = np.array([[0.5, -2.0], [0.3, 3.0]])
    lack = np.array([[1.5, 0.0], [0.7, 0.0]])
    net = through(sequential, 2, "linear", loss)
    expected = (lack**2 if loss == "squared_hinge" else lack).mean()
    for y in ([[-1, -1], [1, 1]], [[0, 0], [1, 1]]):
        figures = net.evaluate(Z, y)
        assert figures == {"loss": pytest.approx(expected, rel=1e-14), "accuracy": 0.75}
    np.testing.assert_array_equal(net.predict_classes(Z), [[1, 0], [1, 1]])
    for y in ([[0, -1], [1, 1]], [[0.5, 1], [1, 1]]):
        with pytest.raises(ValueError, match="y: expected -1 and 1, or 0 and 1, got"):
            net.train_step(Z, y)
    with pytest.raises(ValueError, match=f"'{loss}' needs .*'linear' or 'tanh' or 'hard_tanh'"):
        through(sequential, 2, "relu", loss)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("binary_focal_crossentropy", (Q**2 * ENTROPY).mean()),
        (fd.BinaryFocalCrossentropy(gamma=0), ENTROPY.mean()),
        (
            fd.BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.3, gamma=1.5),
            (np.where(BITS == 1, 0.3, 0.7) * Q**1.5 * ENTROPY).mean(),
        ),
    ],
)
def test_binary_focal_crossentropy(sequential, loss, expected):
    net = through(sequential, 2, "sigmoid", loss)
    assert net.evaluate(np.log(P / (1 - P)), BITS)["loss"] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("categorical_focal_crossentropy", 0.25 * (0.5**2 * np.log(2) + 0.2**2 * -np.log(0.8)) / 2),
        (fd.CategoricalFocalCrossentropy(1, 0), (np.log(2) - np.log(0.8)) / 2),
        ("kl_divergence", (np.log(2) - np.log(0.8)) / 2),
    ],
)
def test_other_losses_of_a_softmax(sequential, loss, expected):
    net = through(sequential, 3, "softmax", loss)
    p, y = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]), [[1, 0, 0], [0, 0, 1]]
    assert net.evaluate(np.log(p), y) == {
        "loss": pytest.approx(expected, rel=1e-13),
        "accuracy": 1.0,
    }


def test_the_divergence_of_equals_is_zero(sequential, rng):
    p = rng.dirichlet(np.ones(3), 5)
    net = through(sequential, 3, "softmax", "kl_divergence")
    assert net.evaluate(np.log(p), p)["loss"] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("hidden", [5, 20], ids=["thin", "wide"])
@pytest.mark.parametrize(
    ("loss", "output"),
    [
        *((name, loss.outputs[0]) for name, loss in losses.LOSSES.items()),
        *(("huber", output) for output in ("tanh", "gelu", "softplus", "softmax")),
        ("poisson", "softplus"),
        ("hinge", "tanh"),
    ],
)
def test_gradients_are_right(sequential, loss, output, hidden, rng):
    kind = losses.LOSSES[loss]
    net = sequential(
        [fd.Dense(hidden, "tanh"), fd.Dense(3, output)],
        loss,
        input_shape=(2,),
        dtype="float64",
        seed=1,
    )
    y = {
        "labels": lambda: rng.integers(0, 3, 6),
        "distributions": lambda: rng.dirichlet(np.ones(3), 6),
        "signs": lambda: rng.choice([-1, 1], (6, 3)),
    }.get(kind.targets, lambda: rng.random((6, 3)))()
    check = fd.gradient_check(net, rng.standard_normal((6, 2)), y)
    assert check.passed, str(check)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fd.Huber(0), ValueError, "delta: expected a finite number above 0, got 0"),
        (lambda: fd.Huber("1"), TypeError, "delta: .* got '1'"),
        (lambda: fd.Quantile(1), ValueError, "q: expected a finite number above 0 and below 1"),
        (lambda: fd.BinaryCrossentropy(1), ValueError, "label_smoothing: .* below 1, got 1"),
        (lambda: fd.CategoricalCrossentropy(-0.1), ValueError, "label_smoothing: .* got -0.1"),
        (lambda: fd.BinaryFocalCrossentropy(gamma=-1), ValueError, "gamma: .* >= 0, got -1"),
        (lambda: fd.BinaryFocalCrossentropy(alpha=1), ValueError, "alpha: .* below 1, got 1"),
        (lambda: fd.BinaryFocalCrossentropy(1), TypeError, "apply_class_balancing: .* got 1"),
        (lambda: fd.CategoricalFocalCrossentropy(alpha=0), ValueError, "alpha: .* got 0"),
    ],
)
def test_refused_parameters(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("loss", ["huber", fd.Huber(0.3), fd.Quantile(0.1)])
def test_they_survive_copies_pickles_and_files(sequential, loss, tmp_path, rng):
    net = sequential([fd.Dense(2)], loss, input_shape=(3,), seed=0)
    net.save(tmp_path / "net.npz")
    X, y = rng.random((4, 3)), rng.random((4, 2))
    expected = net.evaluate(X, y)
    assert f"loss={loss!r}" in repr(net)
    for other in (
        sequential.load(tmp_path / "net.npz"),
        pickle.loads(pickle.dumps(net)),
        copy.copy(net),
        sequential.like(net),
    ):
        assert other.loss == loss
        assert other.evaluate(X, y) == expected


@pytest.mark.parametrize(
    ("act", "loss"),
    [
        ("linear", "mean_squared_error"),
        ("gelu", "mean_squared_error"),
        ("sigmoid", "binary_crossentropy"),
        ("exponential", "poisson"),
    ],
)
def test_sums_over_many_samples_keep_their_digits(act, loss, rng):
    """In thin networks, whose samples are in the lanes; single chains of sums lost three digits."""
    m = 300_000
    X, y, weights = rng.random((m, 3)), (rng.random((m, 2)) > 0.5).astype(float), rng.random(m)
    exact, twin, single = (
        cls([fd.Dense(5, "tanh"), fd.Dense(2, act)], loss, input_shape=(3,), dtype=dtype, seed=3)
        for cls, dtype in (
            (fd.Sequential, "float64"),
            (fd.reference.Sequential, "float64"),
            (fd.Sequential, "float32"),
        )
    )
    for weight in (None, weights):
        results = [net.gradients(X, y, weight) for net in (exact, twin, single)]
        for (value, gradients), tolerance in zip(results[1:], (1e-11, 2e-6), strict=True):
            assert value == pytest.approx(results[0][0], rel=tolerance)
            for got, expected in zip(gradients, results[0][1], strict=True):
                assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()
