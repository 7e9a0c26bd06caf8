"""Many tasks over threads: those of an ensemble's members, none of which need each other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from fusedelta import _threads, threads

__all__ = ["noted", "spread", "threads_each", "threads_for"]

#: A thread of Python's own costs more to start than one of the core's: so many times the work.
STARTS = 8

#: Seconds between two looks for Ctrl-C while other threads finish.
WAIT = 0.05

T = TypeVar("T")


def threads_for(n_threads: int | None, flops: float, n: int) -> int:
    """How many threads n tasks are worth, which together are that much work.

    Parameters
    ----------
    n_threads : int or None
        The most that may be used; None: those that the process may use.
    flops : float
        Operations of all tasks together.
    n : int
    """
    most = threads.available() if n_threads is None else n_threads
    worth = flops / (STARTS * _threads.flops_per_thread())
    return max(1, int(min(most, _threads.limit(), n, worth)))


def threads_each(n_threads: int | None, n: int) -> int:
    """How many threads each of n networks may have for its own steps, if all have as many.

    Parameters
    ----------
    n_threads : int or None
        Of all together; None: those that the process may use.
    n : int
    """
    return max(1, (threads.available() if n_threads is None else n_threads) // n)


def spread(
    task: Callable[[int], T],
    n: int,
    n_threads: int,
    interrupt: Callable[[bool], None] | None = None,
) -> list[T]:
    """``[task(0), ..., task(n - 1)]``, each computed by one of several threads.

    The calling thread is one of them. The first exception, Ctrl-C's included, ends all: no other
    task is started, and those that run are waited for.

    Parameters
    ----------
    task : callable
    n, n_threads : int
    interrupt : callable, optional
        ``interrupt(True)`` makes tasks that run end early, by any exception. ``interrupt(False)``
        takes that back.

    Raises
    ------
    BaseException
        What the first task that failed has raised, with a note which it was.
    """
    left = deque(range(n))
    results: list[Any] = [None] * n
    failures: list[BaseException] = []

    def fail(failure: BaseException) -> None:
        failures.append(failure)
        if interrupt is not None:
            interrupt(True)

    def work() -> None:
        while not failures and (i := _next(left)) is not None:
            results[i] = noted(task, i, n)

    def work_beside() -> None:
        try:
            work()
        except BaseException as failure:
            fail(failure)

    others = [threading.Thread(target=work_beside) for _ in range(n_threads - 1)]
    try:
        for thread in others:
            thread.start()
        work()
        for thread in others:
            while thread.is_alive():
                thread.join(WAIT)
    except BaseException as failure:
        fail(failure)
    for thread in others:
        _wait_for(thread)
    if not failures:
        return results
    if interrupt is not None:
        interrupt(False)
    try:
        raise failures[0]
    finally:
        failures.clear()  # which the exception's traceback refers to


def _next(left: deque[int]) -> int | None:
    with suppress(IndexError):
        return left.popleft()
    return None


def noted(task: Callable[[int], T], i: int, n: int) -> T:
    """``task(i)``; an exception gets a note which of n members it is about."""
    try:
        return task(i)
    except Exception as error:
        error.add_note(f"in member {i} of {n}")
        raise


def _wait_for(thread: threading.Thread) -> None:
    """Until it has ended, which more Ctrl-C does not hasten."""
    while thread.is_alive():
        with suppress(KeyboardInterrupt):
            thread.join(WAIT)
