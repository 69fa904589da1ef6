"""What beam search wrote at each step, so that hypotheses can be read back from their last piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class History:
    """Pieces and back pointers of B sentences and K hypotheses over T steps; stays on the model's device.

    Sentences begin at different times, so each writes at a step of its own. Buffers are made once for the longest
    translation and written in place.
    """

    pieces: Tensor
    "[B, T, K] int64: the piece each hypothesis took at each step."
    parents: Tensor
    "[B, T, K] int64: the hypothesis of the step before that it continues."
    attention: Tensor | None
    "[B, T, K, S]: source weights of each *parent*, or None when they are not wanted."
    log_probs: Tensor | None
    "[B, T, K] float32: the model's log-probability of each hypothesis after each step; None where attention is."
    penalties: Tensor | None
    "[B, T, K] float32: what the repetition penalty has added to it in ranking; None: there is none."

    @classmethod
    def empty(cls, steps: int, like: Tensor, *, source_length: int, penalised: bool) -> History:
        """Room for `steps` steps of `like`, [B, K] float32; attention is kept where source_length is above 0."""
        (sentences, beam), kept = like.shape, source_length > 0
        ids = torch.zeros(2, sentences, steps, beam, dtype=torch.int64, device=like.device)
        weights = like.new_zeros(sentences, steps, beam, source_length) if kept else None
        log_probs = like.new_zeros(sentences, steps, beam) if kept else None
        penalties = like.new_zeros(sentences, steps, beam) if penalised else None
        return cls(ids[0], ids[1], weights, log_probs, penalties)

    def record(self, steps: Tensor, values: Mapping[str, Tensor | None], attention: Tensor) -> None:
        """Keep step steps[b] of each sentence b: the other fields by name, [B, W] with W <= K, those that are kept;
        attention: [B, W', S] of the parents."""
        rows = torch.arange(len(steps), device=steps.device)
        steps = steps.clamp(max=self.pieces.size(1) - 1)  # of sentences that are done but have not left yet
        for name, value in values.items():
            kept = getattr(self, name)
            if kept is not None and value is not None:
                kept[rows, steps, : value.size(1)] = value
        if self.attention is not None:
            self.attention[rows, steps, : attention.size(1), : attention.size(2)] = attention

    def select(self, sentences: Tensor) -> History:
        """The history of the given sentences, [B'] int64, alone."""
        return self._each(lambda tensor: tensor.index_select(0, sentences))

    def cpu(self) -> History:
        """On the CPU, for `trace`."""
        return self._each(lambda tensor: tensor.cpu())

    def _each(self, function: Callable[[Tensor], Tensor]) -> History:
        tensors = (getattr(self, field.name) for field in fields(self))
        return History(*(None if tensor is None else function(tensor) for tensor in tensors))  # type: ignore[arg-type]

    def join(self, other: History) -> History:
        """The sentences of both; room for the longer's steps and the longer's sources."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return History(*(None if first is None else _stacked(first, second) for first, second in pairs))  # type: ignore[arg-type]

    def trace(self, sentence: int, hypothesis: int, length: int) -> Path:
        """The `length` pieces that lead to a hypothesis."""
        pieces, rows = self.pieces[sentence].numpy(), self.parents[sentence].numpy()
        path, places, parents = [], [], []
        for step in range(length - 1, -1, -1):
            path.append(int(pieces[step, hypothesis]))
            places.append(hypothesis)
            hypothesis = int(rows[step, hypothesis])
            parents.append(hypothesis)
        penalty = 0.0
        if self.penalties is not None and length:
            penalty = float(self.penalties[sentence, length - 1, places[0]])
        if self.attention is None or self.log_probs is None:
            return Path(tuple(path[::-1]), penalty, None, None)
        steps = torch.arange(length)
        totals = self.log_probs[sentence, steps, torch.tensor(places[::-1], dtype=torch.int64)].tolist()
        attention = self.attention[sentence, steps, torch.tensor(parents[::-1], dtype=torch.int64)].float()
        return Path(tuple(path[::-1]), penalty, attention, tuple(totals))


@dataclass(frozen=True)
class Path:
    """The T pieces of a hypothesis, and what is known of them."""

    pieces: tuple[int, ...]
    penalty: float
    "What the repetition penalty has added in ranking."
    attention: Tensor | None
    "[T, S]; None: not wanted."
    log_probs: tuple[float, ...] | None
    "The model's log-probability after each piece; None: not wanted."


def _stacked(first: Tensor, second: Tensor) -> Tensor:
    """[B, T, K, ...] and [B', T', K, ...] -> [B + B', ...], other sizes the larger of the two, filled with zeros."""
    sizes = [max(pair) for pair in zip(first.shape[1:], second.shape[1:], strict=True)]
    result = first.new_zeros(len(first) + len(second), *sizes)
    for tensor, rows in ((first, slice(0, len(first))), (second, slice(len(first), None))):
        result[(rows, *(slice(size) for size in tensor.shape[1:]))] = tensor
    return result
