"""A copy of the Transformer made for search: the numbers of `nmt.models.transformer.model`, in fewer and faster passes.

What differs from the readable model, which stays the reference:

- weights are laid out by `nmt.layers.fixed`, in float32, bf16 or int8; the division of the energies is in the queries';
- keys and values of the source are made once a sentence, those of all decoder layers by one product;
- keys and values of the pieces so far stay where they are (`nmt.models.transformer.cache`).

Embeddings are the model's own.

Shapes: B sentences, K hypotheses a sentence, R = B K rows, S source length, D model size, h heads, d = D / h, t slots
of the cache, E embedding, N scored target rows, L decoder layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.data.batching import mask_of
from nmt.layers.fixed import Affine, affine
from nmt.layers.linear import ACTIVATIONS, FeedForward, Linear
from nmt.layers.multihead import Computing, Grid, hidden_keys, multihead
from nmt.layers.positions import sinusoids
from nmt.layers.transformer import DecoderLayer, EncoderLayer, Sublayer
from nmt.models.interface import SearchModel, Step
from nmt.models.scoring import FixedOutput, FixedScorer
from nmt.models.transformer.cache import CacheState, empty_state
from nmt.models.transformer.model import Inputs, TransformerModel

POSITIONS = 512
"Sinusoids of so many positions are kept; of later ones they are made anew."


@dataclass(frozen=True)
class FixedMemory:
    """The encoded source. keys, values: [L, B, h, S, d]. mask: [B, S]. added: to the energies, [B, 1, 1, S]."""

    keys: Tensor
    values: Tensor
    mask: Tensor
    added: Tensor

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, mask: Tensor) -> FixedMemory:
        """The memory of these."""
        return cls(keys, values, mask, hidden_keys(mask, keys.dtype))

    def select(self, sentences: Tensor) -> FixedMemory:
        """See Memory.select."""
        keys, values = (each.index_select(1, sentences) for each in (self.keys, self.values))
        return FixedMemory(keys, values, self.mask.index_select(0, sentences), self.added.index_select(0, sentences))

    def narrow(self, size: int) -> FixedMemory:
        """See Memory.narrow."""
        return FixedMemory.of(self.keys[:, :, :, :size], self.values[:, :, :, :size], self.mask[:, :size])

    def join(self, other: FixedMemory) -> FixedMemory:
        """See Memory.join."""
        pair = (self, other)
        size = max(each.mask.shape[1] for each in pair)
        keys = [functional.pad(each.keys, (0, 0, 0, size - each.mask.shape[1])) for each in pair]
        values = [functional.pad(each.values, (0, 0, 0, size - each.mask.shape[1])) for each in pair]
        mask = torch.cat([functional.pad(each.mask, (0, size - each.mask.shape[1])) for each in pair])
        return FixedMemory.of(torch.cat(keys, 1), torch.cat(values, 1), mask)


class Fixer:
    """Makes affine maps of a model's weights."""

    def __init__(self, model: TransformerModel, precision: str) -> None:
        self.device, self.precision = model.device, precision

    def __call__(self, *linear: Linear, scaled: int = 0, scale: float = 1.0) -> Affine:
        """Of maps of the same inputs as one; the first `scaled` outputs times `scale`."""
        weight, bias = (torch.cat([getattr(each, name) for each in linear]) for name in ("weight", "bias"))
        weight[:scaled] *= scale
        bias[:scaled] *= scale
        return affine(weight, bias, self.precision, bound=None)


class FixedPart:
    """What stands around a part of a layer: norm and addition, without dropout."""

    def __init__(self, part: Sublayer) -> None:
        self.norm, self.before = part.norm, part.before

    def inputs(self, rows: Tensor) -> Tensor:
        """What the part reads."""
        return self.norm(rows) if self.before else rows

    def added(self, rows: Tensor, found: Tensor) -> Tensor:
        """The layer's rows after it; found, what it gave, is written over."""
        found += rows
        return found if self.before else self.norm(found)


