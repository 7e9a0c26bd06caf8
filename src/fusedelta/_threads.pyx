"""How many threads a piece of work is worth, in this process: threads.py says how it is set."""

import os


def use_flops_per_thread(double flops):
    """Let each thread have at least so much work from now on; returns the figure until now."""
    global _flops
    before, _flops = _flops, flops
    return before


def flops_per_thread():
    """The work that a thread must have, in floating-point operations."""
    return _flops


def use_limit(int threads):
    """Use at most so many threads from now on, whatever the networks' n_threads; returns the limit until now."""
    global _limit
    before, _limit = _limit, threads
    return before


def limit():
    """The limit of the process."""
    return _limit


cdef int threads_worth(double flops, int most) noexcept nogil:
    """From 1 to `most` and to the limit, each with enough work."""
    cdef double threads = min(<double> min(most, _limit), flops / _flops)
    return max(1, <int> threads)


def use_first_speeds(list speeds):
    """Expect threads to be as fast as these, round and round, until they show it; returns the figures until now.

    Those of networks that are built from now on. Results do not depend on it.
    """
    global _first_speeds
    before, _first_speeds = _first_speeds, speeds
    return before


cdef double first_speed(int thread):
    return _first_speeds[thread % len(_first_speeds)]


def read_flops(str text):
    """The figure of the environment variable FUSEDELTA_THREAD_FLOPS."""
    try:
        flops = float(text)
    except ValueError:
        flops = 0
    if not 1 <= flops < float("inf"):
        raise ValueError(f"FUSEDELTA_THREAD_FLOPS={text!r}: expected operations a thread, at least 1, such as 12.5e6")
    return flops


# Twice this work is about 200 microseconds on one core. Below, a second one gains nothing: what costs is what crosses
# from cache to cache, not the barriers.
DEFAULT_FLOPS = 12.5e6

cdef double _flops = read_flops(os.environ.get("FUSEDELTA_THREAD_FLOPS") or str(DEFAULT_FLOPS))
cdef int _limit = 1 << 15
cdef list _first_speeds = [1.0]
