"""Net: the compiled engine of one network. It takes the user's arrays and runs programs, alone in dropping the GIL."""

cimport cython
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uint64_t

cimport numpy as np
from cpython.pythread cimport PyThread_get_thread_ident

from fusedelta._c cimport BLOCK_BYTES, NARROW, PREDICTING, TRAINING, busy_release, busy_take, score_t
from fusedelta._loops cimport PREDICT_ROWS, evaluate_all, predict_all, run_watched, unseen_t
from fusedelta._optimizers cimport Optimizer
from fusedelta._program cimport Program, accuracy, data_set, mean_loss
from fusedelta._screen cimport Screen
from fusedelta._watch cimport Watch

from _thread import allocate_lock

from fusedelta._profile import Recorder, seconds_per_call

np.import_array()

cdef enum:
    PLANNED_STEPS = 262144               # learning rates that are worked out at a time
    NARROW_BATCH = 2                     # from this batch on the lanes are worth filling
cdef double LOOK = 0.05                  # seconds between two looks whether what is waited for has become a training
cdef double UNLOCKED_FLOPS = 2e5         # a call with less work keeps the GIL: dropping it costs about 50 ns


def is_thin(rows):
    """Whether every layer of a network is thin enough, and of a kind, to train feature-major."""
    widths = [rows[0].n_inputs, *(row.n_outputs for row in rows)]
    are_dense = all([row.kind == "dense" for row in rows])
    return are_dense and max(widths) <= NARROW and rows[len(rows) - 1].activation != "softmax"


