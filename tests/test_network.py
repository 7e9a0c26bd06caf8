"""`Sequential`: building, training, using, weights, copies."""

import copy
import gc
import inspect
import pickle
import threading

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import network, sources

X = np.random.default_rng(3).normal(size=(23, 3))
LABELS = np.arange(23) % 4
XOR_X, XOR_Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def classifier(sequential, **settings):
    settings = {"input_shape": (3,), "seed": 5, "optimizer": fd.SGD(0.1), **settings}
    layers = [fd.Dense(6, "relu"), fd.Dense(4, "softmax")]
    return sequential(layers, "sparse_categorical_crossentropy", **settings)


def regressor(sequential, **settings):
    settings = {"input_shape": (3,), "seed": 5, **settings}
    return sequential([fd.Dense(5, "tanh"), fd.Dense(1)], "mean_squared_error", **settings)


def assert_same_weights(net, other):
    for ours, theirs in zip(net.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# -------------------------------------------------------------------------------------- building


def test_settings_can_be_read_not_written(sequential):
    net = classifier(sequential, n_threads=2, dtype="float64")
    assert net.layers == (fd.Dense(6, "relu"), fd.Dense(4, "softmax"))
    assert net.loss == "sparse_categorical_crossentropy"
    assert net.optimizer == fd.SGD(0.1)
    assert net.input_shape == (3,)
    assert net.dtype == np.float64
    assert net.seed == 5
    assert net.n_threads == 2
    assert net.is_classification
    for name in ("layers", "loss", "optimizer", "input_shape", "dtype", "seed", "weights"):
        with pytest.raises(AttributeError):
            setattr(net, name, None)


def test_repr_says_it_all(sequential):
    assert repr(regressor(sequential)) == (
        "Sequential([Dense(units=5, activation='tanh'), Dense(units=1, activation='linear')], "
        "loss='mean_squared_error', "
        "optimizer=SGD(learning_rate=0.01, momentum=0.0, nesterov=False), input_shape=(3,), "
        "dtype='float32', seed=5, n_threads=None)"
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda net: net.predict(X),
        lambda net: net.predict_one(X[0]),
        lambda net: net.predict_classes(X),
        lambda net: net.evaluate(X, LABELS),
        lambda net: net.gradients(X, LABELS),
        lambda net: net.get_weights(),
        lambda net: net.set_weights([]),
        lambda net: net.weights,
        lambda net: net.params,
        lambda net: net.workspace_bytes,
        lambda net: net.reset_optimizer(),
        lambda net: net.summary(),
        lambda net: net.save("model.npz"),
        lambda net: fd.gradient_check(net, X, LABELS),
        lambda net: fd.gradient_flow(net, X, LABELS),
        lambda net: fd.compare(net, X, LABELS),
    ],
)
def test_without_inputs_nothing_can_be_used(sequential, use, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"expected input_shape=\(k,\) when the network is made"):
        use(classifier(sequential, input_shape=None))
    assert not list(tmp_path.iterdir())


def test_without_inputs_there_are_no_weights_to_ask_for(sequential):
    net = classifier(sequential, input_shape=None)
    missing = {name for name, _ in inspect.getmembers(type(net)) if not hasattr(net, name)}
    assert missing == {
        *("memory", "params", "workspace_bytes"),
        *("weights", "trainable_weights", "non_trainable_weights"),
    }
    with pytest.raises(AttributeError, match="the number of inputs is not known yet") as raised:
        _ = net.weights
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


@pytest.mark.parametrize("first", ["fit", "train_step"])
def test_inputs_are_taken_from_the_first_data(sequential, first):
    net, known = classifier(sequential, input_shape=None), classifier(sequential)
    assert net.input_shape is None
    for each in (net, known):
        arguments = {"verbose": 0} if first == "fit" else {}
        getattr(each, first)(X, LABELS, **arguments)
    assert net.input_shape == (3,)
    assert_same_weights(net, known)
    with pytest.raises(ValueError, match=r"X: expected shape \(samples, 3\), got \(23, 2\)"):
        net.fit(X[:, :2], LABELS)


def test_seeds(sequential):
    assert_same_weights(classifier(sequential), classifier(sequential))
    assert (classifier(sequential, seed=6).weights[0] != classifier(sequential).weights[0]).any()
    first, second = (classifier(sequential, seed=None).weights[0] for _ in range(2))
    assert (first != second).any()


