"""The target rows that a search scores: all of them, or those that its sentences' shortlists name.

Some of them no translation may hold unless its given beginning does: `<unk>`, and what only the source side has. They
are scored with the others, so that probabilities stay those of the model, and forbidden afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmt.config import SearchConfig
from nmt.device import sent
from nmt.models.interface import Output, SearchModel, Step
from nmt.search.request import Wanted
from nmt.text.vocabulary import UNK


def forbidden_ids(config: SearchConfig, wanted: Wanted) -> tuple[range, ...]:
    """Target ids that the settings forbid."""
    unknown = range(0) if config.allow_unknown or config.replace_unknown else range(UNK, UNK + 1)
    source_only = range(0) if config.allow_source_pieces else wanted.source_only
    return tuple(ids for ids in (unknown, source_only) if ids)


@dataclass(frozen=True)
class Candidates:
    """The N scored target rows of the sentences at work."""

    output: Output
    ids: Tensor | None
    "[N] int64, rising: the target id of each column; None: all ids, in their order."
    forbidden: tuple[slice, ...] = ()
    "Columns of the rows that no translation may hold: a slice or two, so that they cost a step next to nothing."

    @classmethod
    def every(cls, model: SearchModel, forbidden: Sequence[range] = ()) -> Candidates:
        """All target rows. forbidden: ids that no translation may hold."""
        return cls(model.output(), None, tuple(slice(ids.start, ids.stop) for ids in forbidden))

    @classmethod
    def of(
        cls, model: SearchModel, shortlists: Sequence[np.ndarray], forbidden: Sequence[range] = ()
    ) -> tuple[Candidates, Tensor]:
        """The rows that sentences may use together, and for each 0 where it may use one, else -inf: [B, N] float32."""
        scored = np.zeros(model.num_targets, dtype=bool)
        for own in shortlists:
            scored[own] = True
        ids, column = np.flatnonzero(scored), scored.cumsum() - 1
        barred = np.full((len(shortlists), len(ids)), -np.inf, dtype=np.float32)
        for row, own in enumerate(shortlists):
            barred[row, column[own]] = 0
        rows = sent(torch.from_numpy(ids), model.device)
        columns = (slice(*np.searchsorted(ids, [own.start, own.stop]).tolist()) for own in forbidden)
        candidates = cls(model.output(rows), rows, tuple(own for own in columns if own.start < own.stop))
        return candidates, sent(torch.from_numpy(barred), model.device)

    def pieces(self, columns: Tensor) -> Tensor:
        """Target ids of columns, any shape."""
        return columns if self.ids is None else self.ids[columns]


def ranking(step: Step, barred: Tensor | None) -> Tensor:
    """The step's log_probs, [B, K, N], written over: those of `restricted`, and what a language model adds to them."""
    log_probs = restricted(step.log_probs, barred)
    return log_probs if step.fused is None else log_probs.add_(step.fused)


def restricted(log_probs: Tensor, barred: Tensor | None) -> Tensor:
    """log_probs, [B, K, N], written over as if only the columns that are 0 in [B, N] had been scored (None: all)."""
    if barred is None:
        return log_probs
    torch.log_softmax(log_probs.add_(barred[:, None]), 2, out=log_probs)
    return log_probs
