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
from nmt.layers.multihead import Computing, Grid, hidden_keys, multihead, softmax_
from nmt.layers.positions import sinusoids
from nmt.layers.transformer import DecoderLayer, EncoderLayer, Sublayer
from nmt.models.fixed import FixedModel
from nmt.models.interface import Step
from nmt.models.scoring import FixedOutput
from nmt.models.transformer.cache import CacheState, empty_state
from nmt.models.transformer.model import Inputs, TransformerModel

POSITIONS = 512
"Sinusoids of so many positions are kept; of later ones they are made anew."


@dataclass(frozen=True)
class FixedMemory:
    """The encoded source. pairs: keys and values, [L, 2, B, h, S, d]. mask: [B, S]."""

    pairs: Tensor
    mask: Tensor
    added: Tensor | None
    "To the energies, [B, 1, 1, S]; None: there is no padding."
    layers: tuple[tuple[Tensor, Tensor], ...]
    "Keys and values of each layer, [B h, S, d]."

    @classmethod
    def of(cls, pairs: Tensor, mask: Tensor) -> FixedMemory:
        """The memory of these."""
        whole = mask.device.type == "cpu" and bool(mask.all())  # elsewhere asking would wait for the device
        layers = tuple((keys.flatten(0, 1), values.flatten(0, 1)) for keys, values in pairs)
        return cls(pairs, mask, None if whole else hidden_keys(mask, pairs.dtype), layers)

    def select(self, sentences: Tensor) -> FixedMemory:
        """See Memory.select."""
        return FixedMemory.of(self.pairs.index_select(2, sentences), self.mask.index_select(0, sentences))

    def narrow(self, size: int) -> FixedMemory:
        """See Memory.narrow."""
        return FixedMemory.of(self.pairs[:, :, :, :, :size], self.mask[:, :size])

    def join(self, other: FixedMemory) -> FixedMemory:
        """See Memory.join."""
        pair = (self, other)
        size = max(each.mask.shape[1] for each in pair)
        pairs = [functional.pad(each.pairs, (0, 0, 0, size - each.mask.shape[1])) for each in pair]
        mask = torch.cat([functional.pad(each.mask, (0, size - each.mask.shape[1])) for each in pair])
        return FixedMemory.of(torch.cat(pairs, 2), mask)


class Fixer:
    """Makes affine maps of a model's weights."""

    def __init__(self, model: TransformerModel, precision: str) -> None:
        self.device, self.precision = model.device, precision

    def __call__(self, *linear: Linear, scaled: int = 0, scale: float = 1.0, relu: bool = False) -> Affine:
        """Of maps of the same inputs as one; the first `scaled` outputs times `scale`. relu: behind it."""
        weight, bias = (torch.cat([getattr(each, name) for each in linear]) for name in ("weight", "bias"))
        weight[:scaled] *= scale
        bias[:scaled] *= scale
        return affine(weight, bias, self.precision, bound=None, relu=relu)


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
        relu = feedforward.activation == "relu"
        self.inner, self.outer = fixed(feedforward.inner, relu=relu), fixed(feedforward.outer)
        self.activation = None if relu else ACTIVATIONS[feedforward.activation]
        "What is not done inside `inner`."
        self.around = FixedPart(around)

    def __call__(self, rows: Tensor) -> Tensor:
        """[R, D] -> [R, D]."""
        inner = self.inner(self.around.inputs(rows))
        return self.around.added(rows, self.outer(inner if self.activation is None else self.activation(inner)))


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
        self.heads, self.head_size = own.heads, size // own.heads
        scale = self.head_size**-0.5
        self.inputs, self.outputs = fixed(own.inputs, scaled=size, scale=scale), fixed(own.outputs)
        self.query, self.cross_outputs = fixed(cross.query, scaled=size, scale=scale), fixed(cross.outputs)
        self.around_self, self.around_cross = FixedPart(layer.around_self), FixedPart(layer.around_cross)
        self.feedforward = FixedFeedForward(layer.feedforward, layer.around_feedforward, fixed)

    def look_back(self, rows: Tensor, number: int, state: CacheState) -> Tensor:
        """Self-attention. rows: [R, D]. number: of the layer. state: of this step."""
        projected = self.inputs(self.around_self.inputs(rows)).view(len(state.steps), -1, 3, self.heads, self.head_size)
        by_head = projected.permute(2, 0, 3, 1, 4)
        keys, values = state.write(number, by_head[1:])
        context, _ = weighted(by_head[0], keys, values, state.added[:, None])
        return self.around_self.added(rows, self.outputs(context))

    def look_at_source(self, rows: Tensor, number: int, memory: FixedMemory) -> tuple[Tensor, Tensor]:
        """Attention to the source. Returns the rows, [R, D], and the weights, [B h, K, S]."""
        query = self.query(self.around_cross.inputs(rows)).view(len(memory.mask), -1, self.heads, self.head_size)
        context, weights = weighted(query.transpose(1, 2), *memory.layers[number], memory.added)
        return self.around_cross.added(rows, self.cross_outputs(context)), weights


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


class FixedTransformer(FixedModel):
    """The copy. Nothing of it changes after it was made."""

    @torch.no_grad()
    def __init__(self, model: TransformerModel, precision: str) -> None:
        super().__init__(model.embeddings, precision, bound=None)
        fixed = Fixer(model, precision)
        self.heads = model.options.decoder_layer.heads
        self.source_inputs, self.inputs = (FixedInputs(side.inputs, fixed) for side in (model.encoder, model.decoder))
        self.source_norm, self.norm = model.encoder.norm, model.decoder.norm
        self.encoder = [FixedEncoderLayer(layer, fixed) for layer in model.encoder_layers]
        self.decoder = [FixedDecoderLayer(layer, fixed) for layer in model.decoder_layers]
        self.from_source = fixed(*(layer.cross_attention.source for layer in model.decoder_layers))
        self.readout = None if model.readout_projection is None else fixed(model.readout_projection)
        self.attention_layer, self.zero_start = model.attention_layer, model.options.start == "zero"

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
        by_head = pairs.view(steps, batch, len(self.decoder), 2, self.heads, -1).permute(2, 3, 1, 4, 0, 5)
        return FixedMemory.of(by_head.contiguous(), mask)

    def initial_state(self, memory: FixedMemory) -> CacheState:  # type: ignore[override]
        """See SearchModel.initial_state."""
        layers, _, batch, heads, _, size = memory.pairs.shape
        return empty_state(batch, memory.pairs, (layers, heads, size))

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
                attention = weights.view(batch, self.heads, beam, -1).mean(1)
        rows = self.norm(rows)
        readout = rows if self.readout is None else self.readout(rows)
        return Step(output.log_probs(readout).view(batch, beam, -1), state, attention)


def weighted(query: Tensor, keys: Tensor, values: Tensor, added: Tensor | None) -> tuple[Tensor, Tensor]:
    """Divided queries, [B, h, K, d], keys and values, [B h, t, d], added to the energies, [B, 1, 1 or K, t].

    Returns the contexts, [R, D], and the weights, [B h, K, t].
    """
    batch, heads, beam, size = query.shape
    energies = torch.bmm(query.reshape(-1, beam, size), keys.mT)
    if added is not None:
        energies.view(batch, heads, beam, -1).add_(added)
    weights = softmax_(energies)
    context = torch.bmm(weights, values).view(batch, heads, beam, size).transpose(1, 2)
    return context.reshape(batch * beam, heads * size), weights
