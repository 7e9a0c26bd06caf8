"""Activations as data: which there are, their names, and the one that has a parameter.

The functions themselves live in the engines (`fusedelta.reference` states them in NumPy).
"""

from __future__ import annotations

from dataclasses import dataclass

from fusedelta import validation

__all__ = ["ACTIVATIONS", "LeakyReLU", "resolve"]

#: The kinds that the engines know. ``softmax`` is for the output layer.
ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "softmax")


@dataclass(frozen=True)
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
        slope = validation.number("negative_slope", self.negative_slope, minimum=0)
        object.__setattr__(self, "negative_slope", slope)


def resolve(activation: str | LeakyReLU) -> tuple[str, float]:
    """The kind of an activation and its slope (0.0 for all but leaky relu).

    Parameters
    ----------
    activation : str or LeakyReLU
        One of `ACTIVATIONS`, or a `LeakyReLU`; the name ``"leaky_relu"`` means ``LeakyReLU()``.

    Returns
    -------
    kind : str
    slope : float

    Raises
    ------
    TypeError, ValueError
        If it is neither a string nor a `LeakyReLU`, or not a known name.
    """
    if activation == "leaky_relu":
        activation = LeakyReLU()
    if isinstance(activation, LeakyReLU):
        return "leaky_relu", activation.negative_slope
    return validation.choice("activation", activation, ACTIVATIONS), 0.0
