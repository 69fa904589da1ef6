"""Several searches side by side: each of the workers takes a share of what is submitted.

On a processor, two searches with a thread each do more than one with two: no product is split, and none of the threads
waits while the other does what cannot be.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from nmt.serve.lane import Found, MakeLane, SearchTask
from nmt.serve.worker import Worker


class Pool:
    """Workers that are submitted to as if they were one."""

    def __init__(self, models: Sequence[MakeLane], wait_seconds: float, num_workers: int) -> None:
        """models, wait_seconds: of each worker."""
        self.workers = [Worker(models, wait_seconds) for _ in range(num_workers)]
        self._loads = [0] * num_workers
        "Pieces that each has still to search, </s> included."
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to work."""
        for worker in self.workers:
            worker.start()

    def close(self) -> None:
        """Finish what was submitted, and end."""
        for worker in self.workers:
            worker.close()

    @property
    def num_at_work(self) -> int:
        """Sources that are being searched, about."""
        return sum(worker.num_at_work for worker in self.workers)

    def submit(self, task: SearchTask) -> None:
        """Have a task searched, each source by the worker that has least to do; its future tells."""
        shares = self._shares(task)
        if len(shares) == 1:
            self._submit(next(iter(shares)), task)
            return
        parts = {number: _part(task, indices) for number, indices in shares.items()}
        collected = _Collected(task, list(parts.values()))
        for number, part in parts.items():
            part.future.add_done_callback(collected.taker(shares[number]))
            self._submit(number, part)

    def _shares(self, task: SearchTask) -> dict[int, list[int]]:
        """The sources of each worker that gets any, by number."""
        shares: dict[int, list[int]] = {}
        with self._lock:
            for index in list(task.waiting):  # longest first
                number = min(range(len(self._loads)), key=self._loads.__getitem__)
                shares.setdefault(number, []).append(index)
                self._loads[number] += len(task.sources[index]) + 1
        return shares

    def _submit(self, number: int, task: SearchTask) -> None:
        load = sum(len(source) + 1 for source in task.sources)

        def lighter(_: Future[Found]) -> None:
            with self._lock:
                self._loads[number] -= load

        task.future.add_done_callback(lighter)
        self.workers[number].submit(task)


def _part(task: SearchTask, indices: Sequence[int]) -> SearchTask:
    quotas = None if task.quotas is None else [task.quotas[index] for index in indices]
    return SearchTask(task.kind, [task.sources[index] for index in indices], quotas)


class _Collected:
    """Answers a task when all of its parts are done, and gives them up with it."""

    def __init__(self, task: SearchTask, parts: Sequence[SearchTask]) -> None:
        self._task, self._parts = task, parts
        self._lock = threading.Lock()
        task.future.add_done_callback(self._given_up)

    def _given_up(self, future: Future[Found]) -> None:
        if future.cancelled() or future.exception():
            for part in self._parts:
                part.future.cancel()

    def taker(self, indices: Sequence[int]) -> Callable[[Future[Found]], None]:
        """What the part with these sources calls when it is done."""

        def take(future: Future[Found]) -> None:
            if future.cancelled():
                return
            if error := future.exception():
                self._task.failed(error)
                return
            with self._lock:
                for index, hypotheses in zip(indices, future.result(), strict=True):
                    self._task.done(index, hypotheses)

        return take
