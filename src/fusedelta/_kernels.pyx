"""Single kernels on single matrices, and a team of threads by itself, for the tests and the benchmarks; training does
not come through here."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint64_t

cimport numpy as np

import numpy as np

from fusedelta._c cimport (
    BLOCK_BYTES, EXP, LOG1P, NARROW, ROOT, SOFTPLUS, conditions_t, kernels_t, loss_t, moments_t, net_t,
    noise_t, row_t, score_t, share_t, team_free, team_new, team_part, team_run, team_t, team_took,
)
from fusedelta._cpu cimport check_registers, kernels_named
from fusedelta._program import KINDS as ACTIVATION_KINDS
from fusedelta.rows import stride_of

np.import_array()

KINDS = {**ACTIVATION_KINDS, "exp": EXP, "log1p": LOG1P, "root": ROOT}


def zeros(shape, dtype):
    """A zeroed 64-byte aligned C-contiguous array."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    block = np.zeros(size + BLOCK_BYTES, np.uint8)
    start = -block.ctypes.data % BLOCK_BYTES
    return block[start:start + size].view(dtype).reshape(shape)


def padded(n, dtype):
    """n rounded up to whole 64-byte blocks of the dtype."""
    return -(-n // (BLOCK_BYTES // np.dtype(dtype).itemsize)) * (BLOCK_BYTES // np.dtype(dtype).itemsize)


def apply(isa, kind, x, double slope=0.0, slopes=False, ptrdiff_t times=1):
    """An elementary function or activation of a one-dimensional array; with `slopes` its derivative instead."""
    cdef const kernels_t *cpu = kernels_named(isa, x.itemsize)
    cdef np.ndarray block = zeros((padded(len(x), x.dtype),), x.dtype)
    cdef np.ndarray values = zeros((block.size,), x.dtype), derivative = zeros((block.size,), x.dtype)
    cdef ptrdiff_t _, size = block.size
    cdef int number = KINDS[kind]
    cdef void *inputs = np.PyArray_DATA(block)
    cdef void *outputs = np.PyArray_DATA(values)
    cdef void *found = np.PyArray_DATA(derivative) if slopes else NULL
    block[:len(x)] = x
    with nogil:
        for _ in range(times):
            cpu.apply(number, slope, inputs, outputs, found, size)
        check_registers()
    return derivative[:len(x)] if slopes else values[:len(x)]


def rescale(isa, np.ndarray x, double factor, double shift, ptrdiff_t times=1):
    """x := factor x + shift, of an aligned array of whole 64-byte blocks."""
    cdef ptrdiff_t _
    for _ in range(times):
        kernels_named(isa, x.itemsize).rescale(np.PyArray_DATA(x), x.size, factor, shift)
    check_registers()


def all_within(isa, np.ndarray x, low, high):
    """Whether all values of a contiguous array lie between low and high."""
    cdef bint within = kernels_named(isa, x.itemsize).all_within(np.PyArray_DATA(x), x.size, low, high)
    check_registers()
    return within


ctypedef void (*finish_t)(const moments_t *, ptrdiff_t, ptrdiff_t) noexcept nogil


def finish(isa, str kernel, dict blocks, dict numbers, ptrdiff_t first=0, last=None, ptrdiff_t times=1):
    """An optimiser's finish on aligned blocks of whole 64 bytes, named as in struct moments like the step's numbers."""
    cdef const kernels_t *cpu = kernels_named(isa, blocks["w"].itemsize)
    cdef ptrdiff_t _, end = blocks["w"].size if last is None else last
    cdef finish_t run = finish_kernel(cpu, kernel)
    cdef moments_t s = moments_t(
        w=data_of(blocks, "w"), g=data_of(blocks, "g"), velocity=data_of(blocks, "velocity"),
        m=data_of(blocks, "m"), v=data_of(blocks, "v"), u=data_of(blocks, "u"), d=data_of(blocks, "d"),
        rate=numbers["rate"], mean_part=numbers["mean_part"], gradient_part=numbers["gradient_part"],
        decay=numbers["decay"], epsilon=numbers["epsilon"], momentum=numbers["momentum"], rho=numbers["rho"],
        beta_1=numbers["beta_1"], beta_2=numbers["beta_2"],
    )
    with nogil:
        for _ in range(times):
            run(&s, first, end)
        check_registers()


cdef void *data_of(dict blocks, str name) except? NULL:
    return np.PyArray_DATA(blocks[name]) if name in blocks else NULL


cdef finish_t finish_kernel(const kernels_t *cpu, str kernel) except NULL:
    cdef finish_t[11] entries = [
        cpu.descent_finish, cpu.momentum_finish, cpu.nesterov_finish, cpu.lion_finish, cpu.adam_finish,
        cpu.amsgrad_finish, cpu.nadam_finish, cpu.adamax_finish, cpu.rmsprop_finish, cpu.adagrad_finish,
        cpu.adadelta_finish,
    ]
    return entries[FINISH_KERNELS.index(kernel)]


def penalty(isa, np.ndarray x, double l1, double l2, ptrdiff_t times=1):
    """The penalty of an aligned array of whole 64-byte blocks."""
    cdef const kernels_t *cpu = kernels_named(isa, x.itemsize)
    cdef void *data = np.PyArray_DATA(x)
    cdef ptrdiff_t _, count = x.size
    cdef double value = 0
    with nogil:
        for _ in range(times):
            cpu.penalty(data, count, l1, l2, &value)
        check_registers()
    return value


def condition(isa, np.ndarray w, np.ndarray g, double l1, double l2, double limit, ptrdiff_t times=1):
    """Add the gradient of a penalty to g, and clip it; aligned arrays of whole 64-byte blocks."""
    cdef const kernels_t *cpu = kernels_named(isa, g.itemsize)
    cdef conditions_t conditions = conditions_t(l1, l2, limit)
    cdef void *weights = np.PyArray_DATA(w)
    cdef void *gradient = np.PyArray_DATA(g)
    cdef ptrdiff_t _, count = g.size
    with nogil:
        for _ in range(times):
            cpu.condition(&conditions, weights, gradient, count)
        check_registers()


def shrink(isa, np.ndarray x, double factor, ptrdiff_t times=1):
    """Multiply an aligned array of whole 64-byte blocks."""
    cdef const kernels_t *cpu = kernels_named(isa, x.itemsize)
    cdef void *data = np.PyArray_DATA(x)
    cdef ptrdiff_t _, count = x.size
    with nogil:
        for _ in range(times):
            cpu.shrink(data, count, factor)
        check_registers()


def max_norm(isa, np.ndarray W, double largest, ptrdiff_t first=0, last=None, ptrdiff_t times=1):
    """Constrain columns of an aligned W (k, ld)."""
    cdef const kernels_t *cpu = kernels_named(isa, W.itemsize)
    cdef void *data = np.PyArray_DATA(W)
    cdef ptrdiff_t _, k = W.shape[0], ld = W.shape[1], end = W.shape[1] if last is None else last
    with nogil:
        for _ in range(times):
            cpu.max_norm(data, k, ld, first, end, largest)
        check_registers()


ctypedef void (*loss_function)(const loss_t *, ptrdiff_t m, score_t *) noexcept nogil


cdef loss_function loss_kernel(const kernels_t *cpu, str name) except NULL:
    """The entry of that name."""
    cdef loss_function *entries = [
        cpu.squared_error, cpu.absolute_error, cpu.huber, cpu.log_cosh, cpu.quantile, cpu.poisson, cpu.hinge,
        cpu.squared_hinge, cpu.poisson_logits, cpu.binary_crossentropy, cpu.binary_focal,
        cpu.categorical_crossentropy, cpu.kl_divergence, cpu.categorical_focal,
    ]
    return entries[<ptrdiff_t> LOSS_KERNELS.index(name)]


cdef class Matrices:
    """The matrices of one dense layer and its loss, and the kernels on them.

    Sample-major: X (m, k), W and target (k + 1, ld), Y, D and T (m, ld), Dx (m, ldx), labels (m). Feature-major, where
    narrow: X (k + 1, ldx), Y (n + 1, ldx), D and T (n, ldx), Dx (k, ldx). S and Sx, the slopes, are as Y and X. Tall: W
    and target (n + 1, k in whole blocks), transposed, the biases in the last line.
    """

    cdef readonly object X, W, target, Y, S, Sx, D, T, Dx, labels, weights, panel, list, kept
    cdef readonly ptrdiff_t m, k, n, height
    cdef readonly bint tall
    cdef const kernels_t *cpu
    cdef row_t row
    cdef share_t share
    cdef loss_t loss

    def __init__(self, isa, dtype, m, k, n, act="linear", act_below="linear", slope=0.0, narrow=False, tall=False):
        dtype = np.dtype(dtype)
        ld, lanes = stride_of(n, dtype), padded(m, dtype)
        self.m, self.k, self.n = m, k, n
        self.cpu = kernels_named(isa, dtype.itemsize)
        shape = (n + 1, padded(k, dtype)) if tall else (k + 1, ld)
        self.W, self.target = zeros(shape, dtype), zeros(shape, dtype)
        if narrow:
            self.X, self.Y, self.Dx = (zeros((rows, lanes), dtype) for rows in (k + 1, n + 1, k))
            self.D, self.T = zeros((n, lanes), dtype), zeros((n, lanes), dtype)
        else:
            self.X, self.Dx = zeros((m, stride_of(k, dtype)), dtype), zeros((m, stride_of(k, dtype)), dtype)
            self.Y, self.D, self.T = (zeros((m, ld), dtype) for _ in range(3))
        self.S, self.Sx = zeros(self.Y.shape, dtype), zeros(self.X.shape, dtype)
        self.labels, self.weights = np.zeros(m, np.int64), zeros((lanes,), dtype)
        self.row.k, self.row.n, self.row.ld, self.row.ldx = k, n, ld, self.X.shape[1]
        self.tall, self.height = tall, padded(k, dtype) // padded(1, dtype) + 1 if tall else k + 1
        self.row.tall, self.row.height = tall, self.height
        self.row.W, self.row.target = np.PyArray_DATA(self.W), np.PyArray_DATA(self.target)
        self.row.X, self.row.Y = np.PyArray_DATA(self.X), np.PyArray_DATA(self.Y)
        self.row.D, self.row.Dx = np.PyArray_DATA(self.D), np.PyArray_DATA(self.Dx)
        self.panel = zeros((self.cpu.dense_scratch(&self.row, m),), np.uint8)
        self.share.m, self.share.scratch = m, np.PyArray_DATA(self.panel)
        self.list = np.zeros(k + 4, np.int32)
        self.row.list = <int32_t *> np.PyArray_DATA(self.list)
        if narrow:
            self.kept = zeros((k + 1, n * BLOCK_BYTES + NARROW * dtype.itemsize), np.uint8)
            self.row.kept = np.PyArray_DATA(self.kept)
        self.row.act.kind, self.row.act_below.kind = KINDS[act], KINDS[act_below]
        self.row.act.slope = self.row.act_below.slope = slope
        self.loss.n, self.loss.ld = (m, lanes) if narrow else (n, ld)
        self.loss.widest = n
        self.loss.act, self.loss.by_lane = self.row.act, narrow
        self.loss.on = 1
        self.row.Sx = self.row.X
        if self.row.act.kind >= SOFTPLUS:
            self.row.S = np.PyArray_DATA(self.S)
        if self.row.act_below.kind >= SOFTPLUS:
            self.row.Sx = np.PyArray_DATA(self.Sx)
        self.loss.Y, self.loss.D = self.row.Y, self.row.D
        self.loss.S = self.row.S if self.row.S != NULL else self.row.Y

    def pack_inputs(self):
        """Let X be without padding, as a user's array; only for passes that leave Dx alone."""
        self.X = self.X[:, :self.k].copy()
        self.row.X, self.row.ldx = np.PyArray_DATA(self.X), self.k

    def run(self, str kernel, double alpha=1.0, double beta=0.0, ptrdiff_t first=0, last=None, ptrdiff_t times=1):
        """Run a layer's kernel `times` times, without the GIL. first, last: samples, or shares of an update."""
        cdef ptrdiff_t _, m = self.m, kind = LAYER_KERNELS.index(kernel)
        cdef const row_t *row = &self.row
        cdef share_t *share = &self.share
        share.first = first
        share.last = (row.height if kernel.endswith("update") else m) if last is None else last
        with nogil:
            for _ in range(times):
                if kind == 0:
                    self.cpu.dense_forward(row, share)
                elif kind == 1:
                    self.cpu.dense_backward(row, share)
                elif kind == 2:
                    self.cpu.dense_update(row, share, alpha, beta)
                elif kind == 3:
                    self.cpu.online_forward(row)
                elif kind == 4:
                    self.cpu.online_backward(row)
                elif kind == 5:
                    self.cpu.online_update(row, alpha, beta)
                elif kind == 6:
                    self.cpu.narrow_forward(row, m)
                elif kind == 7:
                    self.cpu.narrow_backward(row, m)
                elif kind == 8:
                    self.cpu.narrow_update(row, m, alpha, beta)
                elif kind == 9:
                    self.cpu.tall_forward(row, share)
                elif kind == 10:
                    self.cpu.tall_backward(row, share)
                else:
                    self.cpu.tall_update(row, share, alpha, beta)
            check_registers()

    def run_elementwise(self, str kernel, ptrdiff_t first=0, last=None, more=None, double rate=0, threshold=0,
                        number=0, uint64_t key=0, uint64_t step=0, ptrdiff_t times=1):
        """Run the kernel of a row without parameters, n = k, on samples first..last-1."""
        cdef ptrdiff_t _, kind = ELEMENTWISE_KERNELS.index(kernel)
        cdef noise_t noise = noise_t(key=key, step=step)
        self.row.rate, self.row.threshold, self.row.number = rate, threshold, number
        self.row.more_X = self.row.more_D = NULL
        if more is not None:
            self.row.more_X = self.row.more_D = np.PyArray_DATA(more)
        self.share.first, self.share.last = first, self.m if last is None else last
        with nogil:
            for _ in range(times):
                if kind == 0:
                    self.cpu.activation_forward(&self.row, &self.share)
                elif kind == 1:
                    self.cpu.activation_backward(&self.row, &self.share)
                elif kind == 2:
                    self.cpu.dropout_forward(&self.row, &self.share, &noise)
                else:
                    self.cpu.dropout_backward(&self.row, &self.share, &noise)
            check_registers()

    def run_normalization(self, str kernel, np.ndarray statistics, moving=None, double epsilon=1e-3, double momentum=1,
                          bint scale=True, bint center=True, double alpha=1, double beta=0, ptrdiff_t times=1):
        """Run a kernel of a row that normalises, n = k, whose gamma and beta are the first rows of W and target."""
        cdef ptrdiff_t _, kind = NORMALIZE_KERNELS.index(kernel)
        cdef share_t weights = share_t(self.m, 0, scale + center, NULL, 0, 1, NULL)
        cdef share_t columns = share_t(self.m, 0, self.row.ld, NULL, 0, 1, NULL)
        self.row.statistics, self.row.moving = np.PyArray_DATA(statistics), NULL
        if moving is not None:
            self.row.moving = np.PyArray_DATA(moving)
        self.row.epsilon, self.row.momentum, self.row.scale, self.row.center = epsilon, momentum, scale, center
        self.share.first, self.share.last = 0, self.m
        with nogil:
            for _ in range(times):
                if kind == 0:
                    self.cpu.batch_statistics(&self.row, &columns)
                elif kind == 1:
                    self.cpu.moving_statistics(&self.row, &columns)
                elif kind == 2:
                    self.cpu.batch_forward(&self.row, &self.share)
                elif kind == 3:
                    self.cpu.batch_sums(&self.row, &columns)
                elif kind == 4:
                    self.cpu.batch_backward(&self.row, &self.share)
                elif kind == 5:
                    self.cpu.batch_update(&self.row, &weights, alpha, beta)
                elif kind == 6:
                    self.cpu.layer_forward(&self.row, &self.share)
                elif kind == 7:
                    self.cpu.layer_backward(&self.row, &self.share)
                elif kind == 8:
                    self.cpu.layer_update(&self.row, &weights, alpha, beta)
                else:
                    self.cpu.batch_settle(&self.row)
            check_registers()

    def evaluate(self, str kernel, bint labels=False, ptrdiff_t times=1, bint weighted=False, parameters=(0, 0, 0)):
        """Run a loss on Y and T, or on Y and the labels; returns the sum and the count of right answers."""
        cdef loss_function evaluate = loss_kernel(self.cpu, kernel)
        cdef ptrdiff_t _, rows = self.n if self.loss.by_lane else self.m
        cdef score_t score = score_t(0, 0)
        self.loss.T = NULL if labels else np.PyArray_DATA(self.T)
        self.loss.labels = <const int64_t *> np.PyArray_DATA(self.labels) if labels else NULL
        self.loss.weights = np.PyArray_DATA(self.weights) if weighted else NULL
        self.loss.a, self.loss.b, self.loss.c = parameters
        with nogil:
            for _ in range(times):
                evaluate(&self.loss, rows, &score)
            check_registers()
        return score.sum, score.correct

    def through_output(self, ptrdiff_t times=1):
        """Bring D from dLoss/dY to dLoss/dZ."""
        cdef ptrdiff_t _
        for _ in range(times):
            self.cpu.through_output(&self.loss, self.n if self.loss.by_lane else self.m)
        check_registers()

    def step(self, str kernel, double alpha=1.0, double beta=1.0, ptrdiff_t times=1):
        """Whole steps of a net of this one layer, with squared error; returns the sum of the losses."""
        cdef ptrdiff_t _
        cdef net_t net
        cdef score_t score = score_t(0, 0)
        net.cpu, net.n_rows, net.rows, net.loss = self.cpu, 1, &self.row, self.loss
        net.finish, net.next, net.started, net.tall = NULL, NULL, 0, 0
        net.loss.evaluate, net.loss.T = self.cpu.squared_error, np.PyArray_DATA(self.T)
        net.loss.weights = NULL
        if kernel == "narrow_step":
            scores = np.zeros(times, [("sum", np.float64), ("correct", np.int64)])
            self.cpu.narrow_step(&net, self.m, alpha, beta, <score_t *> np.PyArray_DATA(scores), times)
            check_registers()
            return scores["sum"].sum()
        for _ in range(times):
            self.cpu.online_step(&net, alpha, beta, &score)
        check_registers()
        return score.sum

    def narrow_gather(self, np.ndarray samples, order=None, ptrdiff_t times=1):
        """Bring samples (m, k) into the lanes of X."""
        cdef ptrdiff_t _
        cdef const ptrdiff_t *indices = NULL
        if order is not None:
            indices = <const ptrdiff_t *> np.PyArray_DATA(order)
        for _ in range(times):
            self.cpu.narrow_gather(
                np.PyArray_DATA(samples), self.k, indices, self.m, np.PyArray_DATA(self.X), self.row.ldx
            )
        check_registers()


cdef struct works_t:
    team_t *team
    const int64_t *costs  # of one of the total, for each thread
    ptrdiff_t total
    ptrdiff_t *parts      # (threads, 2)


cdef void take_part(void *argument, int thread) noexcept nogil:
    cdef works_t *works = <works_t *> argument
    cdef ptrdiff_t *part = works.parts + 2 * thread
    team_part(works.team, thread, works.total, &part[0], &part[1])
    team_took(works.team, thread, works.costs[thread] * (part[1] - part[0]))


def parts_taken(list costs, list totals):
    """(works, threads, 2): what a new team's threads take of each total, if one of it costs them so much time."""
    cdef int threads = len(costs)
    cdef np.ndarray prices = np.array(costs, np.int64), parts = np.zeros((len(totals), threads, 2), np.intp)
    cdef works_t works
    works.team, works.costs = team_new(threads), <const int64_t *> np.PyArray_DATA(prices)
    works.parts = <ptrdiff_t *> np.PyArray_DATA(parts)
    if works.team == NULL:
        raise MemoryError()
    for works.total in totals:
        team_run(works.team, threads, take_part, &works)
        works.parts += 2 * threads
    team_free(works.team)
    return parts


LAYER_KERNELS = [
    f"{path}_{passes}" for path in ("dense", "online", "narrow", "tall")
    for passes in ("forward", "backward", "update")
]
STEP_KERNELS = ["online_step", "narrow_step"]
NORMALIZE_KERNELS = [
    "batch_statistics", "moving_statistics", "batch_forward", "batch_sums", "batch_backward", "batch_update",
    "layer_forward", "layer_backward", "layer_update", "batch_settle",
]
FINISH_KERNELS = [
    f"{rule}_finish" for rule in (
        "descent", "momentum", "nesterov", "lion", "adam", "amsgrad", "nadam", "adamax", "rmsprop", "adagrad",
        "adadelta",
    )
]
ELEMENTWISE_KERNELS = ["activation_forward", "activation_backward", "dropout_forward", "dropout_backward"]
TENSOR_KERNELS = ["penalty", "condition", "shrink", "max_norm"]
POINTWISE_KERNELS = [
    "squared_error", "absolute_error", "huber", "log_cosh", "quantile", "poisson", "hinge", "squared_hinge",
    "poisson_logits", "binary_crossentropy", "binary_focal",
]
LOSS_KERNELS = [*POINTWISE_KERNELS, "categorical_crossentropy", "kl_divergence", "categorical_focal"]
