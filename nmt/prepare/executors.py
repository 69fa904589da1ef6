"""Who does the work on shards: this process, processes forked from it, or a Dask cluster.

A task is a function of one argument, both importable and sendable, that writes its files whole and may be done twice.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from bpe.errors import UserError

FEW_PAIRS = 2_000
"Not worth a process."


class ShardTask(Protocol):
    """What a task is told."""

    @property
    def num_pairs(self) -> int:
        """Pairs to work on."""


TaskT = TypeVar("TaskT", bound=ShardTask)
Result = TypeVar("Result")


class Executor(Protocol):
    """Does tasks, several at a time."""

    num_workers: int
    "Tasks that are done at a time."

    def map(self, function: Callable[[TaskT], Result], tasks: Sequence[TaskT]) -> Iterator[Result]:
        """Results in the order of the tasks; only a few wait in memory. The first error in that order is raised."""


class InProcess:
    """One after another, here."""

    num_workers = 1

    def map(self, function: Callable[[TaskT], Result], tasks: Sequence[TaskT]) -> Iterator[Result]:
        """Results in the order of the tasks."""
        return map(function, tasks)


class Forked:
    """In processes forked from this one when there is enough to do."""

    def __init__(self, pool: ProcessPoolExecutor, num_workers: int) -> None:
        self._pool, self.num_workers = pool, num_workers

    def map(self, function: Callable[[TaskT], Result], tasks: Sequence[TaskT]) -> Iterator[Result]:
        """Results in the order of the tasks; a worker that was killed is a UserError."""
        if sum(task.num_pairs for task in tasks) <= FEW_PAIRS:
            return map(function, tasks)

        def submit(task: TaskT) -> Future[Result]:
            return self._pool.submit(function, task)

        return in_order(submit, _result, tasks, 2 * self.num_workers)


def in_order(
    submit: Callable[[TaskT], Any], result: Callable[[Any], Result], tasks: Sequence[TaskT], ahead: int
) -> Iterator[Result]:
    """Results in the order of the tasks, of which at most `ahead` are submitted before the first is asked for."""
    waiting: deque[Any] = deque()
    try:
        for task in tasks:
            waiting.append(submit(task))
            if len(waiting) >= ahead:
                yield result(waiting.popleft())
        while waiting:
            yield result(waiting.popleft())
    finally:
        for future in waiting:
            future.cancel()


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool:
        problem = "a worker process was killed, most likely for want of memory"
        raise UserError(problem, hint="run again with --threads 1") from None


@contextmanager
def local_workers(num_workers: int) -> Iterator[Executor]:
    """Workers on this machine for as long as the context lasts; where it is left by an error they are stopped at once.

    Only where they can be forked: a spawned one would run the caller's script again. Elsewhere this process works.
    """
    if num_workers < 2 or not sys.platform.startswith("linux"):
        yield InProcess()
        return
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("fork"), _start_worker)
    try:
        yield Forked(pool, num_workers)
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        _end_results(pool)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_results(pool: ProcessPoolExecutor) -> None:
    """Let the thread that reads results come to their end, where a worker was stopped in the middle of sending one.

    It would wait for the rest for ever: this process too holds the end that workers write to.
    """
    with suppress(AttributeError, OSError):
        pool._result_queue._writer.close()  # type: ignore[attr-defined]


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A killed parent cannot stop its workers; they notice and leave."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
