"""What `fit` does beside training: validation data, divergence, the history that is left."""

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import sources

X = np.random.default_rng(3).normal(size=(23, 3))
LABELS = np.arange(23) % 4


def classifier(sequential, **settings):
    settings = {"input_shape": (3,), "seed": 5, "optimizer": fd.SGD(0.1), **settings}
    layers = [fd.Dense(6, "relu"), fd.Dense(4, "softmax")]
    return sequential(layers, "sparse_categorical_crossentropy", **settings)


def state(net):
    """All bits that the next fit depends on."""
    moments = [w for name, w in net.optimizer_state.items() if name != "steps"]
    blocks = [net.params, *(piece for pieces in moments for piece in pieces)]
    steps = net.optimizer_state["steps"]
    return [block.tobytes() for block in blocks], steps, net.shuffle_state


# ------------------------------------------------------------------------------ validation data


@pytest.mark.parametrize(
    ("options", "m"), [({}, 18), ({"validation_split": 0.2}, 18), ({"validation_split": 0.95}, 1)]
)
def test_validation_does_not_touch_the_training(sequential, options, m):
    net, other = classifier(sequential), classifier(sequential)
    held_out = X[m:], LABELS[m:]
    if options:
        history = net.fit(X, LABELS, 4, 5, verbose=0, **options)
    else:
        history = net.fit(X[:m], LABELS[:m], 4, 5, verbose=0, validation_data=held_out)
    expected = []
    for _ in range(4):
        other.fit(X[:m], LABELS[:m], 1, 5, verbose=0)
        expected.append(other.evaluate(*held_out))
    assert history.val_loss.tolist() == [figures["loss"] for figures in expected]
    assert history.val_accuracy.tolist() == [figures["accuracy"] for figures in expected]
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert state(net) == state(other)


def test_validation_data_of_a_regression(sequential):
    net = sequential([fd.Dense(1)], "mean_squared_error", seed=1)
    history = net.fit(X, X[:, 0], 2, verbose=0, validation_data=[X[:5], X[:5, 0]])
    assert list(history.history) == ["loss", "val_loss"]
    assert repr(history).endswith(f"val_loss={history.val_loss[-1]:.6g})")
    for name in ("accuracy", "val_accuracy"):
        assert not hasattr(history, name)


def test_without_validation_data_there_is_no_val_loss(sequential):
    history = classifier(sequential).fit(X, LABELS, verbose=0)
    with pytest.raises(AttributeError, match="val_loss: the fit had no validation data"):
        _ = history.val_loss
    assert not hasattr(history, "val_accuracy")


def test_lines_show_validation(sequential, capsys):
    history = classifier(sequential).fit(X, LABELS, 2, validation_split=0.25)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == (
        f"epoch 2/2  loss {history.loss[1]:.4f}  accuracy {history.accuracy[1]:.4f}"
        f"  val_loss {history.val_loss[1]:.4f}  val_accuracy {history.val_accuracy[1]:.4f}"
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"validation_split": 1.0}, ValueError, "validation_split: expected .* below 1, got 1.0"),
        ({"validation_split": -0.1}, ValueError, "validation_split: expected .* >= 0 .*got -0.1"),
        ({"validation_split": "a"}, TypeError, "validation_split: expected a finite number"),
        (
            {"validation_split": 0.01},
            None,
            None,
        ),
        (
            {"validation_split": 0.99},
            ValueError,
            "validation_split: expected samples on both sides, got 0.99 of 23 samples",
        ),
        (
            {"validation_split": 0.5, "validation_data": (X, LABELS)},
            ValueError,
            "validation_split: expected it without validation_data, got both",
        ),
        (
            {"validation_data": X},
            TypeError,
            r"validation_data: expected a tuple .* got an array of shape \(23, 3\)",
        ),
        (
            {"validation_data": (X[:, :2], LABELS)},
            ValueError,
            r"validation_data: X: expected shape \(samples, 3\), got \(23, 2\)",
        ),
        (
            {"validation_data": (X, LABELS + 1)},
            ValueError,
            "validation_data: y: expected integer labels 0 to 3, got 4 at row 3",
        ),
    ],
)
def test_bad_validation_data(sequential, options, error, message):
    for known in (True, False):
        net = classifier(sequential, **({} if known else {"input_shape": None}))
        before = net.params.copy() if known else None
        if error is None:
            assert len(net.fit(X, LABELS, verbose=0, **options).val_loss) == 1
            continue
        with pytest.raises(error, match=message):
            net.fit(X, LABELS, verbose=0, **options)
        if known:
            np.testing.assert_array_equal(net.params, before)
        else:
            assert net.input_shape is None


