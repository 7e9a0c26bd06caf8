"""Ensembles once they are made or trained: predictions, steps, copies, files, what they print."""

import copy
import pickle
import re

import numpy as np
import pytest
from ensembles import LABELS, LAYERS, T, X, assert_alike, build, lone

import fusedelta as fd

pytestmark = pytest.mark.usefixtures("eager")  # threads, however little there is to do


# ---- use -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 3])
def test_predictions(cls, dtype, n_threads):
    nets = build(cls, input_shape=(3,), dtype=dtype, n_threads=n_threads)
    every = nets.predict(X)
    assert every.shape == (5, 60, 2)
    assert every.dtype == dtype
    np.testing.assert_array_equal(every, [member.predict(X) for member in nets])
    out = np.empty_like(every)
    assert nets.predict(X, out) is out
    np.testing.assert_array_equal(out, every)

    mean, std = nets.predict_mean(X, return_std=True)
    assert mean.dtype == std.dtype == dtype
    np.testing.assert_array_equal(mean, nets.predict_mean(X))
    np.testing.assert_allclose(mean, every.astype(float).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, every.astype(float).std(axis=0), rtol=1e-5)
    one = nets.predict_one(X[0])
    assert one.shape == (5, 2)
    np.testing.assert_allclose(one, every[:, 0], rtol=1e-5)


def test_each_predicts_its_own(cls):
    nets = build(cls, n=2, input_shape=(3,))
    expected = [nets[0].predict(X[:9]), nets[1].predict(X[9:18])]
    np.testing.assert_array_equal(nets.predict([X[:9], X[9:18]]), expected)
    np.testing.assert_array_equal(nets.predict(X[:18].reshape(2, 9, 3)), expected)
    expected = [nets[0].predict_one(X[0]), nets[1].predict_one(X[1])]
    np.testing.assert_array_equal(nets.predict_one(X[:2]), expected)


@pytest.mark.parametrize(
    ("layers", "loss", "y"),
    [
        ([fd.Dense(4, "softmax")], "sparse_categorical_crossentropy", LABELS),
        ([fd.Dense(1, "sigmoid")], "binary_crossentropy", LABELS % 2),
    ],
)
def test_classes_by_the_mean(cls, layers, loss, y):
    nets = build(cls, layers=layers, loss=loss)
    history = nets.fit(X, y, epochs=3, verbose=0)
    mean = nets.predict_mean(X)
    expected = mean.argmax(axis=1) if len(mean[0]) > 1 else (mean[:, 0] > 0.5).astype(int)
    np.testing.assert_array_equal(nets.predict_classes(X), expected)
    figures = nets.evaluate(X, y)
    assert set(figures) == {"loss", "accuracy"}
    for i, member in enumerate(nets):
        assert {name: values[i] for name, values in figures.items()} == member.evaluate(X, y)
    assert history.accuracy.shape == (3, 5)


def test_evaluations_of_each_its_own(cls):
    nets = build(cls, n=2, input_shape=(3,))
    weights = np.ones((2, 30))
    weights[1] = 2
    figures = nets.evaluate([X[:30], X[30:]], [T[:30], T[30:]], weights)
    expected = [nets[0].evaluate(X[:30], T[:30]), nets[1].evaluate(X[30:], T[30:], weights[1])]
    assert figures["loss"].tolist() == [each["loss"] for each in expected]
    assert list(figures) == ["loss"]


def test_steps(cls, rng):
    nets, others = build(cls), build(cls, input_shape=(3,))
    weights = rng.random(60)
    for _ in range(3):
        losses = nets.train_step(X, T, weights)
        assert losses.tolist() == [each.train_step(X, T, weights) for each in others]
    own = rng.standard_normal((5, 8, 3)), rng.standard_normal((5, 8, 2))
    losses = nets.train_step(*own)
    assert losses.tolist() == [
        each.train_step(*own_) for each, *own_ in zip(others, *own, strict=True)
    ]
    assert nets.partial_fit(X, T, batch_size=7, sample_weight=weights) is nets
    for each in others:
        each.partial_fit(X, T, batch_size=7, sample_weight=weights)
    for member, other in zip(nets, others, strict=True):
        assert_alike(member, other)
    nets.reset_optimizer()
    assert all(not np.any(member.optimizer_state["velocity"][0]) for member in nets)


