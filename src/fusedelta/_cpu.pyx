"""Which kernels run: the best this machine has, or those that FUSEDELTA_ISA names. The one module that links csrc."""

import os

from libc.stddef cimport ptrdiff_t

from fusedelta._c cimport (
    FUSEDELTA_MAX_ISAS, fusedelta_compiler, fusedelta_isas, fusedelta_kernel_names, fusedelta_kernels,
    fusedelta_large_l1, fusedelta_probe, fusedelta_sees_uppers, fusedelta_uppers_left, kernels_t,
)

cdef const kernels_t *current_single
cdef const kernels_t *current_double

fusedelta_probe()


def available_isas():
    """Names of the instruction sets this machine runs, best first."""
    cdef const char *names[8]
    assert FUSEDELTA_MAX_ISAS < 8
    fusedelta_isas(names)
    isas = []
    while names[len(isas)] != NULL:
        isas.append(names[len(isas)].decode())
    return isas


def compiler():
    """Name and version of the compiler that built the kernels."""
    return fusedelta_compiler().decode()


def assume_large_l1(bint large):
    """For tests: let the kernels take the nearest cache for large, or not; returns what they took it for."""
    cdef int *flag = &fusedelta_large_l1
    before, flag[0] = bool(flag[0]), large
    return before


def kernel_names():
    """Names of the kernels, from the list that declares them."""
    cdef const char *const *names = fusedelta_kernel_names()
    kernels = []
    while names[len(kernels)] != NULL:
        kernels.append(names[len(kernels)].decode())
    return kernels


cdef const kernels_t *kernels_named(object isa, ptrdiff_t itemsize) except NULL:
    cdef bytes name = isa.encode()
    cdef const kernels_t *table = fusedelta_kernels(name, itemsize)
    if table == NULL:
        runs = ", ".join(available_isas())
        raise ValueError(f"FUSEDELTA_ISA={isa!r}: this machine runs {runs}; name one of them or none")
    return table


def use_isa(isa):
    """Take the kernels of `isa` for every network made from now on; returns the name in use until now."""
    global _current, current_single, current_double
    current_single, current_double = kernels_named(isa, 4), kernels_named(isa, 8)
    before, _current = _current, isa
    return before


def current_isa():
    """Name of the instruction set whose kernels new networks take."""
    return _current


def sees_registers():
    """For tests: whether `check_registers` sees what it looks for, on this processor."""
    return bool(fusedelta_sees_uppers())


cdef int check_registers() except -1 nogil:
    """For tests, right behind a kernel: whether it has cleared the upper halves of the vector registers."""
    if fusedelta_uppers_left():
        with gil:
            raise RuntimeError("a kernel left the upper halves of vector registers in use: what follows would be slow")
    return 0


cdef const kernels_t *current_kernels(ptrdiff_t itemsize) noexcept:
    """Looked up once: a virtual machine takes its time to say what its processor can do."""
    return current_single if itemsize == 4 else current_double


_current = available_isas()[0]
use_isa(os.environ.get("FUSEDELTA_ISA") or _current)
