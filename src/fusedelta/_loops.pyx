"""The loops over data that run without the GIL, and look for Ctrl-C on the way: epochs, predictions, evaluations."""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport isfinite
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t
from libc.string cimport memset

from fusedelta._c cimport PREDICTING, TRAINING, row_t, score_t
from fusedelta._program cimport FAR_AWAY, Program, accuracy, data_set, mean_loss
from fusedelta._samples cimport spread
from fusedelta._watch cimport Watch

cdef double FLOPS_BETWEEN_SIGNALS = 5e8  # Ctrl-C is looked for this often, a step counting for at least ...
cdef double FLOPS_OF_A_STEP = 2e3        # ... this much: about 50 ms
cdef double SAMPLES_OF_AN_UPDATE = 7     # the weights' way through memory in a step, in samples' work

cdef enum:
    STEPS_AT_ONCE = 256          # of one batch, in one call of a kernel


cdef int run_watched(Program program, data_set *data, ptrdiff_t batch, ptrdiff_t epochs, double *results,
                     ptrdiff_t figures, Program forward, unseen_t *unseen, Watch watch, int64_t *trained,
                     const bint *interrupted) except -1 nogil:
    """All epochs, with a look at each where there is a watch; `forward` evaluates what it holds out."""
    cdef ptrdiff_t epoch = 0, at_once = epochs if watch is None else 1, steps = (data.m + batch - 1) // batch
    cdef int64_t before
    cdef double work = 0
    cdef score_t score
    while epoch < epochs:
        before = trained[0]
        program.begin(TRAINING, program.logits)
        run_epochs(program, data, batch, at_once, results + figures * epoch, figures, trained, &work, interrupted)
        if watch is None or trained[0] < before + steps:
            return 0
        if watch.figures != NULL:
            score.sum, score.correct = 0, 0
            evaluate_all(forward, &unseen.data, unseen.threads, &work, &score, interrupted)
            record(forward, &score, unseen.data.m, watch.figures, 2)
            data.staged = data.staged and program is not forward
        if watch.look(results + figures * epoch):
            return 0
        epoch += 1
    return 0


cdef int run_epochs(Program program, data_set *data, ptrdiff_t batch, ptrdiff_t epochs,
                    double *results, ptrdiff_t figures, int64_t *trained, double *work,
                    const bint *interrupted) except -1 nogil:
    """All batches, `epochs` times; the order moves on by data.m an epoch. results (epochs, figures): see `record`.

    Counts the steps whose loss is finite, and returns at the first that is not.
    """
    cdef ptrdiff_t epoch, first, m, following, sized = 0
    cdef double so_far = work[0], alpha = 0, flops = 0
    cdef bint plain = is_plain(program, batch), ahead = looks_ahead(program, data, batch)
    cdef score_t score
    if plain and program.narrow and data.order == NULL and batch == data.m:
        return run_repeated(program, data, epochs, results, figures, trained, work, interrupted)
    for epoch in range(epochs):
        score.sum, score.correct, first = 0, 0, 0
        while first < data.m:
            m = min(batch, data.m - first)
            if m != sized:
                sized, alpha, flops = m, program.alpha(m, program.rule.rate), program.flops * (m + SAMPLES_OF_AN_UPDATE)
            if not data.staged:
                program.stage(data, first, m)
            if ahead:
                following = next_place(data, first + m, epoch + 1 == epochs)
                program.look_ahead(data, following, min(batch, data.m - following % data.m))
            if plain:
                program.whole_step(m, alpha, program.rule.beta, &score)
            else:
                program.step(m, &score)
            if not isfinite(score.sum):
                return 0
            trained[0] += 1
            first += m
            if first == data.m:
                record(program, &score, data.m, results + figures * epoch, figures)
            look_for_signals(&so_far, flops, interrupted)
        if data.order != NULL:
            data.order += data.m
    work[0] = so_far
    return 0