def test_both_dtypes_start_from_the_same_numbers(sequential):
    single, double = classifier(sequential), classifier(sequential, dtype="float64")
    for ours, theirs in zip(single.weights, double.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float32))


def test_biases_start_as_they_are_told(sequential):
    layers = [fd.Dense(4, bias_initializer=fd.RandomUniform(1, 2)), fd.Dense(2)]
    net = sequential(layers, "mean_squared_error", input_shape=(3,), seed=0)
    assert ((net.weights[1] >= 1) & (net.weights[1] < 2)).all()
    assert len(set(net.weights[1])) == 4
    assert not net.weights[3].any()


# -------------------------------------------------------------------------------------- training


def test_xor_is_learned(sequential, dtype):
    layers = [fd.Dense(8, "tanh"), fd.Dense(1, "sigmoid")]
    net = sequential(layers, "binary_crossentropy", fd.SGD(0.5), dtype=dtype, seed=42)
    history = net.fit(XOR_X, XOR_Y, epochs=2000, verbose=0)
    assert history.loss[-1] < 0.01 < history.loss[0]
    assert history.accuracy[-1] == 1
    assert net.predict_classes(XOR_X).tolist() == [0, 1, 1, 0]


def test_train_step_is_an_epoch_of_one_batch(sequential):
    net, other = classifier(sequential), classifier(sequential)
    losses = [net.train_step(X, LABELS) for _ in range(5)]
    history = other.fit(X, LABELS, epochs=5, verbose=0)
    assert isinstance(losses[0], float)
    np.testing.assert_allclose(losses, history.loss, rtol=1e-6)
    assert_same_weights(net, other)


def test_an_epoch_is_its_batches(sequential):
    net, other = classifier(sequential), classifier(sequential)
    history = net.fit(X, LABELS, epochs=2, batch_size=10, shuffle=False, verbose=0)
    for epoch in range(2):
        losses = []
        for start in (0, 10, 20):
            batch = slice(start, start + 10)
            losses.append(other.train_step(X[batch], LABELS[batch]))
        expected = np.average(losses, weights=[10, 10, 3])
        assert history.loss[epoch] == pytest.approx(expected, rel=1e-6)
    assert_same_weights(net, other)


def test_half_sum_squared_error_adds_up_over_batches(sequential):
    net = sequential([fd.Dense(1)], "half_sum_squared_error", fd.SGD(1e-30), input_shape=(3,))
    y = X[:, 0]
    whole = net.evaluate(X, y)["loss"]
    history = net.fit(X, y, batch_size=7, verbose=0)
    assert history.loss[0] == pytest.approx(whole, rel=1e-5)


def test_accuracy_of_an_epoch_is_before_its_updates(sequential):
    net = classifier(sequential)
    before = net.evaluate(X, LABELS)
    history = net.fit(X, LABELS, verbose=0)
    assert history.accuracy[0] == before["accuracy"]
    assert history.loss[0] == pytest.approx(before["loss"], rel=1e-6)


def test_a_shuffled_epoch_takes_every_sample_once_in_the_drawn_order(sequential):
    net, other = classifier(sequential), classifier(sequential)
    order = sources.draw_orders(copy.deepcopy(net._rng_shuffle), 2, len(X))
    net.fit(X, LABELS, epochs=2, batch_size=5, verbose=0)
    assert sorted(order[0]) == sorted(order[1]) == list(range(23))
    assert (order[0] != order[1]).any()
    for epoch in range(2):
        for start in range(0, 23, 5):
            batch = order[epoch, start : start + 5]
            other.train_step(X[batch], LABELS[batch])
    assert_same_weights(net, other)


def test_orders_do_not_depend_on_how_many_are_drawn_together(rng):
    one_by_one, together = np.random.default_rng(1), np.random.default_rng(1)
    rows = [sources.draw_orders(one_by_one, n, 17) for n in (1, 3, 2)]
    np.testing.assert_array_equal(np.concatenate(rows), sources.draw_orders(together, 6, 17))
    assert all(order.dtype == np.intp and order.flags.c_contiguous for order in rows)


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_a_fit_is_the_same_however_it_is_cut(sequential, verbose, monkeypatch, capsys):
    whole = classifier(sequential)
    history = whole.fit(X, LABELS, epochs=30, batch_size=4, verbose=0)
    monkeypatch.setattr(sources, "ORDERS_SIZE", 50)
    cut = classifier(sequential)
    first = cut.fit(X, LABELS, epochs=11, batch_size=4, verbose=verbose)
    second = cut.fit(X, LABELS, epochs=19, batch_size=4, verbose=verbose)
    assert_same_weights(whole, cut)
    np.testing.assert_array_equal(np.concatenate([first.loss, second.loss]), history.loss)


