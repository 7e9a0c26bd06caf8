"""Layers that normalise what flows through them.

* `BatchNormalization` brings each feature to mean 0 and variance 1 over the batch, and learns a
  scale and a shift for it. Take it in deep networks on batches of 16 samples or more: gradients
  keep their size from layer to layer, and larger learning rates become possible. Small batches make
  it noisy.
* `LayerNormalization` does so over the features of each sample. It knows no batch, so that training
  and prediction compute the same, and it is as good on single samples.

The usual place is between the weights and the activation:

>>> import fusedelta as fd
>>> net = fd.Sequential(
...     [fd.Dense(32), fd.BatchNormalization(), fd.Activation("relu"), fd.Dense(1)],
...     loss="mean_squared_error", input_shape=(5,), seed=1)
>>> [weight.shape for weight in net.non_trainable_weights]  # moving means and variances
[(32,), (32,)]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fusedelta import validation
from fusedelta._frozen import frozen
from fusedelta.layers import Layer
from fusedelta.rows import Part

if TYPE_CHECKING:
    from fusedelta.rows import Compiler, Row

__all__ = ["BatchNormalization", "LayerNormalization"]


#: What the parameters of both must be.
CHECKS: dict[str, validation.Check] = {
    "epsilon": validation.above_zero,
    "center": validation.boolean,
    "scale": validation.boolean,
}


@frozen
class BatchNormalization(Layer):
    """Normalises each feature: ``Y = gamma (X - mean) / sqrt(var + epsilon) + beta``.

    In training, mean and variance are those of the batch, and gradients flow through them; each
    whole step moves two averages towards them, ``moving = momentum * moving + (1 - momentum) *
    batch``, that `predict` and `evaluate` use instead. The variance is the biased one in both, as
    in Keras, so that predictions go by what training saw (PyTorch's average is of the unbiased
    one, m / (m - 1) times as large; its momentum is 1 minus this one). Where gradients are
    accumulated, each of an update's batches is normalised by its own figures and moves the
    averages. They are in `get_weights` behind gamma and beta, as in Keras, but no optimiser touches
    them.

    `gradients` and `gradient_check` see the batch's statistics and move nothing.

    Parameters
    ----------
    momentum : float, default 0.99
        Of the moving averages; at least 0 and below 1.
    epsilon : float, default 0.001
        Above 0; it limits what a feature without variance is divided by.
    center, scale : bool, default True
        Whether there is a beta, which starts with zeros, and a gamma, which starts with ones.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not one of these.

    References
    ----------
    Ioffe, Szegedy: Batch Normalization: Accelerating Deep Network Training by Reducing Internal
    Covariate Shift (2015).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.BatchNormalization(momentum=0.9)
    BatchNormalization(momentum=0.9, epsilon=0.001, center=True, scale=True)
    """

    name: ClassVar = "batch_normalization"

    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        validation.check_fields(self, momentum=validation.share, **CHECKS)

    def compile(self, compiler: Compiler) -> None:
        """One row, with a state."""
        shape = (compiler.width,)
        state = Part("moving_mean", shape), Part("moving_variance", shape)
        compiler.add(self.name, self, parts=_parts(self, compiler.width), state=state)

    def draw(self, rng: np.random.Generator, row: Row) -> list[np.ndarray]:
        """Ones for gamma and the moving variance, zeros for beta and the moving mean."""
        return _start(row)


@frozen
class LayerNormalization(Layer):
    """Normalises each sample: ``Y = gamma (X - mean) / sqrt(var + epsilon) + beta``.

    Mean and variance (the biased one) are those of the sample's features, in training and in
    predictions.

    Parameters
    ----------
    epsilon : float, default 0.001
        Above 0; it limits what a sample without variance is divided by.
    center, scale : bool, default True
        Whether there is a beta, which starts with zeros, and a gamma, which starts with ones; each
        has a value for every feature.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not one of these.

    References
    ----------
    Ba, Kiros, Hinton: Layer Normalization (2016).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.LayerNormalization()
    LayerNormalization(epsilon=0.001, center=True, scale=True)
    """

    name: ClassVar = "layer_normalization"

    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        validation.check_fields(self, **CHECKS)

    def compile(self, compiler: Compiler) -> None:
        """One row."""
        compiler.add(self.name, self, parts=_parts(self, compiler.width))

    def draw(self, rng: np.random.Generator, row: Row) -> list[np.ndarray]:
        """Ones for gamma, zeros for beta."""
        return _start(row)


Normalization = BatchNormalization | LayerNormalization


def _parts(layer: Normalization, width: int) -> tuple[Part, ...]:
    names = ["gamma"] * layer.scale + ["beta"] * layer.center
    return tuple(Part(name, (width,)) for name in names)


def _start(row: Row) -> list[np.ndarray]:
    return [
        np.full(part.shape, float(part.name in ("gamma", "moving_variance")))
        for part in row.parts + row.state
    ]
