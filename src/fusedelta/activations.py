r"""Activations as data: which there are, their names, and those that have parameters.

With z the logits of a layer:

================  ==================================================  ===========================
name              formula                                             derivative at a corner
================  ==================================================  ===========================
``linear``        z; None is another name for it
``sigmoid``       1 / (1 + exp(-z))
``tanh``          tanh(z)
``relu``          max(z, 0)                                           0 at z = 0
``leaky_relu``    z where z > 0, else 0.3 z; see `LeakyReLU`          the slope at z = 0
``elu``           z where z > 0, else exp(z) - 1; see `ELU`           alpha at z = 0
``selu``          1.0507 z where z > 0, else 1.7581 (exp(z) - 1)      1.7581 at z = 0
``gelu``          z P(z), P the normal distribution; see `GELU`
``gelu_tanh``     the same with P approximated; see `GELU`
``silu``          z sigmoid(z); ``swish`` is another name for it
``mish``          z tanh(softplus(z))
``softplus``      log(1 + exp(z))
``exponential``   exp(z)
``hard_sigmoid``  min(max(z + 3, 0), 6) / 6                           0 at z = -3 and z = 3
``hard_tanh``     min(max(z, -1), 1)                                  0 at z = -1 and z = 1
``softmax``       exp(z) / sum(exp(z)), on the output layer only
================  ==================================================  ===========================

Which one to take: ``relu`` is the fastest and a good first choice; ``tanh`` suits small smooth
problems; ``gelu``, ``silu`` and ``mish`` often reach a somewhat lower loss in deep networks and
cost an exponential per value and some memory, for their derivatives do not follow from their
outputs; ``selu`` keeps deep networks normalised by itself, with its initialiser. On the output
layer the loss decides (`fusedelta.losses`); ``softplus`` and ``exponential`` give positive outputs.

Where no initialiser is named, W starts with ``he_normal`` in front of relu, leaky relu, elu, gelu,
silu, mish and softplus, ``lecun_normal`` in front of selu, else ``glorot_uniform``.

>>> import fusedelta as fd
>>> net = fd.Sequential([fd.Dense(64, "gelu"), fd.Dense(64, fd.ELU(0.5)), fd.Dense(1)],
...                     loss="mean_squared_error", input_shape=(8,), seed=0)

The functions themselves live in the engines (`fusedelta.reference_activations` states them in
NumPy). The compiled ones are right to a few units in the last place (csrc/activations.h).

References
----------
elu: Clevert, Unterthiner, Hochreiter, Fast and Accurate Deep Network Learning by Exponential Linear
Units (2016). selu: Klambauer et al., Self-Normalizing Neural Networks (2017). gelu: Hendrycks,
Gimpel, Gaussian Error Linear Units (2016). silu: Elfwing, Uchibe, Doya, Sigmoid-Weighted Linear
Units (2018). mish: Misra, Mish: A Self Regularized Non-Monotonic Activation Function (2020).
softplus: Dugas et al., Incorporating Second-Order Functional Knowledge (2001). hard_sigmoid:
Howard et al., Searching for MobileNetV3 (2019).
"""

from __future__ import annotations

from fusedelta import validation
from fusedelta._frozen import frozen

__all__ = ["ACTIVATIONS", "ELU", "GELU", "Activation", "LeakyReLU", "resolve"]

#: The kinds that the engines know. ``softmax`` is for the output layer.
ACTIVATIONS = (
    "linear",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "softplus",
    "exponential",
    "hard_sigmoid",
    "hard_tanh",
    "softmax",
)

#: Other names for some of them.
ALIASES: dict[str | None, str] = {"swish": "silu", None: "linear"}


@frozen
class LeakyReLU:
    """Leaky rectified linear unit: ``z`` where ``z > 0``, else ``negative_slope * z``.

    Its derivative at ``z = 0`` is taken to be the slope.

    Parameters
    ----------
    negative_slope : float, default 0.3
        Slope for ``z <= 0``, finite and not negative. The name and the default are Keras's.

    Raises
    ------
    TypeError, ValueError
        If the slope is not a number, or is negative or not finite.

    References
    ----------
    Maas, Hannun, Ng: Rectifier Nonlinearities Improve Neural Network Acoustic Models (2013).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Dense(3, fd.LeakyReLU(0.1))
    Dense(units=3, activation=LeakyReLU(negative_slope=0.1))
    """

    negative_slope: float = 0.3

    def __post_init__(self) -> None:
        validation.check_fields(self, negative_slope=validation.not_negative)


@frozen
class ELU:
    """Exponential linear unit: ``z`` where ``z > 0``, else ``alpha * (exp(z) - 1)``.

    Its derivative at ``z = 0`` is taken to be alpha.

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the value far to the left, finite and not negative.

    Raises
    ------
    TypeError, ValueError
        If alpha is not a number, or is negative or not finite.

    References
    ----------
    Clevert, Unterthiner, Hochreiter: Fast and Accurate Deep Network Learning by Exponential Linear
    Units (2016).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Dense(3, fd.ELU(0.5))
    Dense(units=3, activation=ELU(alpha=0.5))
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        validation.check_fields(self, alpha=validation.not_negative)


@frozen
class GELU:
    """Gaussian error linear unit: ``z P(z)`` with the distribution function P of a standard normal.

    Parameters
    ----------
    approximate : bool, default False
        Whether to take ``(1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2`` for P, as networks do
        that were trained so; the two differ by at most 5e-4. It is not much faster here.

    Raises
    ------
    TypeError
        If `approximate` is not a bool.

    References
    ----------
    Hendrycks, Gimpel: Gaussian Error Linear Units (2016).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Dense(3, fd.GELU(approximate=True))
    Dense(units=3, activation=GELU(approximate=True))
    """

    approximate: bool = False

    def __post_init__(self) -> None:
        validation.check_fields(self, approximate=validation.boolean)


#: What a layer takes as its activation.
Activation = str | LeakyReLU | ELU | GELU | None


def resolve(activation: Activation) -> tuple[str, float]:
    """The kind of an activation and its parameter (0.0 where it has none).

    Parameters
    ----------
    activation : str, LeakyReLU, ELU, GELU or None
        One of `ACTIVATIONS` or ``"swish"``, with Keras's defaults, or an object with parameters;
        None is linear.

    Returns
    -------
    kind : str
    slope : float
        Leaky relu's slope, elu's alpha.

    Raises
    ------
    TypeError, ValueError
        If it is neither a string nor one of the objects, or not a known name.
    """
    if isinstance(activation, str | None):
        activation = ALIASES.get(activation, activation)
    if activation == "leaky_relu":
        activation = LeakyReLU()
    elif activation == "elu":
        activation = ELU()
    if isinstance(activation, LeakyReLU):
        return "leaky_relu", activation.negative_slope
    if isinstance(activation, ELU):
        return "elu", activation.alpha
    if isinstance(activation, GELU):
        return "gelu_tanh" if activation.approximate else "gelu", 0.0
    instead = ", or an object such as LeakyReLU(0.1)"
    return validation.choice("activation", activation, ACTIVATIONS, instead), 0.0
