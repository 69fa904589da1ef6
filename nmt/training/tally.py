"""What training keeps count of: the batches of an update, the sums of a progress line, time and memory of the run."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch

from nmt.data.position import Position
from nmt.device import peak_memory
from nmt.tasks.interface import Objective
from nmt.training.progress import TrainingProgress
from nmt.training.step import StepResult


class Cost:
    """Time that a run took, earlier sessions counted."""

    def __init__(self, progress: TrainingProgress) -> None:
        self.wall, self.processor = time.monotonic() - progress.seconds, time.process_time() - progress.cpu_seconds

    def note(self, progress: TrainingProgress) -> None:
        """Have the progress know the time that has been spent up to now."""
        progress.spend(time.monotonic() - self.wall, time.process_time() - self.processor)


def note_memory(progress: TrainingProgress, device: torch.device) -> None:
    """Have the progress know the most memory that was held. Somebody else keeps the maximum, so that this need not be
    asked at every update, which takes long on CUDA."""
    progress.hold(peak_memory(device))


@dataclass
class Window:
    """Sums over the updates since the last progress line; costs and tokens of those alone that were made."""

    started: float
    cross_entropy: float = 0.0
    smoothed: float = 0.0
    tokens: int = 0
    updates: int = 0
    largest_norm: float = 0.0

    def add(self, result: StepResult, tokens: int) -> None:
        """Count one update."""
        self.updates += 1
        if result.finite:
            self.cross_entropy += result.cross_entropy
            self.smoothed += result.smoothed
            self.tokens += tokens
            self.largest_norm = max(self.largest_norm, result.gradient_norm)

    def mean(self, cost: float) -> float:
        """Per token."""
        return cost / self.tokens if self.tokens else math.nan


@dataclass(frozen=True)
class Work:
    """The batches of one update and where they stand. before: the place of training when it began."""

    number: int
    batches: list[Any]
    positions: list[Position]
    before: Position

    @property
    def epoch(self) -> int:
        """Of its first batch, from 0."""
        return self.positions[0].epoch

    @property
    def begins_epoch(self) -> bool:
        """Whether its first batch is an epoch's first."""
        return self.positions[0].block == 0 and self.positions[0].batch == 0

    def describe(self, objective: Objective[Any]) -> str:
        """For people: the update, the epoch, the batches and what is in them."""
        first, last = self.positions[0], self.positions[-1]
        block = f"block {first.block + 1}, " if first.block or last.block else ""
        batches = f"batch {first.batch + 1}" if first == last else f"batches {first.batch + 1} to {last.batch + 1}"
        held = objective.describe(self.batches)
        return f"update {self.number} (epoch {first.epoch + 1}, {block}{batches}: {held})"