cdef int run_repeated(Program program, data_set *data, ptrdiff_t epochs, double *results, ptrdiff_t figures,
                      int64_t *trained, double *work, const bint *interrupted) except -1 nogil:
    """`run_epochs` where a kernel makes whole steps and all data are one batch: many of them a call.

    2-2-1 with four samples takes 0.96 of the time so, and 0.82 where a neighbour shares the core.
    """
    cdef score_t scores[STEPS_AT_ONCE]
    cdef ptrdiff_t epoch = 0, count, i
    cdef double alpha = program.alpha(data.m, program.rule.rate)
    cdef double flops = program.flops * (data.m + SAMPLES_OF_AN_UPDATE) + FLOPS_OF_A_STEP
    cdef ptrdiff_t most = max(1, min(STEPS_AT_ONCE, <ptrdiff_t> (FLOPS_BETWEEN_SIGNALS / flops)))
    program.stage(data, 0, data.m)
    while epoch < epochs:
        count = min(most, epochs - epoch)
        memset(scores, 0, count * sizeof(score_t))
        program.net.loss.n = data.m
        program.net.cpu.narrow_step(&program.net, data.m, alpha, program.rule.beta, scores, count)
        for i in range(count):
            if not isfinite(scores[i].sum):
                return 0
            trained[0] += 1
            record(program, &scores[i], data.m, results + figures * epoch, figures)
            epoch += 1
        look_for_signals(work, flops * count, interrupted)
    return 0


cdef inline void record(Program program, const score_t *score, ptrdiff_t m, double *to,
                        ptrdiff_t figures) noexcept nogil:
    """An epoch's loss and, if there are two figures, its accuracy: what nobody asks for takes memory and time."""
    to[0] = mean_loss(program, score, m)
    if figures > 1:
        to[1] = accuracy(program, score, m)


cdef inline bint is_plain(Program program, ptrdiff_t m) noexcept nogil:
    """Whether one kernel makes a whole step, with an alpha that depends on m alone: 2-2-1 takes 0.96 of the time so."""
    return (program.is_whole(m) and program.net.loss.user == NULL
            and program.rule.begin == NULL and program.net.finish == NULL)


cdef inline bint looks_ahead(Program program, const data_set *data, ptrdiff_t batch) noexcept nogil:
    """Whether steps gain from knowing what comes next."""
    if batch == 1:
        return program.takes_ahead
    if program.padded or program.narrow or batch == data.m and data.order == NULL:
        return False
    return batch * program.k * program.itemsize >= FAR_AWAY


cdef int predict_all(Program program, const char *X, ptrdiff_t m, char *out, int threads,
                     const bint *interrupted) except -1 nogil:
    """Outputs (m, n) of inputs (m, k), a chunk of the workspace's size at a time."""
    cdef ptrdiff_t first = 0, m_chunk, bytes = program.n * program.itemsize
    cdef double work = 0
    cdef const row_t *last = &program.net.rows[program.net.n_rows - 1]
    while first < m:
        m_chunk = min(PREDICT_ROWS * threads, m - first)
        program.place(X + first * program.k * program.itemsize)
        program.forward(m_chunk, threads)
        spread(out + first * bytes, bytes, <const char *> last.Y, last.ld * program.itemsize, bytes, m_chunk)
        first += m_chunk
        look_for_signals(&work, program.flops * m_chunk, interrupted)
    return 0


cdef int evaluate_all(Program program, data_set *data, int threads, double *work, score_t *score,
                      const bint *interrupted) except -1 nogil:
    """Add the losses of all samples; there is room for those that go together."""
    cdef ptrdiff_t first = 0, at, m
    program.begin(PREDICTING, program.logits)
    while first < data.m:
        m = min(PREDICT_ROWS * threads, data.m - first)
        program.place(data.X + first * program.k * program.itemsize)
        program.forward(m, threads)
        at = 0
        while at < m:  # in parts of one size, whatever the threads: the sum depends on it
            program.score_part(data, first + at, at, min(PREDICT_ROWS, m - at), score)
            at += PREDICT_ROWS
        first += m
        look_for_signals(work, program.flops * m, interrupted)
    return 0


cdef inline ptrdiff_t next_place(const data_set *data, ptrdiff_t end, bint last_epoch) noexcept nogil:
    """Where the batch after that which ends here begins, -1 if it is the last. Orders of epochs lie together."""
    if end < data.m:
        return end
    if last_epoch:
        return -1
    return 0 if data.order == NULL else data.m


cdef inline int look_for_signals(double *work, double flops, const bint *interrupted) except -1 nogil:
    """After so much more work; a handler of Ctrl-C raises KeyboardInterrupt, which other threads are told of."""
    work[0] += flops + FLOPS_OF_A_STEP
    if work[0] > FLOPS_BETWEEN_SIGNALS:
        work[0] = 0
        take_signals(interrupted)
    return 0


cdef int take_signals(const bint *interrupted) except -1 nogil:
    """The handlers of signals, and what another thread has to say."""
    with gil:
        PyErr_CheckSignals()
        if interrupted[0]:
            raise KeyboardInterrupt
    return 0
