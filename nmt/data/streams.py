"""A running text as streams side by side, a few steps of each at a time, every word labelled with the one after it.

As in Zaremba et al.'s code (2014): the text is cut into B equal streams, and what does not fill the last step of all
of them, or the last T steps, is dropped.

Shapes: T steps, B streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.data.position import Position
from nmt.device import sent


@dataclass(frozen=True)
class TextBatch:
    """T steps of some streams of a text."""

    words: Tensor
    "[T, B] int64, what is read."
    labels: Tensor
    "[T, B] int64, the word after each."
    begins: bool
    "Whether the streams begin here, so that nothing comes before."
    step: int
    "Of the first row in its stream, from 0."
    first: int
    "The first of these streams."
    num_streams: int
    "Of the whole text; here may be fewer."

    def to(self, device: torch.device) -> TextBatch:
        """The same batch on a device."""
        if device in (self.words.device, torch.device("cpu")):
            return self
        return replace(self, words=sent(self.words, device), labels=sent(self.labels, device))

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All it holds."""
        return self.words, self.labels

    def streams(self, first: int, last: int) -> TextBatch:
        """Some of its streams, counted from its first."""
        words, labels = self.words[:, first:last].contiguous(), self.labels[:, first:last].contiguous()
        return replace(self, words=words, labels=labels, first=self.first + first)


class Streams:
    """A text in `number` streams, `steps` words of each at a time."""

    def __init__(self, words: np.ndarray, number: int, steps: int, *, whole: bool = False) -> None:
        """words: [n] rows of a vocabulary; may lie on disk. whole: the last steps count even if there are fewer."""
        self.number, self.steps, self.whole = number, steps, whole
        self.length = len(words) // number
        self.table = words[: number * self.length].reshape(number, self.length)
        "[B, n]"

    def __len__(self) -> int:
        labels = max(0, self.length - 1)
        return -(-labels // self.steps) if self.whole else labels // self.steps

    def batch(self, index: int) -> TextBatch:
        """The batch of a number from 0."""
        start = index * self.steps
        rows = np.asarray(self.table[:, start : start + self.steps + 1]).T.astype(np.int64)
        words, labels = torch.from_numpy(rows[:-1].copy()), torch.from_numpy(rows[1:].copy())
        return TextBatch(words, labels, index == 0, start, 0, self.number)

    def __iter__(self) -> Iterator[TextBatch]:
        return map(self.batch, range(len(self)))

    def forever(self, start: Position) -> Iterator[tuple[Position, TextBatch]]:
        """Batches of training from a place on, epoch after epoch."""
        while True:
            for index in range(start.batch, len(self)):
                yield replace(start, batch=index), self.batch(index)
            start = Position(start.epoch + 1, 0, 0)

    def after(self, place: Position) -> Position:
        """The place after a batch: an epoch's last is followed by the next one's first."""
        following = place.batch + 1
        return Position(place.epoch, 0, following) if following < len(self) else Position(place.epoch + 1, 0, 0)


def check_streams(words: int, streams: int, steps: int, where: object) -> None:
    """UserError where a text is too short."""
    least = streams * (steps + 1)
    if words < least:
        problem = f"{words:,} words do not fill {streams} streams of {steps} steps, which take {least:,}"
        raise UserError(problem, where=where, hint="lower lm.streams or lm.unroll, or take more text")
