"""Each W and each b by itself: penalties, norms of gradients, constraints.

The block of parameters is cut into pieces of at most PIECE elements of one tensor. Threads share the pieces; a sum
over a tensor, or over all of them, is that of its pieces in their order. So it has the same bits for any number of
threads.
"""

cimport cython
from libc.math cimport INFINITY, sqrt
from libc.stddef cimport ptrdiff_t
from libc.stdlib cimport calloc, free

cimport numpy as np

from fusedelta._c cimport BLOCK_BYTES, conditions_t, kernels_t, moments_t, net_t

from fusedelta.parameters import tensors as tensors_of

np.import_array()

cdef enum:
    PIECE = 4096                       # elements: 16 or 32 KiB of a gradient, and as much of the weights


@cython.final
cdef class Tensors:
    """The tensors of a network, with what its layers and its optimiser ask of them.

    Parameters
    ----------
    rows : list of rows.Row
        The layers.
    optimizer : optimizers.Optimizer
        Says how gradients are clipped.
    params : ndarray
        The flat block of weights and biases; the caller keeps it alive.
    """

    def __cinit__(self, list rows, optimizer, np.ndarray params):
        cdef ptrdiff_t first
        cdef tensor_t *tensor
        found = tensors_of(rows)
        pieces = sum([-(-(each.last - each.first) // PIECE) for each in found])
        self.params, self.itemsize = np.PyArray_BYTES(params), np.PyArray_ITEMSIZE(params)
        self.tensors = <tensor_t *> calloc(len(found), sizeof(tensor_t))
        self.pieces = <piece_t *> calloc(pieces, sizeof(piece_t))
        self.constraints = <constraint_t *> calloc(len(found), sizeof(constraint_t))
        if self.tensors == NULL or self.pieces == NULL or self.constraints == NULL:
            raise MemoryError()
        self.norm, self.global_norm = optimizer.clipnorm or INFINITY, optimizer.global_clipnorm or INFINITY
        for start, end, stride, is_transposed, l1, l2, max_norm in found:
            tensor = &self.tensors[self.n_tensors]
            tensor.conditions = conditions_t(l1, l2, optimizer.clipvalue or INFINITY)
            tensor.first_piece = self.n_pieces
            for first in range(start, end, PIECE):
                self.pieces[self.n_pieces] = piece_t(first, min(first + PIECE, end), self.n_tensors, 0)
                self.n_pieces += 1
            tensor.last_piece = self.n_pieces
            self.n_tensors += 1
            self.penalized = self.penalized or l1 > 0 or l2 > 0
            if max_norm < INFINITY:
                self.constraints[self.n_constraints] = constraint_t(
                    self.params + <ptrdiff_t> start * self.itemsize, (end - start) // stride, stride, is_transposed,
                    max_norm
                )
                self.n_constraints += 1
        self.conditioned = self.penalized or optimizer.clipvalue is not None

    def __dealloc__(self):
        free(self.tensors)
        free(self.pieces)
        free(self.constraints)

    cdef void pieces_of(self, int thread, int threads, ptrdiff_t *first, ptrdiff_t *last) noexcept nogil:
        """A thread's share."""
        first[0], last[0] = self.n_pieces * thread // threads, self.n_pieces * (thread + 1) // threads

    # ---- penalties --------------------------------------------------------------------------------------------------

    cdef void penalties(self, const kernels_t *cpu, int thread, int threads) noexcept nogil:
        """Those of a thread's pieces; `total` adds them up."""
        cdef ptrdiff_t i, last
        cdef piece_t *piece
        cdef const conditions_t *on
        self.pieces_of(thread, threads, &i, &last)
        for i in range(i, last):
            piece, on = &self.pieces[i], &self.tensors[self.pieces[i].tensor].conditions
            piece.sum = 0
            if on.l1 > 0 or on.l2 > 0:
                cpu.penalty(self.params + piece.first * self.itemsize, piece.last - piece.first, on.l1, on.l2,
                            &piece.sum)

    cdef double total(self) noexcept nogil:
        return sum_of(self.pieces, 0, self.n_pieces)

    cdef void add_penalty_gradient(self, const kernels_t *cpu, char *gradient) noexcept nogil:
        """Make the gradient of the loss that of the loss with its penalties."""
        cdef ptrdiff_t i
        cdef conditions_t on
        cdef const piece_t *piece
        for i in range(self.n_pieces):
            piece, on = &self.pieces[i], self.tensors[self.pieces[i].tensor].conditions
            on.limit = INFINITY
            cpu.condition(&on, self.params + piece.first * self.itemsize, gradient + piece.first * self.itemsize,
                          piece.last - piece.first)

    # ---- clipping ---------------------------------------------------------------------------------------------------

    cdef void condition(self, const kernels_t *cpu, char *gradient, int thread, int threads) noexcept nogil:
        """Add penalties, and clip the values, of a thread's pieces."""
        cdef ptrdiff_t i, last
        cdef const piece_t *piece
        self.pieces_of(thread, threads, &i, &last)
        for i in range(i, last):
            piece = &self.pieces[i]
            cpu.condition(&self.tensors[piece.tensor].conditions, self.params + piece.first * self.itemsize,
                          gradient + piece.first * self.itemsize, piece.last - piece.first)

    cdef bint has_norms(self) noexcept nogil:
        return self.norm < INFINITY or self.global_norm < INFINITY

    cdef void squares(self, const kernels_t *cpu, const char *gradient, int thread, int threads) noexcept nogil:
        """The sums of squares of a thread's pieces; all must be there before `clip`."""
        cdef ptrdiff_t i, last
        cdef piece_t *piece
        self.pieces_of(thread, threads, &i, &last)
        for i in range(i, last):
            piece = &self.pieces[i]
            cpu.penalty(gradient + piece.first * self.itemsize, piece.last - piece.first, 0, 1, &piece.sum)

    cdef void clip(self, const kernels_t *cpu, char *gradient, int thread, int threads) noexcept nogil:
        """Shrink a thread's pieces to the norm that is allowed."""
        cdef ptrdiff_t i, last, first_summed = -1
        cdef const piece_t *piece
        cdef const tensor_t *tensor
        cdef double factor = 1
        if self.global_norm < INFINITY:
            factor = factor_for(self.global_norm, self.total())
        self.pieces_of(thread, threads, &i, &last)
        for i in range(i, last):
            piece, tensor = &self.pieces[i], &self.tensors[self.pieces[i].tensor]
            if self.norm < INFINITY and first_summed != tensor.first_piece:
                first_summed = tensor.first_piece
                factor = factor_for(self.norm, sum_of(self.pieces, tensor.first_piece, tensor.last_piece))
            if factor != 1:
                cpu.shrink(gradient + piece.first * self.itemsize, piece.last - piece.first, factor)

    # ---- constraints ------------------------------------------------------------------------------------------------

    cdef void constrain(self, const kernels_t *cpu, int thread, int threads) noexcept nogil:
        """A thread's columns of every constrained W."""
        cdef ptrdiff_t i, blocks, block = BLOCK_BYTES // self.itemsize
        cdef const constraint_t *on
        for i in range(self.n_constraints):
            on = &self.constraints[i]
            if on.transposed:
                if thread == 0:
                    self.constrain_lines(cpu, on)
                continue
            blocks = on.ld // block
            cpu.max_norm(on.W, on.k, on.ld, blocks * thread // threads * block,
                         blocks * (thread + 1) // threads * block, on.max_norm)

    cdef void constrain_lines(self, const kernels_t *cpu, const constraint_t *on) noexcept nogil:
        """Those of a W that lies transposed: there are few."""
        cdef ptrdiff_t i
        cdef double norm
        cdef char *line
        for i in range(on.k):
            line = on.W + i * on.ld * self.itemsize
            cpu.penalty(line, on.ld, 0, 1, &norm)
            norm = sqrt(norm)
            cpu.shrink(line, on.ld, min(norm, on.max_norm) / (1e-7 + norm))

    # ---- the end of a step ------------------------------------------------------------------------------------------

    cdef void finish(self, const net_t *net, const moments_t *moments, finish_t finish, int thread,
                     int threads) noexcept nogil:
        """A thread's part: pieces of the gradient, the same ones of the weights, then columns under a constraint."""
        cdef ptrdiff_t first, last
        cdef char *gradient = <char *> moments.g
        if self.conditioned:
            self.condition(net.cpu, gradient, thread, threads)
        if self.has_norms():
            self.squares(net.cpu, gradient, thread, threads)
            if threads > 1:
                net.barrier(net.team)
            self.clip(net.cpu, gradient, thread, threads)
        self.pieces_of(thread, threads, &first, &last)
        if finish != NULL and first < last:
            finish(moments, self.pieces[first].first, self.pieces[last - 1].last)
        if self.n_constraints > 0:
            if threads > 1:
                net.barrier(net.team)
            self.constrain(net.cpu, thread, threads)


cdef double sum_of(const piece_t *pieces, ptrdiff_t first, ptrdiff_t last) noexcept nogil:
    cdef ptrdiff_t i
    cdef double total = 0
    for i in range(first, last):
        total += pieces[i].sum
    return total


cdef double factor_for(double largest, double squares) noexcept nogil:
    """What brings a gradient down to the largest norm; 1 where it is no larger, or not a number."""
    cdef double norm = sqrt(squares)
    return largest / norm if norm > largest else 1
