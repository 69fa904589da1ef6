"""Batches: pairs of like length, cut to a token budget, in an order that is a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmt.data.corpus import ParallelIds
from nmt.data.cutting import Budget
from nmt.data.order import Batches, PairLengths
from nmt.device import sent
from nmt.text.vocabulary import EOS, PAD, SourceView, TargetView

__all__ = ["Batch", "BatchMaker", "Budget", "EpochPlan", "mask_of", "pad"]


@dataclass(frozen=True)
class Batch:
    """B padded pairs. Shapes: S longest source, T longest target, both with </s> counted."""

    source: Tensor
    "[B, S] int64 ids of the model's source view, </s> at each end, then padding."
    source_lengths: Tensor
    "[B] int64, </s> included."
    target: Tensor
    "[B, T] int64 ids of the model's target view, </s> at each end, then padding."
    target_lengths: Tensor
    "[B] int64, </s> included."
    pairs: tuple[int, ...]
    "Numbers of the pairs in the corpus, from 0."
    target_positions: Tensor
    "[N] int64: where the N real target pieces lie in the flat [T x B], step by step: first pieces first."
    lengths: np.ndarray
    "[2, B] int64: the lengths of sources and of targets once more, in the processor's memory, whatever the device."

    @classmethod
    def of(
        cls, source: Tensor, source_lengths: Tensor, target: Tensor, target_lengths: Tensor, pairs: tuple[int, ...]
    ) -> Batch:
        """The batch of these, all in the processor's memory."""
        lengths = np.stack([source_lengths.numpy(), target_lengths.numpy()])
        positions = torch.from_numpy(real_positions(lengths[1]))
        return cls(source, source_lengths, target, target_lengths, pairs, positions, lengths)

    @property
    def num_target_tokens(self) -> int:
        """Real target pieces, </s> included."""
        return len(self.target_positions)

    def tensors(self) -> tuple[Tensor, ...]:
        """All it holds."""
        return self.source, self.source_lengths, self.target, self.target_lengths, self.target_positions

    @property
    def source_mask(self) -> Tensor:
        """[B, S], True at real tokens."""
        return mask_of(self.source_lengths, self.source.shape[1])

    @property
    def target_mask(self) -> Tensor:
        """[B, T], True at real tokens."""
        return mask_of(self.target_lengths, self.target.shape[1])

    def target_labels(self) -> Tensor:
        """The real target ids in the order of `target_positions`, [N]."""
        return self.target.t().reshape(-1).index_select(0, self.target_positions)

    def scored(self, rows: Tensor) -> Tensor:
        """Of rows of all target positions, step by step, those of `target_labels`: [T x B or more, X] -> [N, X]."""
        return rows.index_select(0, self.target_positions)

    def part(self, start: int, end: int) -> Batch:
        """Its pairs from `start` to before `end`, no wider than they need, on the same device."""
        lengths = self.lengths[:, start:end]
        width, height = lengths.max(1).tolist()
        return Batch(
            source=self.source[start:end, :width],
            source_lengths=self.source_lengths[start:end],
            target=self.target[start:end, :height],
            target_lengths=self.target_lengths[start:end],
            pairs=self.pairs[start:end],
            target_positions=sent(torch.from_numpy(real_positions(lengths[1])), self.source.device),
            lengths=lengths,
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        if device in (self.source.device, torch.device("cpu")):
            return self
        source, source_lengths, target, target_lengths, positions = (sent(each, device) for each in self.tensors())
        return Batch(source, source_lengths, target, target_lengths, self.pairs, positions, self.lengths)


def real_positions(lengths: np.ndarray) -> np.ndarray:
    """[B] lengths -> where real pieces lie in the flat [T x B], step by step, T the longest: [sum of lengths]."""
    return np.flatnonzero(np.arange(lengths.max(initial=0))[:, None] < lengths)


def mask_of(lengths: Tensor, size: int) -> Tensor:
    """[B] lengths -> [B, size], True before each length."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def pad(ids: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Rows of a ragged array (flat ids, n + 1 offsets) as a padded matrix with </s> at each end, and their lengths."""
    starts, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
    columns = np.arange(lengths.max(initial=0) + 1)
    inside = columns < lengths[:, None]
    matrix = np.where(columns == lengths[:, None], EOS, PAD)
    matrix[inside] = ids[(starts[:, None] + columns)[inside]]
    return torch.from_numpy(matrix.astype(np.int64)), torch.from_numpy(lengths.astype(np.int64) + 1)


class BatchMaker:
    """Makes batches of one split for one tying mode's views of the vocabulary."""

    def __init__(self, pairs: ParallelIds, source_view: SourceView, target_view: TargetView) -> None:
        self.pairs, self.source_view, self.target_view = pairs, source_view, target_view

    def make(self, rows: Sequence[int] | np.ndarray) -> Batch:
        """The batch of the given pair numbers, in that order."""
        numbers = np.asarray(rows, dtype=np.int64)
        source, source_lengths = pad(self.pairs.source_ids, self.pairs.source_offsets, numbers)
        target, target_lengths = pad(self.pairs.target_ids, self.pairs.target_offsets, numbers)
        return Batch.of(
            torch.from_numpy(self.source_view.from_union(source.numpy())),
            source_lengths,
            torch.from_numpy(self.target_view.from_union(target.numpy())),
            target_lengths,
            tuple(numbers.tolist()),
        )


class EpochPlan:
    """Which pairs go into which batch, epoch by epoch.

    Pairs are sorted by length with random ties, cut to the budget, and the batches shuffled. All draws are a function
    of (seed, epoch), so any position is reached again from these two numbers and a batch index.
    """

    def __init__(self, pairs: ParallelIds, budget: Budget, seed: int) -> None:
        self.budget, self.seed = budget, seed
        self.lengths = PairLengths(pairs, budget.max_length)

    @property
    def num_pairs(self) -> int:
        """Pairs within the length limit."""
        return self.lengths.num_pairs

    def lengths_in(self, epoch: int) -> PairLengths:
        """Of the pairs of an epoch: here all of them, in every one."""
        return self.lengths

    @property
    def every(self) -> PairLengths:
        """Of all pairs that any epoch may have."""
        return self.lengths

    @property
    def rows(self) -> np.ndarray:
        """[num_pairs] the numbers of the pairs within the length limit, made anew at each call."""
        return self.lengths.rows()

    def batches(self, epoch: int, *part: int) -> Batches:
        """The epoch's batches. part: further numbers the draws are a function of."""
        return Batches(self.lengths_in(epoch), self.budget, (self.seed, epoch, *part))

    def largest(self) -> np.ndarray:
        """The batch that needs the most memory: the one with the most source x target positions in epoch 0."""
        return self.batches(0).largest()

    def padding(self, epoch: int = 0) -> float:
        """Share of an epoch's target and source positions that are padding."""
        return self.batches(epoch).padding()

    def stream(self, epoch: int, index: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """(epoch, index, pair numbers) from the given position on, for ever."""
        while True:
            batches = self.batches(epoch)
            for position in range(index, len(batches)):
                yield epoch, position, batches[position]
            epoch, index = epoch + 1, 0
