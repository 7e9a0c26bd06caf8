"""What the public objects show: the call that would make them."""

import inspect
from importlib import import_module

import numpy as np
import pytest

import fusedelta as fd

MODULES = (
    "activations",
    "callbacks",
    "initializers",
    "layers",
    "losses",
    "monitors",
    "normalization",
    "optimizers",
    "regularizers",
    "schedules",
)


def halve(epoch, rate):
    return rate / 2


#: The classes whose parameters all have defaults are tested without any too.
CALLS = [
    "ELU(alpha=0.5)",
    "GELU(approximate=True)",
    "LeakyReLU(negative_slope=0.1)",
    "CSVLogger('log.csv')",
    "CSVLogger('log.csv', separator='\\t', append=True)",
    "LambdaCallback(on_train_end=print, on_batch_end=halve)",
    "LearningRateScheduler(halve)",
    "Constant(value=1.5)",
    "RandomNormal(mean=1.0, stddev=2.0)",
    "RandomUniform(minval=-1.0, maxval=2.0)",
    "Activation(activation=ELU(0.5))",
    "Activation('relu')",
    "Dense(3)",
    "Dense(3, ELU(0.5), 'ones', Constant(2), L2(0.1), 'l1', MaxNorm(3))",
    "Dropout(0.25)",
    "Residual([Dense(3, 'relu'), Residual([Dense(3)])])",
    "BinaryCrossentropy(label_smoothing=0.1)",
    "BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.5, gamma=1.0)",
    "CategoricalCrossentropy(label_smoothing=0.1)",
    "CategoricalFocalCrossentropy(alpha=0.5, gamma=1.0)",
    "Huber(delta=2.0)",
    "Quantile(q=0.25)",
    "SparseCategoricalCrossentropy(label_smoothing=0.1)",
    "EarlyStopping('loss', 0.1, 2, 'max', 0.5, True, 3)",
    "ModelCheckpoint('net.npz')",
    "ModelCheckpoint('net.npz', 'loss', True, 'min', 0.5)",
    "ReduceLROnPlateau('loss', 0.5, 2, 'max', 0.1, 3, 0.01)",
    "BatchNormalization(momentum=0.9, epsilon=0.01, center=False, scale=False)",
    "LayerNormalization(epsilon=0.01, center=False, scale=False)",
    "SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1)",
    "Adadelta(0.1, rho=0.9, epsilon=0.1, clipnorm=1.0)",
    "Adagrad(0.1, initial_accumulator_value=0.5, epsilon=0.1, clipvalue=1.0)",
    "Adam(OneCycle(0.1, 9), 0.8, 0.9, 0.1, True, global_clipnorm=1.0)",
    "AdamW(0.1, 0.5, 0.8, 0.9, 0.1, True, gradient_accumulation_steps=3)",
    "Adamax(0.1, 0.8, 0.9, 0.1)",
    "Lion(0.1, 0.8, 0.9)",
    "NAdam(0.1, 0.8, 0.9, 0.1, 0.5)",
    "RMSprop(0.1, 0.8, 0.9, 0.1, True)",
    "L1(0.5)",
    "L2(0.5)",
    "L1L2(0.5, 0.25)",
    "MaxNorm(3)",
    "CosineDecay(0.1, 9, 0.5, 0.2, 3)",
    "ExponentialDecay(0.1, 9, 0.5, True)",
    "InverseTimeDecay(0.1, 9, 0.5, True)",
    "InvScaling(0.1, 0.25)",
    "OneCycle(0.1, 9, 0.5, 2, 3)",
    "PiecewiseConstantDecay([3, 4], [0.1, 0.2, 0.3])",
    "PolynomialDecay(0.1, 9, 0.01, 2)",
    "StepDecay(0.1, 9, 0.5)",
]


def public_classes():
    for module in MODULES:
        for name in fd._NAMES[module]:
            yield getattr(import_module(f"fusedelta.{module}"), name)


def defaults():
    for each in public_classes():
        parameters = inspect.signature(each).parameters.values()
        if all(parameter.default is not parameter.empty for parameter in parameters):
            yield f"{each.__name__}()"


def test_every_public_class_is_here():
    here = {call.partition("(")[0] for call in [*CALLS, *defaults()]}
    assert here == {each.__name__ for each in public_classes()}


@pytest.mark.parametrize("call", [*defaults(), *CALLS])
def test_repr_is_the_call_that_would_make_it(call):
    names = {**{name: getattr(fd, name) for name in fd.__all__}, "halve": halve, "print": print}
    made = eval(call, names)
    again = eval(repr(made), names)
    assert type(again) is type(made)
    assert repr(again) == repr(made)
    assert vars(again) == vars(made)


def test_callbacks_leave_out_what_is_the_default():
    assert repr(fd.EarlyStopping()) == "EarlyStopping()"
    assert repr(fd.EarlyStopping(patience=3)) == "EarlyStopping(patience=3)"
    assert repr(fd.LearningRateScheduler(halve)) == "LearningRateScheduler(schedule=halve)"
    assert "<lambda>" in repr(fd.LambdaCallback(on_epoch_end=lambda epoch, logs: None))


def test_callbacks_of_users():
    class Plain(fd.Callback):
        pass

    class Kept(fd.Callback):
        def __init__(self, path, every=1):
            self.path, self._every = path, every

    class Hidden(fd.Callback):
        def __init__(self, path, *more):
            self._path = path

    assert repr(Plain()) == "Plain()"
    assert repr(Kept("a", 2)) == "Kept(path='a')"
    assert repr(Kept(np.arange(2))) == "Kept(path=array([0, 1]))"
    assert "Hidden object at 0x" in repr(Hidden("a"))


def test_a_fit_does_not_change_it():
    stopping = fd.EarlyStopping("loss", patience=1)
    net = fd.Sequential([fd.Dense(1)], "mse")
    net.fit([[1.0], [2.0]], [1, 2], 3, verbose=0, callbacks=stopping)
    assert repr(stopping) == "EarlyStopping(monitor='loss', patience=1)"
