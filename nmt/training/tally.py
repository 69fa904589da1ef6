"""What training keeps count of: the batches of an update, the sums of a progress line, time and memory of the run."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from nmt.data.batching import Batch
from nmt.data.feed import Position
from nmt.device import peak_memory
from nmt.training.checkpoint import TrainingProgress
from nmt.training.step import StepResult


class Cost:
    """Time and memory of a run, earlier sessions counted."""

    def __init__(self, progress: TrainingProgress) -> None:
        self.wall, self.processor = time.monotonic() - progress.seconds, time.process_time() - progress.cpu_seconds

    def note(self, progress: TrainingProgress, device: torch.device) -> None:
        """Write what has been spent up to now into the progress."""
        progress.seconds = time.monotonic() - self.wall
        progress.cpu_seconds = time.process_time() - self.processor
        progress.peak_memory = max(progress.peak_memory, peak_memory(device))


@dataclass
class Window:
    """Sums over the updates since the last progress line; costs and pieces of those alone that were made."""

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
        """Per target piece."""
        return cost / self.tokens if self.tokens else math.nan


@dataclass(frozen=True)
class Work:
    """The batches of one update and where they stand. before: the place of training when it began."""

    number: int
    batches: list[Batch]
    positions: list[Position]
    before: Position

    @property
    def target_tokens(self) -> int:
        """Real target pieces of all batches."""
        return sum(batch.num_target_tokens for batch in self.batches)

    def describe(self) -> str:
        """For people: the update, the epoch, the batches and the first of their pairs."""
        first, last, pairs = self.positions[0], self.positions[-1], [row for b in self.batches for row in b.pairs]
        block = f"block {first.block + 1}, " if first.block or last.block else ""
        batches = f"batch {first.batch + 1}" if first == last else f"batches {first.batch + 1} to {last.batch + 1}"
        shown = ", ".join(str(row + 1) for row in pairs[:5])
        return (
            f"update {self.number} (epoch {first.epoch + 1}, {block}{batches}: "
            f"{len(pairs)} pairs, numbers {shown} ... of the prepared training data)"
        )
