"""Texts that can be searched together: of one model, asked for alike. They take turns, and join where there is room.

Models of ours are searched in lanes of `nmt.serve.live_lane`, exported ones in those of `nmt.serve.batch_lane`.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from nmt.search.hypothesis import Hypothesis

Found = list[list[Hypothesis]]
"For each source its hypotheses, best first."


@dataclass(frozen=True)
class Kind:
    """What a lane's sources have in common."""

    model: int
    "The number of the model."
    num_best: int = 1
    attention: bool = False
    longest: int = 0
    "No source has more pieces: long ones keep to themselves, since beside them short ones are padded."


@dataclass(eq=False)
class SearchTask:
    """Sources that one request wants searched, none of them empty. Cancelling the future gives them up."""

    kind: Kind
    sources: Sequence[np.ndarray]
    quotas: Sequence[Mapping[int, int]] | None = None
    "For each source, how often its translation holds each numbered placeholder; None: that is not counted."
    future: Future[Found] = field(default_factory=Future)
    at_work: int = 0

    def __post_init__(self) -> None:
        self.results: Found = [[] for _ in self.sources]
        self.left = len(self.sources)
        longest_first = sorted(range(len(self.sources)), key=lambda index: -len(self.sources[index]))
        self.waiting = deque(longest_first)

    def done(self, index: int, hypotheses: list[Hypothesis]) -> None:
        """One source is finished; the last one answers."""
        self.results[index] = hypotheses
        self.left -= 1
        self.at_work -= 1
        if not self.left:
            with contextlib.suppress(InvalidStateError):  # given up at this very moment
                self.future.set_result(self.results)

    def failed(self, error: BaseException) -> None:
        """Answer with an error."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(error)


class Lane(Protocol):
    """Searches the tasks of one kind, in a thread that has others to search too."""

    @property
    def busy(self) -> bool:
        """Whether anything waits or is at work."""

    @property
    def num_at_work(self) -> int:
        """Sources that are being searched."""

    def add(self, task: SearchTask) -> None:
        """Have a task wait for its turn."""

    def advance(self) -> None:
        """Let in who may join and search for a moment. An error is that of every task at work."""


MakeLane = Callable[[Kind], Lane]
"Of one model: a lane for each kind of tasks."


def left_of(tasks: deque[SearchTask]) -> deque[SearchTask]:
    """The tasks that somebody still waits for."""
    return deque(task for task in tasks if not task.future.done())
