"""Layers: what a network is made of. Each is plain data; `fusedelta.rows` compiles them.

* `Dense` is the layer that learns: a matrix of weights, a bias, an activation.
* `Activation` is an activation alone, where something else comes between it and the weights.
  Behind a layer without an activation of its own it costs nothing: the two become one.
* `Dropout` sets a random part of its inputs to zero in training. Take it when the loss on the
  training data keeps falling while that on other data rises: no unit can lean on single others.
* `Residual` adds its inputs to what its layers make of them, so that gradients find a short way
  back. Take it where networks of many layers learn slowly because their first gradients vanish.
* `fusedelta.normalization` has `BatchNormalization` and `LayerNormalization`.

>>> import fusedelta as fd
>>> block = fd.Residual([fd.Dense(64), fd.BatchNormalization(), fd.Activation("relu")])
>>> net = fd.Sequential(
...     [fd.Dense(64, "relu"), block, block, fd.Dropout(0.3), fd.Dense(10, "softmax")],
...     loss="sparse_categorical_crossentropy", input_shape=(20,), seed=1)
>>> net.predict([[0.5] * 20]).shape  # predictions drop nothing
(1, 10)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fusedelta import activations, initializers, regularizers, validation
from fusedelta._frozen import frozen
from fusedelta.initializers import Initializer
from fusedelta.regularizers import MaxNorm, Regularizer
from fusedelta.rows import Part, check_list

if TYPE_CHECKING:
    from fusedelta.rows import Compiler, Row

__all__ = ["Activation", "Dense", "Dropout", "Layer", "Residual"]


class Layer(ABC):
    """Base of the layers: frozen dataclasses that compile themselves into rows."""

    #: In files, and in the table of `fusedelta.Sequential.summary`.
    name: ClassVar[str]

    @abstractmethod
    def compile(self, compiler: Compiler) -> None:
        """Add this layer's rows, for inputs of ``compiler.width`` values."""

    def draw(self, rng: np.random.Generator, row: Row) -> list[np.ndarray]:
        """Starting values in float64 of a row that this layer has compiled, parts then state."""
        return []


@frozen
class Dense(Layer):
    """A fully connected layer: ``Y = activation(X W + b)``.

    Parameters
    ----------
    units : int
        Number of outputs n, at least 1.
    activation : str, LeakyReLU, ELU, GELU or None, default "linear"
        ``"linear"``, ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``, ``"elu"``,
        ``"selu"``, ``"gelu"``, ``"gelu_tanh"``, ``"silu"`` or ``"swish"``, ``"mish"``,
        ``"softplus"``, ``"exponential"``, ``"hard_sigmoid"``, ``"hard_tanh"``, ``"softmax"``
        (output layer only), or an object with parameters; see `fusedelta.activations`.
    kernel_initializer : str or Initializer, optional
        What W, of shape (inputs, units), starts with. By default ``"he_normal"`` for relu and what
        is like it, ``"lecun_normal"`` for selu, ``"glorot_uniform"`` for the others.
    bias_initializer : str or Initializer, default "zeros"
        What b, of shape (units,), starts with; it is drawn as one row of a kernel with one input.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        ``"l1"``, ``"l2"``, `L1`, `L2` or `L1L2`: what W or b adds to the loss.
    kernel_constraint : str or MaxNorm, optional
        ``"max_norm"`` or a `MaxNorm`: what each column of W is brought to after each update.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type, or not one of the values above.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Dense(16, "relu")
    Dense(units=16, activation='relu')
    """

    name: ClassVar = "dense"

    units: int
    activation: activations.Activation = "linear"
    kernel_initializer: str | Initializer | None = None
    bias_initializer: str | Initializer = "zeros"
    kernel_regularizer: str | Regularizer | None = None
    bias_regularizer: str | Regularizer | None = None
    kernel_constraint: str | MaxNorm | None = None

    def __post_init__(self) -> None:
        validation.check_fields(self, units=validation.integer)
        activations.resolve(self.activation)
        if self.kernel_initializer is not None:
            initializers.resolve("kernel_initializer", self.kernel_initializer)
        initializers.resolve("bias_initializer", self.bias_initializer)
        regularizers.resolve("kernel_regularizer", self.kernel_regularizer)
        regularizers.resolve("bias_regularizer", self.bias_regularizer)
        regularizers.resolve_constraint("kernel_constraint", self.kernel_constraint)

    def __repr__(self) -> str:
        shown = [f"units={self.units}", f"activation={self.activation!r}"]
        if self.kernel_initializer is not None:
            shown.append(f"kernel_initializer={self.kernel_initializer!r}")
        if self.bias_initializer != "zeros":
            shown.append(f"bias_initializer={self.bias_initializer!r}")
        optional = ("kernel_regularizer", "bias_regularizer", "kernel_constraint")
        given = [name for name in optional if getattr(self, name) is not None]
        shown += [f"{name}={getattr(self, name)!r}" for name in given]
        return f"Dense({', '.join(shown)})"

    def compile(self, compiler: Compiler) -> None:
        """One row, ``z = X W + b``."""
        parts = (
            Part(
                "W",
                (compiler.width, self.units),
                regularizers.penalty(self.kernel_regularizer),
                regularizers.max_norm(self.kernel_constraint),
            ),
            Part("b", (self.units,), regularizers.penalty(self.bias_regularizer)),
        )
        activation = activations.resolve(self.activation)
        compiler.add("dense", self, self.units, activation, parts)

    def draw(self, rng: np.random.Generator, row: Row) -> list[np.ndarray]:
        """Starting values ``[W, b]`` in float64, W first, from one stream of random numbers."""
        kernel = self.kernel_initializer or initializers.default(self.kind)
        return [
            initializers.resolve("kernel_initializer", kernel)(rng, row.n_inputs, self.units),
            initializers.resolve("bias_initializer", self.bias_initializer)(rng, 1, self.units)[0],
        ]

    @property
    def kind(self) -> str:
        """Kind of the activation, as the engines name it."""
        return activations.resolve(self.activation)[0]


