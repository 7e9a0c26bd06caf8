"""What all optimisers share, and those that do not mind how large gradients were: SGD, Lion."""

from __future__ import annotations

from dataclasses import KW_ONLY, fields
from typing import Any, ClassVar

from fusedelta import rates, validation
from fusedelta._frozen import frozen
from fusedelta.rates import Rate
from fusedelta.validation import above_zero, not_negative, share

__all__ = ["NEVER_NEGATIVE", "SGD", "Lion", "Optimizer"]

#: Moments that are sums of squares, or the largest of some sizes.
NEVER_NEGATIVE = ("v", "u", "d")

#: What each parameter of an optimiser must be.
CHECKS: dict[str, validation.Check] = {
    "learning_rate": rates.check_rate,
    "weight_decay": validation.optional(not_negative),
    "clipnorm": validation.optional(above_zero),
    "clipvalue": validation.optional(above_zero),
    "global_clipnorm": validation.optional(above_zero),
    "gradient_accumulation_steps": validation.optional(validation.integer),
    "momentum": share,
    "rho": share,
    "beta_1": share,
    "beta_2": share,
    "epsilon": above_zero,
    "initial_accumulator_value": not_negative,
    "momentum_decay": above_zero,
    "nesterov": validation.boolean,
    "amsgrad": validation.boolean,
    "centered": validation.boolean,
}


@frozen
class Optimizer:
    """Base of all optimisers: data, checked when they are made, with the parameters all have.

    Parameters
    ----------
    learning_rate : float, Schedule or callable
        Step size, finite and above zero, or what gives it for step 0, 1, 2, ...: one of
        `fusedelta.schedules`, or any function of the step.
    weight_decay : float, optional
        Decoupled weight decay: before each step every parameter, biases too, loses
        ``learning_rate * weight_decay`` of itself; it does not go through the optimiser's means.
        As in Keras, for every optimiser. None: 0. Decay that is a part of the gradient, as
        PyTorch's is but in AdamW, is a penalty: ``Dense(..., kernel_regularizer=fd.L2(0.5 * it))``.
    clipvalue : float, optional
        Every element of the gradient is brought into ``-clipvalue`` to ``clipvalue``.
    clipnorm : float, optional
        The gradient g of each W and each b with a norm above it becomes ``g * clipnorm / norm(g)``.
    global_clipnorm : float, optional
        The same with the norm of all gradients together: their direction stays. At most one of the
        three is given; penalties are in the gradient that is clipped, weight decay is not.
    gradient_accumulation_steps : int, optional
        So many steps make one update, with the mean of their gradients, as of one large batch.
        Learning rates and bias corrections count updates. What goes by single batches stays so:
        each has its masks of `Dropout`, and `BatchNormalization` has its figures and moves its
        averages by each.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type or out of its range.

    References
    ----------
    Loshchilov, Hutter: Decoupled Weight Decay Regularization (2019).
    Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks (2013), for
    clipping by norm.
    """

    #: What is kept for every parameter from step to step, by the letters of the formulae.
    moments: ClassVar[tuple[str, ...]] = ()

    learning_rate: Rate = 0.001
    _: KW_ONLY
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    gradient_accumulation_steps: int | None = None

    def __post_init__(self) -> None:
        validation.check_fields(self, **CHECKS)
        clips = ("clipnorm", "clipvalue", "global_clipnorm")
        given = [name for name in clips if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: expected one way to clip, got {given[0]} too")

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of all blocks that go on from step to step."""
        accumulates = (self.gradient_accumulation_steps or 1) > 1
        return (*self.moments, *["gradient"] * accumulates)

    @property
    def is_in_place(self) -> bool:
        """Whether a step needs neither the whole gradient nor anything that was kept."""
        clips = self.clipnorm or self.clipvalue or self.global_clipnorm
        return type(self) is SGD and not (self.kept or self.weight_decay or clips)

    @property
    def has_schedule(self) -> bool:
        """Whether the learning rate follows the steps."""
        return callable(self.learning_rate)

    def __repr__(self) -> str:
        """All parameters of its own, and those of every optimiser where they are set."""
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        own = [name for name in values if name not in OPTIONAL]
        given = [name for name in OPTIONAL if values[name] is not None]
        shown = ", ".join(f"{name}={values[name]!r}" for name in (*own, *given))
        return f"{type(self).__name__}({shown})"


#: The parameters of every optimiser that may be None.
OPTIONAL = tuple(field.name for field in fields(Optimizer) if field.kw_only)


@frozen
class SGD(Optimizer):
    """Stochastic gradient descent, plain, with momentum, or with Nesterov's.

    With the gradient ``g = dLoss/dw`` of a batch and a velocity v that starts at zero::

        plain       w -= learning_rate * g
        momentum    v = momentum * v + g;  w -= learning_rate * v
        nesterov    v = momentum * v + g;  w -= learning_rate * (g + momentum * v)

    The learning rate stands outside the velocity, as in PyTorch. Keras and the papers keep it
    inside; as long as the rate does not change, the weights are the same.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.01
        Step size, finite and above zero. The names and the defaults are Keras's.
    momentum : float, default 0.0
        How much of the velocity is left after a step, in 0 <= momentum < 1. With 0 nothing is
        kept beside the weights.
    nesterov : bool, default False
        Look ahead by one step of the velocity; needs a momentum.
    **common
        The parameters of every `fusedelta.optimizers.Optimizer`, by keyword, and its errors.
        PyTorch's ``weight_decay`` of SGD is not this one, but an L2 penalty.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type, out of its range, or `nesterov` has no momentum.

    References
    ----------
    Robbins, Monro: A Stochastic Approximation Method (1951).
    Polyak: Some methods of speeding up the convergence of iteration methods (1964).
    Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep
    learning (2013), for Nesterov's momentum.

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.SGD(0.5)
    SGD(learning_rate=0.5, momentum=0.0, nesterov=False)
    >>> fd.SGD(weight_decay=1e-4)
    SGD(learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=0.0001)
    """

    learning_rate: Rate = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: expected a momentum above 0 with it, got momentum=0.0")

    @property
    def moments(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of what is kept for every weight from step to step."""
        return ("velocity",) if self.momentum else ()


@frozen
class Lion(Optimizer):
    """Lion: steps of the same size in all weights, along the signs of a running mean.

    With the gradient ``g = dLoss/dw`` of a batch and an m that starts at zero::

        w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g

    The paper takes a learning rate 3 to 10 times smaller than Adam's, and a `weight_decay` as much
    larger. As in Keras.

    Parameters
    ----------
    learning_rate : float or schedule, default 0.001
        The size of every step, finite and above zero. The names and the defaults are Keras's.
    beta_1 : float, default 0.9
        How much of m the step takes, in 0 <= beta < 1.
    beta_2 : float, default 0.99
        How much of m is left after a step, in 0 <= beta < 1.
    **common
        The parameters of every `fusedelta.optimizers.Optimizer`, by keyword, and its errors.

    References
    ----------
    Chen, Liang, Huang and others: Symbolic Discovery of Optimization Algorithms (2023).

    Examples
    --------
    >>> import fusedelta as fd
    >>> fd.Lion(1e-4, weight_decay=0.1)
    Lion(learning_rate=0.0001, beta_1=0.9, beta_2=0.99, weight_decay=0.1)
    """

    moments: ClassVar[tuple[str, ...]] = ("m",)

    learning_rate: Rate = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99
