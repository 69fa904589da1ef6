"""Where training stands. Nothing but the methods here changes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nmt.data.position import Position


@dataclass
class TrainingProgress:
    """Position in the data, patience, time. Written to last/state.json."""

    update: int = 0
    "Optimizer updates made."
    epoch: int = 0
    "Epoch of the next batch, from 0."
    block: int = 0
    "Block of the next batch in its epoch; 0 where an epoch has one alone."
    batch: int = 0
    "Index of the next batch in its block."
    skipped: int = 0
    "Updates that were left out, since loss or gradient was not finite; they are counted in `update` all the same."
    skipped_in_a_row: int = 0
    "Those of them after the last update that was made."
    target_tokens: int = 0
    "Tokens trained on that were predicted, </s> included."
    epoch_cost: float = 0.0
    "Cross entropy of the tokens of the epoch that was begun last, as they were trained on, in nats, summed."
    epoch_tokens: int = 0
    "So many tokens."
    seconds: float = 0.0
    "Wall-clock time spent training and validating, all sessions."
    cpu_seconds: float = 0.0
    "Processor time of the same, all threads of the first worker; it does not tell how busy the machine was."
    peak_memory: int = 0
    "Most bytes held at once in any session: GPU memory on CUDA, the process's resident memory elsewhere."
    validated: int = 0
    "Update of the last validation."
    best_score: float | None = None
    "The best validation's score so far, higher is better: BLEU, or minus cost."
    best_update: int = 0
    "Update of the best validation."
    waiting: int = 0
    "Validations since the best one."
    finished: str = ""
    "Why training ended, if it did."
    arithmetic: dict[str, str | int] = dataclasses.field(default_factory=dict)
    "What its numbers were rounded by when it was saved (see nmt.device): threads, processor, library."

    @property
    def place(self) -> Position:
        """The next batch."""
        return Position(self.epoch, self.block, self.batch)

    def go_on(self, update: int, place: Position) -> None:
        """An update is under way. place: the batch after it."""
        self._stand(update, place)

    def go_back(self, update: int, place: Position) -> None:
        """Updates after `update` were not made. place: the batch after it."""
        self._stand(update, place)

    def _stand(self, update: int, place: Position) -> None:
        self.update, self.epoch, self.block, self.batch = update, place.epoch, place.block, place.batch

    @property
    def between_epochs(self) -> bool:
        """Whether the last update ended an epoch, of a task that knows where one ends."""
        return self.update > 0 and self.block == 0 and self.batch == 0

    @property
    def epoch_of_last(self) -> int:
        """The epoch of the last update, from 1."""
        return self.epoch if self.between_epochs else self.epoch + 1

    def count(self, tokens: int, cross_entropy: float, *, made: bool, begins: bool) -> None:
        """An update has been read. cross_entropy: of its tokens together. begins: whether it began an epoch."""
        if begins:
            self.epoch_cost, self.epoch_tokens = 0.0, 0
        if made:
            self.target_tokens, self.skipped_in_a_row = self.target_tokens + tokens, 0
            self.epoch_cost, self.epoch_tokens = self.epoch_cost + cross_entropy, self.epoch_tokens + tokens
        else:
            self.skipped, self.skipped_in_a_row = self.skipped + 1, self.skipped_in_a_row + 1

    def spend(self, seconds: float, cpu_seconds: float) -> None:
        """All the time that has been spent up to now."""
        self.seconds, self.cpu_seconds = seconds, cpu_seconds

    def hold(self, peak_memory: int) -> None:
        """Of memory the most is kept, in bytes."""
        self.peak_memory = max(self.peak_memory, peak_memory)

    def agree(self, seconds: float) -> None:
        """Go by the first worker's clock."""
        self.seconds = seconds

    def improves(self, score: float) -> bool:
        """Whether a finite score is better than the best so far."""
        return self.best_score is None or not score <= self.best_score

    def judge(self, score: float | None) -> bool:
        """A validation has given a score, None where it is no number; returns whether it is the best so far."""
        self.validated = self.update
        if score is None or not self.improves(score):
            self.waiting += 1
            return False
        self.best_score, self.best_update, self.waiting = score, self.update, 0
        return True

    def take_average(self, score: float) -> None:
        """The mean of several validations' weights is the best now."""
        self.best_score, self.best_update = score, self.update

    def end(self, reason: str) -> None:
        """Training is over; '': it goes on."""
        self.finished = reason

    def round_by(self, arithmetic: Mapping[str, str | int]) -> None:
        """What numbers are rounded by from here on."""
        self.arithmetic = dict(arithmetic)

    def take_over(self, told: Mapping[str, Any]) -> None:
        """Stand where the first worker does. told: all fields."""
        for name, value in told.items():
            setattr(self, name, value)
