"""Optimisers that divide each step by a measure of the gradients that its weight has seen."""

from __future__ import annotations

from typing import ClassVar

from fusedelta._frozen import frozen
from fusedelta.rates import Rate
from fusedelta.rules import Optimizer

__all__ = ["Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RMSprop"]


@frozen
class Adam(Optimizer):
    """Adam: steps of about the same size in all weights, from running means of their gradients.

    With the gradient ``g = dLoss/dw`` of batch t = 1, 2, ... and m, v, u that start at zero::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g^2
        u = max(u, v) with amsgrad, else v
        w -= learning_rate * (m / (1 - beta_1^t)) / (sqrt(u / (1 - beta_2^t)) + epsilon)

    This is Algorithm 1 of the paper, and what PyTorch does. Keras adds epsilon before the
    correction of v ("epsilon hat" in the paper), and so differs a little in the first steps.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        Step size, finite and above zero. The names and the defaults are Keras's.
    beta_1, beta_2 : float, default 0.9 and 0.999
        How much of the means m and v is left after a step, in 0 <= beta < 1.
    epsilon : float, default 1e-7
        Keeps the quotient finite, above zero. Where the dtype would make it zero, its smallest
        normal number is taken.
    amsgrad : bool, default False
        Divide by the largest mean of squares so far, so that no step grows again.
    **common
        The parameters of every `fusedelta.optimizers.Optimizer`, by keyword, and its errors.

    References
    ----------
    Kingma, Ba: Adam: A Method for Stochastic Optimization (2015).
    Reddi, Kale, Kumar: On the Convergence of Adam and Beyond (2018), for amsgrad.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Adam()
    Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False)
    """

    learning_rate: Rate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    @property
    def moments(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of what is kept for every weight from step to step."""
        return ("m", "v", "u") if self.amsgrad else ("m", "v")


@frozen
class AdamW(Adam):
    """Adam with decoupled weight decay: ``w -= learning_rate * weight_decay * w`` before each step.

    Parameters, errors and source are those of `Adam`, but for the default of one:

    Parameters
    ----------
    weight_decay : float, default 0.004
        As in Keras; PyTorch's default is 0.01.

    References
    ----------
    Loshchilov, Hutter: Decoupled Weight Decay Regularization (2019), Algorithm 2.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.AdamW(weight_decay=0.01).weight_decay
    0.01
    """

    weight_decay: float | None = 0.004


@frozen
class NAdam(Optimizer):
    """Adam with Nesterov's momentum, which grows from step to step.

    With the gradient ``g = dLoss/dw`` of batch t = 1, 2, ... and m, v that start at zero::

        mu_t = beta_1 * (1 - 0.5 * 0.96^(momentum_decay * t));  p_t = mu_1 * ... * mu_t
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g^2
        s = mu_(t+1) * m / (1 - p_(t+1)) + (1 - mu_t) * g / (1 - p_t)
        w -= learning_rate * s / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        Step size, finite and above zero. The names and the defaults are Keras's.
    beta_1, beta_2 : float, default 0.9 and 0.999
        How much of the means m and v is left after a step, in 0 <= beta < 1.
    epsilon : float, default 1e-7
        Keeps the quotient finite, as for `Adam`.
    momentum_decay : float, default 1.0
        How fast mu comes to beta_1, above zero. Keras has it fixed at 1; the paper and PyTorch
        take 0.004.
    **common
        The parameters of every `fusedelta.optimizers.Optimizer`, by keyword, and its errors.

    References
    ----------
    Dozat: Incorporating Nesterov Momentum into Adam (2016).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.NAdam(0.002).learning_rate
    0.002
    """

    moments: ClassVar[tuple[str, ...]] = ("m", "v")

    learning_rate: Rate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    momentum_decay: float = 1.0


@frozen
class Adamax(Optimizer):
    """Adam with the largest gradient, slowly forgotten, in the place of their root mean square.

    With the gradient ``g = dLoss/dw`` of batch t = 1, 2, ... and m, u that start at zero::

        m = beta_1 * m + (1 - beta_1) * g
        u = max(beta_2 * u, abs(g))
        w -= learning_rate / (1 - beta_1^t) * m / (u + epsilon)

    This is Algorithm 2 of the paper, which has no epsilon; it stands here as in Keras. PyTorch adds
    it to ``abs(g)`` instead.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        Step size, finite and above zero. The names and the defaults are Keras's.
    beta_1, beta_2 : float, default 0.9 and 0.999
        How much of m and u is left after a step, in 0 <= beta < 1.
    epsilon : float, default 1e-7
        Keeps the quotient finite, as for `Adam`.
    **common
        The parameters of every `fusedelta.optimizers.Optimizer`, by keyword, and its errors.

    References
    ----------
    Kingma, Ba: Adam: A Method for Stochastic Optimization (2015).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Adamax()
    Adamax(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07)
    """

    moments: ClassVar[tuple[str, ...]] = ("m", "u")

    learning_rate: Rate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7


@frozen
class RMSprop(Optimizer):
    """RMSprop: gradients divided by a running root mean square of themselves.

    With the gradient ``g = dLoss/dw`` of a batch and v, m, velocity that start at zero::

        v = rho * v + (1 - rho) * g^2
        m = rho * m + (1 - rho) * g                      where centered
        s = g / (sqrt(v) + epsilon)                      centered: sqrt(v - m^2)
        velocity = momentum * velocity + s               with momentum, else s itself
        w -= learning_rate * velocity

    So does PyTorch. Keras has epsilon under the root, and the learning rate inside the velocity,
    which makes a difference only where the rate changes.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        Step size, finite and above zero. The names and the defaults are Keras's.
    rho : float, default 0.9
        How much of the means v and m is left after a step, in 0 <= rho < 1.
    momentum : float, default 0.0
        How much of the velocity is left after a step, in 0 <= momentum < 1.
    epsilon : float, default 1e-7
        Keeps the quotient finite, as for `Adam`.
    centered : bool, default False
        Divide by an estimate of the standard deviation instead.
    **common
        The parameters of every `fusedelta.optimizers.Optimizer`, by keyword, and its errors.

    References
    ----------
    Tieleman, Hinton: Lecture 6.5 - RMSProp, Coursera: Neural Networks for Machine Learning (2012).
    Graves: Generating Sequences With Recurrent Neural Networks (2013), for the centered form.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.RMSprop(momentum=0.9).moments
    ('v', 'velocity')
    """

    learning_rate: Rate = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    @property
    def moments(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of what is kept for every weight from step to step."""
        return ("v", *["m"] * self.centered, *["velocity"] * (self.momentum > 0))


@frozen
class Adagrad(Optimizer):
    """Adagrad: gradients divided by the root of the sum of all their squares.

    With the gradient ``g = dLoss/dw`` of a batch and a v that starts at
    `initial_accumulator_value`::

        v = v + g^2
        w -= learning_rate * g / (sqrt(v) + epsilon)

    So does PyTorch, which starts at 0. Keras has epsilon under the root.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        Step size, finite and above zero. The names and the defaults are Keras's.
    initial_accumulator_value : float, default 0.1
        What v starts with, at least 0.
    epsilon : float, default 1e-7
        Keeps the quotient finite, as for `Adam`.
    **common
        The parameters of every `fusedelta.optimizers.Optimizer`, by keyword, and its errors.

    References
    ----------
    Duchi, Hazan, Singer: Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization (2011).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Adagrad(0.1)
    Adagrad(learning_rate=0.1, initial_accumulator_value=0.1, epsilon=1e-07)
    """

    moments: ClassVar[tuple[str, ...]] = ("v",)

    learning_rate: Rate = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7


@frozen
class Adadelta(Optimizer):
    """Adadelta: gradients divided by their root mean square, times that of the steps before.

    With the gradient ``g = dLoss/dw`` of a batch and v, d that start at zero::

        v = rho * v + (1 - rho) * g^2
        s = sqrt(d + epsilon) / sqrt(v + epsilon) * g
        d = rho * d + (1 - rho) * s^2
        w -= learning_rate * s

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        Step size, finite and above zero. The names and the defaults are Keras's; the paper has
        none, which is 1.
    rho : float, default 0.95
        How much of the means v and d is left after a step, in 0 <= rho < 1.
    epsilon : float, default 1e-7
        Above zero: it makes the first step.
    **common
        The parameters of every `fusedelta.optimizers.Optimizer`, by keyword, and its errors.

    References
    ----------
    Zeiler: ADADELTA: An Adaptive Learning Rate Method (2012).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Adadelta(1.0)
    Adadelta(learning_rate=1.0, rho=0.95, epsilon=1e-07)
    """

    moments: ClassVar[tuple[str, ...]] = ("v", "d")

    learning_rate: Rate = 0.001
    rho: float = 0.95
    epsilon: float = 1e-7
