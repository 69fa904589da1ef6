"""The last product of a copy made for search: what scores target rows, all of them or chosen ones.

Shapes: R rows, E embedding, V target rows, N scored ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.layers.fixed import Affine, affine
from nmt.layers.tying import TiedEmbeddings
from nmt.text.vocabulary import PAD

OUTPUT_MULTIPLE = 256
"Chosen target rows are padded to a multiple of this, for the reason that `nmt.layers.fixed` pads rows."


@dataclass(frozen=True)
class FixedOutput:
    """What scores `num` target rows. whole: they are all rows, padding's first."""

    affine: Affine
    num: int
    whole: bool

    def log_probs(self, readout: Tensor) -> Tensor:
        """[R, E] -> log-probabilities, [R, N]; padding is no piece."""
        scores = self.affine(readout)[:, : self.num]
        if self.whole:
            scores[:, PAD] = -torch.inf
        return torch.log_softmax(scores, -1, out=scores if scores.is_contiguous() else None)


class FixedScorer:
    """Makes them from a model's output matrix. bound: of the readouts, as in `nmt.layers.fixed.affine`."""

    def __init__(self, embeddings: TiedEmbeddings, precision: str, bound: float | None) -> None:
        self.weight, self.bias = embeddings.output, embeddings.output_bias
        self.precision, self.bound = precision, bound
        self.whole = FixedOutput(self._affine(self.weight, self.bias), num=len(self.weight), whole=True)

    def output(self, targets: Tensor | None = None) -> FixedOutput:
        """See SearchModel.output."""
        if targets is None:
            return self.whole
        rows = functional.pad(targets, (0, -len(targets) % OUTPUT_MULTIPLE))
        weight, bias = (each.index_select(0, rows) for each in (self.weight, self.bias))
        return FixedOutput(self._affine(weight, bias), num=len(targets), whole=False)

    def _affine(self, weight: Tensor, bias: Tensor) -> Affine:
        return affine(weight, bias, self.precision, bound=self.bound)