@frozen
class Activation(Layer):
    """An activation as a layer of its own: ``Y = activation(X)``.

    Behind a layer whose activation is linear, such as ``Dense(8)``, the two are computed as one:
    ``Dense(8), Activation("relu")`` is ``Dense(8, "relu")``, but for the initialiser that a `Dense`
    layer takes by default, which goes by its own activation.

    Parameters
    ----------
    activation : str, LeakyReLU, ELU or GELU
        As for `Dense`. ``"softmax"`` is for the last layer.

    Raises
    ------
    TypeError, ValueError
        If it is none of the activations.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Activation("relu")
    Activation(activation='relu')
    """

    name: ClassVar = "activation"

    activation: activations.Activation

    def __post_init__(self) -> None:
        activations.resolve(self.activation)

    def compile(self, compiler: Compiler) -> None:
        """No row, or one."""
        compiler.activate(self, activations.resolve(self.activation))


@frozen
class Dropout(Layer):
    """Sets inputs to zero at random while training, and scales up the others to make good for it.

    ``Y = X * mask / (1 - rate)``, with a mask of zeros and ones, each zero with probability `rate`
    ("inverted" dropout, as in Keras); ``Y = X`` in `predict` and `evaluate`.

    Every step draws a new mask (where gradients are accumulated, each batch of an update does), by
    a generator without a state of its own: each value follows from the network's seed, the layer,
    the number of the step, the sample's place in the batch and the feature. So the same seed drops
    the same values with any number of threads, on any processor, in either dtype and in the NumPy
    twin, and a mask is computed again on the way back: it takes no memory.
    ``net.dropout_state`` counts the steps; copies and files keep it. `gradients` and
    `gradient_check` use the mask of the step to come, and do not count.

    Parameters
    ----------
    rate : float
        Part of the inputs to drop, at least 0 and below 1. It is rounded to a multiple of 2^-32.

    Raises
    ------
    TypeError, ValueError
        If it is not such a number.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: Dropout: A Simple Way to Prevent
    Neural Networks from Overfitting (2014). The generator is Threefry-4x32-13: Salmon, Moraes,
    Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3 (2011).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Dropout(0.5)
    Dropout(rate=0.5)
    """

    name: ClassVar = "dropout"

    rate: float

    def __post_init__(self) -> None:
        validation.check_fields(self, rate=validation.share)

    def compile(self, compiler: Compiler) -> None:
        """One row."""
        compiler.add("dropout", self)

    @property
    def threshold(self) -> int:
        """Values are dropped whose random number of 32 bits is below this."""
        return min(round(self.rate * 2**32), 2**32 - 1)


@dataclass(frozen=True, init=False, repr=False)
class Residual(Layer):
    """Adds its inputs to what layers make of them: ``Y = X + f(X)``, with f all its layers.

    It keeps the deltas of one batch more in memory than the layers alone. A `Residual` may stand in
    another one.

    Parameters
    ----------
    layers : list of Layer
        As for `fusedelta.Sequential`; the last of them has as many outputs as the first has inputs.

    Raises
    ------
    TypeError, ValueError
        If it is not a list of layers or an empty one. Where the numbers of inputs and outputs
        differ, the network refuses it.

    References
    ----------
    He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition (2016).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Residual([fd.Dense(8, "relu"), fd.Dense(8)])
    Residual([Dense(units=8, activation='relu'), Dense(units=8, activation='linear')])
    """

    name: ClassVar = "residual"

    layers: tuple[Layer, ...]

    def __init__(self, layers: Sequence[Layer]) -> None:
        check_list("layers", layers)
        object.__setattr__(self, "layers", tuple(layers))

    def __repr__(self) -> str:
        return f"Residual({list(self.layers)})"

    def compile(self, compiler: Compiler) -> None:
        """A fork, the rows of the layers, and an addition."""
        compiler.compile_residual(self, self.layers)
