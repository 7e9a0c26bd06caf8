"""Recorder: the time of every pass of a program, while it is wanted.

It swaps function pointers: the rows' operations, the loss, the optimiser's finish, and the kernels that take a whole
step, in whose place the rows are walked one by one. So the walk knows nothing of it and costs nothing when it is off.

With several threads the first one's time is taken: from the start of its share to the end; it waits outside.
"""

cimport cython
from libc.math cimport isfinite
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from fusedelta._c cimport layer_ops_t, loss_t, net_t, row_t, score_t, share_t, ticks
from fusedelta._program cimport Program

from time import perf_counter_ns

cdef enum:
    FORWARD, BACKWARD, UPDATE
PHASES = ("forward", "backward", "update")

cdef int64_t TRIES = 1000           # readings that tell what one costs
cdef int64_t SHORTEST_BASE = 10**7  # nanoseconds between the two looks at both clocks that tell how long a tick is


@cython.final
cdef class Recorder:
    """Records from its start to its stop.

    Parameters
    ----------
    program : Program
        Not in use; nor may it be during `start` and `stop`.
    """

    def __cinit__(self, Program program):
        cdef ptrdiff_t rows = program.net.n_rows
        self.program = program
        self.record.plain = <const layer_ops_t **> calloc(rows, sizeof(layer_ops_t *))
        self.record.timed = <layer_ops_t *> calloc(rows, sizeof(layer_ops_t))
        self.record.cells = <cell_t *> calloc(3 * rows, sizeof(cell_t))
        if self.record.plain == NULL or self.record.timed == NULL or self.record.cells == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.record.plain)
        free(self.record.timed)
        free(self.record.cells)

    def start(self):
        """Put timed functions in the place of the program's own."""
        cdef ptrdiff_t i
        cdef record_t *record = &self.record
        cdef net_t *net = &self.program.net
        record.plain_cpu, record.plain_evaluate, record.plain_finish = net.cpu, net.loss.evaluate, net.finish
        record.cpu = net.cpu[0]
        record.cpu.narrow_step, record.cpu.online_step = narrow_step, online_step
        net.cpu, net.loss.evaluate = &record.cpu, evaluate
        if net.finish != NULL:
            net.finish = finish
        for i in range(net.n_rows):
            record.plain[i], record.timed[i] = net.rows[i].ops, net.rows[i].ops[0]
            record.timed[i].forward = forward
            record.timed[i].backward = backward
            record.timed[i].update = update
            net.rows[i].ops = &record.timed[i]

    def stop(self):
        """Put the program's own back."""
        cdef ptrdiff_t i
        cdef record_t *record = &self.record
        cdef net_t *net = &self.program.net
        net.cpu, net.loss.evaluate, net.finish = record.plain_cpu, record.plain_evaluate, record.plain_finish
        for i in range(net.n_rows):
            net.rows[i].ops = record.plain[i]

    def cells(self):
        """[row or None, phase, calls, samples, seconds] of all that was called."""
        cdef int i, phase
        cells = []
        for i in range(self.program.net.n_rows):
            for phase in range(3):
                cells.append(self.cell(i, PHASES[phase], &self.record.cells[3 * i + phase]))
        cells.append(self.cell(-1, "loss", &self.record.loss))
        cells.append(self.cell(-1, "optimizer", &self.record.finish))
        return [cell for cell in cells if cell[2]]

    cdef list cell(self, int row, str phase, const cell_t *cell):
        """Without what the clock itself takes."""
        cdef double took = <double> cell.ticks - <double> cell.calls * INSIDE
        return [row if row >= 0 else None, phase, cell.calls, cell.samples, max(took, 0.0) * seconds_per_tick()]


def seconds_per_call():
    """What the clock adds to a call that it times."""
    return AROUND * seconds_per_tick()


cdef double seconds_per_tick():
    """From two looks at both clocks, the first at the import."""
    while perf_counter_ns() - START_NS < SHORTEST_BASE:
        pass
    return 1e-9 * (perf_counter_ns() - START_NS) / <double> (ticks() - START)


# ---- the timed functions --------------------------------------------------------------------------------------------