def test_one_batch_is_not_shuffled(sequential):
    net = classifier(sequential)
    before = net.shuffle_state
    net.fit(X, LABELS, epochs=3, batch_size=100, verbose=0)
    assert net.shuffle_state == before
    net.fit(X, LABELS, batch_size=22, verbose=0)
    assert net.shuffle_state != before


def test_batches_larger_than_the_data_are_all_of_it(sequential):
    net, other = classifier(sequential), classifier(sequential)
    net.fit(X, LABELS, epochs=2, batch_size=1000, verbose=0)
    other.fit(X, LABELS, epochs=2, verbose=0)
    assert_same_weights(net, other)


def test_padding_of_the_parameters_stays_zero(sequential):
    net = classifier(sequential)
    net.fit(X, LABELS, epochs=3, batch_size=4, verbose=0)
    inside = sum(np.count_nonzero(weight) for weight in net.weights)
    assert np.count_nonzero(net.params) == inside > 0


def test_a_second_fit_at_the_same_time_is_refused(sequential, monkeypatch):
    net = classifier(sequential)
    inside, go_on = threading.Event(), threading.Event()

    def wait(*args):
        inside.set()
        assert go_on.wait(10)
        return np.zeros((1, 2))

    monkeypatch.setattr(network, "train", wait)
    thread = threading.Thread(target=net.fit, args=(X, LABELS), kwargs={"verbose": 0})
    thread.start()
    assert inside.wait(10)
    try:
        with pytest.raises(RuntimeError, match="fit: this network is already being fitted"):
            net.fit(X, LABELS, verbose=0)
    finally:
        go_on.set()
        thread.join()
    monkeypatch.undo()
    assert len(net.fit(X, LABELS, verbose=0)) == 1


def test_a_failed_fit_leaves_the_network_usable(sequential):
    net = classifier(sequential)
    with pytest.raises(ValueError, match="y: expected integer labels"):
        net.fit(X, LABELS + 1)
    assert len(net.fit(X, LABELS, verbose=0)) == 1


# ------------------------------------------------------------------------------------------- use


def test_predictions_fill_out(sequential, dtype):
    net = classifier(sequential, dtype=dtype)
    out, out_one = np.empty((23, 4), dtype), np.empty(4, dtype)
    expected = net.predict(X)
    assert expected.shape == (23, 4)
    assert expected.dtype == dtype
    assert net.predict(X, out=out) is out
    assert net.predict_one(X[7], out=out_one) is out_one
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_allclose(out_one, expected[7], rtol=1e-5)
    np.testing.assert_array_equal(net.predict_one(X[7]), out_one)


def test_predictions_are_the_caller_s_own(sequential):
    net = regressor(sequential)
    first = net.predict(X)
    kept = first.copy()
    net.predict(2 * X)
    np.testing.assert_array_equal(first, kept)
    first[...] = 0
    np.testing.assert_array_equal(net.predict(X), kept)


def test_classes(sequential):
    net = classifier(sequential)
    classes = net.predict_classes(X)
    assert classes.dtype == np.int64
    np.testing.assert_array_equal(classes, net.predict(X).argmax(axis=1))
    for units, shape in ((1, (23,)), (3, (23, 3))):
        layers = [fd.Dense(units, "sigmoid")]
        binary = sequential(layers, "binary_crossentropy", input_shape=(3,), seed=1)
        classes = binary.predict_classes(X)
        assert classes.dtype == np.int64
        assert classes.shape == shape
        np.testing.assert_array_equal(classes, binary.predict(X).reshape(shape) > 0.5)
        assert 0 < classes.mean() < 1


def test_regressions_have_no_classes(sequential):
    message = "predict_classes: 'mean_squared_error' is a regression loss"
    with pytest.raises(ValueError, match=message):
        regressor(sequential).predict_classes(X)


