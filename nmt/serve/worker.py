"""The one thread that computes: it takes each lane that has work one step further, in turn.

So no lane waits for another, and a short text not for a book.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from nmt.serve.lane import Kind, Lane, MakeLane, SearchTask
from nmt.translate.segments import MAX_SOURCE_PIECES

SHORT_PIECES = 64
"Sources with more have a lane of their own."


def longest_of(num_pieces: int) -> int:
    """The most pieces of the sources that one of `num_pieces` is searched with."""
    return SHORT_PIECES if num_pieces <= SHORT_PIECES else MAX_SOURCE_PIECES


class Worker:
    """Searches what is submitted from other threads. `close` lets it finish that, and waits."""

    def __init__(self, models: Sequence[MakeLane], wait_seconds: float) -> None:
        """models: the lanes of each, by number. wait_seconds: how long a task waits for others, at most."""
        self.models, self.wait_seconds = models, wait_seconds
        self._lanes: dict[Kind, Lane] = {}
        self._inbox: list[SearchTask] = []
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="search", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, task: SearchTask) -> None:
        """Have a task searched; its future tells."""
        with self._changed:
            assert not self._closing, "closed"
            self._inbox.append(task)
            self._changed.notify()

    def close(self) -> None:
        """Finish what was submitted, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def num_at_work(self) -> int:
        """Sources that are being searched, about."""
        return sum(lane.num_at_work for lane in list(self._lanes.values()))

    def _run(self) -> None:
        while True:
            busy = [lane for lane in self._lanes.values() if lane.busy]
            with self._changed:
                if not busy:
                    while not self._inbox and not self._closing:
                        self._changed.wait()
                    if not self._inbox:
                        return
                    self._changed.wait_for(lambda: self._closing, self.wait_seconds)  # for company
                arrived, self._inbox = self._inbox, []
            for task in arrived:
                self._lane(task.kind).add(task)
            for lane in [lane for lane in self._lanes.values() if lane.busy]:
                lane.advance()

    def _lane(self, kind: Kind) -> Lane:
        if kind not in self._lanes:
            self._lanes[kind] = self.models[kind.model](kind)
        return self._lanes[kind]