cdef inline void note(cell_t *cell, ptrdiff_t first, ptrdiff_t last, ptrdiff_t m, int64_t start) noexcept nogil:
    """Only of the first share, so that one thread writes."""
    cdef int64_t now = ticks()
    if first == 0 and last > 0:
        cell.calls += 1
        cell.samples += m
        cell.ticks += now - start


cdef void forward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    cdef record_t *record = <record_t *> net.cpu
    cdef ptrdiff_t i = row - net.rows
    cdef int64_t start = ticks()
    record.plain[i].forward(net, row, share)
    note(&record.cells[3 * i + FORWARD], share.first, share.last, share.m, start)


cdef void backward(const net_t *net, const row_t *row, const share_t *share) noexcept nogil:
    cdef record_t *record = <record_t *> net.cpu
    cdef ptrdiff_t i = row - net.rows
    cdef int64_t start = ticks()
    record.plain[i].backward(net, row, share)
    note(&record.cells[3 * i + BACKWARD], share.first, share.last, share.m, start)


cdef void update(const net_t *net, const row_t *row, const share_t *share, double alpha, double beta) noexcept nogil:
    cdef record_t *record = <record_t *> net.cpu
    cdef ptrdiff_t i = row - net.rows
    cdef int64_t start = ticks()
    record.plain[i].update(net, row, share, alpha, beta)
    note(&record.cells[3 * i + UPDATE], share.first, share.last, share.m, start)


cdef void evaluate(const loss_t *loss, ptrdiff_t m, score_t *score) noexcept nogil:
    cdef const net_t *net = <const net_t *> (<const char *> loss - LOSS_OFFSET)
    cdef record_t *record = <record_t *> net.cpu
    cdef int64_t start = ticks()
    record.plain_evaluate(loss, m, score)
    note(&record.loss, 0, 1, m, start)


cdef void finish(const net_t *net, int thread, int threads) noexcept nogil:
    cdef record_t *record = <record_t *> net.cpu
    cdef int64_t start = ticks()
    record.plain_finish(net, thread, threads)
    note(&record.finish, thread, thread + 1, 1, start)


cdef void walk(const net_t *net, ptrdiff_t m, ptrdiff_t loss_rows, double alpha, double beta,
               score_t *score) noexcept nogil:
    """A step of csrc/step.h, row by row."""
    cdef ptrdiff_t i
    cdef const row_t *rows = net.rows
    cdef share_t samples = share_t(m, 0, m, NULL, 0, 1, NULL), weights = samples
    for i in range(net.n_rows):
        rows[i].ops.forward(net, &rows[i], &samples)
    net.loss.evaluate(&net.loss, loss_rows, score)
    for i in range(net.n_rows - 1, -1, -1):
        if i > 0:
            rows[i].ops.backward(net, &rows[i], &samples)
        weights.last = rows[i].height
        rows[i].ops.update(net, &rows[i], &weights, alpha, beta)


cdef void narrow_step(const net_t *net, ptrdiff_t m, double alpha, double beta, score_t *scores,
                      ptrdiff_t steps) noexcept nogil:
    cdef ptrdiff_t i
    for i in range(steps):
        walk(net, m, net.rows[net.n_rows - 1].n, alpha, beta, &scores[i])  # the loss sees its matrix transposed
        if not isfinite(scores[i].sum):
            return


cdef void online_step(net_t *net, double alpha, double beta, score_t *score) noexcept nogil:
    walk(net, 1, 1, alpha, beta, score)


# ---- the clock ------------------------------------------------------------------------------------------------------

cdef tuple cost_of_the_clock():
    """Ticks that a reading adds to what it times, and ticks of all that is done for one call."""
    cdef int64_t _, start, least = ticks(), begin
    cdef cell_t cell = cell_t(0, 0, 0)
    begin = ticks()
    for _ in range(TRIES):
        start = ticks()
        note(&cell, 0, 1, 1, start)
    around = <double> (ticks() - begin) / <double> TRIES
    for _ in range(TRIES):
        start = ticks()
        least = min(least, ticks() - start)
    return <double> least, around


cdef net_t _net
cdef ptrdiff_t LOSS_OFFSET = <char *> &_net.loss - <char *> &_net
cdef int64_t START_NS = perf_counter_ns(), START = ticks()
cdef double INSIDE, AROUND
INSIDE, AROUND = cost_of_the_clock()