# ----------------------------------------------------------------------------------- divergence


def runaway(sequential, optimizer, **settings):
    """A regression whose weights grow until they overflow."""
    layers = [fd.Dense(4, "linear"), fd.Dense(1)]
    settings = {"input_shape": (3,), "seed": 5, "optimizer": optimizer, **settings}
    return sequential(layers, "mean_squared_error", **settings)


OPTIMIZERS = [fd.SGD(4.0), fd.SGD(3.0, 0.9), fd.SGD(2.0, 0.9, nesterov=True), fd.Adam(1e38)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: repr(optimizer)[:16])
@pytest.mark.parametrize("how", ["together", "epochs", "batches"])
def test_a_diverging_fit_ends_as_of_the_last_finite_epoch(sequential, optimizer, how):
    for shuffle in (True, False):
        check_divergence(sequential, optimizer, shuffle, how)


def check_divergence(sequential, optimizer, shuffle, how):
    options = {"batch_size": 5, "shuffle": shuffle, "verbose": 0}
    callbacks = {
        "together": None,
        "epochs": fd.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)),
        "batches": fd.LambdaCallback(on_batch_end=lambda step, logs: seen.append(step)),
    }[how]
    seen = []
    net, other = (runaway(sequential, optimizer) for _ in range(2))
    y = X[:, 0]
    with pytest.warns(fd.DivergenceWarning, match=r"nan or infinite; training stopped") as warned:
        history = net.fit(X, y, 200, callbacks=callbacks, **options)
    assert warned[0].filename == __file__
    epochs = len(history)
    assert epochs < 200
    assert np.isfinite(history.loss).all()
    assert history.divergence.epoch == epochs
    assert f"in epoch {epochs + 1} was nan" in str(warned[0].message)
    if epochs:
        expected = other.fit(X, y, epochs, **options)
        np.testing.assert_array_equal(history.loss, expected.loss) if how != "batches" else None
        assert expected.divergence is None
        assert f"as it was at the end of epoch {epochs}" in str(warned[0].message)
    assert state(net) == state(other)
    assert np.isfinite(net.params).all()
    if how == "epochs":
        assert seen == list(range(epochs))
    with pytest.warns(fd.DivergenceWarning):
        assert len(net.fit(X, y, 1, **options)) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_epochs_of_one_batch_are_fits_of_one_epoch(sequential, dtype):
    """In the compiled engine a call of a kernel makes up to 256 steps of them."""
    layers, loss = [fd.Dense(4, "tanh"), fd.Dense(1, "sigmoid")], "binary_crossentropy"
    together, single = (sequential(layers, loss, fd.SGD(0.5), (3,), dtype, 1) for _ in range(2))
    y = (X[:, 0] > X[:, 1]).astype(dtype)
    options = {"batch_size": len(X), "shuffle": False, "verbose": 0}
    history = together.fit(X, y, 300, **options)
    apart = [single.fit(X, y, 1, **options) for _ in range(300)]
    assert history.history["loss"] == [one.loss[0] for one in apart]
    assert history.history["accuracy"] == [one.accuracy[0] for one in apart]
    np.testing.assert_array_equal(together.params, single.params)


def test_a_divergence_far_into_one_batch_is_found(sequential):
    """The same epoch, loss and weights as with callbacks, for which each epoch comes back."""
    fits, options = [], {"shuffle": False, "verbose": 0}
    for callbacks in (None, fd.LambdaCallback(on_epoch_end=lambda epoch, logs: None)):
        net = sequential([fd.Dense(1)], "mean_squared_error", fd.SGD(0.5), (3,), seed=2)
        with pytest.warns(fd.DivergenceWarning):
            history = net.fit(X, X[:, 0], 2000, len(X), callbacks=callbacks, **options)
        fits.append((list(history.loss), history.divergence, state(net)))
    assert fits[0] == fits[1]
    assert len(fits[0][0]) > 256


def test_the_step_that_diverged_is_named(sequential):
    net = runaway(sequential, fd.SGD(1e30))
    with pytest.warns(fd.DivergenceWarning, match="^the loss of step 2 in epoch 1 was nan or"):
        history = net.fit(X, X[:, 0], 3, 5, verbose=0)
    assert history.divergence == (0, 1)
    assert len(history) == 0
    assert repr(history) == "History(0 epochs)"
    assert history.history == {"loss": []}