def test_use_is_checked():
    nets = build(n=2)
    for use in (nets.predict, nets.predict_mean, lambda X: nets.evaluate(X, T)):
        with pytest.raises(ValueError, match="the number of inputs is not known yet"):
            use(X)
    nets = build(n=2, input_shape=(3,))
    with pytest.raises(ValueError, match="predict_classes: 'mean_squared_error' is a regression"):
        nets.predict_classes(X)
    with pytest.raises(ValueError, match=r"X: expected shape \(samples, 3\), got \(60, 2\)"):
        nets.predict(T)
    with pytest.raises(ValueError, match="X: expected as many samples for each member, got 3 to 9"):
        nets.predict([X[:3], X[:9]])
    with pytest.raises(ValueError, match=r"out: .* shape \(2, 60, 2\) .*; got shape \(60, 2\)"):
        nets.predict(X, np.empty((60, 2), np.float32))
    with pytest.raises(TypeError, match="out: "):
        nets.predict(X, np.empty((2, 60, 2)))
    with pytest.raises(TypeError, match="return_std: expected True or False, got 1"):
        nets.predict_mean(X, return_std=1)
    with pytest.raises(ValueError, match="sample_weight: expected one weight a sample"):
        nets.evaluate(X, T, np.ones(7))
    with pytest.raises(ValueError, match="X: expected 2 arrays, one a member, got 3"):
        nets.predict([X] * 3)


# ---- an object like others -----------------------------------------------------------------------


def test_it_is_a_sequence_of_networks(cls, sequential):
    nets = build(cls)
    assert len(nets) == 5
    assert nets[0] is nets.members[0]
    assert nets[-1] is nets.members[4]
    assert list(nets) == list(nets.members)
    assert all(type(member) is sequential for member in nets)
    assert [member.n_threads for member in nets] == [1] * 5
    assert nets.n_threads == 3
    shared_out = build(cls, n=3, n_threads=8)
    assert [member.n_threads for member in shared_out] == [2] * 3
    with pytest.raises(IndexError):
        nets[5]


def test_from_members():
    networks = [lone(build(), i) for i in range(3)]
    nets = fd.Ensemble.from_members(networks, n_threads=2)
    assert nets.members == tuple(networks)
    nets.fit(X, T, epochs=2, verbose=0)
    other = lone(nets, 1)
    other.fit(X, T, epochs=2, verbose=0)
    assert_alike(networks[1], other)
    assert fd.Ensemble.from_members(tuple(networks)).n_threads is None


def test_from_other_than_members_of_a_kind():
    net = lone(build(), 0)

    def other(**settings):
        settings = {"loss": "mean_squared_error", "optimizer": fd.SGD(0.3, 0.9), **settings}
        return fd.Sequential(settings.pop("layers", LAYERS), input_shape=(3,), **settings)

    fd.Ensemble.from_members([net, other(seed=1)])
    for second, name in [
        (other(layers=[fd.Dense(2)]), "layers"),
        (other(loss="huber"), "loss"),
        (other(dtype="float64"), "dtype"),
        (other(optimizer=fd.SGD(0.3, 0.8)), r"optimizer \(but for the learning rate\)"),
        (fd.Sequential(LAYERS, "mean_squared_error", fd.SGD(0.3, 0.9), (4,)), "input_shape"),
        (fd.reference.Sequential.like(net), "class"),
    ]:
        with pytest.raises(ValueError, match=rf"networks\[1\]: expected the {name} of networks"):
            fd.Ensemble.from_members([net, second])
    with pytest.raises(ValueError, match=r"networks\[1\]: expected another network, got one of"):
        fd.Ensemble.from_members([net, net])
    with pytest.raises(TypeError, match=r"networks\[1\]: expected a Sequential network, got 3"):
        fd.Ensemble.from_members([net, 3])
    for nothing in ([], net, None):
        with pytest.raises(TypeError, match="networks: expected a list of at least one network"):
            fd.Ensemble.from_members(nothing)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_copies_go_on_alike(cls, how):
    nets = build(cls)
    never = fd.LambdaCallback(on_train_end=lambda logs: None)  # which cannot be pickled
    nets.fit(X, T, epochs=2, batch_size=7, verbose=0, callbacks=never, bootstrap=True)
    other = how(nets)
    assert repr(other) == repr(nets)
    np.testing.assert_array_equal(other.history.loss, nets.history.loss)
    before = nets[1].get_weights()
    other.fit(X, T, epochs=2, batch_size=7, verbose=0)
    np.testing.assert_equal(nets[1].get_weights(), before)
    nets.fit(X, T, epochs=2, batch_size=7, verbose=0)
    for member, copied in zip(nets, other, strict=True):
        assert_alike(member, copied)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("optimizer", [fd.SGD(0.1), fd.Adam(0.01)], ids=str)
