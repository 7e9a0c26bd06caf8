"""Layers as data, and their compilation into the rows that the engines walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fusedelta import activations, initializers, validation
from fusedelta.activations import Activation
from fusedelta.initializers import Initializer

__all__ = ["ALIGNMENT", "Dense", "Row", "check_layers", "compile_rows"]

#: Every row of parameters starts at a multiple of this many bytes.
ALIGNMENT = 64


@dataclass(frozen=True, repr=False)
class Dense:
    """A fully connected layer: ``Y = activation(X W + b)``.

    Parameters
    ----------
    units : int
        Number of outputs n, at least 1.
    activation : str, LeakyReLU, ELU or GELU, default "linear"
        ``"linear"``, ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``, ``"elu"``,
        ``"selu"``, ``"gelu"``, ``"gelu_tanh"``, ``"silu"`` or ``"swish"``, ``"mish"``,
        ``"softplus"``, ``"exponential"``, ``"hard_sigmoid"``, ``"hard_tanh"``, ``"softmax"``
        (output layer only), or an object with parameters; see `fusedelta.activations`.
    kernel_initializer : str or Initializer, optional
        What W, of shape (inputs, units), starts with. By default ``"he_normal"`` for relu and what
        is like it, ``"lecun_normal"`` for selu, ``"glorot_uniform"`` for the others.
    bias_initializer : str or Initializer, default "zeros"
        What b, of shape (units,), starts with; it is drawn as one row of a kernel with one input.

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

    units: int
    activation: Activation = "linear"
    kernel_initializer: str | Initializer | None = None
    bias_initializer: str | Initializer = "zeros"

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", validation.integer("units", self.units))
        activations.resolve(self.activation)
        if self.kernel_initializer is not None:
            initializers.resolve("kernel_initializer", self.kernel_initializer)
        initializers.resolve("bias_initializer", self.bias_initializer)

    def __repr__(self) -> str:
        shown = [f"units={self.units}", f"activation={self.activation!r}"]
        if self.kernel_initializer is not None:
            shown.append(f"kernel_initializer={self.kernel_initializer!r}")
        if self.bias_initializer != "zeros":
            shown.append(f"bias_initializer={self.bias_initializer!r}")
        return f"Dense({', '.join(shown)})"

    def draw(self, rng: np.random.Generator, n_inputs: int) -> list[np.ndarray]:
        """Starting values ``[W, b]`` in float64, W first, from one stream of random numbers."""
        kernel = self.kernel_initializer or initializers.default(self.kind)
        return [
            initializers.resolve("kernel_initializer", kernel)(rng, n_inputs, self.units),
            initializers.resolve("bias_initializer", self.bias_initializer)(rng, 1, self.units)[0],
        ]

    @property
    def kind(self) -> str:
        """Kind of the activation, as the engines name it."""
        return activations.resolve(self.activation)[0]


class Row(NamedTuple):
    """One layer as an engine sees it: what it computes, and where its parameters are."""

    kind: str  #: what the layer does: "dense"
    n_inputs: int  #: k
    n_outputs: int  #: n
    activation: str  #: kind of the activation
    slope: float  #: leaky relu's slope, elu's alpha, else 0.0
    offset: int  #: where W starts in the flat block, in elements
    stride: int  #: distance of W's rows in elements: n rounded up to 64 bytes


def compile_rows(layers: Sequence[Dense], n_inputs: int, dtype: np.dtype) -> list[Row]:
    """The layers as rows, with their places in the flat block of parameters.

    Parameters
    ----------
    layers : sequence of Dense
    n_inputs : int
        Number of inputs of the first layer.
    dtype : numpy.dtype
        float32 or float64.

    Returns
    -------
    rows : list of Row
    """
    rows, offset = [], 0
    lanes = ALIGNMENT // dtype.itemsize
    for layer in layers:
        kind, slope = activations.resolve(layer.activation)
        stride = -(-layer.units // lanes) * lanes
        rows.append(Row("dense", n_inputs, layer.units, kind, slope, offset, stride))
        offset += (n_inputs + 1) * stride
        n_inputs = layer.units
    return rows


def check_layers(layers: Sequence[Dense]) -> tuple[Dense, ...]:
    """The layers as a tuple, if they make a network.

    Raises
    ------
    TypeError
        If it is not a sequence of layers.
    ValueError
        If it is empty, or softmax stands anywhere but on an output layer of two units or more.
    """
    if not isinstance(layers, list | tuple):
        raise TypeError(f"layers: expected a list of layers, got {validation.shown(layers)}")
    if not layers:
        raise ValueError("layers: expected at least one layer, got an empty list")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Dense):
            raise TypeError(f"layers[{i}]: expected a Dense layer, got {validation.shown(layer)}")
        if layer.kind == "softmax":
            _check_softmax(i, layer, is_last=i == len(layers) - 1)
    return tuple(layers)


def _check_softmax(i: int, layer: Dense, *, is_last: bool) -> None:
    if not is_last:
        raise ValueError(
            f"layers[{i}]: softmax is for the output layer, because it turns a whole layer into "
            f"probabilities; got it on hidden layer {layer!r}"
        )
    if layer.units == 1:
        raise ValueError(
            f"layers[{i}]: softmax over 1 unit is always 1; expected at least 2 units, "
            "or sigmoid for two classes with one output"
        )
