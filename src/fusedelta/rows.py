"""Layers compiled into the rows that the engines walk, one after another.

A row is a step of the forward pass and of the way back: it computes ``z`` from its inputs, and
``activation(z)`` from that. A `Dense` layer is one row. An `Activation` is none where the row below
has no activation of its own: that row then gets it. A `Residual` is a row where the way forks, the
rows of its layers, and a row where the two ways are added.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusedelta import validation

if TYPE_CHECKING:
    from fusedelta.layers import Layer

__all__ = ["ALIGNMENT", "Compiler", "Part", "Row", "check_layers", "compile_rows", "stride_of"]

#: Every row of parameters starts at a multiple of this many bytes.
ALIGNMENT = 64

#: Rows of so many blocks or more have an odd number.
MANY_BLOCKS = 16

#: Nets whose layers are all this thin or thinner train feature-major; so says csrc/kernels.h.
NARROW = 16

#: Layers of so many outputs at most, and of more inputs than those, lie transposed.
TALL = 4

#: Number of inputs of a network that has not seen any yet.
UNKNOWN = 0


def stride_of(n: int, dtype: np.dtype) -> int:
    """Distance of rows of n elements: whole blocks of 64 bytes, an odd number from 1 KB on.

    Rows that are a power of two apart share few sets of the caches: 512 samples go forward through
    2048 x 512, where it lies, in 0.38 of the time with a block more; 64 to 512 samples update
    256 x 256 in 0.90 to 0.96.
    """
    lanes = ALIGNMENT // dtype.itemsize
    blocks = -(-n // lanes)
    return (blocks | 1 if blocks >= MANY_BLOCKS else blocks) * lanes


class Part(NamedTuple):
    """An array of parameters of one row."""

    name: str  #: as in formulae and files: "W", "b"
    shape: tuple[int, ...]  #: (k, n) or (n,)
    penalty: tuple[float, float] = (0.0, 0.0)  #: l1 and l2 of what it adds to the loss
    max_norm: float = math.inf  #: of each column

    @property
    def height(self) -> int:
        """Rows of the flat block that it takes."""
        return self.shape[0] if len(self.shape) == 2 else 1


class Row(NamedTuple):
    """One row as an engine sees it: what it computes, and where its parameters are."""

    kind: str  #: what it does: "dense", "activation", "dropout", ...
    n_inputs: int  #: k
    n_outputs: int  #: n
    activation: str  #: kind of the activation
    slope: float  #: leaky relu's slope, elu's alpha, else 0.0
    offset: int  #: where its parameters start in the flat block, in elements
    stride: int  #: distance of their rows in elements: see `stride_of`
    parts: tuple[Part, ...]  #: its parameters, in the order in which they lie
    layer: Layer  #: what it was compiled from, with its settings
    path: str  #: that layer's place in the network: "2", or "2.0" for the first within it
    number: int  #: how many rows of its kind are before it
    state: tuple[Part, ...]  #: what training keeps for it, but the optimiser does not touch
    state_offset: int  #: where that starts in a flat block of its own
    partner: int = -1  #: index of the fork that an addition ends, or of the addition

    @property
    def is_tall(self) -> bool:
        """Whether W lies transposed, which leaves next to no padding."""
        return self.n_outputs <= TALL and self.n_inputs > NARROW and self.kind == "dense"

    def transposes(self, part: Part) -> bool:
        """Whether that part of it lies transposed."""
        return len(part.shape) == 2 and self.is_tall

    def lines_of(self, part: Part) -> tuple[int, int, int]:
        """Lines of the flat block that a part takes, their distance, and the elements in use."""
        if self.transposes(part):
            return self.n_outputs, self.blocks * self.stride, self.n_inputs
        return part.height, self.stride, self.n_outputs

    def size_of(self, parts: Sequence[Part]) -> int:
        """Elements of the flat block that parts take."""
        return sum(math.prod(self.lines_of(part)[:2]) for part in parts)

    @property
    def blocks(self) -> int:
        """Blocks of 64 bytes in a line of W, where that lies transposed."""
        return -(-self.n_inputs // self.stride)  # few outputs take one

    @property
    def lanes(self) -> int:
        """How many values a single sample has in a vector at most."""
        return self.n_inputs if self.is_tall else self.n_outputs

    @property
    def state_end(self) -> int:
        """Where its state ends in that block, in elements."""
        return self.state_offset + self.size_of(self.state)

    @property
    def height(self) -> int:
        """Pieces in which its parameters are updated: rows of `stride` elements, or blocks."""
        return self.blocks + 1 if self.is_tall else sum(part.height for part in self.parts)

    @property
    def end(self) -> int:
        """Where its parameters end in the flat block, in elements."""
        return self.offset + self.size_of(self.parts)


class Place(NamedTuple):
    """A layer in its network."""

    path: str  #: as in `Row`
    layer: Layer
    n_outputs: int


class Compiler:
    """Collects rows: a layer's ``compile`` adds its own.

    Parameters
    ----------
    n_inputs : int
        Number of inputs of the first layer; `UNKNOWN` for a look at the shape of things.
    dtype : numpy.dtype
        float32 or float64.

    Attributes
    ----------
    rows : list of Row
    places : list of Place
        The layers, those within another before it.
    width : int
        Values that a sample has now: inputs of the row to come.
    path : str
        Place of the layer that is being compiled.
    """

    def __init__(self, n_inputs: int, dtype: np.dtype) -> None:
        self.rows: list[Row] = []
        self.places: list[Place] = []
        self.width = n_inputs
        self.path = ""
        self._dtype = dtype
        self._softmax: tuple[str, Layer] | None = None

    def compile(self, layers: Sequence[Layer]) -> None:
        """Compile layers that stand one after another, at their places within the one above."""
        above = self.path
        for i, layer in enumerate(layers):
            with self._at(f"{above}.{i}" if above else str(i)):
                layer.compile(self)
                self.places.append(Place(self.path, layer, self.width))

    @contextmanager
    def _at(self, path: str) -> Iterator[None]:
        before, self.path = self.path, path
        try:
            yield
        finally:
            self.path = before

    def add(
        self,
        kind: str,
        layer: Layer,
        n_outputs: int | None = None,
        activation: tuple[str, float] = ("linear", 0.0),
        parts: tuple[Part, ...] = (),
        state: tuple[Part, ...] = (),
        partner: int = -1,
    ) -> None:
        """Add a row; as many outputs as inputs, if none are given."""
        n_outputs = self.width if n_outputs is None else n_outputs
        self._check_softmax(layer, activation[0], n_outputs)
        self.rows.append(
            Row(
                kind,
                self.width,
                n_outputs,
                *activation,
                offset=self.rows[-1].end if self.rows else 0,
                stride=stride_of(n_outputs, self._dtype),
                parts=parts,
                layer=layer,
                path=self.path,
                number=sum(row.kind == kind for row in self.rows),
                state=state,
                state_offset=self.rows[-1].state_end if self.rows else 0,
                partner=partner,
            )
        )
        self.width = n_outputs

    def compile_residual(self, layer: Layer, layers: Sequence[Layer]) -> None:
        """Add a fork, the rows of layers, and an addition that brings both ways together."""
        fork, width = len(self.rows), self.width
        self.add("fork", layer)
        self.compile(layers)
        if width not in (UNKNOWN, self.width):
            raise ValueError(
                f"layers[{self.path}]: Residual adds its inputs to its last layer's outputs; "
                f"expected as many of these as inputs, {width}, got {self.width}"
            )
        self.rows[fork] = self.rows[fork]._replace(partner=len(self.rows))
        self.add("add", layer, partner=fork)

    def activate(self, layer: Layer, activation: tuple[str, float]) -> None:
        """Give the last row an activation, or add a row for it where that has one already."""
        last = self.rows[-1] if self.rows else None
        if last is not None and last.activation == "linear" and last.kind != "fork":
            kind, slope = activation
            self._check_softmax(layer, kind, self.width)
            self.rows[-1] = last._replace(activation=kind, slope=slope)
        else:
            self.add("activation", layer, activation=activation)

    def _check_softmax(self, layer: Layer, activation: str, n_outputs: int) -> None:
        """Refuse a row behind softmax, and softmax over one value."""
        if self._softmax is not None:
            path, hidden = self._softmax
            raise ValueError(
                f"layers[{path}]: softmax is for the output layer, because it turns a whole layer "
                f"into probabilities; got it on hidden layer {hidden!r}"
            )
        if activation == "softmax":
            self._softmax = self.path, layer
            if n_outputs == 1:
                raise ValueError(
                    f"layers[{self.path}]: softmax over 1 unit is always 1; expected at least 2 "
                    "units, or sigmoid for two classes with one output"
                )


def compile_rows(layers: Sequence[Layer], n_inputs: int, dtype: np.dtype) -> list[Row]:
    """The layers as rows, with their places in the flat block of parameters.

    Parameters
    ----------
    layers : sequence of Layer
    n_inputs : int
        Number of inputs of the first layer.
    dtype : numpy.dtype
        float32 or float64.

    Returns
    -------
    rows : list of Row

    Raises
    ------
    ValueError
        If a layer does not fit its inputs, or softmax stands anywhere but on an output layer of two
        units or more.
    """
    compiler = Compiler(n_inputs, dtype)
    compiler.compile(layers)
    return compiler.rows


def check_layers(layers: Sequence[Layer]) -> Row:
    """The last row of a network, whose number of inputs need not be known yet.

    Raises
    ------
    TypeError
        If it is not a sequence of layers.
    ValueError
        If it is empty or without a Dense layer, or the layers do not fit together.
    """
    check_list("layers", layers)
    rows = compile_rows(layers, UNKNOWN, np.dtype("float32"))
    if all(row.kind != "dense" for row in rows):
        raise ValueError(
            f"layers: expected at least one Dense layer, got {validation.shown(list(layers))}"
        )
    return rows[-1]


def check_list(name: str, layers: Sequence[Layer]) -> None:
    """Refuse what is not a list of layers, or is empty."""
    from fusedelta.layers import Layer  # which needs this module

    if not isinstance(layers, list | tuple):
        raise TypeError(f"{name}: expected a list of layers, got {validation.shown(layers)}")
    if not layers:
        raise ValueError(f"{name}: expected at least one layer, got an empty list")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(
                f"{name}[{i}]: expected a layer such as Dense(8), got {validation.shown(layer)}"
            )
