"""Workspace: where the matrices of a program's rows lie, sample-major or feature-major.

One batch of activations, two layers' deltas (all layers' for several threads; one more for each residual block),
targets and a panel of scratch a thread: allocated when a batch outgrows it, never within a step.
"""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fusedelta._c cimport BLOCK_BYTES, FAR_BYTES, NARROW, SOFTPLUS, row_t


cdef class Workspace:
    """The memory of a program, which fills in what the rows are."""

    def __dealloc__(self):
        free(self.block)

    cdef int reserve(self, ptrdiff_t m, bint gathers, int threads) except -1:
        """Room for batches of m samples, for their inputs if they do not lie together, and for so many threads."""
        gathers = gathers or self.padded
        if m <= self.capacity and (self.gathers or not gathers) and threads <= self.shares:
            return 0
        m, gathers, self.shares = max(m, self.capacity), gathers or self.gathers, max(threads, self.shares)
        cdef ptrdiff_t size = self.lay_out(NULL, m, gathers)
        free(self.block)
        self.capacity = 0
        self.block = <char *> calloc(size + BLOCK_BYTES, 1)  # zeroed: padding stays as it is found
        if self.block == NULL:
            raise MemoryError(f"no memory for the {size:,} bytes that a batch of {m:,} samples takes")
        self.lay_out(<char *> round_up(<uintptr_t> self.block), m, gathers)
        self.capacity, self.gathers = m, gathers
        if self.narrow:
            self.fill_ones()
        return 0

    cdef void clear_padding(self) noexcept nogil:
        """Whatever users have written there, who see the flat block: it would count in penalties and norms."""
        cdef ptrdiff_t i, columns
        cdef const row_t *row
        cdef char *W
        for i in range(self.net.n_rows):
            row, W = &self.net.rows[i], <char *> self.net.rows[i].W
            if row.tall:
                columns = round_up(row.k * self.itemsize) // self.itemsize
                clear_beyond(W, row.n, columns, row.k, self.itemsize)
                clear_beyond(W + row.n * columns * self.itemsize, 1, row.ld, row.n, self.itemsize)
            else:
                clear_beyond(W, row.height, row.ld, row.n, self.itemsize)

    cdef ptrdiff_t lay_out(self, char *memory, ptrdiff_t m, bint gathers) noexcept:
        """Place every matrix from `memory` on; returns the bytes they take."""
        if self.narrow:
            return self.lay_out_narrow(memory, m)
        cdef ptrdiff_t i, scratch = 0, widest = 0, below = 0, fork, last = self.net.n_rows - 1
        cdef ptrdiff_t deltas = 2 if self.shares == 1 else self.net.n_rows  # threads update after the whole way back
        cdef char *at = memory
        cdef row_t *rows = self.net.rows
        self.inputs, at = at, at + (round_up(m * rows[0].ldx * self.itemsize) if gathers else 0)
        self.parts.inputs = at - memory
        for i in range(last + 1):
            rows[i].X = rows[i - 1].Y if i > 0 else self.inputs
            rows[i].Sx = derived_from(&rows[i - 1]) if i > 0 else NULL
            rows[i].Dx = NULL
            if self.kinds[i] == "fork":
                rows[i].Y = <void *> rows[i].X
            else:
                at = place_outputs(&rows[i], at, m * rows[i].ld * self.itemsize)
            rows[i].statistics, at = at, at + self.statistics_bytes(i, m)
            widest = max(widest, rows[i].ld * self.itemsize)
            scratch = max(scratch, self.net.cpu.dense_scratch(&rows[i], m))
        self.parts.activations = at - memory - self.parts.inputs
        for i in range(last + 1):
            rows[i].D = at + (i % deltas) * m * widest
        self.parts.deltas = -(at - memory)
        at += deltas * m * widest
        for i in range(last + 1):
            if self.kinds[i] == "add":  # its deltas are also those of the fork that it ends
                fork = self.partners[i]
                rows[i].D, at = at, at + m * rows[i].ld * self.itemsize
                rows[i].more_X, rows[fork].more_D = rows[fork].Y, rows[i].D
        self.parts.deltas += at - memory
        for i in range(last + 1):
            if below > 0:  # rows of parameters, whose gradients need it
                rows[i].Dx = rows[i - 1].D
            below += rows[i].height
        self.panels, self.panel = at, scratch
        at += self.shares * self.panel
        for i in range(last + 1):
            rows[i].list, at = <int32_t *> at, at + round_up((rows[i].k + 4) * sizeof(int32_t))
        self.parts.scratch = at - self.panels
        self.net.loss.Y, self.net.loss.S, self.net.loss.D = rows[last].Y, derived_from(&rows[last]), rows[last].D
        self.targets, at = at, at + (0 if self.sparse else m * rows[last].ld * self.itemsize)
        self.weights, at = at, at + round_up(m * self.itemsize)
        self.labels, at = <int64_t *> at, at + (round_up(m * sizeof(int64_t)) if self.sparse else 0)
        self.parts.targets = at - self.targets
        return at - memory

    cdef ptrdiff_t statistics_bytes(self, ptrdiff_t i, ptrdiff_t m) noexcept:
        if self.kinds[i] == "batch_normalization":
            return 7 * self.net.rows[i].ld * self.itemsize
        return round_up(2 * m * self.itemsize) if self.kinds[i] == "layer_normalization" else 0

    cdef ptrdiff_t lay_out_narrow(self, char *memory, ptrdiff_t m) noexcept:
        cdef ptrdiff_t i, widest = 0, last = self.net.n_rows - 1
        cdef ptrdiff_t line = round_up(m * self.itemsize)
        line |= BLOCK_BYTES if line >= FAR_BYTES else 0  # see rows.stride_of
        cdef char *at = memory
        cdef row_t *rows = self.net.rows
        self.inputs, at = at, at + (self.k + 1) * line
        self.parts.inputs = at - memory
        for i in range(last + 1):
            at = place_outputs(&rows[i], at, (rows[i].n + 1) * line)
            rows[i].X = rows[i - 1].Y if i > 0 else self.inputs
            rows[i].Sx = derived_from(&rows[i - 1]) if i > 0 else NULL
            rows[i].ldx = line // self.itemsize
            widest = max(widest, rows[i].n)
        self.parts.activations = at - memory - self.parts.inputs
        for i in range(last + 1):
            rows[i].D = at + (i & 1) * widest * line
            rows[i].Dx = at + (1 - (i & 1)) * widest * line if i > 0 else NULL
        self.parts.deltas = 2 * widest * line
        at += self.parts.deltas
        self.parts.scratch = -(at - memory)
        for i in range(last + 1):
            rows[i].kept, at = at, at + (rows[i].k + 1) * (rows[i].n * BLOCK_BYTES + NARROW * self.itemsize)
        self.parts.scratch += at - memory
        self.net.loss.Y, self.net.loss.S, self.net.loss.D = rows[last].Y, derived_from(&rows[last]), rows[last].D
        self.net.loss.ld = line // self.itemsize
        self.targets, self.weights = at, at + self.n * line
        self.net.loss.T = at
        self.parts.targets = (self.n + 1) * line
        return at + self.parts.targets - memory

    @property
    def memory(self):
        """Bytes of its parts, whole batches of the largest size so far."""
        return self.parts

    cdef void fill_ones(self) noexcept:
        """The last row of every X: what the biases are multiplied with."""
        cdef ptrdiff_t i, lane
        cdef const row_t *row
        cdef void *ones
        for i in range(self.net.n_rows):
            row = &self.net.rows[i]
            ones = <char *> row.X + row.k * row.ldx * self.itemsize
            for lane in range(row.ldx):
                if self.itemsize == 4:
                    (<float *> ones)[lane] = 1
                else:
                    (<double *> ones)[lane] = 1


cdef void clear_beyond(char *W, ptrdiff_t lines, ptrdiff_t ld, ptrdiff_t used, ptrdiff_t itemsize) noexcept nogil:
    """Zero what is behind the first `used` elements of each line."""
    cdef ptrdiff_t i
    for i in range(lines if used < ld else 0):
        memset(W + (i * ld + used) * itemsize, 0, (ld - used) * itemsize)


cdef inline ptrdiff_t round_up(ptrdiff_t size) noexcept nogil:
    return (size + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES


cdef char *place_outputs(row_t *row, char *at, ptrdiff_t bytes) noexcept nogil:
    """Room for a row's Y and its slopes, if it has them; returns where it ends."""
    row.Y, at = at, at + bytes
    row.S = NULL
    if row.act.kind >= SOFTPLUS:
        row.S, at = at, at + bytes
    return at


cdef const void *derived_from(const row_t *row) noexcept nogil:
    """What the derivative of a row's activation is computed from."""
    return row.S if row.S != NULL else row.Y
