"""Optimisers as data: their parameters, checked when they are made. The engines do the update.

==========  =====================================================================================
`SGD`       The least memory and time; the rate must suit the problem. With ``momentum=0.9`` what
            most well-tuned networks are trained with.
`Adam`      The one to try first: its rate needs little tuning. `AdamW` adds weight decay, `NAdam`
            looks a step ahead, `Adamax` minds the largest gradients.
`RMSprop`   Adam without a mean of the gradients: for gradients that change their aim, as in
            reinforcement learning.
`Adagrad`   Steps that only shrink: for inputs that are seldom other than zero.
`Adadelta`  Sets its own rate, slowly.
`Lion`      All steps of one size, half the memory of Adam: with large batches and decay.
==========  =====================================================================================

A network takes an optimiser or its name, which stands for its defaults:

>>> import fusedelta as fd
>>> net = fd.Sequential([fd.Dense(1)], "mean_squared_error", fd.AdamW(0.01), input_shape=(2,))
>>> net.learning_rate
0.01
>>> net.learning_rate = 0.001
>>> net.optimizer.learning_rate
0.001

A rate that changes by itself is one of `fusedelta.schedules`.

Every optimiser can clip gradients (``clipvalue`` each element, ``clipnorm`` each W and b,
``global_clipnorm`` all together, which keeps their direction: the usual choice against outliers and
steps that throw a training off), decay the weights (``weight_decay``), and make one update of
several batches, for more samples than there is memory for:

>>> optimizer = fd.Adam(global_clipnorm=1.0, weight_decay=0.01, gradient_accumulation_steps=4)
>>> net = fd.Sequential([fd.Dense(1)], "mean_squared_error", optimizer, input_shape=(2,))
>>> [net.train_step([[1, 2]], [3]) > 0 for _ in range(4)]  # the fourth one moves the weights
[True, True, True, True]
>>> net.optimizer_state["steps"]
1
"""

from __future__ import annotations

from fusedelta import validation
from fusedelta.adaptive import Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RMSprop
from fusedelta.rules import SGD, Lion, Optimizer

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "resolve",
]

#: Every optimiser by the name it has in a call and in a saved file.
OPTIMIZERS: dict[str, type[Optimizer]] = {
    cls.__name__.lower(): cls
    for cls in (SGD, Adam, AdamW, NAdam, Adamax, RMSprop, Adagrad, Adadelta, Lion)
}


def resolve(optimizer: str | Optimizer) -> Optimizer:
    """An optimiser from an instance, or from its name (with its defaults) in any case of letters.

    Raises
    ------
    TypeError, ValueError
        If it is neither an optimiser nor the name of one.
    """
    if isinstance(optimizer, Optimizer) and type(optimizer) in OPTIMIZERS.values():
        return optimizer
    name = optimizer.lower() if isinstance(optimizer, str) else optimizer
    instead = ", or an instance such as Adam(0.01)"
    return OPTIMIZERS[validation.choice("optimizer", name, OPTIMIZERS, instead)]()
