"""Net: owns the memory, compiles layers into rows, walks them. The only place that drops the GIL.

One training step is `step`: forward row by row, the loss and its deltas, then from the last row to the first the deltas
below and the weights in place. `run_epochs` does that batch after batch, epoch after epoch, in one call without the GIL.
"""

cimport cython
cimport numpy as np
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
)
from libc.math cimport NAN
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fusedelta._c cimport (
    BLOCK_BYTES, FAR_BYTES, LEAKY_RELU, LINEAR, PANEL_BYTES, RELU, SIGMOID, SOFTMAX, TANH,
    activation_t, loss_t, net_t, row_t, score_t,
)
from fusedelta._cpu cimport current_kernels
from fusedelta._dense cimport dense_ops
from fusedelta._losses cimport set_loss
from fusedelta._optimizers cimport set_optimizer

np.import_array()

cdef dict KINDS = {
    "linear": LINEAR, "relu": RELU, "leaky_relu": LEAKY_RELU, "sigmoid": SIGMOID, "tanh": TANH, "softmax": SOFTMAX,
}
cdef enum:
    PREDICT_ROWS = 256                   # predictions run through the workspace this many rows at a time
cdef double UNLOCKED_FLOPS = 2e5         # a call with less work keeps the GIL: dropping it costs about 50 ns
cdef double FLOPS_BETWEEN_SIGNALS = 5e8  # Ctrl-C is looked for this often, a step counting for at least ...
cdef double FLOPS_OF_A_STEP = 2e3        # ... this much: about 50 ms
cdef double LARGEST_FLOAT = 3.4028234663852886e38
cdef double LARGEST_DOUBLE = 1.7976931348623157e308


# ---- the walk ---------------------------------------------------------------------------------------------------

cdef inline void forward(const net_t *net, ptrdiff_t m) noexcept nogil:
    cdef ptrdiff_t i
    for i in range(net.n_rows):
        net.rows[i].ops.forward(net, &net.rows[i], m)


cdef inline void backward(net_t *net, ptrdiff_t m, double alpha, double beta) noexcept nogil:
    cdef ptrdiff_t i = net.n_rows
    cdef const row_t *row
    while i > 0:
        i -= 1
        row = &net.rows[i]
        if row.Dx != NULL:
            row.ops.backward(net, row, m)
        row.ops.update(net, row, m, alpha, beta)


cdef inline double per_sample(const loss_t *loss, double factor, ptrdiff_t m) noexcept nogil:
    return factor / <double>m if loss.mean else factor


cdef inline void step(net_t *net, ptrdiff_t m, score_t *score) noexcept nogil:
    forward(net, m)
    net.loss.evaluate(&net.loss, m, score)
    backward(net, m, net.optimizer.rate * per_sample(&net.loss, net.loss.delta_factor, m), net.optimizer.beta)
    if net.optimizer.finish != NULL:
        net.optimizer.finish(net)


