"""A lane that another program searches, a batch at a time, which ends when all of its sentences have been translated.

Nobody can join or leave in between. So batches are small, and those who wait take turns in them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nmt.serve.lane import Found, Kind, SearchTask, left_of
from nmt.translate.searcher import enough_memory

BATCH_SENTENCES, BATCH_PIECES = 32, 1024
"Of a batch at most; pieces with padding, unless one sentence alone has more."

Quotas = Sequence[Mapping[int, int] | None]
SearchBatch = Callable[[Sequence[np.ndarray], Quotas, Kind], Found]
"""Sources, none of them empty, how often each one's translation is to hold numbered placeholders (None: that is not
counted), and what they have in common -> the hypotheses of each, which do not depend on the others."""


class BatchLane:
    """Searches the tasks of one kind."""

    def __init__(self, search: SearchBatch, kind: Kind) -> None:
        self.search, self.kind = search, kind
        self.tasks: deque[SearchTask] = deque()
        "With sources that wait, in the order of their turns."
        self.num_at_work = 0

    @property
    def busy(self) -> bool:
        """Whether anything waits."""
        return bool(self.tasks)

    def add(self, task: SearchTask) -> None:
        """Have a task wait for its turn."""
        self.tasks.append(task)

    def advance(self) -> None:
        """Search one batch. An error is that of every task in it: they shared the memory it wanted."""
        self.tasks = left_of(self.tasks)
        batch = self._next()
        self.num_at_work = len(batch)
        try:
            with enough_memory():
                found = self._found(batch)
        except Exception as error:
            for task, _ in batch:
                task.failed(error)
        else:
            for (task, index), hypotheses in zip(batch, found, strict=True):
                task.done(index, hypotheses)
        self.num_at_work = 0
        self.tasks = left_of(self.tasks)

    def _found(self, batch: Sequence[tuple[SearchTask, int]]) -> Found:
        if not batch:
            return []
        sources = [task.sources[index] for task, index in batch]
        quotas = [None if task.quotas is None else task.quotas[index] for task, index in batch]
        return self.search(sources, quotas, self.kind)

    def _next(self) -> list[tuple[SearchTask, int]]:
        """Each task's next source in turn, as far as there is room; whoever waits longest comes first."""
        chosen: list[tuple[SearchTask, int]] = []
        longest = 0
        while self.tasks and len(chosen) < BATCH_SENTENCES:
            task = self.tasks[0]
            longest = max(longest, len(task.sources[task.waiting[0]]) + 1)
            if chosen and longest * (len(chosen) + 1) > BATCH_PIECES:
                break
            chosen.append((task, task.waiting.popleft()))
            task.at_work += 1
            self.tasks.rotate(-1)
            if not task.waiting:
                self.tasks.pop()
        return chosen
