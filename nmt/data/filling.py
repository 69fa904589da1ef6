"""Batches filled up with padding to one of few shapes, so that what a GPU was given to do for one serves for many.

Shapes: B sentences, S longest source, T longest target, all as filled up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.data.batching import Batch
from nmt.device import sent
from nmt.text.vocabulary import PAD

SENTENCES, SOURCE_STEPS, TARGET_STEPS = 8, 4, 2
"The numbers of sentences, and of source and target positions, are multiples of these: a target position costs most."


@dataclass(frozen=True)
class FilledBatch(Batch):
    """Every position is computed, and those of padding cost nothing, whose label is padding's row.

    `pairs` and `lengths` are of the real pairs alone. A sentence without a pair has a source of one piece, padding,
    and no target.
    """

    divisor: Tensor
    "What the cost is divided by, float32, []."

    @property
    def num_target_tokens(self) -> int:
        """Real target pieces, </s> included."""
        return int(self.lengths[1].sum())

    def tensors(self) -> tuple[Tensor, ...]:
        """All it holds."""
        return self.source, self.source_lengths, self.target, self.target_lengths, self.target_positions, self.divisor

    def target_labels(self) -> Tensor:
        """The target ids step by step, padding's among them, [T x B]."""
        return self.target.t().reshape(-1)

    def scored(self, rows: Tensor) -> Tensor:
        """Rows of all target positions are all rows: [T x B or more, X] -> [T x B, X]."""
        return rows[: self.target.numel()]

    def part(self, start: int, end: int) -> Batch:
        """None is ever taken: what is filled up is computed as a whole."""
        raise AssertionError("a batch that is filled up has no parts")

    def to(self, device: torch.device) -> FilledBatch:
        """The same batch on a device."""
        if device == self.source.device:
            return self
        return self.of_tensors([sent(each, device) for each in self.tensors()])

    def of_tensors(self, tensors: Sequence[Tensor]) -> FilledBatch:
        """The same pairs with other tensors in the place of `tensors`."""
        source, source_lengths, target, target_lengths, positions, divisor = tensors
        return FilledBatch(source, source_lengths, target, target_lengths, self.pairs, positions, self.lengths, divisor)


def filled(batch: Batch, count: int) -> FilledBatch:
    """A batch in the processor's memory, filled up. count: what its cost is divided by."""
    sentences = up_to(len(batch.source), SENTENCES)
    more = sentences - len(batch.source)
    source, target = (
        functional.pad(ids, (0, up_to(ids.shape[1], multiple) - ids.shape[1], 0, more), value=PAD)
        for ids, multiple in ((batch.source, SOURCE_STEPS), (batch.target, TARGET_STEPS))
    )
    return FilledBatch(
        source=source,
        source_lengths=functional.pad(batch.source_lengths, (0, more), value=1),
        target=target,
        target_lengths=functional.pad(batch.target_lengths, (0, more)),
        pairs=batch.pairs,
        target_positions=torch.zeros(1, dtype=torch.int64),  # of no use, since all positions are computed
        lengths=batch.lengths,
        divisor=torch.tensor(float(count)),
    )


def up_to(number: int, multiple: int) -> int:
    """The next multiple, from the number on."""
    return -(-number // multiple) * multiple