cdef inline ptrdiff_t round_up(ptrdiff_t size) noexcept nogil:
    return (size + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES


cdef inline char *aligned(char *block) noexcept nogil:
    return <char *> round_up(<uintptr_t> block)


@cython.final
cdef class Net:
    """The compiled engine of one network.

    Parameters
    ----------
    rows : list of layers.Row
        The layers, with the place of each in `params`.
    loss : str
        Name of the loss.
    optimizer : optimizers.SGD
        The rule of the updates.
    params : ndarray of float32 or float64
        The flat block of weights and biases, 64-byte aligned; updated in place.
    prepare : callable
        ``prepare(X, y) -> (X, y)``: ready arrays from the user's, or an error. Asked only when they are not ready.
    """

    def __cinit__(self, list rows, str loss, optimizer, np.ndarray params, prepare):
        cdef ptrdiff_t i
        self.params, self.prepare = params, prepare
        self.typenum = np.PyArray_TYPE(params)
        self.itemsize = np.PyArray_ITEMSIZE(params)
        self.net.cpu = current_kernels(self.itemsize)
        self.net.n_rows = len(rows)
        self.net.rows = <row_t *> calloc(len(rows), sizeof(row_t))
        self.lock = PyThread_allocate_lock()
        if self.net.rows == NULL or self.lock == NULL:
            raise MemoryError()
        for i in range(self.net.n_rows):
            self.compile(&self.net.rows[i], rows[i])
            if i > 0:
                self.net.rows[i].ldx = self.net.rows[i - 1].ld
                self.net.rows[i].act_below = self.net.rows[i - 1].act
        cdef row_t *last = &self.net.rows[len(rows) - 1]
        self.k, self.n = self.net.rows[0].k, last.n
        self.output = self.net.loss.act = last.act
        self.net.loss.n, self.net.loss.ld = last.n, last.ld
        self.logits = set_loss(&self.net.loss, loss, self.net.cpu)
        self.sparse = loss == "sparse_categorical_crossentropy"
        set_optimizer(&self.net.optimizer, optimizer)

    cdef int compile(self, row_t *row, object layer) except -1:
        row.ops = &dense_ops
        row.k, row.n, row.ld = layer.n_inputs, layer.n_outputs, layer.stride
        row.ldx = row.k
        row.W = row.target = np.PyArray_BYTES(self.params) + <ptrdiff_t> layer.offset * self.itemsize
        row.act.kind, row.act.slope = KINDS[layer.activation], layer.slope
        self.flops += 6.0 * row.k * row.n
        return 0

    def __dealloc__(self):
        free(self.workspace)
        free(self.gathered)
        free(self.net.rows)
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    # ---- memory -------------------------------------------------------------------------------------------------

    @property
    def workspace_bytes(self):
        """Memory held beside the parameters: one batch of activations, deltas and targets, one panel."""
        return self.workspace_size + self.gather_capacity * self.k * self.itemsize

    cdef int reserve(self, ptrdiff_t m, bint gather) except -1:
        """Room for batches of m samples. Zeroed, because padding stays as it is found."""
        if m > self.capacity:
            self.reserve_workspace(m)
        if gather and m > self.gather_capacity:
            free(self.gathered)
            self.gather_capacity = 0
            self.gathered = <char *> calloc(m * self.k, self.itemsize)
            if self.gathered == NULL:
                raise MemoryError(f"no memory for a batch of {m} samples of {self.k} inputs")
            self.gather_capacity = m
        return 0

    cdef int reserve_workspace(self, ptrdiff_t m) except -1:
        cdef ptrdiff_t i, widest = 0, depth = 0, size = 0, last = self.net.n_rows - 1
        cdef row_t *rows = self.net.rows
        for i in range(last + 1):
            size += m * rows[i].ld * self.itemsize
            widest = max(widest, rows[i].ld * self.itemsize)
            depth = max(depth, rows[i].n)
            if rows[i].ld * self.itemsize >= FAR_BYTES:
                depth = max(depth, max(m, rows[i].k))
        cdef ptrdiff_t deltas = m * widest, targets = m * rows[last].ld * self.itemsize, labels = round_up(m * 8)
        size += 2 * deltas + targets + labels + depth * PANEL_BYTES
        free(self.workspace)
        self.capacity = self.workspace_size = 0
        self.workspace = <char *> calloc(size + BLOCK_BYTES, 1)
        if self.workspace == NULL:
            raise MemoryError(f"no memory for {size} bytes: activations and deltas of a batch of {m} samples")
        self.capacity, self.workspace_size = m, size
        cdef char *at = aligned(self.workspace)
        cdef char *D = at
        cdef char *T = at + 2 * deltas
        cdef char *panel = T + targets + labels
        self.targets, self.labels = T, <int64_t *> (T + targets)
        at = panel + depth * PANEL_BYTES
        for i in range(last + 1):
            rows[i].scratch = panel
            rows[i].Y, at = at, at + m * rows[i].ld * self.itemsize
            rows[i].D = D + (i & 1) * deltas
            rows[i].Dx = D + (1 - (i & 1)) * deltas if i > 0 else NULL
            if i > 0:
                rows[i].X = rows[i - 1].Y
        self.net.loss.Y, self.net.loss.D = rows[last].Y, rows[last].D
        return 0

    # ---- a batch in place ---------------------------------------------------------------------------------------

    cdef void want(self, bint logits) noexcept nogil:
        """What the last row gives: logits, or the activated output."""
        self.net.rows[self.net.n_rows - 1].act.kind = LINEAR if logits else self.output.kind

    cdef data_set data(self, object X, object y):
        cdef data_set data
        data.X = np.PyArray_BYTES(X)
        data.m = np.PyArray_DIM(X, 0)
        data.T = NULL if self.sparse else np.PyArray_BYTES(y)
        data.labels = <const int64_t *> np.PyArray_DATA(y) if self.sparse else NULL
        data.order = NULL
        data.staged = False
        return data

    cdef void stage(self, data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil:
        """Put samples first .. first + m - 1 of the order where the kernels look: in place where they lie together."""
        cdef ptrdiff_t row_bytes = self.k * self.itemsize
        if data.staged:
            return
        if data.order == NULL:
            self.net.rows[0].X = data.X + first * row_bytes
        elif m == 1:
            self.net.rows[0].X = data.X + data.order[first] * row_bytes
        else:
            gather(self.gathered, row_bytes, data.X, row_bytes, data.order + first, m)
            self.net.rows[0].X = self.gathered
        self.stage_targets(data, first, m)
        data.staged = data.order == NULL and m == data.m

    cdef void stage_targets(self, data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil:
        cdef ptrdiff_t i, bytes = self.n * self.itemsize, ld = self.net.loss.ld * self.itemsize
        self.net.loss.T = NULL if self.sparse else self.targets
        if not self.sparse and data.order == NULL:
            for i in range(m):
                memcpy(self.targets + i * ld, data.T + (first + i) * bytes, bytes)
        elif not self.sparse:
            gather(self.targets, ld, data.T, bytes, data.order + first, m)
        elif data.order == NULL:
            self.net.loss.labels = data.labels + first
        else:
            for i in range(m):
                self.labels[i] = data.labels[data.order[first + i]]
            self.net.loss.labels = self.labels

    # ---- training -----------------------------------------------------------------------------------------------

    cdef double value(self, const score_t *score, ptrdiff_t m) noexcept nogil:
        return score.sum * per_sample(&self.net.loss, self.net.loss.value_factor, m)

    cdef double accuracy(self, const score_t *score, ptrdiff_t m) noexcept nogil:
        cdef double decisions = <double>m * (self.n if self.output.kind == SIGMOID else 1)
        return <double>score.correct / decisions if self.logits else NAN

    cdef int run_epochs(self, data_set *data, ptrdiff_t batch, ptrdiff_t epochs, double *results) except -1 nogil:
        """`epochs` times all batches; the order moves on by m an epoch. results (epochs, 2): loss, accuracy."""
        cdef ptrdiff_t epoch, first, m
        cdef double work = 0
        cdef score_t score
        for epoch in range(epochs):
            score.sum, score.correct = 0, 0
            first = 0
            while first < data.m:
                m = min(batch, data.m - first)
                self.stage(data, first, m)
                step(&self.net, m, &score)
                first += m
                work += self.flops * m + FLOPS_OF_A_STEP
                if work > FLOPS_BETWEEN_SIGNALS:
                    work = 0
                    with gil:
                        PyErr_CheckSignals()
            results[2 * epoch] = self.value(&score, data.m)
            results[2 * epoch + 1] = self.accuracy(&score, data.m)
            if data.order != NULL:
                data.order += data.m
        return 0

    def train(self, np.ndarray X, np.ndarray y, ptrdiff_t batch_size, orders, np.ndarray results):
        """Train for ``len(results)`` epochs on ready arrays, in one call without the GIL.

        Parameters
        ----------
        X, y : ndarray
            Ready arrays (see `prepare`).
        batch_size : int
            Samples a step; the last batch of an epoch may be smaller.
        orders : None or ndarray of intp, shape (epochs, samples)
            The order of the samples in each epoch; None: as they lie.
        results : ndarray of float64, shape (epochs, 2)
            Receives each epoch's loss and accuracy (nan for a regression).
        """
        cdef data_set data = self.data(X, y)
        cdef ptrdiff_t epochs = np.PyArray_DIM(results, 0)
        cdef double *out = <double *> np.PyArray_DATA(results)
        if orders is not None:
            data.order = <const ptrdiff_t *> np.PyArray_DATA(orders)
        batch_size = min(batch_size, data.m)
        self.acquire()
        self.training = True
        try:
            self.reserve(batch_size, orders is not None and batch_size > 1)
            self.want(self.logits)
            with nogil:
                self.run_epochs(&data, batch_size, epochs, out)
        finally:
            self.training = False
            self.release()

    def step(self, X, y):
        """One update with the whole of X as its batch; returns the loss before the update."""
        cdef score_t score = score_t(0, 0)
        if not (self.inputs_ready(X) and self.targets_ready(y, np.PyArray_DIM(X, 0))):
            X, y = self.prepare(X, y)
        cdef data_set data = self.data(X, y)
        cdef bint unlocked = self.flops * data.m > UNLOCKED_FLOPS
        self.acquire()
        try:
            self.reserve(data.m, False)
            self.want(self.logits)
            self.stage(&data, 0, data.m)
            if unlocked:
                with nogil:
                    step(&self.net, data.m, &score)
            else:
                step(&self.net, data.m, &score)
        finally:
            self.release()
        return self.value(&score, data.m)

    def gradients(self, X, y, np.ndarray block):
        """Fill `block`, laid out as the parameters, with dLoss/dparameter; returns the loss. X, y ready."""
        cdef score_t score = score_t(0, 0)
        cdef data_set data = self.data(X, y)
        self.acquire()
        try:
            self.reserve(data.m, False)
            self.want(self.logits)
            self.aim(np.PyArray_BYTES(block) - np.PyArray_BYTES(self.params))
            self.stage(&data, 0, data.m)
            with nogil:
                forward(&self.net, data.m)
                self.net.loss.evaluate(&self.net.loss, data.m, &score)
                backward(&self.net, data.m, per_sample(&self.net.loss, self.net.loss.delta_factor, data.m), 0)
        finally:
            self.aim(0)
            self.release()
        return self.value(&score, data.m)

    cdef void aim(self, ptrdiff_t offset) noexcept:
        """Point every update `offset` bytes beyond the weights."""
        cdef ptrdiff_t i
        for i in range(self.net.n_rows):
            self.net.rows[i].target = <char *> self.net.rows[i].W + offset

    def reset_optimizer(self):
        """Set the optimiser's state to zero; plain SGD has none."""

    # ---- prediction ---------------------------------------------------------------------------------------------

    def predict(self, X, out=None):
        """Outputs (m, n) for X (m, k), into `out` if given."""
        if not self.inputs_ready(X):
            X = self.prepare(X, None)[0]
        cdef np.npy_intp shape[2]
        shape[0], shape[1] = np.PyArray_DIM(X, 0), self.n
        out = self.output_array(out, X, 2, shape)
        self.predict_rows(np.PyArray_BYTES(X), shape[0], np.PyArray_BYTES(out))
        return out

    def predict_one(self, x, out=None):
        """Outputs (n,) for one sample x (k,), into `out` if given."""
        cdef np.npy_intp shape[1]
        if not (self.of_dtype(x, 1) and np.PyArray_DIM(x, 0) == self.k and self.within(x, -self.largest(),
                                                                                      self.largest())):
            x = self.prepare_one(x)
        shape[0] = self.n
        out = self.output_array(out, x, 1, shape)
        self.predict_rows(np.PyArray_BYTES(x), 1, np.PyArray_BYTES(out))
        return out

    cdef int predict_rows(self, const char *X, ptrdiff_t m, char *out) except -1:
        cdef bint unlocked = self.flops * m > UNLOCKED_FLOPS
        self.acquire()
        try:
            self.reserve(min(m, PREDICT_ROWS), False)
            self.want(False)
            if unlocked:
                with nogil:
                    self.predict_chunks(X, m, out)
            else:
                self.predict_chunks(X, m, out)
        finally:
            self.release()
        return 0

    cdef void predict_chunks(self, const char *X, ptrdiff_t m, char *out) noexcept nogil:
        cdef ptrdiff_t first, i, rows, bytes = self.n * self.itemsize
        cdef const row_t *last = &self.net.rows[self.net.n_rows - 1]
        first = 0
        while first < m:
            rows = min(PREDICT_ROWS, m - first)
            self.net.rows[0].X = X + first * self.k * self.itemsize
            forward(&self.net, rows)
            for i in range(rows):
                memcpy(out + (first + i) * bytes, <char *> last.Y + i * last.ld * self.itemsize, bytes)
            first += rows

    def evaluate(self, X, y):
        """Loss and accuracy (nan for a regression) on ready arrays; nothing changes."""
        cdef score_t score = score_t(0, 0)
        cdef data_set data = self.data(X, y)
        cdef ptrdiff_t first, rows
        self.acquire()
        try:
            self.reserve(min(data.m, PREDICT_ROWS), False)
            self.want(self.logits)
            with nogil:
                first = 0
                while first < data.m:
                    rows = min(PREDICT_ROWS, data.m - first)
                    self.stage(&data, first, rows)
                    forward(&self.net, rows)
                    self.net.loss.evaluate(&self.net.loss, rows, &score)
                    first += rows
        finally:
            self.release()
        return self.value(&score, data.m), self.accuracy(&score, data.m)

    # ---- the user's arrays --------------------------------------------------------------------------------------

    cdef inline double largest(self) noexcept nogil:
        return LARGEST_FLOAT if self.itemsize == 4 else LARGEST_DOUBLE

    cdef inline bint of_dtype(self, object array, int ndim):
        return (np.PyArray_Check(array) and np.PyArray_TYPE(array) == self.typenum
                and np.PyArray_NDIM(array) == ndim and np.PyArray_ISCARRAY_RO(array))

    cdef inline bint within(self, object array, double low, double high):
        return self.net.cpu.all_within(np.PyArray_DATA(array), np.PyArray_SIZE(array), low, high)

    cdef bint inputs_ready(self, object X):
        return (self.of_dtype(X, 2) and np.PyArray_DIM(X, 0) > 0 and np.PyArray_DIM(X, 1) == self.k
                and self.within(X, -self.largest(), self.largest()))

    cdef bint targets_ready(self, object y, ptrdiff_t m):
        """Whether y can be used as it is. Class weights of rows are left to `prepare`."""
        cdef int64_t *labels
        cdef ptrdiff_t i
        if self.sparse:
            if not (np.PyArray_Check(y) and np.PyArray_TYPE(y) == np.NPY_INT64 and np.PyArray_NDIM(y) == 1
                    and np.PyArray_ISCARRAY_RO(y) and np.PyArray_DIM(y, 0) == m):
                return False
            labels = <int64_t *> np.PyArray_DATA(y)
            for i in range(m):
                if not 0 <= labels[i] < self.n:
                    return False
            return True
        if not (self.of_dtype(y, 2) and np.PyArray_DIM(y, 0) == m and np.PyArray_DIM(y, 1) == self.n):
            return False
        if not self.logits:
            return self.within(y, -self.largest(), self.largest())
        return self.output.kind == SIGMOID and self.within(y, 0, 1)

    cdef object prepare_one(self, object x):
        """One sample, made ready by way of a batch of one."""
        if np.PyArray_Check(x) and np.PyArray_NDIM(x) != 1:
            raise ValueError(f"x: expected one sample of shape ({self.k},), got shape {x.shape}")
        return self.prepare([x], None)[0][0]

    cdef object output_array(self, object out, object X, int ndim, np.npy_intp *shape):
        cdef char *first
        cdef const char *start = np.PyArray_BYTES(X)
        if out is None:
            return np.PyArray_EMPTY(ndim, shape, self.typenum, 0)
        expected = f"({', '.join(str(shape[i]) for i in range(ndim))}{',' if ndim == 1 else ''})"
        if not (self.of_dtype(out, ndim) and np.PyArray_ISWRITEABLE(out) and np.PyArray_DIM(out, 0) == shape[0]
                and np.PyArray_DIM(out, ndim - 1) == shape[ndim - 1]):
            raise ValueError(
                f"out: expected a writeable C-contiguous {self.params.dtype} array of shape {expected}, got "
                + (f"{out.dtype} of shape {out.shape}" if np.PyArray_Check(out) else type(out).__name__)
            )
        first = np.PyArray_BYTES(out)
        if first < start + np.PyArray_NBYTES(X) and start < first + np.PyArray_NBYTES(out):
            raise ValueError("out: expected memory of its own, got an array that overlaps the inputs")
        return out

    # ---- one user at a time -------------------------------------------------------------------------------------

    cdef int acquire(self) except -1:
        """Take the workspace. Waits for another thread's prediction; a network in training is an error."""
        if PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            return 0
        if self.training:
            raise RuntimeError("this network is training in another thread: wait for it, or train a copy")
        with nogil:
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
        return 0

    cdef void release(self) noexcept:
        PyThread_release_lock(self.lock)


cdef void gather(char *to, ptrdiff_t ld, const char *rows, ptrdiff_t bytes, const ptrdiff_t *order,
                 ptrdiff_t m) noexcept nogil:
    """The rows that `order` names, one after another, `ld` bytes apart."""
    cdef ptrdiff_t i
    for i in range(m):
        memcpy(to + i * ld, rows + order[i] * bytes, bytes)