def test_files(cls, dtype, tmp_path, suffix, optimizer):
    path = tmp_path / f"nets{suffix}"
    nets = build(cls, dtype=dtype, optimizer=optimizer, learning_rate=[0.1, 0.2, 0.3, 0.4, 0.5])
    nets.fit(X, T, epochs=2, batch_size=7, verbose=0)
    nets[1].metadata = {"of": "one"}
    nets.save(path, {"classes": [1, 2]})
    loaded = cls.load(path)
    assert type(loaded) is cls
    assert loaded.metadata == nets.metadata == {"classes": [1, 2]}
    assert loaded[1].metadata == {"of": "one"}
    most = max(1, fd.threads.available() // 5)
    assert [member.n_threads for member in loaded] == [most] * 5
    assert loaded.seeds == nets.seeds
    assert loaded.learning_rate == nets.learning_rate
    for each in (nets, loaded):
        each.fit(X, T, epochs=2, batch_size=7, verbose=0, bootstrap=True)
    for member, other in zip(nets, loaded, strict=True):
        assert_alike(member, other)


def test_arrays_in_a_file_have_one_more_dimension(tmp_path):
    nets = build(input_shape=(3,))
    nets.save(tmp_path / "nets.npz")
    with np.load(tmp_path / "nets.npz") as file:
        assert file["layers.0.W"].shape == (5, 3, 20)
        np.testing.assert_array_equal(file["layers.1.W"][2], nets[2].weights[2])


def test_files_of_another_kind(tmp_path):
    nets, path = build(input_shape=(3,)), tmp_path / "nets.npz"
    nets.save(path)
    with pytest.raises(ValueError, match=r"it holds an ensemble, for fusedelta\.Ensemble\.load"):
        fd.load(path)
    nets[0].save(path)
    with pytest.raises(ValueError, match=r"it holds a single network, for fusedelta\.load"):
        fd.Ensemble.load(path)
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match="not a readable fusedelta model"):
        fd.Ensemble.load(path)
    with pytest.raises(TypeError, match="metadata: expected a dict, got 3"):
        nets.save(path, 3)
    with pytest.raises(ValueError, match=r"path: expected a name that ends in \.npz"):
        nets.save(tmp_path / "nets.h5")
    with pytest.raises(ValueError, match="the number of inputs is not known yet"):
        build().save(path)
    nets = build(input_shape=(3,), loss=lambda y, p: (0.0, p))
    with pytest.raises(ValueError, match="save: expected a loss of this package"):
        nets.save(path)


def test_damaged_files_are_refused(tmp_path):
    nets, path = build(input_shape=(3,)), tmp_path / "nets.npz"
    nets.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    for changed in ({"layers.0.W": arrays["layers.0.W"][:4]}, {"layers.0.b": np.array(1.0)}):
        np.savez(path, **{**arrays, **changed})
        with pytest.raises(ValueError, match=r"it has 5 members, and layers\.0\.. of"):
            fd.Ensemble.load(path)


def test_repr_and_summary(capsys):
    nets = build(n=2, input_shape=(3,))
    assert repr(nets) == (
        "Ensemble([Dense(units=20, activation='tanh'), Dense(units=2, activation='linear')], 2, "
        f"loss='mean_squared_error', optimizer={fd.SGD(0.1, 0.9)}, input_shape=(3,), "
        "dtype='float32', seed=3, n_threads=3)"
    )
    assert "learning_rate=[0.1, 0.2], input" in repr(build(n=2, learning_rate=[0.1, 0.2]))
    summary = nets.summary()
    assert str(summary) == capsys.readouterr().out.rstrip("\n")
    assert summary.n_params == 2 * (3 * 20 + 20 + 20 * 2 + 2)
    assert "2 members, each of these layers. Total: 244 parameters" in str(summary)
    assert nets.memory == {name: 2 * size for name, size in nets[0].memory.items()}


def test_history_of_a_regression():
    nets = build(n=2)
    history = nets.fit(X, T, epochs=3, verbose=0)
    assert len(history) == 2
    assert list(history.history) == ["loss"]
    assert history[0:1] == (history[0],)
    assert re.fullmatch(r"EnsembleHistory\(2 members, final loss [\d.]+ to [\d.]+\)", repr(history))
    with pytest.raises(AttributeError, match="accuracy: only classification losses have one"):
        history.accuracy  # noqa: B018
    with pytest.raises(AttributeError, match="val_loss: the fit had no validation data"):
        history.val_loss  # noqa: B018


@pytest.mark.parametrize(
    ("n", "verbose", "expected"),
    [(3, 0, []), (3, 1, [0, 1, 2]), (45, 1, [*range(4, 45, 5)]), (24, 1, [*range(1, 24, 2)]),
     (41, 2, [*range(41)]), (47, 1, [*range(4, 47, 5), 46])],
)  # fmt: skip
def test_lines(capsys, n, verbose, expected):
    nets = build(n=n, layers=[fd.Dense(4, "softmax")], loss="sparse_categorical_crossentropy")
    history = nets.fit(X, LABELS, epochs=2, verbose=verbose, validation_split=0.5)
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1]) for line in lines] == expected
    for i, line in zip(expected, lines, strict=True):
        loss = history[i].loss[-1]
        assert line.startswith(f"member {i:>{len(str(n - 1))}}  epochs 2  loss {loss:.4f}")
        assert line.endswith(f"val_accuracy {history.val_accuracy[-1, i]:.4f}")
