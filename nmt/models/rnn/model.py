"""The attention model of Press & Wolf's Table 8: DL4MT's encoder and decoder with tied embeddings.

Shapes: B sentences, K hypotheses a sentence, S source length, T target length, E embedding, H hidden, C = 2H
annotation size, N real target tokens of a batch, V target rows. Recurrences run time-major ([T, B, ...]).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.data.batching import Batch, mask_of
from nmt.layers.conditional_gru import AnnotatedSource, ConditionalGRU
from nmt.layers.dropout import Dropout
from nmt.layers.gru import GRUCell, run_gru
from nmt.layers.precision import product
from nmt.layers.triton.available import uses_kernels
from nmt.layers.tying import TiedEmbeddings
from nmt.models.interface import START, Step, TranslationModel
from nmt.models.rows import joined_rows, places
from nmt.text.vocabulary import PAD


class Encoder(nn.Module):
    """A bidirectional GRU: source embeddings -> annotations, the states of both directions side by side."""

    def __init__(self, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.ahead = GRUCell(embedding_size, hidden_size)
        self.back = GRUCell(embedding_size, hidden_size)

    def forward(
        self, embedded: Tensor, lengths: Tensor, dtype: torch.dtype = torch.float32, *, fast: bool = True
    ) -> Tensor:
        """embedded: [S, B, E]. lengths: [B]. dtype: of the products.

        Returns annotations, [S, B, C]; those at padding have no meaning.

        The backward direction runs over each sequence reversed within its own length, so that neither direction ever
        sees padding before a real token.
        """
        reverse = reversal(lengths, embedded.shape[0])[:, :, None]
        if fast and uses_kernels(embedded, dtype):
            return self._both(embedded, reverse, dtype)
        start = embedded.new_zeros(embedded.shape[1], self.ahead.hidden_weight.shape[0])
        ahead = run_gru(self.ahead.project(embedded, dtype), start, self.ahead.hidden_weight, dtype, fast=fast)
        turned = self.back.project(embedded, dtype)
        turned = turned.gather(0, reverse.expand_as(turned))
        back = run_gru(turned, start, self.back.hidden_weight, dtype, fast=fast)
        return torch.cat([ahead, back.gather(0, reverse.expand_as(back))], 2)

    def _both(self, embedded: Tensor, reverse: Tensor, dtype: torch.dtype) -> Tensor:
        """The same with both directions in each product. reverse: [S, B, 1]."""
        from nmt.layers.triton.recurrence import Reversed, run_directions

        cells = (self.ahead, self.back)
        weight, bias = torch.cat([cell.input_weight for cell in cells], 1), torch.cat([cell.bias for cell in cells])
        ahead, back = (product(embedded, weight, dtype) + bias).chunk(2, 2)
        projected = torch.stack([ahead, Reversed.apply(back, reverse)], 1)
        weights = torch.stack([cell.hidden_weight for cell in cells])
        ahead, back = run_directions(projected, weights, dtype).unbind(1)
        return torch.cat([ahead, Reversed.apply(back, reverse)], 2)


def reversal(lengths: Tensor, size: int) -> Tensor:
    """[B] lengths -> [size, B] indices that reverse each sequence within its length and leave padding where it is."""
    steps = torch.arange(size, device=lengths.device)[:, None]
    return torch.where(steps < lengths, lengths - 1 - steps, steps)


class Readout(nn.Module):
    """Deep output: t = tanh(h2 ff_logit_lstm + y ff_logit_prev + c ff_logit_ctx), each with a bias, of size E."""

    def __init__(self, embedding_size: int, hidden_size: int, annotation_size: int) -> None:
        super().__init__()
        self.state = nn.Linear(hidden_size, embedding_size)
        self.previous = nn.Linear(embedding_size, embedding_size)
        self.context = nn.Linear(annotation_size, embedding_size)

    def forward(self, state: Tensor, previous: Tensor, context: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """[..., H], [..., E] and [..., C] -> [..., E]."""
        summed = product(state, self.state.weight.t(), dtype) + self.state.bias
        summed = summed + product(previous, self.previous.weight.t(), dtype) + self.previous.bias
        return torch.tanh(summed + product(context, self.context.weight.t(), dtype) + self.context.bias)


@dataclass(frozen=True)
class RNNMemory:
    """The encoded source. annotations, keys: [B, S, C]. mask: [B, S]."""

    annotations: Tensor
    keys: Tensor
    mask: Tensor

    def select(self, sentences: Tensor) -> RNNMemory:
        """The memory of the given sentences, [B']."""
        return RNNMemory(*(t.index_select(0, sentences) for t in (self.annotations, self.keys, self.mask)))

    def narrow(self, size: int) -> RNNMemory:
        """The first `size` source positions."""
        return RNNMemory(self.annotations[:, :size], self.keys[:, :size], self.mask[:, :size])

    def join(self, other: RNNMemory) -> RNNMemory:
        """The sentences of both, sources padded to the longer."""
        pairs = ((self.annotations, other.annotations), (self.keys, other.keys), (self.mask, other.mask))
        return RNNMemory(*(joined_rows(*pair) for pair in pairs))


@dataclass(frozen=True)
class RNNState:
    """The decoder's state, [B, K, H]."""

    hidden: Tensor

    def select(self, sentences: Tensor | None, hypotheses: Tensor) -> RNNState:
        """See State.select."""
        return RNNState(self.hidden[places(sentences, hypotheses)])

    def join(self, other: RNNState) -> RNNState:
        """The sentences of both."""
        return RNNState(torch.cat([self.hidden, other.hidden]))


@dataclass(frozen=True)
class RNNOutput:
    """The output rows that are scored: weight, [N, E], and bias, [N]. whole: they are all rows, padding's first."""

    weight: Tensor
    bias: Tensor
    whole: bool


class RNNModel(TranslationModel):
    """Bidirectional GRU encoder, conditional GRU decoder with additive attention, deep output of embedding size.

    The piece before the first is a zero vector.
    """

    architecture = "rnn"

    def __init__(self, embeddings: TiedEmbeddings, embedding_size: int, hidden_size: int, dropout: float) -> None:
        super().__init__(embeddings)
        self.encoder = Encoder(embedding_size, hidden_size)
        self.initial = nn.Linear(2 * hidden_size, hidden_size)
        self.decoder = ConditionalGRU(embedding_size, hidden_size, 2 * hidden_size)
        self.output_layer = Readout(embedding_size, hidden_size, 2 * hidden_size)
        self.dropout = Dropout(dropout)

    def _annotate(self, source: Tensor, lengths: Tensor) -> tuple[AnnotatedSource, Tensor]:
        """Source ids, [B, S] -> what the decoder attends to, and its first state, [B, H]."""
        embedded = self.dropout(self.embeddings.source(source.t()))
        annotations = self.dropout(self.encoder(embedded, lengths, self.compute_dtype, fast=self.fast))
        mask = mask_of(lengths, source.shape[1])
        mean = (annotations * mask.t()[:, :, None]).sum(0) / lengths[:, None]
        first = torch.tanh(self.initial(mean))
        annotations = annotations.transpose(0, 1).contiguous()
        return AnnotatedSource(annotations, self.decoder.attention.keys(annotations, self.compute_dtype), mask), first

    def readout(self, batch: Batch) -> Tensor:
        """Readout of the real target positions, step by step: [N, E]."""
        source, first = self._annotate(batch.source, batch.source_lengths)
        embedded = self.dropout(self.embeddings.target(batch.target.t()[:-1]))
        previous = torch.cat([embedded.new_zeros(1, *embedded.shape[1:]), embedded])  # a zero vector at the first step
        dtype = self.compute_dtype
        projected = self.decoder.first.project(previous, dtype)
        states, contexts = self.decoder(projected, first, source, dtype, fast=self.fast)
        real = (batch.scored(tensor.flatten(0, 1)) for tensor in (states, previous, contexts))
        rows: Tensor = self.dropout(self.output_layer(*real, dtype))
        return rows

    def encode(self, source: Tensor, source_lengths: Tensor) -> RNNMemory:
        """See TranslationModel.encode."""
        encoded, _ = self._annotate(source, source_lengths)
        return RNNMemory(encoded.annotations, encoded.keys, encoded.mask)

    def initial_state(self, memory: RNNMemory) -> RNNState:  # type: ignore[override]
        """tanh(mean over source positions of annotations . ff_state), [B, 1, H]."""
        total = (memory.annotations * memory.mask[:, :, None]).sum(1)
        mean = total / memory.mask.sum(1, keepdim=True)
        return RNNState(torch.tanh(self.initial(mean))[:, None])

    def output(self, targets: Tensor | None = None) -> RNNOutput:
        """See SearchModel.output."""
        weight, bias = self.embeddings.output_matrix(), self.embeddings.output_bias
        if targets is None:
            return RNNOutput(weight, bias, whole=True)
        return RNNOutput(weight.index_select(0, targets), bias.index_select(0, targets), whole=False)

    def step(self, memory: RNNMemory, state: RNNState, previous: Tensor, output: RNNOutput) -> Step:  # type: ignore[override]
        """See SearchModel.step."""
        embedded = self.embeddings.target(previous.clamp(min=0)).masked_fill((previous == START)[..., None], 0)
        source = AnnotatedSource(memory.annotations, memory.keys, memory.mask)
        hidden, context, attention = self.decoder.step(self.decoder.first.project(embedded), state.hidden, source)
        scores = functional.linear(self.output_layer(hidden, embedded, context), output.weight, output.bias)
        if output.whole:
            scores[..., PAD] = -torch.inf
        return Step(torch.log_softmax(scores.float(), -1), RNNState(hidden), attention)
