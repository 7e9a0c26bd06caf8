"""What is set by a name that is nearly right, or where it would do nothing."""

import pytest

import fusedelta as fd


def build(sequential):
    return sequential([fd.Dense(2)], "mse")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("learning_rat", "learning_rate"),
        ("learningrate", "learning_rate"),
        ("stop_trainig", "stop_training"),
        ("stoptraining", "stop_training"),
        ("stopTraining", "stop_training"),
        ("optimiser_state", "optimizer_state"),
        ("meta_data", "metadata"),
        ("n_thread", "n_threads"),
    ],
)
def test_nearly_right_names_are_refused(sequential, name, meant):
    message = f"Sequential has no attribute '{name}': did you mean '{meant}'?"
    with pytest.raises(AttributeError, match=message):
        setattr(build(sequential), name, 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "mean_sqared_error"}, "got 'mean_sqared_error'; did you mean 'mean_squared_"),
        ({"optimizer": "adm"}, "optimizer: expected one of .*; got 'adm'; did you mean 'adam'"),
        ({"optimizer": "RMS_Prop"}, "optimizer: expected one of .*; did you mean 'rmsprop'"),
        ({"optimizer": "newton"}, "optimizer: expected one of .*; got 'newton'$"),
    ],
)
def test_choices_that_are_nearly_right(sequential, settings, message):
    with pytest.raises(ValueError, match=message):
        sequential([fd.Dense(2)], **{"loss": "mse"} | settings)


def test_ensembles_refuse_them_too(cls):
    message = "Ensemble has no attribute 'meta_data': did you mean 'metadata'"
    with pytest.raises(AttributeError, match=message):
        cls([fd.Dense(2)], 3, "mse").meta_data = {}


def test_attributes_of_ones_own_are_free(sequential):
    net = build(sequential)
    net.name, net._learning_rat = "actor", 1
    assert (net.name, net._learning_rat) == ("actor", 1)

    class Actor(sequential):
        lr = None

    actor = build(Actor)
    actor.lr = 0.1
    assert actor.lr == 0.1


def test_weights_are_written_into_not_replaced(sequential):
    net = sequential([fd.Dense(2)], "mse", input_shape=(3,))
    for weights in (net.weights, net.trainable_weights):
        with pytest.raises(TypeError, match="does not support item assignment"):
            weights[0] = weights[0] * 0
        weights[0][:] = 2
        assert (net.get_weights()[0] == 2).all()
