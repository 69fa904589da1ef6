"""The Transformer (Vaswani et al., 2017) with tied embeddings, readable; `search.py` has the copy made for search.

Shapes: B sentences, K hypotheses a sentence, S source length, T target length, E embedding, D model size, N real target
tokens of a batch, R rows of a grid (`nmt.layers.multihead.Grid`), L decoder layers, V target rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.data.batching import Batch, mask_of
from nmt.layers.dropout import Dropout
from nmt.layers.linear import Linear
from nmt.layers.multihead import Grid, hidden_future, hidden_keys
from nmt.layers.positions import LearnedPositions, sinusoids
from nmt.layers.transformer import EPSILON, DecoderLayer, Encoded, EncoderLayer, LayerOptions, Past
from nmt.layers.tying import TiedEmbeddings
from nmt.models.interface import START, Step, TranslationModel
from nmt.models.transformer.state import TransformerMemory, TransformerOutput, TransformerState
from nmt.text.vocabulary import PAD


@dataclass(frozen=True, kw_only=True)
class TransformerOptions:
    """Everything but the vocabulary."""

    embedding_size: int
    layer: LayerOptions
    "Of the encoder; its width, norm and dropout are those of both."
    decoder_layer: LayerOptions
    layers: int
    decoder_layers: int
    positions: str = "sinusoidal"
    max_positions: int = 1024
    "How many learned positions there are."
    start: str = "zero"
    "What stands before the first piece: zero, or padding, its row of the target input."
    scale_embeddings: bool = True
    attention_layer: int = 0
    "Which decoder layer's attention is told, from 1; 0: the last."


class Inputs(nn.Module):
    """Embeddings of one side -> what its first layer reads: scaled, as wide as the layers, with positions."""

    def __init__(self, options: TransformerOptions) -> None:
        super().__init__()
        size, width = options.layer.size, options.embedding_size
        self.scale = width**0.5 if options.scale_embeddings else 1.0
        self.size = size
        self.projection = Linear(width, size) if width != size else None
        learned = options.positions == "learned"
        self.positions = LearnedPositions(options.max_positions, size) if learned else None
        self.dropout = Dropout(options.layer.dropout)

    def forward(self, embedded: Tensor, positions: Tensor) -> Tensor:
        """[..., E], and [...] positions that it broadcasts with -> [..., D]."""
        rows = embedded * self.scale
        if self.projection is not None:
            rows = self.projection(rows)
        places = sinusoids(positions, self.size) if self.positions is None else self.positions(positions)
        return self.dropout(rows + places.to(rows.dtype))  # type: ignore[no-any-return]


class Stack(nn.Module):
    """The layers of one side, what comes before and what comes behind."""

    def __init__(self, options: TransformerOptions, layers: list[EncoderLayer] | list[DecoderLayer]) -> None:
        super().__init__()
        self.inputs = Inputs(options)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(options.layer.size, eps=EPSILON) if options.layer.norm == "pre" else nn.Identity()


class TransformerModel(TranslationModel):
    """Encoder and decoder of self-attention layers. Before the first piece: a zero vector or padding's."""

    architecture = "transformer"

    def __init__(self, embeddings: TiedEmbeddings, options: TransformerOptions) -> None:
        super().__init__(embeddings)
        self.options = options
        self.encoder = Stack(options, [EncoderLayer(options.layer) for _ in range(options.layers)])
        self.decoder = Stack(options, [DecoderLayer(options.decoder_layer) for _ in range(options.decoder_layers)])
        width, size = options.embedding_size, options.layer.size
        self.readout_projection = Linear(size, width) if width != size else None

    @property
    def encoder_layers(self) -> Iterator[EncoderLayer]:
        """In their order."""
        return (cast(EncoderLayer, layer) for layer in self.encoder.layers)

    @property
    def decoder_layers(self) -> Iterator[DecoderLayer]:
        """In their order."""
        return (cast(DecoderLayer, layer) for layer in self.decoder.layers)

    @property
    def attention_layer(self) -> int:
        """The decoder layer, from 0, whose attention is told."""
        return (self.options.attention_layer or self.options.decoder_layers) - 1

    def _encode(self, source: Tensor, lengths: Tensor) -> Encoded:
        """Source ids, [B, S] -> what the decoder attends to."""
        batch, steps = source.shape
        grid, mask = Grid.of(steps, batch, source.device), mask_of(lengths, steps)
        rows = grid.flat(self._inputs(self.encoder, self.embeddings.source(source.t())))
        padded = source.device.type != "cpu" or not bool(mask.all())
        added = hidden_keys(mask, rows.dtype) if padded else None
        for layer in self.encoder_layers:
            rows = layer(rows, grid, added, self.compute_dtype, fast=self.fast)
        return Encoded(self.encoder.norm(rows), grid, added)

    def _inputs(self, side: Stack, embedded: Tensor) -> Tensor:
        """[T, B, E] -> [T, B, D]."""
        return side.inputs(embedded, torch.arange(len(embedded), device=embedded.device)[:, None])  # type: ignore[no-any-return]

    def readout(self, batch: Batch) -> Tensor:
        """Readout of the real target positions, step by step: [N, E]."""
        source = self._encode(batch.source, batch.source_lengths)
        targets = batch.target.t()[:-1]
        if self.options.start == "padding":
            previous = self.embeddings.target(functional.pad(targets, (0, 0, 1, 0), value=PAD))
        else:
            embedded = self.embeddings.target(targets)
            previous = torch.cat([embedded.new_zeros(1, *embedded.shape[1:]), embedded])
        grid = Grid.of(len(previous), previous.shape[1], previous.device)
        rows = grid.flat(self._inputs(self.decoder, previous))
        added = hidden_future(grid.steps, rows.device, rows.dtype)
        for layer in self.decoder_layers:
            rows = layer(rows, grid, source, added, self.compute_dtype, fast=self.fast)
        return self._readout(batch.scored(rows), self.compute_dtype)

    def embedded(self, previous: Tensor) -> Tensor:
        """Previous target ids, START among them, [...] -> [..., E]."""
        assert START < PAD == 0, "clamped, START is padding"
        found = self.embeddings.target(previous.clamp(min=PAD))
        return found if self.options.start == "padding" else found.masked_fill((previous == START)[..., None], 0)

    def _readout(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """[..., D] -> [..., E]."""
        rows = self.decoder.norm(rows)
        return rows if self.readout_projection is None else self.readout_projection(rows, dtype)  # type: ignore[no-any-return]

    def encode(self, source: Tensor, source_lengths: Tensor) -> TransformerMemory:
        """See SearchModel.encode."""
        encoded = self._encode(source, source_lengths)
        every = [layer.cross_attention.source(encoded.rows, self.compute_dtype) for layer in self.decoder_layers]
        pairs = torch.stack([encoded.grid.grid(each).unflatten(2, (2, -1)) for each in every], 2)  # [S, B, L, 2, D]
        return TransformerMemory(pairs.transpose(0, 1).contiguous(), mask_of(source_lengths, source.shape[1]))

    def initial_state(self, memory: TransformerMemory) -> TransformerState:  # type: ignore[override]
        """Nothing of no steps."""
        batch, _, layers, two, size = memory.pairs.shape
        return TransformerState(
            memory.pairs.new_zeros(batch, 1, 0, layers, two, size), memory.mask.new_zeros(batch, 1, 0)
        )

    def output(self, targets: Tensor | None = None) -> TransformerOutput:
        """See SearchModel.output."""
        weight, bias = self.embeddings.output_matrix(), self.embeddings.output_bias
        if targets is None:
            return TransformerOutput(weight, bias, whole=True)
        return TransformerOutput(weight.index_select(0, targets), bias.index_select(0, targets), whole=False)

    def step(  # type: ignore[override]
        self, memory: TransformerMemory, state: TransformerState, previous: Tensor, output: TransformerOutput
    ) -> Step:
        """See SearchModel.step."""
        rows = self.decoder.inputs(self.embedded(previous), state.steps)
        source_added = hidden_keys(memory.mask, rows.dtype)
        seen = functional.pad(state.mask, (0, 1), value=True)[:, :, None, None]
        added = torch.zeros(seen.shape, dtype=rows.dtype, device=rows.device).masked_fill_(~seen, -torch.inf)
        pairs, attention = [], rows.new_empty(0)
        for number, layer in enumerate(self.decoder_layers):
            past = Past(state.pairs[:, :, :, number], added)
            rows, new, weights = layer.step(rows, past, memory.pairs[:, :, number], source_added)
            pairs.append(new)
            if number == self.attention_layer:
                attention = weights.mean(1)
        scores = functional.linear(self._readout(rows, torch.float32), output.weight, output.bias)
        if output.whole:
            scores[..., PAD] = -torch.inf
        return Step(torch.log_softmax(scores.float(), -1), state.advanced(torch.stack(pairs, 2)), attention)