def test_weights_that_overflow_in_the_last_step_are_noticed(sequential):
    net = runaway(sequential, fd.SGD(1e39), dtype="float32")
    before = state(net)
    with pytest.warns(fd.DivergenceWarning, match="a weight in epoch 1 was .* as it was before"):
        history = net.fit(X, X[:, 0], verbose=0)
    assert history.divergence == (0, None)
    assert state(net) == before


def test_a_warning_names_the_line_outside_of_the_package(sequential, cls):
    net = runaway(sequential, fd.SGD(1e39))
    ensemble = cls([fd.Dense(1)], 2, "mse", fd.SGD(1e39), seed=1)
    for use in (net.fit, net.partial_fit, ensemble.fit, ensemble.partial_fit):
        with pytest.warns(fd.DivergenceWarning) as warned:
            use(1e9 * X, X[:, 0])
        assert warned[0].filename == __file__


def test_hidden_infinities_are_found_in_the_epoch_that_made_them(sequential):
    """A bias may be infinite while the loss stays finite: the unit is off."""
    inputs = np.zeros((4, 2))
    inputs[:, 0] = 1

    def build():
        layers = [fd.Dense(4, "relu"), fd.Dense(1)]
        return sequential(layers, "mse", fd.SGD(1e-3), input_shape=(2,), seed=5)

    net, other = build(), build()
    engine, calls = net._engine, []

    class Sabotaged:
        """After eleven epochs something makes a weight infinite."""

        def __init__(self):
            self.epochs = 0

        def __getattr__(self, name):
            return getattr(engine, name)

        def train(self, X, y, batch_size, orders, results, weights):
            calls.append(len(results))
            for i in range(len(results)):
                engine.train(X, y, batch_size, None, results[i : i + 1])
                if results[i, 0] == limit:
                    net.weights[1][0] = -np.inf
            self.trained = len(results)

    limit = other.fit(inputs, inputs[:, 0], 11, verbose=0).loss[-1]
    other = build()
    other.fit(inputs, inputs[:, 0], 10, verbose=0)
    net._engine = Sabotaged()
    with pytest.warns(fd.DivergenceWarning, match="a weight in epoch 11 was nan or infinite"):
        history = net.fit(inputs, inputs[:, 0], 100, verbose=0)
    assert len(history) == 10
    np.testing.assert_array_equal(net.params, other.params)
    assert calls[0] == 100
    assert sum(calls) < 400


def test_what_going_back_takes_is_counted(sequential):
    net = classifier(sequential, optimizer=fd.Adam())
    before = net.workspace_bytes
    net.fit(X, LABELS, batch_size=23, verbose=0)
    once = net.workspace_bytes
    net.fit(X, LABELS, batch_size=23, verbose=0)
    assert net.workspace_bytes == once >= before + 3 * net.params.nbytes
    assert f"{fd.text.size(once)}" in str(net.summary())


# --------------------------------------------------------------------------------- its history


def test_the_history_stays_reachable(sequential):
    net = classifier(sequential)
    assert net.history is None
    history = net.fit(X, LABELS, 3, verbose=0)
    assert net.history is history


def test_an_exception_leaves_the_whole_epochs(sequential):
    def fail(epoch, logs):
        if epoch == 2:
            raise OSError("the disk is full")

    net, other = classifier(sequential), classifier(sequential)
    with pytest.raises(OSError, match="the disk is full"):
        net.fit(X, LABELS, 5, callbacks=fd.LambdaCallback(on_epoch_end=fail), verbose=0)
    expected = other.fit(X, LABELS, 3, verbose=0)
    assert net.history.history == expected.history
    assert state(net) == state(other)


def test_the_epochs_between_two_looks_are_one_call(sequential, monkeypatch):
    net = classifier(sequential)
    engine, calls = net._engine, []

    class Spy:
        def __getattr__(self, name):
            return getattr(engine, name)

        def train(self, X, y, batch_size, orders, results, weights):
            calls.append(len(results))
            engine.train(X, y, batch_size, orders, results, weights)

    net._engine = Spy()
    net.fit(X, LABELS, 1000, 5, verbose=0)
    assert calls == [1000]
    monkeypatch.setattr(sources, "ORDERS_SIZE", 23 * 300)
    net.fit(X, LABELS, 1000, 5, verbose=0, callbacks=fd.LambdaCallback(on_train_end=print))
    assert calls[1:] == [300, 300, 300, 100]
