"""What training, scoring and search know of a language model. Nothing else of it is used outside nmt/models.

A text is read as streams: B of them side by side, T words of each at a time, the state carried from one call to the
next. Every row of the vocabulary is a word; there is no padding.

Shapes: T steps, B streams, C words of the vocabulary, E embedding.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from nmt.layers.tied_words import TiedWords
from nmt.models.architectures import LANGUAGE_ARCHITECTURES
from nmt.models.interface import TrainableModel

LanguageState = tuple[Tensor, ...]
"What a model keeps of the words before: tensors whose second dimension is the streams, [..., B, H]."


class Features(NamedTuple):
    """What `LanguageModel.features` gives."""

    rows: Tensor
    "[T, B, E]. Scores of the next word are `rows @ embeddings.output.T + embeddings.output_bias`."
    state: LanguageState
    "After the last step, part of the graph: detach it (`detached`) before the next call."


class LanguageModel(TrainableModel):
    """A recurrent language model, tied or not (Press & Wolf, 2017, section 3)."""

    embeddings: TiedWords
    "Input and output embedding and the output bias: see nmt.layers.tied_words."

    def how_to_shrink(self) -> str:
        """The keys to lower where the model is too large for the machine, for people."""
        return LANGUAGE_ARCHITECTURES[self.architecture].how_to_shrink("lm")

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return self.embeddings.output.device

    @property
    def num_words(self) -> int:
        """Rows of the vocabulary, C."""
        return self.embeddings.output.shape[0]

    @abstractmethod
    def initial_state(self, streams: int) -> LanguageState:
        """The state before the first word of every stream: zeros."""

    @abstractmethod
    def features(self, inputs: Tensor, state: LanguageState) -> Features:
        """inputs: the words read, [T, B] int64. state: before the first of them.

        In training mode dropout masks are drawn from torch's generator: those of Bayesian dropout once for each stream
        and call, so that they hold over the T steps (Gal and Ghahramani, 2016), those of Zaremba et al. (2014) anew for
        every number. The same mode without gradients is Monte Carlo dropout (`nmt.models.montecarlo`).
        """

    @abstractmethod
    def penalty(self, streams: int) -> Tensor:
        """What is added to the cost of one call, which is the sum over its T steps of the mean over the streams.

        A scalar: projection regularisation and the squares of all weights, 0 where neither is asked for. Perplexity
        leaves it out.
        """

    @abstractmethod
    def decay(self) -> None:
        """Weight decay as the paper's code has it: to be called after each update."""


def detached(state: LanguageState) -> LanguageState:
    """The same numbers outside the graph: truncated backpropagation through time."""
    return tuple(part.detach() for part in state)
