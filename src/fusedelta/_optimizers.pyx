"""Optimisers as rows: target = beta target + alpha X^T D with alpha = rate * the loss's delta factor, then finish.

               target      rate             beta       finish
    SGD        weights     -learning_rate   1          none: no state, no gradient
    momentum   velocity    1                momentum   w -= learning_rate * velocity
    others     gradient    1                0          what the rule keeps, then weights: csrc/finish.h

The finish is one pass over the whole block at the end of a step. A pass over a few rows that are still in the cache,
after the update of just these, was tried: it saves 0 to 4 % of both, and costs 10 to 40 % where panels are packed.

What changes gradients before the finish (clipping, penalties, accumulation) needs them whole, momentum's too; what is
done to single tensors, and the constraints of weights after the finish: _tensors.pyx.

Weight decay takes the gradient too: a factor 1 - learning_rate * weight_decay, as the beta of the weights, would be
rounded to float32, and so change a small decay by percents, always to the same side.
"""

cimport cython
from libc.float cimport DBL_MIN, FLT_MIN
from libc.math cimport pow, sqrt
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t

cimport numpy as np

from fusedelta._c cimport kernels_t, moments_t, net_t
from fusedelta._cpu cimport current_kernels
from fusedelta._tensors cimport Tensors

from fusedelta import rates
from fusedelta.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, Lion, NAdam, RMSprop
from fusedelta.parameters import allocate, views
from fusedelta.schedules import Schedule

np.import_array()

cdef enum:
    COUNTED = 10000000  # steps whose powers of the betas are multiplied up as they were, to the last bit
    STEPS_AHEAD = 256   # for which a schedule's rates are worked out, where less is wanted
cdef double NEGLIGIBLE = 1e-20  # beside 1; powers below are zero, so that they never become denormal, which is slow


