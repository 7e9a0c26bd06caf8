"""Looking into a network: its summary, a check of its gradients, their flow through the layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from fusedelta import parameters, text, validation
from fusedelta._frozen import frozen
from fusedelta.assembly import Assembly
from fusedelta.rows import Compiler

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fusedelta.network import Sequential

__all__ = [
    "GradientCheck",
    "GradientFlow",
    "Summary",
    "gradient_check",
    "gradient_flow",
    "summarize",
]

#: A relative difference above this makes a gradient check fail.
TOLERANCE = 1e-5


# ------------------------------------------------------------------------------------------ summary


@frozen
class Summary:
    """The layers of a network and the memory that it takes; ``str()`` gives the table.

    Attributes
    ----------
    rows : list of (layer, output shape, activation, number of parameters)
    n_params : int
        Number of parameters, without padding.
    dtype : str
    memory : dict of str to int
        Bytes by part, as `fusedelta.Sequential.memory`.
    n_members : int
        Of an ensemble, all of whose parameters and memory are counted; the rows are those of one.
    """

    rows: list[tuple[str, str, str, int]]
    n_params: int
    dtype: str
    memory: dict[str, int]
    n_members: int = 1

    @property
    def params_bytes(self) -> int:
        """Memory of the parameters, with their padding."""
        return self.memory["parameters"]

    @property
    def workspace_bytes(self) -> int:
        """Memory of all that is held beside them."""
        return sum(self.memory.values()) - self.params_bytes

    def __str__(self) -> str:
        header = ("Layer", "Output shape", "Activation", "Params")
        body = [(*row[:3], f"{row[3]:,}") for row in self.rows]
        members = f"{self.n_members} members, each of these layers. " if self.n_members > 1 else ""
        return (
            f"{text.table(header, body, left=3)}\n"
            f"{members}Total: {self.n_params:,} parameters, {self.dtype}. Memory: parameters "
            f"{text.size(self.params_bytes)}, workspace {text.size(self.workspace_bytes)}"
            f"{self._workspace()}"
        )

    def _workspace(self) -> str:
        parts = [
            f"{name.replace('_', ' ')} {text.size(size)}"
            for name, size in self.memory.items()
            if size and name != "parameters"
        ]
        return f" ({', '.join(parts)})" if parts else ""

    def __repr__(self) -> str:
        return f"Summary({len(self.rows)} layers, {self.n_params:,} parameters)"


def summarize(net: Sequential) -> Summary:
    """The summary of a network; see `fusedelta.Sequential.summary`."""
    weights = net.weights
    compiler = Compiler(net._rows[0].n_inputs, net.dtype)
    compiler.compile(net.layers)
    counts = dict.fromkeys((place.path for place in compiler.places), 0)
    for row in compiler.rows:
        counts[row.path] += sum(math.prod(part.shape) for part in row.parts + row.state)
    rows = [
        (
            f"{place.layer.name}_{place.path}",
            f"(None, {place.n_outputs})",
            str(getattr(place.layer, "activation", "")),
            counts[place.path],
        )
        for place in compiler.places
    ]
    n_params = sum(weight.size for weight in weights)
    return Summary(rows, n_params, net.dtype.name, net.memory)


# -------------------------------------------------------------------------------- gradient checking


class CheckedBlock(NamedTuple):
    """One line of a gradient check."""

    name: str  #: "W0", "b0", "W1", ...
    shape: tuple[int, ...]
    gradient_norm: float  #: of the gradient by backpropagation
    difference: float  #: relative difference from the numerical gradient
    kinks: int  #: parameters left out, because the loss has a kink there


@frozen
class GradientCheck:
    """Gradients by backpropagation against central differences; ``str()`` gives the table.

    Attributes
    ----------
    rows : list of CheckedBlock
        One per W and b.
    epsilon : float
        The step of the differences.
    tolerance : float
        The relative difference above which the check fails.
    """

    rows: list[CheckedBlock]
    epsilon: float
    tolerance: float = TOLERANCE

    @property
    def worst(self) -> float:
        """The largest relative difference of all blocks; nan if there is one."""
        return float(np.max([row.difference for row in self.rows]))

    @property
    def passed(self) -> bool:
        """Whether no relative difference is above the tolerance."""
        return self.worst <= self.tolerance

    def __str__(self) -> str:
        header = ("Block", "Shape", "Gradient norm", "Relative difference", "Kinks")
        body = [
            (name, str(shape), text.figure(norm), f"{difference:.1e}", str(kinks))
            for name, shape, norm, difference, kinks in self.rows
        ]
        verdict = "passed" if self.passed else "WARNING: FAILED"
        return (
            f"{text.table(header, body, left=2)}\n"
            f"{verdict}: largest relative difference {self.worst:.1e}, tolerance {self.tolerance:g}"
        )

    def __repr__(self) -> str:
        return f"GradientCheck(passed={self.passed}, worst={self.worst:.1e})"


def gradient_check(
    net: Sequential, X: ArrayLike, y: ArrayLike, epsilon: float = 1e-6
) -> GradientCheck:
    """Compare the gradients of backpropagation with central differences of the loss.

    For each block of parameters (each W and each b), with the gradient g and the numerical gradient
    ``n_i = (loss(w_i + epsilon) - loss(w_i - epsilon)) / (2 epsilon)``, the relative difference is
    ``||g - n|| / (||g|| + ||n||)``, and 0 where neither is more than what the rounding of the loss
    does to n, as with a bias in front of a `BatchNormalization`: its gradient is zero. The check is
    made in float64, on a copy of the network; it takes two evaluations of the loss per parameter.
    The loss is that of `fusedelta.Sequential.gradients`: with `Dropout` always under the same mask,
    with `BatchNormalization` by the statistics of the batch.

    Parameters
    ----------
    net : Sequential
        Built; it is not changed.
    X, y : array_like
        As for `fusedelta.Sequential.fit`; a few samples are enough.
    epsilon : float, default 1e-6
        Step of the differences. Rounding of the loss disturbs a smaller one: over 150 random
        networks the median difference was 1e-8 with 1e-7, the step of many texts, and 1e-9 with
        1e-6. A larger one more often steps over a kink of relu.

    Returns
    -------
    check : GradientCheck
        With `rows`, `worst` and `passed`; ``str(check)`` is a table.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong, or the network has not been built yet.

    Notes
    -----
    Where a relu's input is exactly zero, as behind a layer whose outputs are all zero, the loss has
    a kink: its slopes to the left and to the right differ, however small the step, and numbers
    can't tell which of them is meant. Such parameters are left out; `CheckedBlock.kinks` counts
    them.
    """
    epsilon = validation.number("epsilon", epsilon, above=0)
    copy = _checked(net).like(net, dtype="float64")
    X, y = copy.prepare(X, y)
    loss, gradients = copy.gradients(X, y)
    if not np.isfinite(loss):
        raise ValueError(f"net: expected weights at which the loss is finite, got a loss of {loss}")
    rows = []
    names = parameters.names(copy._rows, "{name}{path}")
    for name, weights, gradient in zip(names, copy.trainable_weights, gradients, strict=True):
        slopes = _Slopes(lambda: copy._engine.gradients(X, y, None), loss, weights, epsilon)
        numerical = np.array([slopes.central(at) for at in np.ndindex(weights.shape)])
        smooth = ~np.isnan(numerical)
        difference = slopes.relative_difference(gradient.ravel()[smooth], numerical[smooth])
        rows.append(
            CheckedBlock(name, weights.shape, _norm(gradient), difference, int((~smooth).sum()))
        )
    return GradientCheck(rows, epsilon)


def _checked(net: Any) -> type[Sequential]:
    """The class of a network."""
    if not isinstance(net, Assembly):
        raise TypeError(f"net: expected a Sequential, got {validation.shown(net)}")
    return cast("type[Sequential]", type(net))


class _Slopes(NamedTuple):
    """Numerical slopes of a loss along single weights of a block, a live view of the parameters."""

    loss: Callable[[], float]
    loss_here: float
    weights: np.ndarray
    epsilon: float

    def central(self, at: tuple[int, ...]) -> float:
        """The slope by central differences; nan at a kink."""
        left, right = self._left_and_right(at, self.epsilon)
        return float("nan") if self._is_kink(at, left, right) else (left + right) / 2

    def relative_difference(self, g: np.ndarray, n: np.ndarray) -> float:
        """Of two gradients; 0 if neither is more than rounding."""
        if max(_norm(g), _norm(n)) <= self._rounding * np.sqrt(g.size):
            return 0.0
        return _norm(g - n) / (_norm(g) + _norm(n))

    @property
    def _rounding(self) -> float:
        """What the rounding of the loss may do to a slope."""
        return float(16 * np.finfo(float).eps * abs(self.loss_here) / self.epsilon)

    def _is_kink(self, at: tuple[int, ...], left: float, right: float) -> bool:
        """Whether left and right slopes differ, and a smaller step does not bring them nearer."""
        if abs(right - left) <= max(TOLERANCE * (abs(left) + abs(right)), self._rounding):
            return False
        nearer_left, nearer_right = self._left_and_right(at, self.epsilon / 10)
        return abs(nearer_right - nearer_left) > abs(right - left) / 2

    def _left_and_right(self, at: tuple[int, ...], epsilon: float) -> tuple[float, float]:
        kept = self.weights[at]
        self.weights[at] = kept - epsilon
        left = (self.loss_here - self.loss()) / epsilon
        self.weights[at] = kept + epsilon
        right = (self.loss() - self.loss_here) / epsilon
        self.weights[at] = kept
        return left, right


# ------------------------------------------------------------------------------------ gradient flow


class LayerFlow(NamedTuple):
    """One line of a gradient flow: the weights W of one dense layer (without its bias)."""

    layer: int  #: the first dense layer is 1
    shape: tuple[int, int]  #: (inputs, outputs)
    weight_norm: float
    gradient_norm: float
    ratio: float  #: gradient norm / weight norm


@frozen
class GradientFlow:
    """How large the gradients are, layer by layer; ``str()`` gives the table.

    Attributes
    ----------
    loss : float
        On the data that were given.
    rows : list of LayerFlow
        One per dense layer, first to last.
    """

    loss: float
    rows: list[LayerFlow]

    def __str__(self) -> str:
        header = ("Layer", "Shape", "Weight norm", "Gradient norm", "Ratio")
        body = [
            (
                str(row.layer),
                str(row.shape),
                f"{row.weight_norm:.4f}",
                f"{row.gradient_norm:.3e}",
                f"{row.ratio:.3e}",
            )
            for row in self.rows
        ]
        return text.table(header, body, left=2)

    def __repr__(self) -> str:
        return f"GradientFlow({len(self.rows)} layers, loss={self.loss:.6g})"


def gradient_flow(net: Sequential, X: ArrayLike, y: ArrayLike) -> GradientFlow:
    """Norms of each dense layer's weights and of their gradients, and the ratio of the two.

    Gradients that shrink from the last layer to the first are vanishing, gradients that grow are
    exploding; a ratio far from those of the other layers tells which layer learns too slowly.

    Parameters
    ----------
    net : Sequential
        Built; it is not changed.
    X, y : array_like
        As for `fusedelta.Sequential.fit`.

    Returns
    -------
    flow : GradientFlow
        Frobenius norms of each W and dLoss/dW; ``str(flow)`` is a table. The ratio is nan where
        all weights are zero.

    Raises
    ------
    TypeError, ValueError
        If the data are wrong, or the network has not been built yet.
    """
    _checked(net)
    loss, gradients = net.gradients(X, y)
    rows: list[LayerFlow] = []
    for W, dW in zip(net.trainable_weights, gradients, strict=True):
        if W.ndim == 2:
            weight_norm, gradient_norm = _norm(W), _norm(dW)
            ratio = gradient_norm / weight_norm if weight_norm else float("nan")
            rows.append(LayerFlow(len(rows) + 1, W.shape, weight_norm, gradient_norm, ratio))
    return GradientFlow(loss, rows)


def _norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))
