"""Keras through ``fit``, on the backend that its configuration names."""

from __future__ import annotations

from functools import partial

import keras

from benchmarks.rivals import Predictor, Rival
from benchmarks.workloads import ADAM_EPSILON, LEAKY_SLOPE, Workload


def half_sum_squared_error(y, outputs):
    return 0.5 * keras.ops.sum((outputs - y) ** 2)


def make_model(workload: Workload) -> keras.Sequential:
    """The workload's network, its loss computed from logits where it is a cross-entropy."""
    activations = list(workload.activations)
    if workload.is_classification:
        activations[-1] = "linear"
    model = keras.Sequential([keras.Input(workload.sizes[:1], dtype=workload.dtype)])
    for (_, n, _), act in zip(workload.layers, activations, strict=True):
        model.add(keras.layers.Dense(n, dtype=workload.dtype))
        if act == "leaky_relu":
            model.add(keras.layers.LeakyReLU(LEAKY_SLOPE, dtype=workload.dtype))
        else:
            model.add(keras.layers.Activation(act, dtype=workload.dtype))
    model.set_weights(workload.data().weights)
    return model


LOSSES = {
    "half_sum_squared_error": lambda: half_sum_squared_error,
    "mean_squared_error": keras.losses.MeanSquaredError,
    "binary_crossentropy": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
    "sparse_categorical_crossentropy": lambda: keras.losses.SparseCategoricalCrossentropy(
        from_logits=True
    ),
}
OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "adam": partial(keras.optimizers.Adam, epsilon=ADAM_EPSILON),
}


class Fit:
    """Trains through ``fit``."""

    def __init__(self, workload: Workload) -> None:
        self.model = make_model(workload)
        self.model.compile(
            optimizer=OPTIMIZERS[workload.optimizer](workload.rate), loss=LOSSES[workload.loss]()
        )
        self.X, self.y, _ = workload.data()
        self.batch = workload.batch

    def run(self, epochs: int) -> None:
        self.history = self.model.fit(
            self.X, self.y, batch_size=self.batch, epochs=epochs, shuffle=False, verbose=0
        )

    def loss(self) -> float:
        return float(self.history.history["loss"][-1])


def build(workload: Workload) -> Rival:
    """Train, or predict with the model called directly, which is faster than ``predict``."""
    keras.backend.set_floatx(workload.dtype)
    if not workload.predicts:
        return Fit(workload)
    model = make_model(workload)
    convert = keras.ops.convert_to_numpy
    return Predictor(lambda X: convert(model(X, training=False)), list(workload.batched().X))