@cython.final
cdef class Optimizer:
    """The optimiser of one network: its row, and what it keeps from step to step.

    Parameters
    ----------
    optimizer : optimizers.Optimizer
        The rule.
    rows : list of rows.Row
        The layers.
    params : ndarray
        The flat block of weights and biases; the caller keeps it alive.
    """

    def __cinit__(self, optimizer, list rows, np.ndarray params):
        cdef moments_t *blocks = &self.rule.moments
        cdef char *weights = np.PyArray_BYTES(params)
        self.moments = {name: allocate(rows, params.dtype) for name in optimizer.kept}
        self.tensors = Tensors(rows, optimizer, params)
        self.rule.tensors = <void *> self.tensors
        blocks.w = weights
        blocks.velocity = data_of(self.moments.get("velocity"))
        blocks.m, blocks.v = data_of(self.moments.get("m")), data_of(self.moments.get("v"))
        blocks.u, blocks.d = data_of(self.moments.get("u")), data_of(self.moments.get("d"))
        self.rule.smallest = FLT_MIN if np.PyArray_ITEMSIZE(params) == 4 else DBL_MIN
        self.set_finish(optimizer, current_kernels(np.PyArray_ITEMSIZE(params)))
        if self.rule.finish == NULL:
            self.target = 0
        elif self.rule.beta != 0:
            self.target = <char *> blocks.velocity - weights
        else:
            self.gradient = self.moments.get("gradient")
            if self.gradient is None:
                self.gradient = allocate(rows, params.dtype)
            blocks.g = data_of(self.gradient)
            self.target = <char *> blocks.g - weights
        self.starts = []
        if isinstance(optimizer, Adagrad):
            pieces = views(rows, self.moments["v"])
            self.starts = [(piece, optimizer.initial_accumulator_value) for piece in pieces]
        self.retune(optimizer)
        self.reset()

    cdef int set_finish(self, object optimizer, const kernels_t *cpu) except -1:
        """The finish of a rule, and with it how the target goes on."""
        cdef rule_t *rule = &self.rule
        cdef bint whole = self.tensors.conditioned or self.tensors.has_norms() or "gradient" in optimizer.kept
        rule.beta, rule.begin, rule.due = 0, begin_plain, True
        if isinstance(optimizer, SGD):
            if optimizer.nesterov:
                rule.finish = cpu.nesterov_finish
            elif optimizer.momentum > 0:
                rule.beta, rule.finish = 0 if whole else optimizer.momentum, cpu.momentum_finish
            elif optimizer.weight_decay or whole:
                rule.finish = cpu.descent_finish
            else:
                rule.beta, rule.finish = 1, NULL
        elif isinstance(optimizer, Adam):
            rule.begin = begin_adam
            rule.finish = cpu.amsgrad_finish if optimizer.amsgrad else cpu.adam_finish
        elif isinstance(optimizer, NAdam):
            rule.begin, rule.finish = begin_nadam, cpu.nadam_finish
        elif isinstance(optimizer, Adamax):
            rule.begin, rule.finish = begin_adamax, cpu.adamax_finish
        elif isinstance(optimizer, RMSprop):
            rule.finish = cpu.rmsprop_finish
        elif isinstance(optimizer, Adagrad):
            rule.finish = cpu.adagrad_finish
        elif isinstance(optimizer, Adadelta):
            rule.finish = cpu.adadelta_finish
        elif isinstance(optimizer, Lion):
            rule.finish = cpu.lion_finish
        else:
            raise TypeError(f"optimizer: no kernel finishes the steps of {optimizer!r}")
        rule.accumulate = optimizer.gradient_accumulation_steps or 1
        if rule.accumulate > 1:
            rule.begin_update, rule.begin = rule.begin, begin_accumulating
        return 0

    def retune(self, optimizer):
        """Take the numbers of an optimiser of the same kind; what is kept stays."""
        cdef rule_t *rule = &self.rule
        cdef moments_t *moments = &rule.moments
        self.schedule = optimizer.learning_rate if optimizer.has_schedule else None
        rule.learning_rate = 0 if optimizer.has_schedule else optimizer.learning_rate
        self.is_fixed, self.n_planned = isinstance(self.schedule, Schedule), 0
        rule.rates = NULL
        rule.weight_decay = optimizer.weight_decay or 0
        rule.epsilon = getattr(optimizer, "epsilon", 0)
        rule.momentum_decay = getattr(optimizer, "momentum_decay", 0)
        moments.momentum, moments.rho = getattr(optimizer, "momentum", 0), getattr(optimizer, "rho", 0)
        moments.beta_1, moments.beta_2 = getattr(optimizer, "beta_1", 0), getattr(optimizer, "beta_2", 0)
        if rule.finish == NULL:
            rule.rate, rule.begin = -rule.learning_rate, NULL
            if self.schedule is not None:
                rule.begin = begin_in_place
        else:
            rule.rate = 1.0 / <double> rule.accumulate

    cdef int plan(self, ptrdiff_t steps) except -1:
        """Have the learning rates of so many steps ready, if they follow a schedule.

        Those of a `Schedule`, which depend on the step alone, are worked out for some steps more and kept. A function
        of the user's is asked for each step once, and for none that may not come.
        """
        cdef rule_t *rule = &self.rule
        cdef ptrdiff_t first = rule.steps, count = (rule.accumulated + steps) // rule.accumulate
        if self.schedule is None:
            rule.rates = NULL
            return 0
        if not (self.is_fixed and self.planned <= first and first + count <= self.planned + self.n_planned):
            self.n_planned = 0
            ahead = max(count, STEPS_AHEAD) if self.is_fixed else count
            try:
                self.rates = rates.rates(self.schedule, first, ahead)
            except ValueError:  # of a step that need not come
                ahead = count
                self.rates = rates.rates(self.schedule, first, ahead)
            self.planned, self.n_planned = first, ahead
        rule.rates = <const double *> np.PyArray_DATA(self.rates) + (first - self.planned)
        return 0

    @property
    def memory(self):
        """Bytes of what it keeps, and of the gradient where it needs one."""
        kept = sum([block.nbytes for name, block in self.moments.items() if name != "gradient"])
        return {"optimizer": kept, "gradient": 0 if self.gradient is None else self.gradient.nbytes}

    @property
    def steps(self):
        """Steps taken, counted where there is a finish or a schedule."""
        return self.rule.steps

    @steps.setter
    def steps(self, int64_t steps):
        cdef rule_t *rule = &self.rule
        rule.steps, rule.power_1, rule.power_2 = 0, 1, 1
        while rule.steps < min(steps, COUNTED) and (rule.power_1 > 0 or rule.power_2 > 0):
            count_step(rule)
        rule.power_1 *= pow(rule.moments.beta_1, <double> (steps - rule.steps))
        rule.power_2 *= pow(rule.moments.beta_2, <double> (steps - rule.steps))
        rule.steps = steps

    @property
    def accumulated(self):
        """Steps whose gradients wait for an update."""
        return self.rule.accumulated

    @accumulated.setter
    def accumulated(self, int64_t accumulated):
        self.rule.accumulated = accumulated

    def reset(self):
        """Forget all earlier steps."""
        for block in self.moments.values():
            block.fill(0)
        for piece, start in self.starts:
            piece.fill(start)
        self.steps = self.accumulated = 0


