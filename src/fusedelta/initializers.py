"""Initialisers: what weights start with.

Names and scales are Keras's, with one difference: normal distributions are not truncated, as in the
papers. Each initialiser is a small value object; calling it draws an array of shape
(fan_in, fan_out), in float64, so that networks of either dtype start alike from one seed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import ClassVar

import numpy as np

from fusedelta import validation
from fusedelta._frozen import frozen

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "Ones",
    "RandomNormal",
    "RandomUniform",
    "Zeros",
    "default",
    "resolve",
]


Shape = tuple[int, int]  # (fan_in, fan_out)


@frozen
class Initializer(ABC):
    """Base of all initialisers; `name` is what stands for it in a call and in a saved file.

    Those of the same class and the same parameters are equal.
    """

    name: ClassVar[str]

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
        """Draw starting values.

        Parameters
        ----------
        rng : numpy.random.Generator
        fan_in, fan_out : int
            Numbers of inputs and outputs of the layer.

        Returns
        -------
        values : ndarray of shape (fan_in, fan_out), float64
        """
        return self._draw(rng, (fan_in, fan_out))

    @abstractmethod
    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray: ...


class GlorotNormal(Initializer):
    """Normal with standard deviation ``sqrt(2 / (fan_in + fan_out))`` (Glorot & Bengio, 2010)."""

    name: ClassVar[str] = "glorot_normal"

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return rng.normal(0.0, np.sqrt(2 / sum(shape)), shape)


class GlorotUniform(Initializer):
    """Uniform in +- ``sqrt(6 / (fan_in + fan_out))`` (Glorot & Bengio, 2010)."""

    name: ClassVar[str] = "glorot_uniform"

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        limit = np.sqrt(6 / sum(shape))
        return rng.uniform(-limit, limit, shape)


class HeNormal(Initializer):
    """Normal with standard deviation ``sqrt(2 / fan_in)``, for relu (He et al., 2015)."""

    name: ClassVar[str] = "he_normal"

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return rng.normal(0.0, np.sqrt(2 / shape[0]), shape)


class HeUniform(Initializer):
    """Uniform in +- ``sqrt(6 / fan_in)``, for relu (He et al., 2015)."""

    name: ClassVar[str] = "he_uniform"

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        limit = np.sqrt(6 / shape[0])
        return rng.uniform(-limit, limit, shape)


class LecunNormal(Initializer):
    """Normal with standard deviation ``sqrt(1 / fan_in)`` (LeCun et al., Efficient BackProp, 1998).

    Some texts call it Xavier initialisation.
    """

    name: ClassVar[str] = "lecun_normal"

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return rng.normal(0.0, np.sqrt(1 / shape[0]), shape)


@frozen
class RandomUniform(Initializer):
    """Uniform in [minval, maxval).

    Parameters
    ----------
    minval, maxval : float, default -0.05 and 0.05
        Finite, ``minval < maxval``.

    Raises
    ------
    TypeError, ValueError
        If they are not finite numbers, or in the wrong order.
    """

    name: ClassVar[str] = "random_uniform"
    minval: float = -0.05
    maxval: float = 0.05

    def __post_init__(self) -> None:
        validation.check_fields(self, minval=validation.number)
        validation.check_fields(self, maxval=partial(validation.number, above=self.minval))

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return rng.uniform(self.minval, self.maxval, shape)


@frozen
class RandomNormal(Initializer):
    """Normal with a mean and a standard deviation of one's own.

    Parameters
    ----------
    mean : float, default 0.0
        Finite.
    stddev : float, default 0.05
        Finite, not negative.

    Raises
    ------
    TypeError, ValueError
        If they are not such numbers.
    """

    name: ClassVar[str] = "random_normal"
    mean: float = 0.0
    stddev: float = 0.05

    def __post_init__(self) -> None:
        validation.check_fields(self, mean=validation.number, stddev=validation.not_negative)

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return rng.normal(self.mean, self.stddev, shape)


@frozen
class Constant(Initializer):
    """The same value everywhere.

    Parameters
    ----------
    value : float, default 0.0
        Finite.

    Raises
    ------
    TypeError, ValueError
        If it is not a finite number.
    """

    name: ClassVar[str] = "constant"
    value: float = 0.0

    def __post_init__(self) -> None:
        validation.check_fields(self, value=validation.number)

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return np.full(shape, self.value)


class Zeros(Initializer):
    """Zero everywhere: the usual start of biases."""

    name: ClassVar[str] = "zeros"

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return np.zeros(shape)


class Ones(Initializer):
    """One everywhere."""

    name: ClassVar[str] = "ones"

    def _draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return np.ones(shape)


#: Every initialiser by its name.
INITIALIZERS: dict[str, type[Initializer]] = {cls.name: cls for cls in Initializer.__subclasses__()}


def resolve(argument: str, initializer: str | Initializer) -> Initializer:
    """An initialiser from an instance, or from its name (with its defaults).

    Parameters
    ----------
    argument : str
        What to call it in an error.
    initializer : str or Initializer

    Raises
    ------
    TypeError, ValueError
        If it is neither an initialiser nor the name of one.
    """
    if isinstance(initializer, Initializer):
        return initializer
    instead = ", or an instance such as HeNormal()"
    return INITIALIZERS[validation.choice(argument, initializer, INITIALIZERS, instead)]()


#: What suits an activation, where it is not Glorot's.
DEFAULTS = {
    **dict.fromkeys(
        ("relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "mish", "softplus"), "he_normal"
    ),
    "selu": "lecun_normal",
}


def default(activation: str) -> str:
    """Name of the initialiser that suits an activation: He's for the rectifiers, else Glorot's.

    He's variance 2 / k makes up for the half that a rectifier cuts off; selu is made for 1 / k.
    """
    return DEFAULTS.get(activation, "glorot_uniform")
