"""Which sentences are searched together: sorted by length, encoded in batches, handed out as places become free.

Shapes: B sentences, S source positions with </s>, V target rows, N of them that are scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmt.config import SearchConfig
from nmt.device import sent
from nmt.models.interface import Memory, SearchModel, State
from nmt.text.vocabulary import EOS

SPARE_PIECES = 10
"A translation has at most max_length_ratio times the source's pieces, plus this."


def max_pieces(source_length: int, config: SearchConfig) -> int:
    """The most pieces a translation may have, </s> not counted on either side."""
    longest = math.ceil(config.max_length_ratio * source_length) + SPARE_PIECES
    return max(min(longest, config.max_length or longest), config.min_length)


def plan_batches(lengths: Sequence[int], batch_tokens: int, max_sentences: int) -> Iterator[list[int]]:
    """Indices of sources of like length, longest first; empty sources are left out.

    A batch's padded size, </s> included, is at most `batch_tokens`, unless one sentence alone exceeds it.
    """
    order = sorted((index for index, length in enumerate(lengths) if length), key=lambda index: -lengths[index])
    batch: list[int] = []
    for index in order:
        width = lengths[batch[0]] + 1 if batch else 0
        if batch and (len(batch) == max_sentences or width * (len(batch) + 1) > batch_tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded_sources(sources: Sequence[np.ndarray], device: torch.device) -> tuple[Tensor, Tensor]:
    """[B, S] int64 with </s> at each end and 0 after it, and the lengths, [B], </s> included."""
    lengths = [len(source) + 1 for source in sources]
    ids = np.zeros((len(sources), max(lengths)), dtype=np.int64)
    for row, source in enumerate(sources):
        ids[row, : len(source)] = source
        ids[row, len(source)] = EOS
    return sent(torch.from_numpy(ids), device), sent(torch.tensor(lengths), device)


@dataclass(frozen=True)
class Arrivals:
    """Sentences that are ready for their first step, longest first."""

    sentences: list[int]
    memory: Memory
    state: State

    def split(self, count: int) -> tuple[Arrivals, Arrivals | None]:
        """The first `count` and the rest."""
        if count >= len(self.sentences):
            return self, None
        return self._part(0, count), self._part(count, len(self.sentences))

    def _part(self, start: int, end: int) -> Arrivals:
        rows = torch.arange(start, end, device=self.memory.mask.device)
        state = self.state.select(rows, torch.zeros_like(rows)[:, None])
        return Arrivals(self.sentences[start:end], self.memory.select(rows), state)


class Queue:
    """All sentences of a search, encoded a batch at a time when they are asked for."""

    def __init__(
        self, model: SearchModel, sources: Sequence[np.ndarray], config: SearchConfig, max_sentences: int
    ) -> None:
        self.model, self.sources = model, sources
        self.batch_tokens, self.max_sentences = config.batch_tokens, max_sentences
        self._batches = plan_batches([len(source) for source in sources], config.batch_tokens, max_sentences)
        self._next: Arrivals | None = None

    def room(self, width: int, active: int) -> int:
        """How many sentences may join `active` ones whose padded sources are `width` long."""
        return min(self.max_sentences, self.batch_tokens // width) - active

    def take(self, count: int | None = None) -> Arrivals | None:
        """Up to `count` sentences (None: the whole next batch), or None at the end."""
        if self._next is None:
            batch = next(self._batches, None)
            if batch is None:
                return None
            source, lengths = padded_sources([self.sources[index] for index in batch], self.model.device)
            memory = self.model.encode(source, lengths)
            self._next = Arrivals(batch, memory, self.model.initial_state(memory))
        taken, self._next = self._next.split(count or len(self._next.sentences))
        return taken