def test_prepared_data_are_used_as_they_are(sequential, dtype):
    net = classifier(sequential, dtype=dtype)
    ready_X, ready_y = net.prepare(X.tolist(), LABELS.tolist())
    assert (ready_X.dtype, ready_y.dtype) == (np.dtype(dtype), np.dtype(np.int64))
    again_X, again_y = net.prepare(ready_X, ready_y)
    assert again_X is ready_X
    assert np.shares_memory(again_y, ready_y)
    assert net.evaluate(ready_X, ready_y) == net.evaluate(X, LABELS)


def test_evaluate_and_gradients_change_nothing(sequential):
    net = classifier(sequential)
    before = net.params.copy()
    figures = net.evaluate(X, LABELS)
    loss, gradients = net.gradients(X, LABELS)
    assert loss == pytest.approx(figures["loss"], rel=1e-6)
    assert [g.shape for g in gradients] == [w.shape for w in net.weights]
    assert all(g.dtype == np.float32 for g in gradients)
    net.gradients(2 * X, LABELS)
    np.testing.assert_array_equal(net.gradients(X, LABELS)[1][0], gradients[0])
    np.testing.assert_array_equal(net.params, before)


def test_gradients_are_the_caller_s_own(sequential):
    net = classifier(sequential)
    _, gradients = net.gradients(X, LABELS)
    kept = [gradient.copy() for gradient in gradients]
    net.gradients(2 * X, LABELS)
    net.train_step(X, LABELS)
    for gradient, expected in zip(gradients, kept, strict=True):
        np.testing.assert_array_equal(gradient, expected)


def test_summary_prints_and_returns_a_table(sequential, capsys):
    net = classifier(sequential)
    summary = net.summary()
    assert capsys.readouterr().out == f"{summary}\n"
    lines = str(summary).splitlines()
    assert lines[0].split() == ["Layer", "Output", "shape", "Activation", "Params"]
    assert lines[2].split() == ["dense_0", "(None,", "6)", "relu", "24"]
    assert lines[3].split() == ["dense_1", "(None,", "4)", "softmax", "28"]
    assert lines[4].startswith("Total: 52 parameters, float32. Memory: parameters 704 B, workspace")
    assert summary.n_params == 52
    assert summary.params_bytes == net.params.nbytes == (4 + 7) * 64
    assert summary.workspace_bytes == net.workspace_bytes
    assert summary.memory == net.memory
    assert repr(summary) == "Summary(2 layers, 52 parameters)"


# --------------------------------------------------------------------------------------- weights


def test_weights_are_live_and_copies_are_not(sequential):
    net = regressor(sequential)
    copies, before = net.get_weights(), net.predict(X)
    net.weights[-1][...] += 1
    np.testing.assert_allclose(net.predict(X), before + 1, rtol=1e-5)
    assert all(np.shares_memory(weight, net.params) for weight in net.weights)
    assert not any(np.shares_memory(weight, net.params) for weight in copies)
    net.set_weights(copies)
    np.testing.assert_array_equal(net.predict(X), before)


def test_weights_of_any_form_are_set(sequential):
    net = regressor(sequential)
    weights = [np.ones((3, 5)).tolist(), range(5), np.ones((5, 1), int), [2.5]]
    net.set_weights(weights)
    for weight, expected in zip(net.weights, weights, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_set_weights_accepts_the_network_s_own_views(sequential):
    net = regressor(sequential)
    before = net.get_weights()
    net.set_weights(net.weights)
    for weight, expected in zip(net.weights, before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_view_outlives_its_network(sequential):
    net = regressor(sequential)
    weight, expected = net.weights[0], net.get_weights()[0]
    del net
    gc.collect()
    np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("clip", [{"global_clipnorm": 0.1}, {"clipnorm": 0.1}, {}])
def test_what_is_written_to_the_padding_counts_for_nothing(sequential, clip):
    def build():
        layers = [fd.Dense(3, "tanh", kernel_regularizer=fd.L2(0.01)), fd.Dense(1)]
        return sequential(layers, "mse", fd.SGD(0.1, **clip), input_shape=(3,), seed=0)

    for use in (
        lambda net: net.train_step(X, X[:, 0]),
        lambda net: net.fit(X, X[:, 0], 2, 5, verbose=0).loss.tolist(),
        lambda net: net.evaluate(X, X[:, 0]),
        lambda net: [g.tolist() for g in net.gradients(X, X[:, 0])[1]],
    ):
        for rubbish in (100.0, np.nan):
            net, other = build(), build()
            other.params[:] = rubbish
            other.set_weights(net.get_weights())
            assert use(other) == use(net)
            assert_same_weights(net, other)
