"""The pure-NumPy twin: the specification of the compiled engine, its oracle, and its opponent.

`Net` has the interface of the compiled engine and computes the same in plain NumPy, in the
network's own dtype. `Sequential` is `fusedelta.Sequential` on top of it: same methods, same seeds,
same numbers. Letters: m samples, n outputs, k inputs; X (m, k) inputs, W (k, n) weights, b (n)
biases, Z = X W + b logits, Y = activation(Z) (m, n) outputs, D = dLoss/dZ (m, n) deltas.

The formulae are those of Rumelhart, Hinton and Williams, Learning representations by
back-propagating errors (1986).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fusedelta import ensemble, network, parameters, rates, reference_updates
from fusedelta.arrays import Prepare, check_out
from fusedelta.losses import Loss
from fusedelta.optimizers import Optimizer
from fusedelta.profiling import Cell, Stopwatch
from fusedelta.reference_activations import ACTIVATIONS
from fusedelta.reference_layers import LAYERS, ReferenceLayer, Walk
from fusedelta.reference_losses import LOSSES, of_user, smoothed
from fusedelta.rows import Row

__all__ = ["Ensemble", "Net", "Sequential", "load"]


# ----------------------------------------------------------------------------------------- the walk


class Net:
    """The engine in NumPy: forward, loss, backward, update, batch after batch.

    Parameters
    ----------
    rows : list of Row
        The layers, first to last.
    loss : Loss
    optimizer : Optimizer
    params : ndarray of shape (size,)
        The flat block of parameters, float32 or float64; trained in place.
    state : ndarray
        The flat block of what training keeps beside them, such as moving means.
    prepare : Prepare
        Turns a user's arrays into ready ones, or raises.
    n_threads : int
        For the compiled engine's sake; NumPy decides by itself.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        loss: Loss,
        optimizer: Optimizer,
        params: np.ndarray,
        state: np.ndarray,
        prepare: Prepare,
        n_threads: int,
    ) -> None:
        self._params = params
        self._gradients = np.zeros_like(params)
        self._walk = Walk()
        self._layers: list[ReferenceLayer] = [
            LAYERS[row.kind](
                row,
                parameters.views([row], params),
                parameters.views([row], self._gradients),
                parameters.state_views([row], state),
                ACTIVATIONS[row.activation],
                self._walk,
            )
            for row in rows
        ]
        for layer, row in zip(self._layers, rows, strict=True):
            layer.partner = self._layers[row.partner] if row.partner >= 0 else None
        self._lowest = next(i for i, row in enumerate(rows) if row.parts)
        self._n_outputs = rows[-1].n_outputs
        self._counts_steps = any(row.kind == "dropout" for row in rows)
        self._optimizer = optimizer
        self._rows = rows
        self._tensors = parameters.tensors(rows)
        self._penalized = [each for each in self._tensors if each.l1 or each.l2]
        self._constrained = [each for each in self._tensors if each.max_norm < math.inf]
        self.moments = {name: np.zeros_like(params) for name in optimizer.kept}
        self.trained = 0
        self.interrupted = False
        self.reset_optimizer()
        self._prepare = prepare
        self._loss = loss
        self._loss_function = LOSSES[loss.name] if loss.function is None else of_user

    @property
    def memory(self) -> dict[str, int]:
        """Bytes held from call to call beside the parameters; within one, NumPy takes more."""
        kept = sum(block.nbytes for block in self.moments.values())
        return {"optimizer": kept, "gradient": self._gradients.nbytes}

    @property
    def penalty(self) -> float:
        """The sum of the penalties on the weights as they are."""
        parameters.clear_padding(self._rows, self._params)
        return reference_updates.penalty(self._penalized, self._params)

    @property
    def dropout_key(self) -> int:
        """What the masks of dropout are drawn from."""
        return self._walk.key

    @dropout_key.setter
    def dropout_key(self, key: int) -> None:
        self._walk.key = key

    @property
    def dropout_step(self) -> int:
        """Training steps so far of a network with dropout."""
        return self._walk.step

    @dropout_step.setter
    def dropout_step(self, step: int) -> None:
        self._walk.step = step

    def train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        batch_size: int,
        orders: np.ndarray | None,
        results: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> None:
        """Train ``len(results)`` epochs on ready arrays, up to a loss that is nan or infinite.

        Parameters
        ----------
        X, y : ndarray
            Ready arrays, as `Prepare` returns them.
        batch_size : int
            Samples per update; the last batch of an epoch may be smaller.
        orders : None or ndarray of shape (epochs, m), intp
            The samples of each epoch in their order, as rows of X; None: all, as they stand.
        results : ndarray of shape (epochs, 1 or 2), float64
            Filled with each epoch's loss and, where it has room, accuracy (nan for a regression).
        weights : None or ndarray of shape (m,)
            Of the samples, ready.
        """
        self.trained = 0
        parameters.clear_padding(self._rows, self._params)
        with np.errstate(over="ignore", invalid="ignore"):  # the loss tells
            for epoch in range(len(results)):
                order = None if orders is None else orders[epoch]
                figures = self._train_epoch(X, y, batch_size, order, weights)
                results[epoch] = figures[: results.shape[1]]
                if not math.isfinite(results[epoch, 0]):
                    return

    def step(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """One update with all of X as the batch; returns the loss before it."""
        X, y = self._prepare.pair(X, y)
        parameters.clear_padding(self._rows, self._params)
        weights = None if sample_weight is None else self._prepare.weights(sample_weight, len(X))
        total, _ = self._train_batch(X, y, weights)
        return total / self._normalizer(len(X))

    def predict(self, X: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs of shape (m, n), into `out` if it is given."""
        X, _ = self._prepare(X)
        return self._into(out, self._forward(X), X)

    def predict_one(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs of shape (n,) for one sample x of shape (k,), into `out` if it is given."""
        x = self._prepare.sample(x)
        return self._into(out, self._forward(x[np.newaxis])[0], x)

    def evaluate(
        self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None
    ) -> tuple[float, float]:
        """Loss without the penalty, and accuracy (nan if there is none), on ready arrays."""
        self._forward(X)
        total, _ = self._loss_and_gradient(y, weights)
        return self._means(total, self._count_correct(y), len(X))

    def gradients(
        self,
        X: np.ndarray,
        y: np.ndarray,
        block: np.ndarray | None,
        weights: np.ndarray | None = None,
    ) -> float:
        """Write the gradients into a flat block laid out as the parameters; returns the loss."""
        parameters.clear_padding(self._rows, self._params)
        self._forward(X, training=True)
        if block is None:
            total, _ = self._loss_and_gradient(y, weights)
            return total / self._normalizer(len(X)) + self.penalty
        total = self._backward(y, weights)
        block[:] = self._gradients
        reference_updates.add_penalties(self._penalized, self._params, block)
        return total / self._normalizer(len(X))

    def is_finite(self, block: np.ndarray) -> bool:
        """Whether no element of a block of parameters or moments is nan or infinite."""
        return bool(np.isfinite([block.min(), block.max()]).all())

    def reset_optimizer(self) -> None:
        """Forget the optimiser's state; plain gradient descent has none."""
        reference_updates.reset(self._optimizer, self.moments, self._rows)
        self.steps = self.accumulated = 0

    def acquire(self) -> None:
        """Nothing: the twin knows one thread."""

    def release(self) -> None:
        """Nothing."""

    forked = release

    def retune(self, optimizer: Optimizer) -> None:
        """Go on with the numbers of an optimiser of the same kind; what it keeps stays."""
        self._optimizer = optimizer

    def start_profile(self) -> None:
        """Time every pass from now on, under the names that the compiled engine has for them."""
        self._stopwatch = Stopwatch()
        watch = self._stopwatch.watch
        for i, layer in enumerate(self._layers):
            watch(layer, "forward", i, "forward")
            watch(layer, "backward", i, "backward")
            watch(layer, "update", i, "update")
            if i + 1 < len(self._layers):
                watch(layer, "through_activation", i + 1, "backward", is_part=True)
            else:
                watch(layer, "through_activation", None, "loss", is_part=True)
        watch(self, "_loss_and_gradient", None, "loss")
        watch(self, "_update", None, "optimizer")

    def stop_profile(self) -> tuple[list[Cell], float]:
        """What each pass took, and what the clock did: beside NumPy it is not worth counting."""
        return self._stopwatch.stop(), 0.0

    # ------------------------------------------------------------------------------------ the parts

    def _train_epoch(
        self,
        X: np.ndarray,
        y: np.ndarray,
        batch_size: int,
        order: np.ndarray | None,
        weights: np.ndarray | None,
    ) -> tuple[float, float]:
        total, correct = 0.0, 0.0
        m = len(X) if order is None else len(order)
        for start in range(0, m, batch_size):
            if self.interrupted:
                raise KeyboardInterrupt
            batch: Any = slice(start, start + batch_size)
            if order is not None:
                batch = order[batch]
            batch_weights = None if weights is None else weights[batch]
            batch_total, batch_correct = self._train_batch(X[batch], y[batch], batch_weights)
            total += batch_total
            correct += batch_correct
            if not math.isfinite(total):
                break
            self.trained += 1
        return self._means(total, correct, m)

    def _train_batch(
        self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None
    ) -> tuple[float, float]:
        """One update; sum of the losses and number of correct outputs before it."""
        self._forward(X, training=True)
        total = self._backward(y, weights)
        correct = self._count_correct(y)
        self._update()
        return total, correct

    def _forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        self._walk.training = training
        for layer in self._layers:
            X = layer.forward(X)
        return X

    def _backward(self, y: np.ndarray, weights: np.ndarray | None) -> float:
        """Fill the gradients from the last forward pass; returns the sum of the losses.

        The penalties count as if they were a part of the sum; they are not in the gradients.

        ``D`` of the last layer comes from the loss; that of a layer below is what the one above
        makes of its own, times ``activation'(Z)``.
        """
        total, G = self._loss_and_gradient(y, weights)
        last = self._layers[-1]
        G /= self._normalizer(len(y))
        D = G if self._loss.takes_logits else last.through_activation(G)
        for i in range(len(self._layers) - 1, self._lowest - 1, -1):
            layer = self._layers[i]
            if layer.row.parts:
                layer.update(D)
            if i > self._lowest:
                D = self._layers[i - 1].through_activation(layer.backward(D))
        return total + self.penalty * self._normalizer(len(y))

    def _update(self) -> None:
        """The optimiser's step, on the whole flat block at once."""
        self._walk.step += self._counts_steps
        for layer in self._layers:
            layer.settle()
        rule, gradients = self._optimizer, self._gradients
        if "gradient" in self.moments:
            self.accumulated += 1
            gradients = reference_updates.accumulate(
                rule, self._gradients, self.moments, self.accumulated
            )
            if self.accumulated < (rule.gradient_accumulation_steps or 1):
                return
            self.accumulated = 0
        rate = rates.rate_at(rule.learning_rate, self.steps)
        if not (rule.is_in_place and not self._penalized) or rule.has_schedule:
            self.steps += 1
        reference_updates.add_penalties(self._penalized, self._params, gradients)
        reference_updates.clip(rule, self._tensors, gradients)
        reference_updates.update(rule, self._params, gradients, self.moments, self.steps, rate)
        reference_updates.constrain(self._constrained, self._params)

    def _loss_and_gradient(
        self, y: np.ndarray, weights: np.ndarray | None
    ) -> tuple[float, np.ndarray]:
        """The sum of the values and its slope, each sample's part times its weight."""
        last = self._layers[-1]
        T = smoothed(y, self._loss) if self._loss.smoothing and y.ndim > 1 else y
        values, G = self._loss_function(self._loss, last.Z, last.Y, T)
        if weights is not None:
            values = (values.T * weights).T
            G = G * weights[:, np.newaxis]
        return float(values.sum(dtype=np.float64)), G

    def _count_correct(self, y: np.ndarray) -> float:
        """Number of samples (of single outputs, if each decides by itself) that are right."""
        Y = self._layers[-1].Y
        if not self._loss.is_classification:
            return np.nan
        if self._loss.is_binary:
            threshold = self._loss.threshold
            return float(np.count_nonzero((threshold < Y) == (y > threshold)))
        labels = y if y.ndim == 1 else y.argmax(axis=1)
        return float(np.count_nonzero(Y.argmax(axis=1) == labels))

    def _means(self, total: float, correct: float, m: int) -> tuple[float, float]:
        n_decisions = m * self._n_outputs if self._loss.is_binary else m
        return total / self._normalizer(m), correct / n_decisions

    def _normalizer(self, m: int) -> float:
        return self._loss.normalizer(m, self._n_outputs)

    @staticmethod
    def _into(out: np.ndarray | None, values: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        if out is None:
            return values
        check_out(out, values.shape, values.dtype, inputs)[...] = values
        return out


# -------------------------------------------------------------------------------------- the network


class Sequential(network.Sequential):
    """A sequence of layers trained by NumPy; see `fusedelta.Sequential`, whose API it has."""

    _engine_type = Net
    _screen_type = None


class Ensemble(ensemble.Ensemble):
    """Such networks, many at a time; see `fusedelta.Ensemble`, whose API it has."""

    _member_type = Sequential


load = Sequential.load
