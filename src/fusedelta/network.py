"""`Sequential`, the public network: everything but the arithmetic, which an engine does."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fusedelta import layers as layer_list
from fusedelta import losses, optimizers, parameters, progress, saving, validation
from fusedelta._net import Net
from fusedelta.diagnostics import Summary, summarize
from fusedelta.history import History
from fusedelta.layers import Dense
from fusedelta.optimizers import SGD

__all__ = ["Sequential", "load"]

#: Shuffled orders are drawn for several epochs at a time, up to so many sample indices.
ORDERS_SIZE = 65536


class Sequential:
    """A feed-forward network: layers one after another, trained by backpropagation.

    The vocabulary is that of Keras; a weight matrix W is (inputs, outputs), a sample is a row.

    Parameters
    ----------
    layers : list of Dense
        From the first hidden layer to the output layer.
    loss : str
        ``"half_sum_squared_error"``, ``"mean_squared_error"``, ``"binary_crossentropy"`` (sigmoid
        outputs), ``"categorical_crossentropy"`` or ``"sparse_categorical_crossentropy"`` (softmax
        outputs); see `fusedelta.losses`.
    optimizer : SGD or str, default "sgd"
    input_shape : tuple of one int, optional
        Number of features, as ``(k,)``; by default taken from the first data that are trained on.
    dtype : {"float32", "float64"}, default "float32"
        Of weights, arithmetic and outputs. Data of another dtype are converted.
    seed : int, optional
        Same seed, same starting weights and shuffles, whatever the dtype. None: from the system.
    n_threads : int, default 1
        Threads that may share the work of one step.

    Raises
    ------
    TypeError, ValueError
        If a parameter is wrong, or layers, activations and loss do not fit together.

    Examples
    --------
    >>> import numpy as np, fusedelta as fd
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> net = fd.Sequential([fd.Dense(8, "tanh"), fd.Dense(1, "sigmoid")],
    ...                     loss="binary_crossentropy", optimizer=fd.SGD(0.5), seed=42)
    >>> history = net.fit(X, y, epochs=2000, verbose=0)
    >>> net.predict_classes(X)
    array([0, 1, 1, 0])
    """

    _engine_type: ClassVar[Any] = Net

    def __init__(
        self,
        layers: Sequence[Dense],
        loss: str,
        optimizer: SGD | str = "sgd",
        input_shape: tuple[int] | None = None,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        n_threads: int = 1,
    ) -> None:
        self._layers = layer_list.check_layers(layers)
        self._loss = losses.resolve(loss)
        losses.check_output(self._loss, self._layers[-1].kind)
        self._optimizer = optimizers.resolve(optimizer)
        self._dtype = validation.float_dtype(dtype)
        self._seed = validation.seed(seed)
        self._n_threads = validation.integer("n_threads", n_threads)
        init, shuffle = np.random.SeedSequence(self._seed).spawn(2)
        self._rng_init = np.random.Generator(np.random.PCG64(init))
        self._rng_shuffle = np.random.Generator(np.random.PCG64(shuffle))
        #: What was saved with the network beside its weights; a dict of anything JSON can hold.
        self.metadata: dict[str, Any] = {}
        self._fitting = threading.Lock()
        n_inputs = validation.input_shape(input_shape)
        self._unbuild()
        if n_inputs is not None:
            self._build(n_inputs)

    # ------------------------------------------------------------------------------ what it is made of

    @property
    def layers(self) -> tuple[Dense, ...]:
        """The layers, first to last."""
        return self._layers

    @property
    def loss(self) -> str:
        """Name of the loss."""
        return self._loss.name

    @property
    def is_classification(self) -> bool:
        """Whether outputs name classes, so that there is an accuracy."""
        return self._loss.is_classification

    @property
    def optimizer(self) -> SGD:
        """The optimiser."""
        return self._optimizer

    @property
    def dtype(self) -> np.dtype:
        """The dtype of weights and outputs."""
        return self._dtype

    @property
    def seed(self) -> int | None:
        """The seed that was given."""
        return self._seed

    @property
    def n_threads(self) -> int:
        """Threads that may share the work of one step."""
        return self._n_threads

    @property
    def input_shape(self) -> tuple[int] | None:
        """``(k,)``, the number of features; None until it is known."""
        return (self._rows[0].n_inputs,) if self._rows else None

    @property
    def rows(self) -> tuple[layer_list.Row, ...]:
        """The layers as the engine sees them: sizes, and places in `params`; empty until built."""
        return self._rows

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({list(self._layers)}, loss={self.loss!r}, "
            f"optimizer={self._optimizer}, input_shape={self.input_shape}, "
            f"dtype={self._dtype.name!r}, seed={self._seed}, n_threads={self._n_threads})"
        )

    def summary(self) -> Summary:
        """Print a table of the layers, with the sizes of parameters and working memory.

        Returns
        -------
        summary : Summary
            The same table; ``str(summary)`` is its text.

        Raises
        ------
        ValueError
            If the number of inputs is not known yet.
        """
        summary = summarize(self._layers, self._built_rows(), self._params, self._engine)
        progress.show(summary)
        return summary

    # --------------------------------------------------------------------------------------- training

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool = True,
        verbose: int = 1,
    ) -> History:
        """Train for a number of epochs; a second fit goes on where the first one ended.

        Parameters
        ----------
        X : array_like of shape (m, k)
        y : array_like of shape (m, n), (m,) where n is 1, or (m,) integer labels
            Labels are for ``sparse_categorical_crossentropy``.
        epochs : int, default 1
        batch_size : int, optional
            Samples per update, by default all of them; the last batch may be smaller.
        shuffle : bool, default True
            Whether each epoch takes the samples in a new random order. The data are not copied.
        verbose : {0, 1, 2}, default 1
            0 prints nothing, 1 a line every so many epochs, 2 a line per epoch.

        Returns
        -------
        history : History
            Loss, and accuracy of a classification, per epoch.

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong; the weights are as they were.
        RuntimeError
            If another thread is in `fit` of this network.
        """
        epochs = validation.integer("epochs", epochs)
        shuffle = validation.boolean("shuffle", shuffle)
        verbose = validation.choice("verbose", verbose, (0, 1, 2))
        batch_size = None if batch_size is None else validation.integer("batch_size", batch_size)
        with self._only_fit():
            X, y = self._prepared(X, y)
            results = np.empty((epochs, 2))
            self._train(X, y, min(batch_size or len(X), len(X)), shuffle, verbose, results)
        return History(results, self.is_classification)

    def train_step(self, X: ArrayLike, y: ArrayLike) -> float:
        """One update with all of X as the batch.

        Parameters
        ----------
        X, y : array_like
            As for `fit`.

        Returns
        -------
        loss : float
            Before the update.
        """
        return self._engine.step(X, y)

    def reset_optimizer(self) -> None:
        """Forget what the optimiser remembers of earlier steps (nothing, for `SGD`)."""
        self._engine.reset_optimizer()

    # -------------------------------------------------------------------------------------------- use

    def predict(self, X: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs of the last layer.

        Parameters
        ----------
        X : array_like of shape (m, k)
        out : ndarray of shape (m, n), optional
            Where to write them: C-contiguous, of the network's dtype.

        Returns
        -------
        Y : ndarray of shape (m, n)
            `out`, if it was given.

        Raises
        ------
        TypeError, ValueError
            If X or out is wrong, or the network has not been built yet.
        """
        return self._engine.predict(X, out)

    def predict_one(self, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs for a single sample: as `predict`, with x of shape (k,) and out of shape (n,)."""
        return self._engine.predict_one(x, out)

    def predict_classes(self, X: ArrayLike) -> np.ndarray:
        """The class of each sample.

        Parameters
        ----------
        X : array_like of shape (m, k)

        Returns
        -------
        classes : ndarray of int64
            With softmax the index of the largest output, shape (m,). With sigmoid whether each
            output is above 0.5: shape (m,) for one output, else (m, n).

        Raises
        ------
        ValueError
            If the loss is that of a regression.
        """
        if not self.is_classification:
            raise ValueError(
                f"predict_classes: {self.loss!r} is a regression loss, it has no classes; "
                "expected a cross-entropy"
            )
        Y = self.predict(X)
        if not self._loss.is_binary:
            return Y.argmax(axis=1)
        classes = (Y > 0.5).astype(np.int64)
        return classes[:, 0] if classes.shape[1] == 1 else classes

    def evaluate(self, X: ArrayLike, y: ArrayLike) -> dict[str, float]:
        """Loss, and accuracy of a classification, on data.

        Parameters
        ----------
        X, y : array_like
            As for `fit`.

        Returns
        -------
        figures : dict
            ``{"loss": float}`` or ``{"loss": float, "accuracy": float}``.
        """
        loss, accuracy = self._engine.evaluate(*self._prepare.pair(X, y))
        return {"loss": loss, "accuracy": accuracy} if self.is_classification else {"loss": loss}

    def gradients(self, X: ArrayLike, y: ArrayLike) -> tuple[float, list[np.ndarray]]:
        """Loss and its gradient with respect to every parameter; nothing is updated.

        Parameters
        ----------
        X, y : array_like
            As for `fit`.

        Returns
        -------
        loss : float
        grads : list of ndarray
            In the order and shapes of `get_weights`.
        """
        block = parameters.allocate(self._built_rows(), self._dtype)
        loss = self._engine.gradients(*self._prepare.pair(X, y), block)
        return loss, [piece.copy() for piece in parameters.views(self._rows, block)]

    # ------------------------------------------------------------------------------------- parameters

    @property
    def params(self) -> np.ndarray:
        """The flat block of all parameters, live; rows of W are padded to 64 bytes with zeros."""
        self._built_rows()
        return self._params

    @property
    def weights(self) -> list[np.ndarray]:
        """Live views ``[W0, b0, W1, b1, ...]`` into `params`; W is (inputs, outputs)."""
        return parameters.views(self._built_rows(), self._params)

    def get_weights(self) -> list[np.ndarray]:
        """Copies ``[W0, b0, W1, b1, ...]`` of the parameters."""
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all parameters, or none if anything is wrong with one.

        Parameters
        ----------
        weights : list of array_like
            In the order and shapes of `get_weights`.

        Raises
        ------
        TypeError, ValueError
            If number, shapes or values are wrong, or the network has not been built yet.
        """
        views = self.weights
        ready = validation.check_weights(weights, [view.shape for view in views], self._dtype)
        for view, weight in zip(views, ready, strict=True):
            view[...] = weight

    # ---------------------------------------------------------------------------- files, copies, pickles

    def save(self, path: str | os.PathLike[str], metadata: dict[str, Any] | None = None) -> None:
        """Write architecture, loss, optimiser, dtype and weights to a file.

        Parameters
        ----------
        path : str or path-like
            Ends in ``.npz``, or in ``.safetensors`` where that package is installed.
        metadata : dict, optional
            Anything else that JSON can hold; kept as `metadata`, here and when it is loaded.

        Raises
        ------
        TypeError, ValueError
            If the name has another ending, the metadata are not JSON's, or there are no weights yet.
        ImportError
            If the name ends in ``.safetensors`` and the package is not installed.
        OSError
            If the file cannot be written.
        """
        metadata = self.metadata if metadata is None else metadata
        saving.save(path, self, metadata)
        self.metadata = metadata

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a network that `save` wrote. Nothing in a file is ever executed.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        net : Sequential

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is not a network's file, or is truncated or damaged.
        ImportError
            If it is a ``.safetensors`` file and that package is not installed.
        """
        return saving.load(path, cls)

    @classmethod
    def like(cls, net: Sequential, dtype: DTypeLike | None = None) -> Self:
        """A network of this class with the layers, the settings and the weights of another.

        Parameters
        ----------
        net : Sequential
            Of this class or another; it must have weights.
        dtype : {"float32", "float64"}, optional
            By default that of `net`.

        Returns
        -------
        copy : Sequential
        """
        copy = cls(
            net.layers,
            net.loss,
            net.optimizer,
            net.input_shape,
            net.dtype if dtype is None else dtype,
            net.seed,
            net.n_threads,
        )
        copy.set_weights(net.weights)
        return copy

    @property
    def shuffle_state(self) -> dict[str, Any]:
        """State of the generator that shuffles, as NumPy's ``bit_generator.state``; settable."""
        return dict(self._rng_shuffle.bit_generator.state)

    @shuffle_state.setter
    def shuffle_state(self, state: dict[str, Any]) -> None:
        self._rng_shuffle.bit_generator.state = state

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_engine", "_prepare", "_fitting"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._fitting = threading.Lock()
        params = self._params
        self._unbuild()
        if params is not None:
            self._attach(state["_rows"], params)

    # ---------------------------------------------------------------------------------- how it is built

    def _unbuild(self) -> None:
        """Before the number of inputs is known."""
        self._rows: tuple[layer_list.Row, ...] = ()
        self._params: Any = None
        self._prepare = self._preparation(None)
        self._engine: Any = _Unbuilt(self)

    def _build(self, n_inputs: int) -> None:
        """Draw starting weights for that many inputs, and make the engine."""
        rows = tuple(layer_list.compile_rows(self._layers, n_inputs, self._dtype))
        params = parameters.allocate(rows, self._dtype)
        pieces = iter(parameters.views(rows, params))
        for layer, row in zip(self._layers, rows, strict=True):
            for values in layer.draw(self._rng_init, row.n_inputs):
                next(pieces)[...] = values
        self._attach(rows, params)

    def _attach(self, rows: tuple[layer_list.Row, ...], params: np.ndarray) -> None:
        """Make the engine for parameters, in a block of its own."""
        self._rows = rows
        self._params = parameters.allocate(rows, self._dtype)
        self._params[:] = params
        self._prepare = self._preparation(rows[0].n_inputs)
        self._engine = self._engine_type(
            list(rows), self.loss, self._optimizer, self._params, self._prepare, self._n_threads
        )

    def _preparation(self, n_inputs: int | None) -> validation.Prepare:
        return validation.Prepare(n_inputs, self._layers[-1].units, self._dtype, self._loss)

    def _built_rows(self) -> tuple[layer_list.Row, ...]:
        if not self._rows:
            raise ValueError(NOT_BUILT)
        return self._rows

    def _prepared(self, X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Ready arrays; a network without inputs gets as many as X has features."""
        ready = self._prepare.pair(X, y)
        if not self._rows:
            self._build(ready[0].shape[1])
        return ready

    # --------------------------------------------------------------------------------- how it is trained

    @contextmanager
    def _only_fit(self) -> Iterator[None]:
        if not self._fitting.acquire(blocking=False):
            raise RuntimeError("fit: this network is already being fitted in another thread")
        try:
            yield
        finally:
            self._fitting.release()

    def _train(self, X, y, batch_size, shuffle, verbose, results) -> None:
        """As many epochs per call of the engine as orders and progress allow."""
        shuffle = shuffle and batch_size < len(X)
        limit = max(1, ORDERS_SIZE // len(X)) if shuffle else len(results)
        reporter = progress.Progress(verbose, results)
        done = 0
        while epochs := min(reporter.next_epochs(), limit):
            orders = draw_orders(self._rng_shuffle, epochs, len(X)) if shuffle else None
            self._engine.train(X, y, batch_size, orders, results[done : done + epochs])
            reporter.advance(epochs)
            done += epochs


def draw_orders(rng: np.random.Generator, epochs: int, m: int) -> np.ndarray:
    """Random orders of m samples, one a row; the same whether drawn together or one by one."""
    return rng.permuted(np.broadcast_to(np.arange(m, dtype=np.intp), (epochs, m)), axis=1)


load = Sequential.load

NOT_BUILT = (
    "the number of inputs is not known yet: expected input_shape=(k,) when the network is made, "
    "or a call of fit or train_step before this one"
)


class _Unbuilt:
    """Stands in for the engine until the number of inputs is known."""

    def __init__(self, net: Sequential) -> None:
        self._net = net

    def step(self, X: ArrayLike, y: ArrayLike) -> float:
        """Build the network with X's number of features, then take the step."""
        return self._net._engine.step(*self._net._prepared(X, y))

    def _refuse(self, *args: Any) -> Any:
        raise ValueError(NOT_BUILT)

    predict = predict_one = evaluate = gradients = reset_optimizer = _refuse