cdef void *data_of(object block) except? NULL:
    return NULL if block is None else np.PyArray_DATA(block)


# ---- the start of a step: one thread counts it before several may share its finish -----------------------------------


cdef inline void count_step(rule_t *rule) noexcept nogil:
    rule.steps += 1
    cdef double left_1 = rule.moments.beta_1
    if rule.momentum_decay > 0:
        left_1 = mu(rule, rule.steps)
    rule.power_1 = rule.power_1 * left_1 if rule.power_1 > NEGLIGIBLE else 0
    rule.power_2 = rule.power_2 * rule.moments.beta_2 if rule.power_2 > NEGLIGIBLE else 0


cdef inline double mu(const rule_t *rule, int64_t step) noexcept nogil:
    """The momentum of a step of NAdam."""
    return rule.moments.beta_1 * (1 - 0.5 * pow(0.96, rule.momentum_decay * <double> step))


cdef inline void next_rate(rule_t *rule) noexcept nogil:
    if rule.rates != NULL:
        rule.learning_rate = rule.rates[0]
        rule.rates += 1


cdef void begin_accumulating(rule_t *rule) noexcept nogil:
    """The mean of the gradients of several steps: the first one starts it, the last one is followed by the finish."""
    rule.beta = 0 if rule.accumulated == 0 else 1
    rule.accumulated += 1
    rule.due = rule.accumulated == rule.accumulate
    if rule.due:
        rule.accumulated = 0
        rule.begin_update(rule)


cdef void begin_in_place(rule_t *rule) noexcept nogil:
    """Plain SGD by a schedule: it counts steps only then."""
    count_step(rule)
    next_rate(rule)
    rule.rate = -rule.learning_rate


cdef void begin_plain(rule_t *rule) noexcept nogil:
    """The numbers of a step without corrections."""
    count_step(rule)
    next_rate(rule)
    rule.moments.rate = rule.learning_rate
    rule.moments.decay = rule.learning_rate * rule.weight_decay
    rule.moments.epsilon = max(rule.epsilon, rule.smallest)  # above zero in the dtype, for 0 / 0 is no step


cdef void begin_adam(rule_t *rule) noexcept nogil:
    """The bias corrections, folded into the scalars.

    With c_1 = 1 - beta_1^t and c_2 = 1 - beta_2^t:

        rate (m / c_1) / (sqrt(v / c_2) + epsilon) = (rate sqrt(c_2) / c_1) m / (sqrt(v) + epsilon sqrt(c_2))
    """
    begin_plain(rule)
    cdef double root = sqrt(1 - rule.power_2)
    rule.moments.rate *= root / (1 - rule.power_1)
    rule.moments.epsilon = max(rule.epsilon * root, rule.smallest)


cdef void begin_nadam(rule_t *rule) noexcept nogil:
    """As Adam, with the product of the mu so far, and with that of the next step too."""
    begin_plain(rule)
    cdef double root = sqrt(1 - rule.power_2), ahead = mu(rule, rule.steps + 1)
    rule.moments.rate *= root
    rule.moments.mean_part = ahead / (1 - rule.power_1 * ahead)
    rule.moments.gradient_part = (1 - mu(rule, rule.steps)) / (1 - rule.power_1)
    rule.moments.epsilon = max(rule.epsilon * root, rule.smallest)


cdef void begin_adamax(rule_t *rule) noexcept nogil:
    begin_plain(rule)
    rule.moments.rate /= 1 - rule.power_1


# ---- the end of a step ----------------------------------------------------------------------------------------------


cdef void finish_share(const net_t *net, int thread, int threads) noexcept nogil:
    """A thread's part of it, where the step at hand is one that moves the weights."""
    cdef const rule_t *rule = <const rule_t *> net.optimizer
    if rule.due:
        (<Tensors> rule.tensors).finish(net, &rule.moments, rule.finish, thread, threads)
