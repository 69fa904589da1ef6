"""A lane that is searched by us: a step at a time, so that others join and leave between two steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nmt.search.beam import beam_search
from nmt.search.counting import counted_search
from nmt.search.hypothesis import Hypothesis
from nmt.search.live import LiveSearch
from nmt.search.request import Wanted
from nmt.serve.lane import Found, Kind, SearchTask, left_of
from nmt.translate.searcher import Searcher, enough_memory

JOIN_SHARE, JOIN_STEPS = 4, 6
"""Who waits joins where one in so many of those at work does, or so many steps have been taken, or nobody is at work.

Each time that someone joins, what those at work remember is copied, and few sentences are slow to encode.
"""


class LiveLane:
    """Searches the tasks of one kind, a step at a time."""

    def __init__(self, searcher: Searcher, kind: Kind) -> None:
        self.searcher, self.kind = searcher, kind
        self.tasks: deque[SearchTask] = deque()
        "With sources that wait, in the order of their turns."
        self._owners: dict[int, tuple[SearchTask, int]] = {}
        self._search: LiveSearch | None = None
        self._steps_waited = 0
        "Since anyone last joined, while others wait."

    @property
    def busy(self) -> bool:
        """Whether anything waits or is at work."""
        return bool(self.tasks or self._owners)

    @property
    def num_at_work(self) -> int:
        """Sources that are being searched."""
        return len(self._owners)

    def add(self, task: SearchTask) -> None:
        """Have a task wait for its turn."""
        self.tasks.append(task)

    def advance(self) -> None:
        """Let in who may join and take one step. An error is every task's: they shared the memory it wanted."""
        try:
            with enough_memory():
                self._advance()
        except Exception as error:
            for task in {
                id(task): task for task in (*self.tasks, *(owner for owner, _ in self._owners.values()))
            }.values():
                task.failed(error)
            self.tasks.clear()
            self._owners.clear()
            self._search = None

    def _advance(self) -> None:
        search = self._search = self._search or self._new_search()
        self._drop(search)
        self._steps_waited += bool(self.tasks)
        if self._due():
            self._steps_waited = 0
            self._let_in(search)
        if search.at_work:
            for slot, hypotheses in search.step():
                task, index = self._owners.pop(slot)
                task.done(index, self._counted(task, index, hypotheses))

    def _new_search(self) -> LiveSearch:
        return LiveSearch(self.searcher.model, self.searcher.config, self._wanted(), self.kind.longest)

    def _wanted(self) -> Wanted:
        return Wanted(
            num_best=self.kind.num_best,
            attention=self.kind.attention,
            shortlist=self.searcher.shortlist,
            source_only=self.searcher.source_only,
        )

    def _counted(self, task: SearchTask, index: int, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        """With each numbered placeholder as often as it is to be: where it is not, the source is searched again."""
        if task.quotas is None:
            return hypotheses
        searcher = self.searcher

        def search(sources: Sequence[np.ndarray], wanted: Wanted) -> Found:
            return (
                [hypotheses] if wanted.quotas is None else beam_search(searcher.model, sources, searcher.config, wanted)
            )

        wanted = replace(self._wanted(), counted=searcher.placeholders, quotas=[task.quotas[index]])
        (found,), _ = counted_search(search, [task.sources[index]], wanted)
        return found

    def _drop(self, search: LiveSearch) -> None:
        """Give up what nobody waits for any more."""
        gone = [slot for slot, (task, _) in self._owners.items() if task.future.cancelled()]
        search.drop(gone)
        for slot in gone:
            del self._owners[slot]
        self.tasks = left_of(self.tasks)

    def _due(self) -> bool:
        """Whether to let in others now: beginning with one sentence at a time costs more than with several."""
        if not self.tasks or not self._owners:
            return bool(self.tasks)
        waiting = sum(len(task.waiting) for task in self.tasks)
        return waiting * JOIN_SHARE >= len(self._owners) or self._steps_waited >= JOIN_STEPS

    def _let_in(self, search: LiveSearch) -> None:
        """Each task's next source in turn, as far as there are places; no task takes more than half of them."""
        chosen: list[tuple[SearchTask, int]] = []
        longest = 0
        passed = 0  # tasks in a row that have their share
        while passed < len(self.tasks):
            task = self.tasks[0]
            length = max(longest, len(task.sources[task.waiting[0]]))
            places = search.places(length)
            if len(self._owners) + len(chosen) >= places and (self._owners or chosen):
                break  # whoever waits longest comes first, also where shorter ones would find room
            self.tasks.rotate(-1)
            if task.at_work >= max(1, places // 2):
                passed += 1
                continue
            chosen.append((task, task.waiting.popleft()))
            task.at_work += 1
            longest, passed = length, 0
            if not task.waiting:
                self.tasks.remove(task)
        if chosen:
            slots = search.add([task.sources[index] for task, index in chosen])
            self._owners |= dict(zip(slots, chosen, strict=True))
