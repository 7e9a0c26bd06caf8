"""`Ensemble`: many networks of one architecture, trained side by side on all processors.

Take it for **deep ensembles** (the mean of several networks predicts better than any of them, and
their spread says where it is not to be trusted), for **bagging**, for a **sweep** of learning rates
or seeds, for **populations** in reinforcement learning, or for one model per data set (per shop,
per machine, per quantile of time):

>>> import numpy as np, fusedelta as fd
>>> rng = np.random.default_rng(0)
>>> X = rng.uniform(-2, 2, (200, 1))
>>> y = np.sin(3 * X) + 0.1 * rng.standard_normal(X.shape)
>>> nets = fd.Ensemble([fd.Dense(16, "relu"), fd.Dense(1)], 8, loss="mean_squared_error",
...                    optimizer=fd.Adam(0.01), seed=42)
>>> history = nets.fit(X, y, epochs=200, batch_size=20, bootstrap=True, verbose=0)
>>> history.loss.shape  # (epochs, members)
(200, 8)
>>> nets.predict(X).shape  # (members, samples, outputs)
(8, 200, 1)
>>> mean, std = nets.predict_mean([[0.0], [5.0]], return_std=True)
>>> bool(std[1, 0] > 5 * std[0, 0])  # nothing was known about x = 5
True

**Each their own.** What may differ from member to member is given as a sequence of that many: the
learning rate and the seed when the ensemble is made; in `Ensemble.fit` the data (a list of data
sets, or arrays with one more dimension, the first), the weights of the samples, and the validation
data. With ``bootstrap=True`` each member sees another random draw of the samples. Callbacks are
copied, so that every member stops early when its own time has come:

>>> rates = fd.Ensemble([fd.Dense(16, "tanh"), fd.Dense(1)], 4, loss="mean_squared_error",
...                     learning_rate=[0.3, 0.1, 0.03, 0.01], seed=[7] * 4)
>>> stopping = fd.EarlyStopping(patience=10, restore_best_weights=True)
>>> history = rates.fit(X, y, epochs=300, batch_size=20, validation_split=0.25,
...                     callbacks=stopping, verbose=0)
>>> best = min(rates.callbacks, key=lambda callbacks: callbacks[0].best)
>>> own = fd.Ensemble([fd.Dense(8, "tanh"), fd.Dense(1)], 2, loss="mean_squared_error", seed=1)
>>> history = own.fit([X[:50], X[50:]], [y[:50], y[50:]], epochs=10, verbose=0)

A member is a `Sequential` like any other: ``nets[0]`` can be trained further, changed and saved
alone. It is, to the last bit, what a network with its seed becomes on its data, whatever the number
of threads: they are spread over the members, each of which trains on one of them without the GIL.
So an ensemble of at least as many members as processors keeps all of these busy. Where there are
fewer members, each has an equal number of threads for its own steps, if these are large enough (see
`fusedelta.threads`): of 8 threads, 3 members have 2 each.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fusedelta import members, progress, validation
from fusedelta.arrays import check_out
from fusedelta.divergence import DivergenceWarning, message_of_members
from fusedelta.ensemble_assembly import EnsembleAssembly
from fusedelta.history import EnsembleHistory
from fusedelta.opening import Given
from fusedelta.spreading import noted
from fusedelta.training import Fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from numpy.typing import ArrayLike

__all__ = ["Ensemble"]


class Ensemble(EnsembleAssembly):
    """Networks of one architecture that are trained, used and saved together.

    Parameters
    ----------
    layers : list of Layer
        Of each member; as for `Sequential`.
    n : int
        Number of members.
    loss : str or object
        As for `Sequential`.
    optimizer : SGD, Adam, ... or str, default "sgd"
        As for `Sequential`.
    learning_rate : float, schedule, or sequence of n of them, optional
        Takes the place of the optimiser's: one for all, or each their own.
    input_shape : tuple of one int, optional
        Number of features, as ``(k,)``; by default taken from the first data.
    dtype : {"float32", "float64"}, default "float32"
    seed : int or sequence of n ints, optional
        From one seed each member gets its own, drawn as
        ``numpy.random.SeedSequence(seed).generate_state(n, numpy.uint64)``, so that the first
        members of a larger ensemble are those of a smaller one. None: from the system.
    n_threads : int, optional
        The most threads that may share the members; by default those that the process may use.
        Results do not depend on it, to the last bit. A member's own `n_threads` is what it would
        have of them in equal shares, at least 1.

    Attributes
    ----------
    members : tuple of Sequential
        Also by index, ``ensemble[0]``.
    callbacks : list of list of Callback
        Each member's, of the last `fit`.
    bags : list of ndarray, or None
        The samples that each member drew in the last `fit`, ascending; None: all.
    history : EnsembleHistory or None
        What the last `fit` returned or, where an exception ended it, would have.
    metadata : dict
        Whatever was saved beside the weights.

    Raises
    ------
    TypeError, ValueError
        If a parameter is wrong, or is a sequence of another length than n.

    Examples
    --------
    >>> import fusedelta as fd
    >>> nets = fd.Ensemble([fd.Dense(4, "tanh"), fd.Dense(1)], 3, loss="mean_squared_error",
    ...                    learning_rate=[0.1, 0.2, 0.3], input_shape=(2,), seed=0)
    >>> nets[2].learning_rate
    0.3
    """

    # --------------------------------------------------------------------------------- training

    def fit(
        self,
        X: Any,
        y: Any,
        epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool = True,
        verbose: int = 1,
        *,
        validation_split: float = 0.0,
        validation_data: Any = None,
        callbacks: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | str | None = None,
        bootstrap: bool = False,
        max_samples: float | int = 1.0,
    ) -> EnsembleHistory:
        """Train every member for a number of epochs; a second fit goes on where the first ended.

        Parameters
        ----------
        X : array_like of shape (m, k), or n of them
            One set of samples for all, which is checked and converted once and never copied; or
            each member's own, as a list (their lengths may differ) or an array of shape (n, m, k).
        y : array_like, or n of them
            Targets as for `Sequential.fit`: n of them where `X` is n sets, and only there.
        epochs, batch_size, shuffle
            As for `Sequential.fit`. Each member shuffles by its own seed.
        verbose : {0, 1, 2}, default 1
            0 prints nothing, 1 a line every so many members, 2 a line per member.
        validation_split : float, default 0.0
            As for `Sequential.fit`: the last part of the samples, which no member trains on.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            One for all, or a tuple of lists, ``([X, ...], [y, ...])``, with one a member.
        callbacks : Callback, list of Callback, or function, optional
            Each member gets copies of its own, which are in `callbacks` afterwards, or what
            ``callbacks(i)`` returns for member i. They may be called from several threads.
        sample_weight : array_like of shape (m,), or n of them
            As for `Sequential.fit`; one for all, or a list or an array of shape (n, m).
        class_weight : dict or "balanced", optional
            As for `Sequential.fit`, for each member's data.
        bootstrap : bool, default False
            Whether each member trains on samples that it draws with replacement, as many as
            `max_samples` says (bagging). A draw follows from the member's seed and the number of
            samples, so that another fit on the same data goes on with the same ones.
        max_samples : int or float, default 1.0
            How many samples each member draws: a number, or a part. Without `bootstrap` it draws
            without replacement (pasting), and 1.0 are all.

        Returns
        -------
        history : EnsembleHistory
            Each member's `History` by its index, and tables of shape (epochs, members).

        Warns
        -----
        DivergenceWarning
            If a member diverged: it is then as after its last finite epoch. The others went on.

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong; the weights are as they were.
        RuntimeError
            If another thread is in `fit` of the ensemble or of a member.
        Exception
            What a callback, or a loss or learning rate of your own raises, with a note which
            member's it was. It ends the training of all, as Ctrl-C does: each member stops after a
            whole step; those whose turn had not come are as they were.

        References
        ----------
        Breiman: Bagging predictors (1996). Lakshminarayanan, Pritzel, Blundell: Simple and
        Scalable Predictive Uncertainty Estimation using Deep Ensembles (2017).
        """
        epochs = validation.integer("epochs", epochs)
        shuffle = validation.boolean("shuffle", shuffle)
        verbose = validation.verbosity(verbose)
        batch_size = None if batch_size is None else validation.integer("batch_size", batch_size)
        bootstrap = validation.boolean("bootstrap", bootstrap)
        order = (epochs, batch_size, shuffle, validation_split)
        given = Given(X, y, *order, validation_data, sample_weight, class_weight)
        with ExitStack() as stack:
            for member in self:
                stack.enter_context(member._only_fit())
            data = members.open_each(self._members, given)
            data, bags = members.draw_each(self.seeds, data, bootstrap, max_samples)
            listed = members.callbacks_of(callbacks, len(self))
            self._build(data[0].n_inputs)
            self.bags, self.callbacks = bags, listed
            fits = [
                stack.enter_context(closing(Fit(member, source, epochs, measure, each, verbose=0)))
                for member, (source, measure, _), each in zip(self, data, listed, strict=True)
            ]
            samples = sum(members.in_arrays(each).m for each in data)
            history = self._run(fits, verbose, 3 * epochs * samples)
        diverged = {i: fit.divergence for i, fit in enumerate(fits) if fit.divergence is not None}
        if diverged:
            message = message_of_members(diverged, len(self))
            progress.warn(message, DivergenceWarning)
        return history

    def _run(self, fits: list[Fit], verbose: int, passes: int) -> EnsembleHistory:
        """Train on threads, up to the first exception."""
        n = len(self)
        for i in range(n):
            noted(lambda i: fits[i].begin(), i, n)
        lines = progress.MemberLines(verbose, n)

        def run(i: int) -> None:
            lines.done(i, fits[i].run().history)

        def interrupt(wanted: bool) -> None:
            for member in self:
                member._engine.interrupted = wanted

        try:
            self._spread(run, passes, interrupt)
        finally:
            histories = [each.history for each in self if each.history is not None]
            self.history = history = EnsembleHistory(histories)
        return history

    def partial_fit(
        self, X: Any, y: Any, *, batch_size: int | None = None, sample_weight: Any = None
    ) -> Self:
        """Go on training with one pass over data that have come, in the order that they have.

        Parameters
        ----------
        X, y, batch_size, sample_weight
            As for `fit`.

        Returns
        -------
        self : Ensemble
        """
        self.fit(X, y, 1, batch_size, shuffle=False, verbose=0, sample_weight=sample_weight)
        return self

    def train_step(self, X: Any, y: Any, sample_weight: Any = None) -> np.ndarray:
        """One update of every member with all of its X as the batch.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`: one for all, or n of them.

        Returns
        -------
        losses : ndarray of shape (n,), float64
            Before the update.
        """
        given = members.ready_each(self._members, X, y, sample_weight)
        self._build(given[0][0].shape[1])
        passes = 3 * sum(len(X) for X, _, _ in given)
        return np.array(self._spread(lambda i: self[i].train_step(*given[i]), passes))

    # ----------------------------------------------------------------------------------------- use

    def predict(self, X: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Outputs of every member.

        Parameters
        ----------
        X : array_like of shape (m, k), or n of them
            One for all, or each member's own, of one length.
        out : ndarray of shape (n, m, outputs), optional
            Where to write them: C-contiguous, of the members' dtype.

        Returns
        -------
        Y : ndarray of shape (n, m, outputs)

        Raises
        ------
        TypeError, ValueError
            If X or out is wrong, or the members have not been built yet.
        """
        first = self[0]
        inputs = members.inputs_each(self._members, X)
        shape = (len(self), inputs[0].shape[0], first._n_outputs)
        out = np.empty(shape, first.dtype) if out is None else out
        block = check_out(out, shape, first.dtype)
        self._spread(lambda i: self[i].predict(inputs[i], block[i]), shape[0] * shape[1])
        return block

    def predict_mean(
        self, X: Any, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The mean of the members' outputs, and their spread.

        Parameters
        ----------
        X : array_like
            As for `predict`.
        return_std : bool, default False
            Whether to return the standard deviation too (of the members as they are, divided by n:
            ``numpy.std``), as scikit-learn's Gaussian processes do.

        Returns
        -------
        mean : ndarray of shape (m, outputs)
            Summed in float64, of the members' dtype.
        std : ndarray of shape (m, outputs)
            Only with `return_std`.
        """
        return_std = validation.boolean("return_std", return_std)
        Y = self.predict(X)
        mean = Y.mean(axis=0, dtype=np.float64).astype(Y.dtype)
        return (mean, Y.std(axis=0, dtype=np.float64).astype(Y.dtype)) if return_std else mean

    def predict_one(self, x: ArrayLike) -> np.ndarray:
        """Outputs (n, outputs) for one sample x of shape (k,), or for each member's own, (n, k)."""
        own = members.sets_of("x", x, len(self), 1) or [x] * len(self)
        return np.stack([member.predict_one(each) for member, each in zip(self, own, strict=True)])

    def predict_classes(self, X: Any) -> np.ndarray:
        """The class of each sample by the mean of the members' outputs (soft voting).

        Parameters
        ----------
        X : array_like
            As for `predict`.

        Returns
        -------
        classes : ndarray of int64
            As `Sequential.predict_classes` returns them.

        Raises
        ------
        ValueError
            If the loss is that of a regression.
        """
        self[0]._check_classification()
        return self[0]._classes(self.predict(X).mean(axis=0, dtype=np.float64))

    def evaluate(self, X: Any, y: Any, sample_weight: Any = None) -> dict[str, np.ndarray]:
        """Loss, and accuracy of a classification, of every member.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`: one for all, or n of them.

        Returns
        -------
        figures : dict
            ``{"loss": ...}`` or ``{"loss": ..., "accuracy": ...}``, each of shape (n,), float64.
        """
        self[0]._check_built()
        given = members.ready_each(self._members, X, y, sample_weight)
        passes = sum(len(X) for X, _, _ in given)
        figures = self._spread(lambda i: self[i].evaluate(*given[i]), passes)
        return {name: np.array([each[name] for each in figures]) for name in figures[0]}

    # --------------------------------------------------------------------------------------- files

    def save(self, path: str | PathLike[str], metadata: dict[str, Any] | None = None) -> None:
        """Write all members with all their states to one file; see `Sequential.save`.

        Arrays in it are those of one network's file with one more dimension, the first.

        Parameters
        ----------
        path : str or path-like
            Ends in ``.npz``, or in ``.safetensors`` where that package is installed.
        metadata : dict, optional
            Anything else that JSON can hold, its keys strings; kept as `metadata`, here and when it
            is loaded, tuples then as lists.

        Raises
        ------
        TypeError, ValueError, ImportError, OSError
            As for `Sequential.save`.
        """
        from fusedelta import saving  # here, because it takes long to import

        metadata = self.metadata if metadata is None else metadata
        saving.save_ensemble(path, self, metadata)
        self.metadata = metadata

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read an ensemble that `save` wrote. Nothing in a file is ever executed.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        ensemble : Ensemble

        Raises
        ------
        OSError, ValueError, ImportError
            As for `Sequential.load`; also if it is the file of a single network.
        """
        from fusedelta import saving

        networks, metadata = saving.load_ensemble(path, cls._member_type)
        ensemble = cls.from_members(networks)
        ensemble.metadata = metadata
        return ensemble
