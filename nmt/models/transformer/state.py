"""What the readable Transformer keeps of a source, and of the pieces so far, in a search.

Shapes: B sentences, K hypotheses a sentence, S source positions, t steps, L decoder layers, D model size, V target
rows, N scored ones, E embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.models.rows import joined_rows, places


@dataclass(frozen=True)
class TransformerMemory:
    """The encoded source. pairs: its keys and values in each decoder layer, [B, S, L, 2, D]. mask: [B, S]."""

    pairs: Tensor
    mask: Tensor

    def select(self, sentences: Tensor) -> TransformerMemory:
        """See Memory.select."""
        return TransformerMemory(self.pairs.index_select(0, sentences), self.mask.index_select(0, sentences))

    def narrow(self, size: int) -> TransformerMemory:
        """See Memory.narrow."""
        return TransformerMemory(self.pairs[:, :size], self.mask[:, :size])

    def join(self, other: TransformerMemory) -> TransformerMemory:
        """See Memory.join."""
        return TransformerMemory(joined_rows(self.pairs, other.pairs), joined_rows(self.mask, other.mask))


@dataclass(frozen=True)
class TransformerState:
    """Keys and values of the steps so far, [B, K, t, L, 2, D], and where they are, [B, K, t].

    Sentences that began later have nothing at the first steps.
    """

    pairs: Tensor
    mask: Tensor

    @property
    def steps(self) -> Tensor:
        """[B, 1] how many pieces a sentence has, which is the position of the next."""
        return self.mask[:, :1].sum(2)

    def select(self, sentences: Tensor | None, hypotheses: Tensor) -> TransformerState:
        """See State.select."""
        index = places(sentences, hypotheses)
        return TransformerState(self.pairs[index], self.mask[index])

    def join(self, other: TransformerState) -> TransformerState:
        """See State.join."""
        size = max(self.mask.shape[2], other.mask.shape[2])
        both = (self._from(size), other._from(size))
        return TransformerState(torch.cat([one.pairs for one in both]), torch.cat([one.mask for one in both]))

    def _from(self, size: int) -> TransformerState:
        """With nothing before it, `size` steps in all."""
        missing = size - self.mask.shape[2]
        pairs = functional.pad(self.pairs, (0, 0, 0, 0, 0, 0, missing, 0))
        return TransformerState(pairs, functional.pad(self.mask, (missing, 0)))

    def advanced(self, pairs: Tensor) -> TransformerState:
        """One step more. pairs: [B, K, L, 2, D]."""
        mask = functional.pad(self.mask, (0, 1), value=True)
        return TransformerState(torch.cat([self.pairs, pairs[:, :, None]], 2), mask)


@dataclass(frozen=True)
class TransformerOutput:
    """The output rows that are scored: weight, [N, E], and bias, [N]. whole: they are all rows, padding's first."""

    weight: Tensor
    bias: Tensor
    whole: bool
