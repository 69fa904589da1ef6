"""What the recurrent language models have in common: the ways in and out, dropout, and the terms of the cost.

Shapes: T steps, B streams, C words of the vocabulary, E embedding, H hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from nmt.layers.bayesian import BayesianRates, bernoulli_mask, word_mask
from nmt.layers.dropout import Dropout
from nmt.layers.linear import Linear
from nmt.layers.tied_words import TiedWords
from nmt.layers.tying import unique_parameters
from nmt.models.language import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """What keeps a model from learning by heart: keys of the section `lm`."""

    dropout: float = 0.0
    "Zaremba et al. (2014, section 3.1): of what is read, between layers and before the scores, never over time."
    bayesian: BayesianRates = field(default_factory=BayesianRates)
    "Gal and Ghahramani (2016): masks that stay over the steps of a call."
    projection_penalty: float = 0.0
    weight_penalty: float = 0.0
    weight_decay: float = 0.0


class RecurrentLanguageModel(LanguageModel):
    """Layers between the two embeddings; what they are is its subclass's."""

    def __init__(self, embeddings: TiedWords, projection: Linear | None, regularization: Regularization) -> None:
        """projection: P and b_P of Press & Wolf (2017, section 3.2), H to E; None: H is E."""
        super().__init__(embeddings)
        self.projection = projection
        self.dropout = Dropout(regularization.dropout)
        self.regularization = regularization

    def read(self, words: Tensor) -> Tensor:
        """What the first layer reads: [T, B] -> [T, B, E]."""
        rows = self.embeddings.embed(words)
        rates = self.regularization.bayesian
        mask = word_mask(words, rates.word, rows, by_word=rates.by_word) if self.training else None
        return self.dropout(rows if mask is None else rows * mask)  # type: ignore[no-any-return]

    def write(self, rows: Tensor) -> Tensor:
        """What the scores are made of: states of the last layer, [T, B, H] -> [T, B, E]. h P + b_P, if there is a P."""
        mask = self.mask(self.regularization.bayesian.output, rows[0])
        rows = self.dropout(rows if mask is None else rows * mask)
        return rows if self.projection is None else self.projection(rows, self.compute_dtype)

    def mask(self, rate: float, like: Tensor, number: int = 0) -> Tensor | None:
        """A mask, [B, X], or `number` of them, [number, B, X], of that rate in training; None: nothing is dropped."""
        shape = (number, *like.shape) if number else tuple(like.shape)
        return bernoulli_mask(shape, rate, like) if self.training else None

    def penalty(self, streams: int) -> Tensor:
        """See LanguageModel.penalty.

        Projection regularisation (Press & Wolf, 2017, section 3.2): lambda ||P||_2 is printed; what the authors' code
        adds is 1 / 6.5 of half the squared Frobenius norm of P, for a sequence, of which a batch has `streams`.
        Without b_P. The squares of all weights, each storage once: Zilly et al. (2016), whose code adds half of them.
        """
        terms = self.regularization
        total = torch.zeros((), device=self.device, dtype=self.embeddings.output.dtype)
        if self.projection is not None and terms.projection_penalty:
            total = total + terms.projection_penalty / (2 * streams) * self.projection.weight.square().sum()
        if terms.weight_penalty:
            squares = [parameter.square().sum() for parameter in unique_parameters(self).values()]
            total = total + terms.weight_penalty / 2 * torch.stack(squares).sum()
        return total

    @torch.no_grad()
    def decay(self) -> None:
        """See LanguageModel.decay: w -= lambda w, of all parameters, whatever the learning rate (WD in Table 5)."""
        if self.regularization.weight_decay:
            parameters: list[Tensor] = list(unique_parameters(self).values())
            torch._foreach_mul_(parameters, 1 - self.regularization.weight_decay)
