"""`Sequential`, the public network: training, use, files. An engine does the arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fusedelta import parameters, progress, validation, weighting
from fusedelta._net import Net
from fusedelta._screen import Screen
from fusedelta.assembly import Assembly
from fusedelta.calling import listed
from fusedelta.diagnostics import Summary, summarize
from fusedelta.engine import Engine
from fusedelta.history import History
from fusedelta.opening import Given, is_large, measure_on, open_data, predict_in_chunks
from fusedelta.training import train

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import ArrayLike

    from fusedelta.callbacks import Callback

__all__ = ["Sequential", "load"]


class Sequential(Assembly):
    """A feed-forward network: layers one after another, trained by backpropagation.

    The vocabulary is that of Keras; a weight matrix W is (inputs, outputs), a sample is a row.

    Parameters
    ----------
    layers : list of Layer
        From the first hidden layer to the output layer; see `fusedelta.layers`.
    loss : str or object
        Such as ``"mean_squared_error"``, ``"binary_crossentropy"`` (sigmoid outputs),
        ``"sparse_categorical_crossentropy"`` (softmax outputs), or `Huber` and others that have
        parameters; see `fusedelta.losses` for all of them.
    optimizer : SGD, Adam, ... or str, default "sgd"
        See `fusedelta.optimizers`.
    input_shape : tuple of one int, optional
        Number of features, as ``(k,)``; by default taken from the first data that are trained on.
    dtype : {"float32", "float64"}, default "float32"
        Of weights, arithmetic and outputs. Data of another dtype are converted.
    seed : int, optional
        Same seed, same starting weights and shuffles, whatever the dtype. None: from the system.
    n_threads : int, optional
        The most threads that may share a training step or a prediction; by default those that the
        process may use. They do where each has enough to do; see `fusedelta.threads`. The results
        do not depend on it, to the last bit.

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

    _engine_type: ClassVar[type[Engine]] = Net
    _screen_type: ClassVar[type[Screen] | None] = Screen

    # ------------------------------------------------------------------------------------ training

    def fit(
        self,
        X: ArrayLike | Iterable[Sequence[ArrayLike]],
        y: ArrayLike | None = None,
        epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool = True,
        verbose: int = 1,
        *,
        validation_split: float = 0.0,
        validation_data: Sequence[ArrayLike] | None = None,
        steps_per_epoch: int | None = None,
        callbacks: Callback | Iterable[Callback] | None = None,
        profile: bool = False,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | str | None = None,
    ) -> History:
        """Train for a number of epochs; a second fit goes on where the first one ended.

        Parameters
        ----------
        X : array_like of shape (m, k), or iterable of batches (X, y) or (X, y, sample_weight)
            Real numbers of any type, such as a DataFrame's; also larger than memory:
            `fusedelta.sources` tells how data on disk and generators are read.
        y : array_like of shape (m, n), (m,) where n is 1, or (m,) integer labels
            Labels are for ``sparse_categorical_crossentropy``. Not with batches.
        epochs : int, default 1
        batch_size : int, optional
            Samples per update, by default all of them (Keras: 32); the last batch may be smaller.
            Not with batches.
        shuffle : bool, default True
            Whether each epoch takes the samples in a new random order. The data are not copied.
        verbose : {0, 1, 2}, default 1
            0 prints nothing, 1 a line every so many epochs, 2 a line per epoch.
        validation_split : float, default 0.0
            The part of the samples, the last ones, that is not trained on but measured after each
            epoch; in 0 <= validation_split < 1.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Other data to measure after each epoch.
        steps_per_epoch : int, optional
            With batches: how many are an epoch; by default all there are.
        callbacks : Callback or list of Callback, optional
            What else is to happen during the training, such as `EarlyStopping`: see
            `fusedelta.callbacks`.
        profile : bool, default False
            Whether to time each layer and pass: `profile_` keeps the table, which is printed unless
            `verbose` is 0. See `fusedelta.profile`.
        sample_weight : array_like of shape (m,), optional
            Weights of the samples, finite, not negative, not all zero. A sample's part of the loss
            and of the gradient is multiplied by its weight; what is divided by stays the number of
            samples, as in Keras, so that doubled weights double both. Samples that
            `validation_split` holds out have theirs, too; data on disk also. Batches bring theirs.
        class_weight : dict or "balanced", optional
            Weight of each class in the training, by its number (0 and 1 for one sigmoid output); a
            class that is missing has 1. ``"balanced"`` gives class c ``m / (classes * count(c))``,
            as in scikit-learn; not with batches, because it takes all labels. It multiplies
            `sample_weight`.

        Returns
        -------
        history : History
            Loss, and accuracy of a classification, per epoch; the same for validation data. It
            stays reachable as `history`, also after an exception: Ctrl-C raises KeyboardInterrupt
            after a whole step.

        Warns
        -----
        DivergenceWarning
            If the loss or a weight became nan or infinite. The network is then as it was after
            the last epoch that was finite throughout, with which the history ends.
        UserWarning
            If the batches ended before the last epoch did; the training ends with them.

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong. The weights are as they were; only what is found in a batch
            that comes later, on disk, or by a callback may come after some steps.
        RuntimeError
            If another thread is in `fit` of this network.
        """
        epochs = validation.integer("epochs", epochs)
        shuffle = validation.boolean("shuffle", shuffle)
        verbose = validation.verbosity(verbose)
        batch_size = None if batch_size is None else validation.integer("batch_size", batch_size)
        profile = validation.boolean("profile", profile)
        callbacks = listed(callbacks)
        order = (epochs, batch_size, shuffle, validation_split)
        given = Given(X, y, *order, validation_data, sample_weight, class_weight, steps_per_epoch)
        with self._only_fit(), self._profiled(profile):
            data = open_data(self, given)
            self._build(data.n_inputs)
            history = train(self, data.source, epochs, data.measure, callbacks, verbose)
        if profile and verbose:
            progress.show(self.profile_)
        return history

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        batch_size: int | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Go on training with one pass over data that have come, in the order that they have.

        Parameters
        ----------
        X, y, batch_size, sample_weight
            As for `fit`.

        Returns
        -------
        self : Sequential
            `history` has the figures.

        Warns
        -----
        DivergenceWarning
            As `fit`; the network is then as it was before.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As `fit`.
        """
        self.fit(X, y, 1, batch_size, shuffle=False, verbose=0, sample_weight=sample_weight)
        return self

    def train_step(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """One update with all of X as the batch.

        Parameters
        ----------
        X, y, sample_weight : array_like
            As for `fit`.

        Returns
        -------
        loss : float
            Before the update, which is made even if this is nan or infinite: only `fit` looks
            after that.

        Raises
        ------
        TypeError, ValueError
            If the data are wrong.
        RuntimeError
            If another thread is in `fit` of this network.
        """
        return self._engine.step(X, y, sample_weight)

    def prepare(self, X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Data as this network uses them: checked, and converted where that is needed.

        Every method does this by itself. To prepare once saves the conversion where the same data
        are used many times.

        Parameters
        ----------
        X, y : array_like
            As for `fit`.

        Returns
        -------
        X, y : ndarray
            C-contiguous, of the network's dtype (labels: int64). Arrays that are so already are
            returned as they are.

        Raises
        ------
        TypeError, ValueError
            If the data are wrong.
        """
        return self._prepare.pair(X, y)

    # ----------------------------------------------------------------------------------------- use

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
        RuntimeError
            If another thread is in `fit` of this network.
        """
        if type(X) is not np.ndarray and is_large(X, self._prepare):
            return predict_in_chunks(self._engine, self._prepare, X, out)
        return self._engine.predict(X, out)

    def predict_one(self, x: ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs for a single sample: as `predict`, with x of shape (k,) and out of shape (n,).

        It raises what `predict` does.
        """
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
            output is above 0.5, for the hinges above 0: shape (m,) for one output, else (m, n).

        Raises
        ------
        TypeError, ValueError
            As `predict`; and if the loss is that of a regression, or one of your own.
        """
        self._check_classification()
        return self._classes(self.predict(X))

    def evaluate(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> dict[str, float]:
        """Loss, and accuracy of a classification, on data.

        Parameters
        ----------
        X, y, sample_weight : array_like
            As for `fit`. Accuracy knows no weights.

        Returns
        -------
        figures : dict
            ``{"loss": float}`` or ``{"loss": float, "accuracy": float}``.

        Raises
        ------
        TypeError, ValueError
            If the data are wrong, or the network has not been built yet.
        RuntimeError
            If another thread is in `fit` of this network.
        """
        loss, accuracy = measure_on(self._prepare, self._loss, X, y, sample_weight)(self._engine)
        return {"loss": loss, "accuracy": accuracy} if self.is_classification else {"loss": loss}

    def gradients(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, list[np.ndarray]]:
        """Loss and its gradient with respect to every trained parameter; nothing is updated.

        They are those of the next `train_step` on the same data: `Dropout` drops what it would drop
        there, and `BatchNormalization` goes by the statistics of X. A loop of one's own that steps
        by these gradients counts up the step of `dropout_state` by itself.

        Parameters
        ----------
        X, y, sample_weight : array_like
            As for `fit`.

        Returns
        -------
        loss : float
        grads : list of ndarray
            In the order and shapes of `trainable_weights`.

        Raises
        ------
        TypeError, ValueError
            If the data are wrong, or the network has not been built yet.
        RuntimeError
            If another thread is in `fit` of this network.
        """
        self._check_built()
        X, y = self.prepare(X, y)
        block = parameters.allocate(self._rows, self._dtype)
        weights = weighting.combine(self._prepare, y, sample_weight)
        loss = self._engine.gradients(X, y, block, weights)
        return loss, [piece.copy() for piece in parameters.views(self._rows, block)]

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
        summary = summarize(self)
        progress.show(summary)
        return summary

    # --------------------------------------------------------------------------------------- files

    def save(self, path: str | PathLike[str], metadata: dict[str, Any] | None = None) -> None:
        """Write architecture, weights, loss, optimiser, all states, dtype and seed to a file.

        The number of threads is not saved, because it suits a machine.

        Parameters
        ----------
        path : str or path-like
            Ends in ``.npz``, or in ``.safetensors`` where that package is installed.
        metadata : dict, optional
            Anything else that JSON can hold, its keys strings; kept as `metadata`, here and when it
            is loaded, tuples then as lists.

        Raises
        ------
        TypeError, ValueError
            If the ending is another, the metadata are not JSON's, the learning rate or the loss is
            a function, a layer or a part of one is not this package's own, a weight is nan or
            infinite, or the network is not built.
        RuntimeError
            If another thread is in `fit` of this network.
        ImportError
            If the name ends in ``.safetensors`` and the package is not installed.
        OSError
            If the file cannot be written.
        """
        from fusedelta import saving  # here, because it takes long to import

        metadata = self.metadata if metadata is None else metadata
        saving.save(path, self, metadata)
        self.metadata = metadata

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a network that `save` wrote. Nothing in a file is ever executed.

        What ``fusedelta train`` saved is for `fusedelta.tabular.TableModel`, which knows columns.

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
        from fusedelta import saving

        return saving.load(path, cls)


load = Sequential.load