class FixedFeedForward:
    """The last part of a layer."""

    def __init__(self, feedforward: FeedForward, around: Sublayer, fixed: Fixer) -> None:
        self.inner, self.outer = fixed(feedforward.inner), fixed(feedforward.outer)
        self.activation, self.around = feedforward.activation, FixedPart(around)

    def __call__(self, rows: Tensor) -> Tensor:
        """[R, D] -> [R, D]."""
        inner = self.inner(self.around.inputs(rows))
        inner = inner.relu_() if self.activation == "relu" else ACTIVATIONS[self.activation](inner)
        return self.around.added(rows, self.outer(inner))


class FixedEncoderLayer:
    """See EncoderLayer."""

    def __init__(self, layer: EncoderLayer, fixed: Fixer) -> None:
        self.heads = layer.self_attention.heads
        self.inputs, self.outputs = fixed(layer.self_attention.inputs), fixed(layer.self_attention.outputs)
        self.around = FixedPart(layer.around_self)
        self.feedforward = FixedFeedForward(layer.feedforward, layer.around_feedforward, fixed)

    def __call__(self, rows: Tensor, grid: Grid, added: Tensor) -> Tensor:
        """[R, D] -> [R, D]."""
        projected = self.inputs(self.around.inputs(rows))
        context = multihead(projected, None, added, (self.heads, grid, grid), Computing())
        return self.feedforward(self.around.added(rows, self.outputs(context)))


