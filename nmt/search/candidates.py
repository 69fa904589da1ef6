"""The target rows that a search scores: all of them, or those that its sentences' shortlists name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmt.models.interface import Output, SearchModel


@dataclass(frozen=True)
class Candidates:
    """The N scored target rows of the sentences at work."""

    output: Output
    ids: Tensor | None
    "[N] int64, rising: the target id of each column; None: all ids, in their order."

    @classmethod
    def every(cls, model: SearchModel) -> Candidates:
        """All target rows."""
        return cls(model.output(), None)

    @classmethod
    def of(cls, model: SearchModel, shortlists: Sequence[np.ndarray]) -> tuple[Candidates, Tensor]:
        """The rows that sentences may use together, and for each 0 where it may use one, else -inf: [B, N] float32."""
        scored = np.zeros(model.num_targets, dtype=bool)
        for own in shortlists:
            scored[own] = True
        ids, column = np.flatnonzero(scored), scored.cumsum() - 1
        barred = np.full((len(shortlists), len(ids)), -np.inf, dtype=np.float32)
        for row, own in enumerate(shortlists):
            barred[row, column[own]] = 0
        rows = torch.from_numpy(ids).to(model.device)
        return cls(model.output(rows), rows), torch.from_numpy(barred).to(model.device)

    def pieces(self, columns: Tensor) -> Tensor:
        """Target ids of columns, any shape."""
        return columns if self.ids is None else self.ids[columns]


def restricted(log_probs: Tensor, barred: Tensor | None) -> Tensor:
    """log_probs, [B, K, N], written over as if only the columns that are 0 in [B, N] had been scored (None: all)."""
    if barred is None:
        return log_probs
    torch.log_softmax(log_probs.add_(barred[:, None]), 2, out=log_probs)
    return log_probs
