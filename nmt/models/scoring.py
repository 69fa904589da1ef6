"""The last product of a copy made for search: what scores target rows, all of them or chosen ones.

Shapes: R rows, E embedding, V target rows, N scored ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from nmt.layers.fixed import Affine, affine, is_small
from nmt.layers.processor import has_onednn
from nmt.text.vocabulary import PAD

OUTPUT_MULTIPLE = 256
"Chosen target rows are padded to a multiple of this, for the reason that `nmt.layers.fixed` pads rows."
WHOLE_MULTIPLE = 64
"All target rows to a multiple of this: a product of few rows with another number of outputs takes twice as long."


class OutputMatrix(Protocol):
    """What scores rows."""

    @property
    def output(self) -> Tensor:
        """[V, E]"""

    @property
    def output_bias(self) -> Tensor:
        """[V]"""


@dataclass(frozen=True)
class FixedOutput:
    """What scores `num` target rows; behind them are columns of padding. whole: they are all rows, padding's first."""

    affine: Affine
    num: int
    whole: bool

    def log_probs(self, readout: Tensor) -> Tensor:
        """[R, E] -> log-probabilities, [R, N]; padding is no piece."""
        scores = self.affine(readout)
        return torch.log_softmax(scores, -1, out=scores)[:, : self.num]


class FixedScorer:
    """Makes them from a model's output matrix. bound: of the readouts, as in `nmt.layers.fixed.affine`."""

    def __init__(self, embeddings: OutputMatrix, precision: str, bound: float | None) -> None:
        self.weight, self.bias = embeddings.output, embeddings.output_bias
        self.precision, self.bound = precision, bound
        count = len(self.weight)
        copied = has_onednn(self.weight.device) and is_small(self.weight)  # else it is shared
        more = -count % WHOLE_MULTIPLE if copied else 0
        bias = functional.pad(self.bias, (0, more), value=-torch.inf)
        bias = bias.index_fill(0, torch.full((1,), PAD, device=bias.device), -torch.inf)
        weight = functional.pad(self.weight, (0, 0, 0, more)) if more else self.weight
        self.whole = FixedOutput(self._affine(weight, bias), num=count, whole=True)

    def output(self, targets: Tensor | None = None) -> FixedOutput:
        """See SearchModel.output."""
        if targets is None:
            return self.whole
        more = -len(targets) % OUTPUT_MULTIPLE
        weight = self.weight.index_select(0, functional.pad(targets, (0, more)))
        bias = functional.pad(self.bias.index_select(0, targets), (0, more), value=-torch.inf)
        return FixedOutput(self._affine(weight, bias), num=len(targets), whole=False)

    def _affine(self, weight: Tensor, bias: Tensor) -> Affine:
        return affine(weight, bias, self.precision, bound=self.bound)
