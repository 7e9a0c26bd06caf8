"""Program: a network's layers as rows over memory of their own, and the walk over them.

    step     forward row by row; the loss and its deltas; then from the last row to the first the deltas below (W still
             old) and the weights in place
    memory   a workspace (_workspace.pyx). SGD needs nothing else beside the parameters; what other optimisers keep is
             theirs.
    threads  as many as the work is worth (_threads.pyx). Samples are split forward and backward, rows of W in the
             updates, so that no sum is: the bits stay the same. How much each takes follows its speed (csrc/team.c)

A network has one program sample-major and, where all its layers are thin, a second one feature-major for training.
"""

cimport cython
from libc.math cimport isnan
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

cimport numpy as np

from fusedelta._c cimport (
    ELU, EXPONENTIAL, GELU, GELU_TANH, HARD_SIGMOID, HARD_TANH, LEAKY_RELU, LINEAR, MISH, RELU, SELU,
    SIGMOID, SILU, SOFTMAX, SOFTPLUS, TANH, TRAINING, coming_t, row_t, score_t, share_t, stage_t,
    team_active, team_barrier, team_expect, team_free, team_new, team_part, team_run, team_took, ticks,
)
from fusedelta._cpu cimport current_kernels
from fusedelta._dense cimport dense_ops, narrow_dense_ops, tall_dense_ops
from fusedelta._elementwise cimport activation_ops, dropout_ops, fork_ops
from fusedelta._losses cimport UserLoss, set_loss
from fusedelta._normalize cimport batch_ops, layer_ops
from fusedelta._optimizers cimport Optimizer, finish_share, rule_t
from fusedelta._samples cimport gather, spread
from fusedelta._threads cimport first_speed, threads_worth
from fusedelta._workspace cimport Workspace

np.import_array()

KINDS = {
    "linear": LINEAR, "relu": RELU, "leaky_relu": LEAKY_RELU, "sigmoid": SIGMOID, "tanh": TANH, "softmax": SOFTMAX,
    "elu": ELU, "selu": SELU, "hard_sigmoid": HARD_SIGMOID, "hard_tanh": HARD_TANH, "exponential": EXPONENTIAL,
    "softplus": SOFTPLUS, "silu": SILU, "mish": MISH, "gelu": GELU, "gelu_tanh": GELU_TANH,
}

cdef double ELEMENTWISE_FLOPS = 30  # a value of a row without weights, all passes: a guess


