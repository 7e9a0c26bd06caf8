"""Losses of your own: how they are written, and what reinforcement learning does with them.

A loss is a function ``loss(y_true, y_pred)`` of two arrays of shape (m, n) and the network's dtype.
It returns a pair: the value, a number, which must be a mean over the m samples, and its gradient
with respect to y_pred, shape (m, n). Both must be finite. It works with every output activation,
which the engine derives itself, and is called once a step (by `evaluate` once per 256 samples),
with the GIL; the rest of the step runs without it, on one thread. The arrays are the function's own
to keep or change; the network itself it must not call. If it raises, or returns anything else, the
exception ends the call and the network has the weights of the last whole step. Weights of samples
are the function's own matter. `fusedelta.gradient_check` tells whether the gradient is that of the
value.

>>> import numpy as np, fusedelta as fd
>>> def cubed_error(y_true, y_pred):
...     e = y_pred - y_true
...     return (abs(e) ** 3).mean(), 3 * e * abs(e) / e.size
>>> net = fd.Sequential([fd.Dense(8, "tanh"), fd.Dense(1)], loss=cubed_error)

A network with such a loss can be pickled if the function can, but not saved, for files hold nothing
that is executed. To go on elsewhere, make it anew and set `weights` and `optimizer_state`.

**Policy gradients** (Williams, 1992) raise the logarithm of the probability of the action taken, as
far as its advantage goes, which may be negative. y has the advantage in the column of that action
and 0 in the others; the outputs are logits.

>>> def policy_loss(y_true, logits):
...     p = np.exp(logits - logits.max(axis=1, keepdims=True))
...     p /= p.sum(axis=1, keepdims=True)
...     value = -(y_true * np.log(p + 1e-30)).sum() / len(p)
...     return value, (p * y_true.sum(axis=1, keepdims=True) - y_true) / len(p)
>>> policy = fd.Sequential([fd.Dense(16, "tanh"), fd.Dense(2)], policy_loss, fd.Adam(0.01), seed=0)
>>> rng = np.random.default_rng(0)
>>> for _ in range(200):  # action 1 is good where the first feature is positive
...     states, actions = rng.normal(size=(32, 4)), rng.integers(2, size=32)
...     y = np.zeros((32, 2))
...     y[range(32), actions] = np.where((states[:, 0] > 0) == actions, 1, -1)
...     loss = policy.train_step(states, y)
>>> policy.predict([[2.0, 0, 0, 0], [-2.0, 0, 0, 0]]).argmax(axis=1)
array([1, 0])

**Values of actions** (deep Q-learning) need no loss of one's own: targets are the network's own
outputs but in the column of the action taken, and there is no error in the others.

>>> q = fd.Sequential([fd.Dense(16, "relu"), fd.Dense(2)], fd.Huber(), input_shape=(4,), seed=0)
>>> targets = q.predict(states)
>>> targets[range(32), actions] = rng.normal(size=32)  # reward + discount * the best of the next
>>> loss = q.train_step(states, targets)

**A gradient from elsewhere**, as one that PyTorch or JAX derives from the outputs, is y itself:

>>> def given(gradient, outputs):
...     return 0.0, gradient
>>> net = fd.Sequential([fd.Dense(8, "tanh"), fd.Dense(2)], given, fd.Adam(), input_shape=(4,))
>>> outputs = net.predict(states)
>>> loss = net.train_step(states, outputs / outputs.size)  # dLoss/dOutputs

y has the shape of the outputs. What else such a loss needs (the old probabilities of PPO, masks) is
worked into that gradient, or found by the function outside, if `train_step` is called for each
batch. Gradients with respect to the inputs are not computed; of one sample and a first layer
``Dense``, that is ``net.weights[0] @ grads[1]`` with the ``grads`` of `Sequential.gradients`.

>>> loss, grads = net.gradients(states[:1], outputs[:1])
>>> (net.weights[0] @ grads[1]).shape
(4,)

References
----------
Williams: Simple statistical gradient-following algorithms for connectionist reinforcement learning
(1992). Mnih et al.: Human-level control through deep reinforcement learning (2015).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fusedelta import validation
from fusedelta.validation import shown

__all__ = ["check_result"]


def check_result(result: Any, y_pred: np.ndarray) -> tuple[float, np.ndarray]:
    """What a loss of the user's own returned for `y_pred`, as a float and a ready array.

    Raises
    ------
    TypeError, ValueError
        If it is not a pair of a finite number and a finite array of the shape of `y_pred`.
    """
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError(f"loss: expected it to return (value, gradient), got {shown(result)}")
    value, gradient = result
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    value = validation.number("loss: its value", value)
    gradient = np.asarray(gradient)
    if gradient.dtype.kind not in "fiu":
        raise TypeError(f"loss: expected a gradient of real numbers, got {shown(gradient)}")
    if gradient.shape != y_pred.shape:
        raise ValueError(
            f"loss: expected a gradient of the shape of y_pred, {y_pred.shape}, "
            f"got {gradient.shape}"
        )
    with np.errstate(over="ignore"):
        ready = np.require(gradient, y_pred.dtype, ["C_CONTIGUOUS", "ALIGNED"])
    if not np.isfinite(ready).all():
        at = tuple(map(int, np.unravel_index(np.isfinite(ready).argmin(), ready.shape)))
        raise ValueError(f"loss: expected a finite gradient, got {gradient[at]} at {at}")
    return value, ready
