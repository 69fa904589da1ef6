"""What copies of models made for search share: embeddings are the model's own, target rows are scored in one way."""

from __future__ import annotations

import torch
from torch import Tensor

from nmt.layers.tying import TiedEmbeddings
from nmt.models.interface import SearchModel
from nmt.models.scoring import FixedOutput, FixedScorer


class FixedModel(SearchModel):
    """A copy of a model. Nothing of it changes after it was made.

    precision: of its products, as in `nmt.layers.fixed`. bound: the largest magnitude of a readout; None: unknown.
    """

    @torch.no_grad()
    def __init__(self, embeddings: TiedEmbeddings, precision: str, bound: float | None) -> None:
        self.embeddings, self.precision = embeddings.plain(), precision
        self.scorer = FixedScorer(self.embeddings, precision, bound)

    @property
    def device(self) -> torch.device:
        """See SearchModel.device."""
        return self.embeddings.output_bias.device

    @property
    def num_targets(self) -> int:
        """See SearchModel.num_targets."""
        return self.embeddings.num_targets

    @torch.no_grad()
    def output(self, targets: Tensor | None = None) -> FixedOutput:
        """See SearchModel.output."""
        return self.scorer.output(targets)