@cython.final
cdef class Net:
    """The compiled engine of one network.

    Parameters
    ----------
    rows : list of rows.Row
        The layers, with the place of each in `params`.
    loss : losses.Loss
    optimizer : optimizers.Optimizer
        The rule of the updates.
    params : ndarray of float32 or float64
        The flat block of weights and biases, 64-byte aligned; updated in place.
    state : ndarray of the same dtype
        The flat block of what training keeps beside them, such as moving means; likewise.
    prepare : arrays.Prepare
        Makes ready arrays of the user's, or raises. Asked only where a `Screen` does not know them for such.
    n_threads : int
        The most threads that a step may use; small steps use one.
    """

    def __cinit__(self, list rows, loss, optimizer, np.ndarray params, np.ndarray state, prepare, n_threads):
        self.params, self.state, self.prepare, self.waiting = params, state, prepare, []
        self.typenum, self.itemsize = np.PyArray_TYPE(params), np.PyArray_ITEMSIZE(params)
        self.optimizer = Optimizer(optimizer, rows, params)
        self.program = Program(rows, loss, self.optimizer, params, state, False, n_threads)
        self.narrow = None
        if is_thin(rows) and loss.function is None:
            self.narrow = Program(rows, loss, self.optimizer, params, state, True, 1)
        self.k, self.n = self.program.k, self.program.n
        self.screen = Screen(self.k, self.n, params.dtype, loss)

    @property
    def memory(self):
        """Bytes beside the parameters, by part: the optimiser's, and what the largest batch so far took."""
        parts = dict(self.optimizer.memory)
        for program in (self.program, self.narrow):
            if program is not None:
                for name, size in program.memory.items():
                    parts[name] = parts.get(name, 0) + size
        return parts

    @property
    def penalty(self):
        """The sum of the penalties on the weights as they are."""
        if not self.optimizer.tensors.penalized:
            return 0.0
        self.acquire()
        try:
            self.program.clear_padding()
            self.optimizer.tensors.penalties(self.program.net.cpu, 0, 1)
            return self.optimizer.tensors.total()
        finally:
            self.release()

    @property
    def moments(self):
        """The blocks that the optimiser keeps from step to step, live, laid out as the parameters, by name."""
        return self.optimizer.moments

    @property
    def steps(self):
        """The steps that the optimiser has counted."""
        return self.optimizer.steps

    @steps.setter
    def steps(self, steps):
        self.optimizer.steps = steps

    @property
    def dropout_key(self):
        """What the masks of dropout are drawn from."""
        return self.program.net.noise.key

    @dropout_key.setter
    def dropout_key(self, uint64_t key):
        self.program.net.noise.key = key

    @property
    def dropout_step(self):
        """Training steps so far of a network with dropout."""
        return self.program.net.noise.step

    @dropout_step.setter
    def dropout_step(self, uint64_t step):
        self.program.net.noise.step = step

    @property
    def accumulated(self):
        """The steps whose gradients wait for an update."""
        return self.optimizer.accumulated

    @accumulated.setter
    def accumulated(self, accumulated):
        self.optimizer.accumulated = accumulated

    cdef Program trainer(self, ptrdiff_t m):
        """The program for batches of m samples. It depends on shapes alone, so that figures repeat."""
        return self.narrow if self.narrow is not None and m >= NARROW_BATCH else self.program

    cdef data_set data(self, object X, object y, object weights):
        cdef data_set data
        data.X = np.PyArray_BYTES(X)
        data.m = np.PyArray_DIM(X, 0)
        data.T = NULL if self.program.sparse else np.PyArray_BYTES(y)
        data.labels = <const int64_t *> np.PyArray_DATA(y) if self.program.sparse else NULL
        data.weights = NULL if weights is None else np.PyArray_BYTES(weights)
        data.order = NULL
        data.staged = False
        return data

    # ---- training ---------------------------------------------------------------------------------------------------

    def train(self, np.ndarray X, np.ndarray y, ptrdiff_t batch_size, orders, np.ndarray results, weights=None,
              Watch watch=None):
        """Train for ``len(results)`` epochs on ready arrays, in one call without the GIL.

        A step whose loss is nan or infinite ends it. `trained` says how far it came.

        Parameters
        ----------
        X, y : ndarray
            Ready arrays (see `prepare`).
        batch_size : int
            Samples a step; the last batch of an epoch may be smaller.
        orders : None or ndarray of intp, shape (epochs, samples)
            The samples of each epoch in their order, as rows of X; None: all of them, as they lie.
        results : ndarray of float64, shape (epochs, 1 or 2)
            Receives each whole epoch's loss and, where it has room, accuracy (nan for a regression).
        weights : None or ndarray, shape (samples,)
            Of the samples, ready.
        watch : None or Watch
            Looks at each epoch, and may end the training with it.
        """
        cdef data_set data = self.data(X, y, weights)
        cdef unseen_t unseen
        cdef double *out = <double *> np.PyArray_DATA(results)
        cdef ptrdiff_t figures = np.PyArray_DIM(results, 1)
        cdef ptrdiff_t epochs = np.PyArray_DIM(results, 0), batch, steps, done = 0, count = epochs
        cdef Program program = self.trainer(batch_size)
        if orders is not None:
            data.order, data.m = <const ptrdiff_t *> np.PyArray_DATA(orders), np.PyArray_DIM(orders, 1)
        batch = min(batch_size, data.m)
        steps = (data.m + batch - 1) // batch
        self.trained = 0
        if self.interrupted:
            raise KeyboardInterrupt
        self.acquire()
        self.training = True
        program.clear_padding()
        try:
            program.reserve(batch, orders is not None and batch > 1, program.threads_for(program.flops * batch))
            if watch is not None and watch.held_out is not None:
                held_out = watch.held_out
                unseen.data = self.data(held_out[0], held_out[1], held_out[2])
                unseen.threads = self.forward_threads(unseen.data.m)
                self.program.reserve(min(unseen.data.m, PREDICT_ROWS * unseen.threads), False, unseen.threads)
            while done < epochs and self.trained == done * steps and not (watch is not None and watch.stopped):
                if self.optimizer.is_fixed:
                    count = min(max(1, PLANNED_STEPS // steps), epochs - done)
                elif self.optimizer.schedule is not None:
                    count = 1
                self.optimizer.plan(count * steps)
                with nogil:
                    run_watched(program, &data, batch, count, out + figures * done, figures, self.program, &unseen,
                                watch, &self.trained, &self.interrupted)
                done += count
            program.check()
        finally:
            program.look_ahead(&data, -1, 0)
            self.training = False
            self.release()

    def step(self, X, y, sample_weight=None):
        """One update with the whole of X as its batch; returns the loss before the update."""
        cdef score_t score = score_t(0, 0)
        X, y = self.pair(X, y)
        if sample_weight is not None:
            sample_weight = self.prepare.weights(sample_weight, np.PyArray_DIM(X, 0))
        cdef data_set data = self.data(X, y, sample_weight)
        cdef Program program = self.trainer(data.m)
        self.acquire()
        try:
            program.reserve(data.m, False, program.threads_for(program.flops * data.m))
            program.begin(TRAINING, program.logits)
            program.stage(&data, 0, data.m)
            if self.optimizer.schedule is not None:
                self.plan_step()
            self.training = program.user is not None  # which may call this network: an error, not a deadlock
            if program.flops * data.m > UNLOCKED_FLOPS:
                with nogil:
                    program.step(data.m, &score)
            else:
                program.step(data.m, &score)
            program.check()
        finally:
            self.training = False
            self.release()
        return mean_loss(program, &score, data.m)

    cdef int plan_step(self) except -1:
        """The learning rate of a single step. A function that gives it must not come back to the busy network."""
        self.training = True
        try:
            self.optimizer.plan(1)
        finally:
            self.training = False
        return 0

    def gradients(self, X, y, np.ndarray block, weights=None):
        """Fill `block`, laid out as the parameters, with dLoss/dparameter; returns the loss. X, y ready.

        All is as in the next step. Where `block` is None, only the loss is computed.
        """
        cdef score_t score = score_t(0, 0)
        cdef data_set data = self.data(X, y, weights)
        cdef Program program = self.trainer(data.m)
        cdef bint wanted = block is not None
        if wanted and not (self.screen.of_dtype(block, 1) and np.PyArray_SIZE(block) == np.PyArray_SIZE(self.params)
                           and <size_t> np.PyArray_DATA(block) % BLOCK_BYTES == 0):
            raise ValueError("block: expected a 64-byte aligned array of the parameters' dtype and size")
        self.acquire()
        self.training = program.user is not None
        try:
            program.reserve(data.m, False, 1)
            program.begin(TRAINING, program.logits)
            if wanted:
                program.aim(np.PyArray_BYTES(block) - np.PyArray_BYTES(self.params))
            with nogil:
                program.stage(&data, 0, data.m)
                program.forward(data.m, 1)
                program.score(data.m, &score)
                if self.optimizer.tensors.penalized:
                    program.add_penalties(data.m, &score)
                if wanted:
                    program.backward(data.m, 1, 0)
                    if self.optimizer.tensors.penalized:
                        self.optimizer.tensors.add_penalty_gradient(program.net.cpu, np.PyArray_BYTES(block))
            program.check()
        finally:
            self.training = False
            program.aim(self.optimizer.target)
            self.release()
        return mean_loss(program, &score, data.m)

    def retune(self, optimizer):
        """Go on with the numbers of an optimiser of the same kind; what it keeps stays."""
        self.acquire()
        try:
            self.optimizer.retune(optimizer)
        finally:
            self.release()

    def reset_optimizer(self):
        """Forget all earlier steps; plain SGD remembers none."""
        self.acquire()
        try:
            self.optimizer.reset()
        finally:
            self.release()

    def start_profile(self):
        """Time every pass from now on."""
        self.acquire()
        try:
            self.recorders = [Recorder(program) for program in (self.program, self.narrow) if program is not None]
            for recorder in self.recorders:
                recorder.start()
        finally:
            self.release()

    def stop_profile(self):
        """What each pass took since then, (row or None, phase, calls, samples, seconds), and what the clock took."""
        self.acquire()
        try:
            for recorder in self.recorders:
                recorder.stop()
        finally:
            self.release()
        totals = {}
        for recorder in self.recorders:
            for row, phase, *figures in recorder.cells():
                before = totals.get((row, phase), (0, 0, 0))
                totals[row, phase] = [a + b for a, b in zip(before, figures)]
        cells = [(*key, *figures) for key, figures in totals.items()]
        return cells, seconds_per_call() * sum([calls for _, _, calls, _, _ in cells])

    # ---- prediction ---------------------------------------------------------------------------------------------

    def predict(self, X, out=None):
        """Outputs (m, n) for X (m, k), into `out` if given."""
        ready = self.screen.inputs(X)
        if ready is None:
            ready, _ = self.prepare(X)
        cdef np.npy_intp shape[2]
        shape[0], shape[1] = np.PyArray_DIM(ready, 0), self.n
        out = self.screen.output_array(out, ready, 2, shape)
        self.predict_rows(np.PyArray_BYTES(ready), shape[0], np.PyArray_BYTES(out))
        return out

    def predict_one(self, x, out=None):
        """Outputs (n,) for one sample x (k,), into `out` if given."""
        cdef np.npy_intp shape[1]
        ready = self.screen.sample(x)
        if ready is None:
            ready = self.prepare.sample(x)
        shape[0] = self.n
        out = self.screen.output_array(out, ready, 1, shape)
        self.predict_rows(np.PyArray_BYTES(ready), 1, np.PyArray_BYTES(out))
        return out

    cdef int predict_rows(self, const char *X, ptrdiff_t m, char *out) except -1:
        cdef Program program = self.program
        cdef int threads = self.forward_threads(m)
        self.acquire()
        try:
            program.reserve(min(m, PREDICT_ROWS * threads), False, threads)
            program.begin(PREDICTING, False)
            program.want_slopes(False)
            if program.flops * m > UNLOCKED_FLOPS:
                with nogil:
                    predict_all(program, X, m, out, threads, &self.interrupted)
            else:
                predict_all(program, X, m, out, threads, &self.interrupted)
        finally:
            self.release()
        return 0

    cdef int forward_threads(self, ptrdiff_t m):
        """Threads for the way forward, a third of a step's work."""
        return self.program.threads_for(self.program.flops / 3 * m)

    def evaluate(self, X, y, weights=None):
        """Loss without the penalty, and accuracy (nan for a regression), on ready arrays; nothing changes."""
        cdef score_t score = score_t(0, 0)
        cdef data_set data = self.data(X, y, weights)
        cdef int threads = self.forward_threads(data.m)
        cdef double work = 0
        self.acquire()
        self.training = self.program.user is not None
        try:
            self.program.reserve(min(data.m, PREDICT_ROWS * threads), False, threads)
            with nogil:
                evaluate_all(self.program, &data, threads, &work, &score, &self.interrupted)
            self.program.check()
        finally:
            self.training = False
            self.release()
        return mean_loss(self.program, &score, data.m), accuracy(self.program, &score, data.m)

    # ---- the user's arrays --------------------------------------------------------------------------------------

    def is_finite(self, np.ndarray block):
        """Whether no element of a contiguous block of the network's dtype is nan or infinite."""
        return self.screen.floats(block, -self.screen.largest, self.screen.largest) is not None

    cdef tuple pair(self, object X, object y):
        """Ready X and y."""
        ready = self.screen.inputs(X)
        targets = None if ready is None else self.screen.targets(y, np.PyArray_DIM(ready, 0))
        return self.prepare.pair(X, y) if targets is None else (ready, targets)

    # ---- one user at a time -----------------------------------------------------------------------------------------
    #
    # Those that wait get it in the order in which they came, handed over: left free, the same thread would mostly be
    # faster to take it again, and one that trains step after step would leave nothing to those that predict.

    cpdef int acquire(self) except -1:
        """Take the network. Waits for another thread's prediction or step; a network in training is an error."""
        cdef unsigned long me = PyThread_get_thread_ident()
        if busy_take(&self.busy):
            self.owner = me
            return 0
        if self.owner == me:
            raise RuntimeError(
                "this network is in use by the call that this one comes from, through a loss, a learning rate or a "
                "signal handler of yours: use a copy there")
        turn = allocate_lock()
        turn.acquire()
        self.waiting.append(turn)
        try:
            while not busy_take(&self.busy):
                if self.training:
                    raise RuntimeError(
                        "this network is training in another thread: wait for it, or use a copy")
                if turn.acquire(timeout=LOOK):  # it was handed over, and has been taken all the time
                    self.owner = me
                    return 0
            self.waiting.remove(turn)
            self.owner = me
        except BaseException:
            try:
                self.waiting.remove(turn)
            except ValueError:  # it was handed over meanwhile
                self.release()
            raise
        return 0

    cpdef void release(self) noexcept:
        """Let the next thread have it."""
        self.owner = 0
        if self.waiting:
            try:
                self.waiting.pop(0).release()
                return
            except IndexError:  # without a GIL, the last one may have given up
                pass
        busy_release(&self.busy)

    def forked(self):
        """In the child of a fork: the threads that had the network are not here to give it back."""
        self.training, self.waiting, self.owner = False, [], 0
        busy_release(&self.busy)
