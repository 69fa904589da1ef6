"""The recurrent highway network of Zilly et al. (2016) as a language model: the last rows of Table 5.

Shapes: T steps, B streams, E embedding, H hidden size.
"""

from __future__ import annotations

from torch import Tensor

from nmt.layers.linear import Linear
from nmt.layers.rhn import RHN, RHNMasks, run_rhn
from nmt.layers.tied_words import TiedWords
from nmt.models.language import Features, LanguageState
from nmt.models.recurrent import RecurrentLanguageModel, Regularization


class RHNLanguageModel(RecurrentLanguageModel):
    """One recurrent highway layer, whose masks are the same at all depths and for both maps, as its authors have it."""

    architecture = "rhn"

    def __init__(
        self, embeddings: TiedWords, rhn: RHN, projection: Linear | None, regularization: Regularization
    ) -> None:
        super().__init__(embeddings, projection, regularization)
        self.rhn = rhn

    def initial_state(self, streams: int) -> LanguageState:
        """[1, B, H]."""
        return (self.embeddings.output.new_zeros(1, streams, self.rhn.recurrent_weight.shape[2]),)

    def features(self, inputs: Tensor, state: LanguageState) -> Features:
        """See LanguageModel.features."""
        rows = self.read(inputs)
        rates, before = self.regularization.bayesian, state[0][0]
        masks = RHNMasks(self.mask(rates.input, rows[0], 1), self.mask(rates.hidden, before, 1))
        rows, last = run_rhn(rows, before, self.rhn, masks, self.compute_dtype, fast=self.fast)
        return Features(self.write(rows), (last[None],))
