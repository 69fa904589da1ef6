"""What training and search know of a model. Nothing else of it is used outside nmt/models.

Shapes: B sentences, K hypotheses a sentence, S source positions, V target rows (the model's target view), E embedding.
Target ids are always ids of the model's target view (`nmt.vocabulary.TargetView` maps to and from union ids).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from nmt.data.batching import Batch
from nmt.layers.tying import TiedEmbeddings


class Memory(Protocol):
    """An encoded batch of B sentences: everything that does not change from step to step (annotations, keys, mask)."""

    @property
    def mask(self) -> Tensor:
        """[B, S], True at real source positions."""

    def select(self, sentences: Tensor) -> Memory:
        """The memory of the given sentences, [N] int64, in that order."""


class State(Protocol):
    """The recurrent state of K hypotheses for each of B sentences."""

    def select(self, sentences: Tensor, hypotheses: Tensor) -> State:
        """New state whose [n, k] is this state's [sentences[n], hypotheses[n, k]]. Shapes [N] and [N, K'], int64."""


@dataclass(frozen=True)
class Step:
    """One decoder step for B sentences of K hypotheses each."""

    log_probs: Tensor
    "[B, K, V] log-probabilities of the next piece; the padding row is -inf."
    state: State
    attention: Tensor
    "[B, K, S], zero at padding."


class TranslationModel(nn.Module):
    """An encoder-decoder that can be trained and searched."""

    embeddings: TiedEmbeddings
    "The three vocabulary matrices and the output bias: see nmt.layers.tying."
    compute_dtype: torch.dtype
    "Precision of the matrix products in training (float32 or bfloat16); weights and sums stay float32."

    @abstractmethod
    def readout(self, batch: Batch) -> Tensor:
        """Decoder features of the real target positions, [N, E], in the order of `batch.target_labels()`.

        Scores are `readout @ output_weight.T + output_bias`; the loss computes them in chunks.
        """

    @abstractmethod
    def encode(self, source: Tensor, source_lengths: Tensor) -> Memory:
        """source: [B, S] int64 union ids, </s> at each end, padded with 0. source_lengths: [B], </s> included."""

    @abstractmethod
    def initial_state(self, memory: Memory) -> State:
        """The state before the first piece, K = 1."""

    @abstractmethod
    def step(self, memory: Memory, state: State, previous: Tensor | None) -> Step:
        """Advance every hypothesis by one piece. previous: [B, K] target ids, or None at the first step."""