@cython.final
cdef class Program(Workspace):
    """Rows compiled from layers.

    Parameters
    ----------
    rows : list of rows.Row
        The layers, with the place of each in `params`.
    loss : losses.Loss
    optimizer : Optimizer
        The network's, shared by its programs.
    params : ndarray
        The flat block of weights and biases, updated in place; the caller keeps it alive.
    state : ndarray
        The flat block of what training keeps beside them; the caller keeps it alive.
    narrow : bool
        Feature-major.
    n_threads : int
        The most threads that a step may use; one is used feature-major.
    """

    def __cinit__(self, list rows, loss, Optimizer optimizer, np.ndarray params, np.ndarray state,
                  bint narrow, int n_threads):
        cdef ptrdiff_t i, last = len(rows) - 1
        self.kinds = [row.kind for row in rows]
        self.partners = [row.partner for row in rows]
        self.drops, self.averages = "dropout" in self.kinds, "batch_normalization" in self.kinds
        self.narrow, self.shares = narrow, 1
        self.threads = 1 if narrow else n_threads
        self.team = team_new(self.threads)
        self.itemsize = np.PyArray_ITEMSIZE(params)
        self.net.cpu = current_kernels(self.itemsize)
        self.net.n_rows = len(rows)
        self.net.rows = <row_t *> calloc(len(rows), sizeof(row_t))
        if self.net.rows == NULL or self.team == NULL:
            raise MemoryError()
        for i in range(self.threads):
            team_expect(self.team, <int> i, first_speed(<int> i))
        for i in range(last + 1):
            self.compile(&self.net.rows[i], rows[i], np.PyArray_BYTES(params), np.PyArray_BYTES(state))
            if i > 0:
                self.net.rows[i].ldx = self.net.rows[i - 1].ld
                self.net.rows[i].act_below = self.net.rows[i - 1].act
        self.dense, self.padded = set(self.kinds) == {"dense"}, self.kinds[0] != "dense"
        if self.padded:
            self.net.rows[0].ldx = self.net.rows[0].ld
        self.k, self.n = self.net.rows[0].k, self.net.rows[last].n
        self.takes_ahead = (
            self.dense and not rows[0].is_tall and self.k * self.net.rows[0].ld * self.itemsize >= FAR_AWAY
        )
        self.output = self.net.loss.act = self.net.rows[last].act
        self.net.loss.n, self.net.loss.ld = self.n, self.net.rows[last].ld
        set_loss(&self.net.loss, loss, self.net.cpu)
        self.net.loss.by_lane = narrow
        self.net.loss.widest = max([row.lanes for row in rows])
        self.user = None if loss.function is None else UserLoss(loss.function, np.PyArray_TYPE(params))
        if self.user is not None:
            self.user.attach(&self.net.loss, self.net.cpu)
        self.logits, self.sparse, self.smoothing = loss.takes_logits, loss.targets == "labels", loss.smoothing
        self.decisions = 0 if not loss.is_classification else self.n if loss.is_binary else 1
        self.optimizer, self.rule = optimizer, &optimizer.rule
        self.tensors = optimizer.tensors
        self.net.optimizer, self.net.team, self.net.barrier = self.rule, self.team, team_barrier
        if self.rule.finish != NULL or self.tensors.n_constraints > 0:
            self.net.finish = finish_share
        self.aim(optimizer.target)

    cdef int compile(self, row_t *row, object layer, char *params, char *state) except -1:
        row.k, row.n, row.ld = layer.n_inputs, layer.n_outputs, layer.stride
        row.ldx, row.height, row.tall = row.k, layer.height, layer.is_tall
        self.net.tall |= row.tall
        row.W = params + <ptrdiff_t> layer.offset * self.itemsize
        row.act.kind, row.act.slope = KINDS[layer.activation], layer.slope
        if layer.kind == "dense":
            row.ops = &narrow_dense_ops if self.narrow else &tall_dense_ops if row.tall else &dense_ops
        elif layer.kind == "fork":
            row.ops = &fork_ops
        elif layer.kind in ("activation", "add"):
            row.ops = &activation_ops
        elif layer.kind in ("batch_normalization", "layer_normalization"):
            row.ops = &batch_ops if layer.kind == "batch_normalization" else &layer_ops
            row.epsilon, row.momentum = layer.layer.epsilon, getattr(layer.layer, "momentum", 1)
            row.scale, row.center = layer.layer.scale, layer.layer.center
            row.moving = state + <ptrdiff_t> layer.state_offset * self.itemsize
        elif layer.kind == "dropout":
            row.ops = &dropout_ops
            row.rate, row.threshold, row.number = layer.layer.rate, layer.layer.threshold, layer.number
        else:
            raise ValueError(f"layers: no row is called {layer.kind!r}")
        self.flops += 6.0 * row.k * row.n if layer.kind == "dense" else ELEMENTWISE_FLOPS * row.n
        self.sloped |= row.act.kind >= SOFTPLUS
        return 0

    def __dealloc__(self):
        if self.team != NULL:
            team_free(self.team)
        free(self.net.rows)

    # ---- a batch in place -------------------------------------------------------------------------------------------

    cdef void begin(self, stage_t stage, bint logits) noexcept nogil:
        """What the walks to come are for, and whether the last row gives logits, or the activated output."""
        self.net.stage = stage
        if stage == TRAINING and self.tensors.penalized:
            self.clear_padding()
        self.net.rows[self.net.n_rows - 1].act.kind = LINEAR if logits else self.output.kind
        if self.sloped and not self.narrow:
            self.want_slopes(True)

    cdef void want_slopes(self, bint slopes) noexcept nogil:
        """Whether the way forward is followed by a way back; sample-major."""
        cdef ptrdiff_t i
        cdef row_t *row
        for i in range(self.net.n_rows):
            row = &self.net.rows[i]
            if row.act.kind >= SOFTPLUS:
                row.S = <char *> row.Y + self.capacity * row.ld * self.itemsize if slopes else NULL

    cdef void aim(self, ptrdiff_t offset) noexcept nogil:
        """Point every update `offset` bytes beyond the weights."""
        cdef ptrdiff_t i
        for i in range(self.net.n_rows):
            self.net.rows[i].target = <char *> self.net.rows[i].W + offset

    cdef void stage(self, data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil:
        """Put samples first .. first + m - 1 of the order where the rows look."""
        cdef ptrdiff_t bytes = self.k * self.itemsize
        cdef row_t *row = &self.net.rows[0]
        if data.staged:
            return
        if self.narrow:
            self.net.cpu.narrow_gather(data.X if data.order != NULL else data.X + first * bytes, self.k,
                                       data.order + first if data.order != NULL else NULL, m, self.inputs, row.ldx)
        elif data.order == NULL:
            self.place(data.X + first * bytes)
        elif m == 1:
            self.place(data.X + data.order[first] * bytes)
        else:
            row.X = self.inputs  # `forward` brings them there
            self.source = source_t(True, data.X, data.order + first)
        self.stage_targets(data, first, m)
        data.staged = data.order == NULL and m == data.m

    cdef void place(self, const char *X) noexcept nogil:
        """Let the rows read inputs that lie together."""
        if self.padded:  # all but dense rows want whole blocks: `forward` copies them
            self.net.rows[0].X = self.inputs
            self.source = source_t(True, X, NULL)
        else:
            self.net.rows[0].X = X
            self.source.scattered = False

    cdef void look_ahead(self, const data_set *data, ptrdiff_t next, ptrdiff_t m) noexcept nogil:
        """Say which m samples come after the batch in place, or, with -1, that it is not known."""
        cdef ptrdiff_t bytes = self.k * self.itemsize
        self.net.next, self.coming.m = NULL, 0
        if next < 0:
            self.net.started = False
        elif m > 1:
            self.coming = coming_t(data.X, NULL, min(m, COMING_BYTES // bytes), bytes)
            if data.order == NULL:
                self.coming.X += next * bytes
            else:
                self.coming.order = data.order + next
        elif self.takes_ahead:
            self.net.next = data.X + (next if data.order == NULL else data.order[next]) * bytes

    cdef void stage_targets(self, const data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil:
        cdef ptrdiff_t i, bytes = self.n * self.itemsize, ld = self.net.loss.ld * self.itemsize
        if self.narrow:
            self.net.cpu.narrow_gather(data.T if data.order != NULL else data.T + first * bytes, self.n,
                                       data.order + first if data.order != NULL else NULL, m, self.targets,
                                       self.net.loss.ld)
        elif not self.sparse:
            self.net.loss.T = self.targets
            if data.order == NULL:
                spread(self.targets, ld, data.T + first * bytes, bytes, bytes, m)
            else:
                gather(self.targets, ld, data.T, bytes, data.order + first, m)
        elif data.order == NULL:
            self.net.loss.labels = data.labels + first
        else:
            for i in range(m):
                self.labels[i] = data.labels[data.order[first + i]]
            self.net.loss.labels = self.labels
        if self.smoothing > 0 and not self.sparse:
            self.smooth_targets(m)
        self.stage_weights(data, first, m)

    cdef void smooth_targets(self, ptrdiff_t m) noexcept nogil:
        """From targets t to t (1 - s) + s / n for n classes, which are 2 where each output decides by itself."""
        cdef ptrdiff_t count = self.net.loss.ld * (self.n if self.narrow else m)
        cdef double classes = 2 if self.output.kind == SIGMOID else self.n
        self.net.cpu.rescale(self.targets, count, 1 - self.smoothing, self.smoothing / classes)

    cdef void stage_weights(self, const data_set *data, ptrdiff_t first, ptrdiff_t m) noexcept nogil:
        self.net.loss.weights = NULL
        if data.weights == NULL:
            return
        self.net.loss.weights = self.weights
        if data.order == NULL:
            memcpy(self.weights, data.weights + first * self.itemsize, m * self.itemsize)
        else:
            gather(self.weights, self.itemsize, data.weights, self.itemsize, data.order + first, m)

    # ---- the walk ---------------------------------------------------------------------------------------------------

    cdef int threads_for(self, double flops) noexcept nogil:
        """The threads that so much work is worth."""
        return threads_worth(flops, self.threads) if self.threads > 1 else 1

    cdef void forward(self, ptrdiff_t m, int threads) noexcept nogil:
        """Shared by threads that there is memory for."""
        cdef team_step step
        cdef share_t share = share_t(m, 0, m, self.panels, 0, 1, NULL)
        if threads == 1 or m == 1:
            self.forward_share(&share)
        else:
            step.program, step.m, step.score = <void *> self, m, NULL
            team_run(self.team, threads, run_forward, &step)

    cdef share_t share(self, int thread, ptrdiff_t m) noexcept nogil:
        """A thread's part of m samples."""
        cdef share_t share = share_t(m, 0, 0, self.panels + thread * self.panel, thread, team_active(self.team), NULL)
        team_part(self.team, thread, m, &share.first, &share.last)
        return share

    cdef void bring(self, ptrdiff_t first, ptrdiff_t last) noexcept nogil:
        """Copy the inputs of samples first .. last - 1 of the batch to where the first row reads them."""
        cdef ptrdiff_t bytes = self.k * self.itemsize, ld = self.net.rows[0].ldx * self.itemsize
        if self.source.order != NULL:
            gather(self.inputs + first * ld, ld, self.source.samples, bytes, self.source.order + first, last - first)
        else:
            spread(self.inputs + first * ld, ld, self.source.samples + first * bytes, bytes, bytes, last - first)

    cdef void forward_share(self, const share_t *share) noexcept nogil:
        cdef ptrdiff_t i
        cdef const row_t *rows = self.net.rows
        if self.source.scattered:
            self.bring(share.first, share.last)
        for i in range(self.net.n_rows):
            rows[i].ops.forward(&self.net, &rows[i], share)

    cdef void score(self, ptrdiff_t m, score_t *score) noexcept nogil:
        """Add the loss of the batch; write the deltas of the last row."""
        if self.narrow:  # the same matrix, transposed
            self.net.loss.n = m
            self.net.loss.evaluate(&self.net.loss, self.n, score)
        else:
            self.net.loss.evaluate(&self.net.loss, m, score)

    cdef void score_part(self, data_set *data, ptrdiff_t first, ptrdiff_t at, ptrdiff_t m,
                         score_t *score) noexcept nogil:
        """Score samples first .. first + m - 1 of the data, whose outputs begin at row `at`; never feature-major."""
        cdef const void *Y = self.net.loss.Y
        self.stage_targets(data, first, m)
        self.net.loss.Y = <const char *> Y + at * self.net.loss.ld * self.itemsize
        self.score(m, score)
        self.net.loss.Y = Y

    cdef void add_penalties(self, ptrdiff_t m, score_t *score) noexcept nogil:
        """Those of the weights, as if the samples' losses summed up to them too."""
        cdef double penalty
        self.tensors.penalties(self.net.cpu, 0, 1)
        penalty = self.tensors.total() / self.net.loss.value_factor
        score.sum += penalty * <double> m if self.net.loss.mean else penalty

    cdef double alpha(self, ptrdiff_t m, double rate) noexcept nogil:
        cdef double alpha = rate * self.net.loss.delta_factor
        return alpha / <double> m if self.net.loss.mean else alpha

    cdef void backward(self, ptrdiff_t m, double rate, double beta) noexcept nogil:
        """From the last row to the first: target = beta target + rate dLoss/dW, after W was used."""
        cdef ptrdiff_t i = self.net.n_rows
        cdef const row_t *row
        cdef share_t samples = share_t(m, 0, m, self.panels, 0, 1, NULL)
        cdef share_t weights = samples
        cdef double alpha = self.alpha(m, rate)
        while i > 0:
            i -= 1
            row = &self.net.rows[i]
            if row.Dx != NULL:
                row.ops.backward(&self.net, row, &samples)
            if row.height > 0:
                weights.last = row.height
                weights.coming = &self.coming if i == 0 and self.coming.m > 0 else NULL
                row.ops.update(&self.net, row, &weights, alpha, beta)

    cdef void step(self, ptrdiff_t m, score_t *score) noexcept nogil:
        """One optimiser step on the batch in place."""
        cdef team_step step
        cdef int threads
        cdef rule_t *rule = self.rule
        cdef double alpha, beta
        if self.net.loss.user != NULL:
            self.step_of_user(m, score)
            return
        if rule.begin != NULL:
            rule.begin(rule)
            if self.tensors.penalized:
                self.add_penalties(m, score)
        alpha, beta = self.alpha(m, rule.rate), rule.beta
        if self.shares > 1 and m > 1:  # the kernels of a single sample are not to be shared
            threads = min(self.shares, self.threads_for(self.flops * m))
            if threads > 1:
                step.program, step.m, step.score = <void *> self, m, score
                team_run(self.team, threads, run_share, &step)
                self.settle()
                return
        if self.is_whole(m):
            self.whole_step(m, alpha, beta, score)
        else:
            self.forward(m, 1)
            self.score(m, score)
            self.backward(m, rule.rate, beta)
            self.settle()
        if self.net.finish != NULL:
            self.net.finish(&self.net, 0, 1)

    cdef bint is_whole(self, ptrdiff_t m) noexcept nogil:
        """Whether `whole_step` makes the passes of a step."""
        return self.narrow or (m == 1 and self.dense)

    cdef void whole_step(self, ptrdiff_t m, double alpha, double beta, score_t *score) noexcept nogil:
        if self.narrow:
            self.net.loss.n = m
            self.net.cpu.narrow_step(&self.net, m, alpha, beta, score, 1)
        else:
            self.net.cpu.online_step(&self.net, alpha, beta, score)

    cdef void step_of_user(self, ptrdiff_t m, score_t *score) noexcept nogil:
        """A step that ends before a weight moves if the user's loss raises; `check` then raises it, too. One thread."""
        cdef rule_t *rule = self.rule
        self.forward(m, 1)
        self.score(m, score)
        if isnan(score.sum):
            return
        if rule.begin != NULL:
            rule.begin(rule)
            if self.tensors.penalized:
                self.add_penalties(m, score)
        self.backward(m, rule.rate, rule.beta)
        self.settle()
        if self.net.finish != NULL:
            self.net.finish(&self.net, 0, 1)

    cdef void settle(self) noexcept nogil:
        """What a whole step moves beside the parameters."""
        cdef ptrdiff_t i
        cdef const row_t *rows = self.net.rows
        self.net.noise.step += self.drops
        if self.averages:
            for i in range(self.net.n_rows):
                if rows[i].ops.settle != NULL:
                    rows[i].ops.settle(&self.net, &rows[i])

    cdef int check(self) except -1:
        """Raise what the user's loss raised."""
        return self.user.check() if self.user is not None else 0

    cdef void step_share(self, int thread, ptrdiff_t m, score_t *score) noexcept nogil:
        """One thread's part of a step: all the way back before any weight moves."""
        cdef ptrdiff_t i
        cdef const row_t *rows = self.net.rows
        cdef share_t share = self.share(thread, m)
        cdef const rule_t *rule = self.rule
        cdef double alpha = self.alpha(m, rule.rate)
        cdef int64_t took = -ticks()  # with the waits within rows, as in batch normalisation: there speeds hardly show
        self.forward_share(&share)
        took += ticks()
        team_barrier(self.team)
        if thread == 0:
            self.score(m, score)
        team_barrier(self.team)
        took -= ticks()
        for i in range(self.net.n_rows - 1, 0, -1):
            if rows[i].Dx != NULL:
                rows[i].ops.backward(&self.net, &rows[i], &share)
        took += ticks()
        team_barrier(self.team)
        took -= ticks()
        for i in range(self.net.n_rows):
            share.coming = &self.coming if i == 0 and self.coming.m > 0 else NULL
            team_part(self.team, thread, rows[i].height, &share.first, &share.last)
            if share.first < share.last:
                rows[i].ops.update(&self.net, &rows[i], &share, alpha, rule.beta)
        team_took(self.team, thread, took + ticks())
        if self.net.finish != NULL:
            team_barrier(self.team)
            self.net.finish(&self.net, thread, share.threads)


cdef void run_share(void *argument, int thread) noexcept nogil:
    cdef team_step *step = <team_step *> argument
    (<Program> step.program).step_share(thread, step.m, step.score)


cdef void run_forward(void *argument, int thread) noexcept nogil:
    cdef team_step *step = <team_step *> argument
    cdef share_t share = (<Program> step.program).share(thread, step.m)
    cdef int64_t start = ticks()
    (<Program> step.program).forward_share(&share)
    team_took((<Program> step.program).team, thread, ticks() - start)