class FixedDecoderLayer:
    """See DecoderLayer."""

    def __init__(self, layer: DecoderLayer, fixed: Fixer) -> None:
        own, cross = layer.self_attention, layer.cross_attention
        size = len(own.outputs.bias)
        self.head_size = size // own.heads
        scale = self.head_size**-0.5
        self.inputs, self.outputs = fixed(own.inputs, scaled=size, scale=scale), fixed(own.outputs)
        self.query, self.cross_outputs = fixed(cross.query, scaled=size, scale=scale), fixed(cross.outputs)
        self.around_self, self.around_cross = FixedPart(layer.around_self), FixedPart(layer.around_cross)
        self.feedforward = FixedFeedForward(layer.feedforward, layer.around_feedforward, fixed)

    def look_back(self, rows: Tensor, number: int, state: CacheState) -> Tensor:
        """Self-attention. rows: [R, D]. number: of the layer. state: of this step."""
        projected = self._by_head(self.inputs(self.around_self.inputs(rows)), len(state.steps))
        query, keys, values = projected.chunk(3, 1)
        context, _ = weighted(query, *state.write(number, keys, values), state.added[:, None])
        return self.around_self.added(rows, self.outputs(context))

    def look_at_source(self, rows: Tensor, number: int, memory: FixedMemory) -> tuple[Tensor, Tensor]:
        """Attention to the source. Returns the rows, [R, D], and the weights, [B, h, K, S]."""
        query = self._by_head(self.query(self.around_cross.inputs(rows)), len(memory.mask))
        keys, values = (each[number].flatten(0, 1) for each in (memory.keys, memory.values))
        context, weights = weighted(query, keys, values, memory.added)
        return self.around_cross.added(rows, self.cross_outputs(context)), weights

    def _by_head(self, rows: Tensor, batch: int) -> Tensor:
        """[R, n h d] -> [B, n h, K, d], a view."""
        return rows.view(batch, len(rows) // batch, -1, self.head_size).transpose(1, 2)


class FixedInputs:
    """See Inputs."""

    def __init__(self, inputs: Inputs, fixed: Fixer) -> None:
        self.scale, self.size, self.learned = inputs.scale, inputs.size, inputs.positions
        self.projection = None if inputs.projection is None else fixed(inputs.projection)
        self.table = sinusoids(torch.arange(POSITIONS, device=fixed.device), self.size)

    def __call__(self, embedded: Tensor, positions: Tensor, longest: int) -> Tensor:
        """[X, Y, E] and [X, 1] or [1, Y] positions, all below `longest` -> [X, Y, D]."""
        rows = embedded * self.scale
        if self.projection is not None:
            rows = self.projection(rows.flatten(0, 1)).view(*rows.shape[:2], -1)
        if self.learned is not None:
            return rows.add_(self.learned(positions))
        return rows.add_(self.table[positions] if longest <= POSITIONS else sinusoids(positions, self.size))


class FixedTransformer(SearchModel):
    """The copy. Nothing of it changes after it was made."""

    @torch.no_grad()
    def __init__(self, model: TransformerModel, precision: str) -> None:
        self.precision, self.embeddings = precision, model.embeddings
        fixed = Fixer(model, precision)
        self.heads = model.options.decoder_layer.heads
        self.source_inputs, self.inputs = (FixedInputs(side.inputs, fixed) for side in (model.encoder, model.decoder))
        self.source_norm, self.norm = model.encoder.norm, model.decoder.norm
        self.encoder = [FixedEncoderLayer(layer, fixed) for layer in model.encoder_layers]
        self.decoder = [FixedDecoderLayer(layer, fixed) for layer in model.decoder_layers]
        self.from_source = fixed(*(layer.cross_attention.source for layer in model.decoder_layers))
        self.readout = None if model.readout_projection is None else fixed(model.readout_projection)
        self.attention_layer, self.zero_start = model.attention_layer, model.options.start == "zero"
        self.scorer = FixedScorer(self.embeddings, precision, bound=None)

    @property
    def device(self) -> torch.device:
        """See SearchModel.device."""
        return self.embeddings.output.device

    @property
    def num_targets(self) -> int:
        """See SearchModel.num_targets."""
        return self.embeddings.output.shape[0]

    @torch.no_grad()
    def encode(self, source: Tensor, source_lengths: Tensor) -> FixedMemory:
        """See SearchModel.encode."""
        batch, steps = source.shape
        grid, mask = Grid.of(steps, batch, source.device), mask_of(source_lengths, steps)
        positions = torch.arange(steps, device=source.device)[:, None]
        rows = grid.flat(self.source_inputs(self.embeddings.source(source.t()), positions, steps))
        added = hidden_keys(mask)
        for layer in self.encoder:
            rows = layer(rows, grid, added)
        pairs = grid.grid(self.from_source(self.source_norm(rows)))
        by_head = pairs.view(steps, batch, len(self.decoder), 2, self.heads, -1).permute(3, 2, 1, 4, 0, 5)
        keys, values = by_head.contiguous()
        return FixedMemory.of(keys, values, mask)

    def initial_state(self, memory: FixedMemory) -> CacheState:  # type: ignore[override]
        """See SearchModel.initial_state."""
        layers, batch, heads, _, size = memory.keys.shape
        return empty_state(batch, memory.keys, (layers, heads, size))

    def output(self, targets: Tensor | None = None) -> FixedOutput:
        """See SearchModel.output."""
        return self.scorer.output(targets)

    @torch.no_grad()
    def step(self, memory: FixedMemory, state: CacheState, previous: Tensor, output: FixedOutput) -> Step:  # type: ignore[override]
        """See SearchModel.step."""
        batch, beam = previous.shape
        embedded = self.embeddings.target(previous.clamp(min=0))
        if self.zero_start:
            embedded.masked_fill_((previous < 0)[..., None], 0)  # START
        rows = self.inputs(embedded, state.steps[:, None], state.longest + 1).flatten(0, 1)
        state, attention = state.begun(beam), rows.new_empty(0)
        for number, layer in enumerate(self.decoder):
            rows, weights = layer.look_at_source(layer.look_back(rows, number, state), number, memory)
            rows = layer.feedforward(rows)
            if number == self.attention_layer:
                attention = weights.mean(1)
        rows = self.norm(rows)
        readout = rows if self.readout is None else self.readout(rows)
        return Step(output.log_probs(readout).view(batch, beam, -1), state, attention)


def weighted(query: Tensor, keys: Tensor, values: Tensor, added: Tensor) -> tuple[Tensor, Tensor]:
    """Divided queries, [B, h, K, d], keys and values, [B h, t, d], added, [B, 1, 1 or K, t].

    Returns the contexts, [R, D], and the weights, [B, h, K, t].
    """
    batch, heads, beam, size = query.shape
    energies = torch.bmm(query.reshape(-1, beam, size), keys.mT)
    energies.view(batch, heads, beam, -1).add_(added)
    weights = torch.softmax(energies, 2)
    context = torch.bmm(weights, values).view(batch, heads, beam, size)
    return context.transpose(1, 2).reshape(batch * beam, heads * size), weights.view(batch, heads, beam, -1)
