"""What beam search wrote at each step, so that hypotheses can be read back from their last piece."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class History:
    """Pieces and back pointers of B sentences and K hypotheses over T steps; stays on the model's device.

    Buffers are made once for the longest sentence of a batch and written in place, one step at a time.
    """

    pieces: Tensor
    "[T, B, K] int64: the piece each hypothesis took at each step."
    parents: Tensor
    "[T, B, K] int64: the hypothesis of the step before that it continues."
    attention: Tensor | None
    "[T, B, K, S]: source weights of each *parent*, or None when they are not wanted."

    @classmethod
    def empty(cls, steps: int, sentences: int, beam: int, *, source_length: int, device: torch.device) -> History:
        """Room for `steps` steps; attention is kept where source_length is above 0."""
        ids = torch.zeros(2, steps, sentences, beam, dtype=torch.int64, device=device)
        weights = torch.zeros(steps, sentences, beam, source_length, device=device) if source_length else None
        return cls(ids[0], ids[1], weights)

    def record(self, step: int, pieces: Tensor, parents: Tensor, attention: Tensor) -> None:
        """Keep a step: pieces and parents [B, W] with W <= K, attention [B, W', S]."""
        self.pieces[step, :, : pieces.size(1)] = pieces
        self.parents[step, :, : parents.size(1)] = parents
        if self.attention is not None:
            self.attention[step, :, : attention.size(1)] = attention

    def select(self, sentences: Tensor) -> History:
        """The history of the given sentences, [N] int64, alone."""
        attention = None if self.attention is None else self.attention.index_select(1, sentences)
        return History(self.pieces.index_select(1, sentences), self.parents.index_select(1, sentences), attention)

    def until(self, steps: int) -> History:
        """The first `steps` steps on the CPU, for `trace`."""
        attention = None if self.attention is None else self.attention[:steps].float().cpu()
        return History(self.pieces[:steps].cpu(), self.parents[:steps].cpu(), attention)

    def trace(self, sentence: int, hypothesis: int, length: int) -> tuple[tuple[int, ...], Tensor | None]:
        """The `length` pieces that lead to a hypothesis, and their attention, [length, S]."""
        pieces, rows = self.pieces[:, sentence].numpy(), self.parents[:, sentence].numpy()
        path, parents = [], []
        for step in range(length - 1, -1, -1):
            path.append(int(pieces[step, hypothesis]))
            hypothesis = int(rows[step, hypothesis])
            parents.append(hypothesis)
        if self.attention is None:
            return tuple(path[::-1]), None
        return tuple(path[::-1]), self.attention[torch.arange(length), sentence, torch.tensor(parents[::-1]).long()]
