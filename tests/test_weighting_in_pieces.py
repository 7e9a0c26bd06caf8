"""Weights of samples and classes with batches and with data on disk."""

import numpy as np
import pytest
from test_weighting import build

import fusedelta as fd
from fusedelta import sources


@pytest.fixture
def samples(rng):
    """Inputs, labels and weights of 230 samples, 16 bytes a row in float32."""
    return rng.standard_normal((230, 4)), rng.integers(0, 3, 230), rng.random(230) * 2


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 64 rows, in blocks of 7."""
    monkeypatch.setattr(sources, "CHUNK_BYTES", 64 * 16)
    monkeypatch.setattr(sources, "BLOCK_BYTES", 7 * 16)


def on_disk(tmp_path, name, array):
    np.save(tmp_path / f"{name}.npy", array)
    return np.load(tmp_path / f"{name}.npy", mmap_mode="r")


def classifier(sequential, **settings):
    return build(
        sequential, "sparse_categorical_crossentropy", "softmax", dtype="float32", **settings
    )


def test_batches_bring_their_weights(sequential, samples):
    X, y, weights = samples
    parts = [slice(i, i + 50) for i in range(0, 230, 50)]
    net, other = classifier(sequential), classifier(sequential)
    triples = [(X[part], y[part], weights[part]) for part in parts]
    history = net.fit(triples, epochs=2, verbose=0)
    expected = other.fit(X, y, 2, 50, shuffle=False, verbose=0, sample_weight=weights)
    np.testing.assert_array_equal(net.params, other.params)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-14)
    # weights of classes multiply them, and each batch may be without
    class_weight = {0: 0.5, 2: 3.0}
    net.fit((triple for triple in triples), verbose=0, class_weight=class_weight)
    options = {"shuffle": False, "verbose": 0, "class_weight": class_weight}
    other.fit(X, y, 1, 50, sample_weight=weights, **options)
    np.testing.assert_array_equal(net.params, other.params)
    net.fit([(*triples[0][:2], None), triples[1][:2]], verbose=0, class_weight=class_weight)
    other.fit(X[:100], y[:100], 1, 50, **options)
    np.testing.assert_array_equal(net.params, other.params)


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("class_weight", [None, {1: 0.25}, "balanced"], ids=str)
def test_weights_of_data_on_disk(sequential, small_chunks, tmp_path, samples, where, class_weight):
    X, y, weights = samples
    X, weights = X.astype(np.float32), weights.astype(np.float32)
    data = on_disk(tmp_path, "X", X), on_disk(tmp_path, "y", y)
    given = on_disk(tmp_path, "weights", weights) if where == "disk" else weights
    net, other = classifier(sequential), classifier(sequential)
    options = {"epochs": 2, "batch_size": 20, "validation_split": 0.3, "verbose": 0}
    options |= {"class_weight": class_weight, "shuffle": False}
    history = net.fit(*data, sample_weight=given, **options)
    expected = other.fit(X, y, sample_weight=weights, **options)
    np.testing.assert_array_equal(net.params, other.params)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-12)
    np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=1e-6)
    figures = net.evaluate(*data, sample_weight=given)
    assert figures == pytest.approx(net.evaluate(X, y, sample_weight=weights), rel=1e-6)


def test_weights_stay_with_their_rows_when_these_are_shuffled(small_chunks, samples):
    X, y, weights = samples
    X = X.astype(np.float32)
    prepare = classifier(fd.Sequential)._prepare
    rng, by_class = np.random.default_rng(0), np.array([1.0, 2, 3])
    rows = sources.Rows(X, y, 10, 210, 20, rng, prepare, weights, by_class)
    count = 0
    for piece in rows.pieces():
        for x, label, weight in zip(piece.X, piece.y, piece.weights, strict=True):
            at = np.flatnonzero((x == X).all(axis=1))[0]
            assert weight == np.float32(by_class[label] * np.float32(weights[at]))
            count += 1
    assert count == 200


def test_validation_data_with_weights(sequential, small_chunks, tmp_path, samples):
    X, y, weights = samples
    net = classifier(sequential)
    given = (X[:99], y[:99], weights[:99])
    history = net.fit(X, y, verbose=0, validation_data=given)
    expected = net.evaluate(X[:99], y[:99], sample_weight=weights[:99])
    assert history.val_loss[0] == expected["loss"] != net.evaluate(X[:99], y[:99])["loss"]
    parts = [on_disk(tmp_path, f"{i}", part) for i, part in enumerate(given)]
    history = net.fit([(X, y)], verbose=0, validation_data=parts)
    expected = net.evaluate(X[:99], y[:99], sample_weight=weights[:99])
    assert history.val_loss[0] == pytest.approx(expected["loss"], rel=1e-6)


def test_partial_fit_takes_weights(sequential, samples):
    X, y, weights = samples
    net, other = classifier(sequential), classifier(sequential)
    net.partial_fit(X, y, batch_size=50, sample_weight=weights)
    other.fit(X, y, 1, 50, shuffle=False, verbose=0, sample_weight=weights)
    np.testing.assert_array_equal(net.params, other.params)


@pytest.mark.parametrize("reduction", ["mean_squared_error", "half_sum_squared_error"])
def test_penalties_count_once_on_disk(sequential, small_chunks, tmp_path, reduction, rng):
    X, y = rng.standard_normal((230, 4)), rng.standard_normal((230, 1))
    layers = [fd.Dense(5, "tanh", kernel_regularizer=fd.L1L2(0.1, 0.2)), fd.Dense(1)]
    net = sequential(layers, reduction, dtype="float64", input_shape=(4,), seed=0)
    data = on_disk(tmp_path, "X", X), on_disk(tmp_path, "y", y)
    assert len(list(sources.Rows(*data, 0, 230, 1, None, net._prepare).pieces())) > 4
    expected = net.evaluate(X, y)["loss"]
    assert net.evaluate(*data)["loss"] == pytest.approx(expected, rel=1e-13)
    W, error = net.weights[0], ((net.predict(X) - y) ** 2).sum()
    penalty = 0.1 * abs(W).sum() + 0.2 * (W * W).sum()
    error *= 0.5 if reduction.startswith("half") else 1 / 230
    assert expected == pytest.approx(error + penalty, rel=1e-12)
    history = net.fit(X, y, verbose=0, validation_data=data)
    assert history.val_loss[0] == pytest.approx(net.evaluate(X, y)["loss"], rel=1e-13)


BATCH = np.ones((3, 4)), np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("batch", "options", "error", "message"),
    [
        (
            BATCH,
            {"sample_weight": [1, 1, 1]},
            ValueError,
            r"sample_weight: expected None with batches, which bring their own as \(X, y, sam",
        ),
        (
            BATCH,
            {"class_weight": "balanced"},
            ValueError,
            "class_weight: expected a dict with batches, because 'balanced' takes all labels",
        ),
        (BATCH, {"class_weight": {3: 1}}, ValueError, "class_weight: expected classes 0 to 2, got"),
        ((*BATCH, [1, 2]), {}, ValueError, r"batch 1: sample_weight: .* shape \(3,\), got \(2,\)"),
        (
            (*BATCH, [1, -1, 2]),
            {},
            ValueError,
            "batch 1: sample_weight: .* >= 0, got -1.0 at row 1",
        ),
        (
            (*BATCH, "abc"),
            {},
            TypeError,
            "batch 1: sample_weight: expected real numbers, got 'abc'",
        ),
        ((*BATCH, None, None), {}, TypeError, r"X: expected batches .* or \(X, y, sample_weight\)"),
        (
            BATCH,
            {"validation_data": (*BATCH, [1, 1])},
            ValueError,
            r"validation_data: sample_weight: expected one weight a sample, shape \(3,\), got",
        ),
        (
            BATCH,
            {"validation_data": (*BATCH, None, None)},
            TypeError,
            r"validation_data: expected a tuple \(X, y\) or \(X, y, sample_weight\), got",
        ),
    ],
)
def test_refused_weights_of_batches(sequential, batch, options, error, message):
    net = classifier(sequential)
    before = net.params.copy()
    with pytest.raises(error, match=message):
        net.fit([batch], verbose=0, **options)
    np.testing.assert_array_equal(net.params, before)


def test_refused_weights_on_disk(sequential, small_chunks, tmp_path, samples):
    X, y, weights = samples
    data = on_disk(tmp_path, "X", X), y
    net = classifier(sequential)
    bad = weights.copy()
    bad[133] = -1
    before = net.params.copy()
    options = {"batch_size": 20, "shuffle": False, "verbose": 0}
    for given, message in (
        (weights[:9], r"sample_weight: expected one weight a sample, shape \(230,\), got \(9,\)"),
        (bad, "sample_weight: expected values >= 0, got -1.0 at row 133"),
        (on_disk(tmp_path, "short", weights[:9]), r"sample_weight: .* \(230,\), got \(9,\)"),
        (on_disk(tmp_path, "first", -weights), "sample_weight: expected values >= 0, got .* row 0"),
    ):
        with pytest.raises(ValueError, match=message):
            net.fit(*data, sample_weight=given, **options)
        np.testing.assert_array_equal(net.params, before)
    labels = y.copy()
    labels[100] = 3
    message = "rows 84 to 125, counted from 0 there: y: expected integer labels .* got 3 at row 16"
    with pytest.raises(ValueError, match=message):
        net.fit(data[0], labels, class_weight="balanced", **options)
    np.testing.assert_array_equal(net.params, before)
    message = "rows 120 to 179, counted from 0 there: sample_weight: .* got -1.0 at row 13"
    with pytest.raises(ValueError, match=message):
        net.fit(*data, sample_weight=on_disk(tmp_path, "bad", bad), **options)
