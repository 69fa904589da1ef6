"""The state of a beam search: the living hypotheses of many sentences, and those that have ended.

Shapes: B sentences, K hypotheses a sentence (the beam), W <= K of them alive, S source positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nmt.layers.triton.available import uses_kernels
from nmt.search.history import History
from nmt.search.topk import MOST


class Rows:
    """A dataclass whose fields hold a row for each sentence: tensors [B, ...], lists, such dataclasses, or None;
    or a bool that holds for all of them."""

    def select(self, numbers: Sequence[int], rows: Tensor) -> Any:
        """The given rows: numbers, and the same as [B'] int64 where the tensors lie."""
        return replace(self, **{name: _select(value, numbers, rows) for name, value in _values(self)})  # type: ignore[type-var]

    def join(self, other: Any) -> Any:
        """The rows of both."""
        theirs = dict(_values(other))
        return replace(self, **{name: _join(value, theirs[name]) for name, value in _values(self)})  # type: ignore[type-var]


def _values(rows: Any) -> list[tuple[str, Any]]:
    return [(field.name, getattr(rows, field.name)) for field in fields(rows)]


def _select(value: Any, numbers: Sequence[int], rows: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value.index_select(0, rows)
    if isinstance(value, list):
        return [value[row] for row in numbers]
    if isinstance(value, Rows):
        return value.select(numbers, rows)
    return value if value is None or isinstance(value, bool) else value.select(rows)


def _join(value: Any, other: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.cat([value, other])
    if isinstance(value, list):
        return value + other
    if isinstance(value, bool):
        return value and other
    return None if value is None else value.join(other)


@dataclass(frozen=True)
class Ended(Rows):
    """Hypotheses that took </s>, the best first. All [B, K]; where there is none, score is -inf."""

    scores: Tensor
    log_probs: Tensor
    coverage: Tensor
    "See `nmt.search.scoring.coverage`; zero where it does not count."
    steps: Tensor
    "The step of </s>, which is the number of pieces before it."
    parents: Tensor
    "The hypothesis that </s> continues."

    def merged(self, other: Ended) -> Ended:
        """The best K of both."""
        if self.scores.size(1) <= MOST and uses_kernels(self.scores, torch.float32):
            from nmt.layers.triton.search import merged

            old, new = ([value for _, value in _values(each)] for each in (self, other))
            found = [torch.empty_like(value) for value in old]
            merged(old, new, found)
            return Ended(*found)
        scores, order = torch.cat([self.scores, other.scores], 1).topk(self.scores.size(1), dim=1)
        names = ("log_probs", "coverage", "steps", "parents")
        pairs = ((getattr(self, name), getattr(other, name)) for name in names)
        return Ended(scores, *(torch.cat(pair, 1).gather(1, order) for pair in pairs))

    def count(self) -> Tensor:
        """How many there are, [B]."""
        return (self.scores != -torch.inf).sum(1)


@dataclass(frozen=True)
class Frontier(Rows):
    """B sentences in the middle of their search."""

    sentences: list[int]
    "Which sentence of the caller each row is."
    limits: list[int]
    "The most pieces its translation may have."
    max_pieces: Tensor
    "[B] the same."
    steps: Tensor
    "[B] int64: pieces that its hypotheses have."
    best_scale: Tensor
    "[B] the most a log-probability can still be divided by."
    log_probs: Tensor
    "[B, W], falling along W, penalties among them; -inf: no hypothesis. All -inf: the sentence is done."
    pieces: Tensor
    "[B, W] the last piece of each hypothesis."
    parents: Tensor
    "[B, W] which hypothesis it was one step before."
    ended: Ended
    cut: Tensor
    "[B, K] log-probabilities of hypotheses that reached max_pieces; -inf elsewhere."
    cut_coverage: Tensor
    "[B, K] their coverage."
    history: History
    shortlists: list[np.ndarray] | None
    "[B] the target ids that a sentence may use; None: all."
    barred: Tensor | None
    "[B, N] float32: 0 at the scored target rows that these are, -inf elsewhere; None: all are."
    forced: Tensor | None
    "[B, P] pieces that every hypothesis begins with, -1 after them; None: nowhere any."
    written: Tensor | None
    "[B, W, t] the last t pieces of each hypothesis, -1 before the first; None: not needed."
    owed: Tensor | None
    "[B, W, P] how often each hypothesis must still write each counted piece; None: nothing is counted."
    penalties: Tensor | None
    "[B, W] what the repetition penalty has added to log_probs; None: there is none."
    attended: Tensor | None
    "[B, W, S] attention of each hypothesis summed over its steps; None: not needed."
    calm: bool = True
    "No hypothesis of any of them has ended or been cut yet, as far as is known."

    def narrowed(self, width: int) -> Frontier:
        """The first `width` hypotheses: as many as some sentence has places for."""
        if width >= self.log_probs.size(1):
            return self
        names = ("log_probs", "pieces", "parents", "written", "owed", "penalties", "attended")
        values = ((name, getattr(self, name)) for name in names)
        return replace(self, **{name: value[:, :width] for name, value in values if value is not None})

    def num_written(self) -> int:
        """How many pieces `written` remembers."""
        return 0 if self.written is None else self.written.size(2)

    def widened(self, width: int, source_length: int, written: int) -> Frontier:
        """Room for more hypotheses, source positions and written pieces, with nothing in it."""
        more = width - self.log_probs.size(1)
        padded: dict[str, Any] = {"log_probs": functional.pad(self.log_probs, (0, more), value=-torch.inf)}
        padded |= {name: functional.pad(getattr(self, name), (0, more)) for name in ("pieces", "parents")}
        if self.written is not None:
            missing = written - self.written.size(2)
            recent = functional.pad(self.written, (max(missing, 0), 0, 0, more), value=-1)
            padded["written"] = recent[:, :, recent.size(2) - written :]
        if self.owed is not None:
            padded["owed"] = functional.pad(self.owed, (0, 0, 0, more))
        if self.penalties is not None:
            padded["penalties"] = functional.pad(self.penalties, (0, more))
        if self.attended is not None:
            missing = source_length - self.attended.size(2)
            padded["attended"] = functional.pad(self.attended, (0, missing, 0, more))
        return replace(self, **padded)
