"""The layers of a Transformer (Vaswani et al., 2017, section 3.1), in both orders of their parts.

    post-norm (the paper's)   x = norm(x + dropout(part(x)))
    pre-norm                  x = x + dropout(part(norm(x))), and a norm behind the last layer

Shapes: as in `nmt.layers.multihead`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nmt.layers.dropout import Dropout
from nmt.layers.linear import FeedForward
from nmt.layers.multihead import Computing, CrossAttention, Grid, SelfAttention, attend

NORMS = ("pre", "post")
EPSILON = 1e-5
"Of all layer norms, as torch and MarianMT have it."


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """What all layers of a model have in common. Rates are of dropout."""

    size: int
    heads: int
    feedforward_size: int
    activation: str = "relu"
    norm: str = "pre"
    dropout: float = 0.0
    "Of what each part adds."
    attention_dropout: float = 0.0
    "Of attention weights."
    feedforward_dropout: float = 0.0
    "Inside the feed-forward."


class Sublayer(nn.Module):
    """A norm and the way in which what a part makes is added."""

    def __init__(self, options: LayerOptions) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(options.size, eps=EPSILON)
        self.dropout = Dropout(options.dropout)
        self.before = options.norm == "pre"

    def forward(self, rows: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """rows: [R, D]. part: [R, D] -> [R, D]."""
        if self.before:
            return self.dropout.added(rows, part(self.norm(rows)))
        return self.norm(self.dropout.added(rows, part(rows)))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """What encoder and decoder layers share: self-attention, feed-forward, dropout inside both."""

    def __init__(self, options: LayerOptions) -> None:
        super().__init__()
        self.self_attention, self.around_self = SelfAttention(options.size, options.heads), Sublayer(options)
        self.feedforward = FeedForward(options.size, options.feedforward_size, options.activation)
        self.around_feedforward = Sublayer(options)
        self.attention_dropout = Dropout(options.attention_dropout)
        self.feedforward_dropout = Dropout(options.feedforward_dropout)

    def computing(self, dtype: torch.dtype, fast: bool) -> Computing:
        """With dropout of attention weights where there is any now."""
        return Computing(dtype, active(self.attention_dropout), fast)

    def forward_feedforward(self, rows: Tensor, how: Computing) -> Tensor:
        """The last part."""
        inside = active(self.feedforward_dropout)
        return self.around_feedforward(  # type: ignore[no-any-return]
            rows, lambda inputs: self.feedforward(inputs, how.dtype, inside, fast=how.fast)
        )


class EncoderLayer(Layer):
    """Self-attention over the source, feed-forward."""

    def forward(
        self, rows: Tensor, grid: Grid, added: Tensor | None, dtype: torch.dtype = torch.float32, *, fast: bool = True
    ) -> Tensor:
        """rows: [R, D]. added: to the energies, [B, 1, 1, S]. dtype: of the products. Returns [R, D]."""
        how = self.computing(dtype, fast)
        rows = self.around_self(rows, lambda inputs: self.self_attention(inputs, grid, added, how))
        return self.forward_feedforward(rows, how)


@dataclass(frozen=True)
class Encoded:
    """What a decoder attends to. rows: [R, D]. added: to the energies, [B, 1, 1, S]; None: there is no padding."""

    rows: Tensor
    grid: Grid
    added: Tensor | None


class DecoderLayer(Layer):
    """Self-attention over the pieces so far, attention to the source, feed-forward."""

    def __init__(self, options: LayerOptions) -> None:
        super().__init__(options)
        self.cross_attention, self.around_cross = CrossAttention(options.size, options.heads), Sublayer(options)

    def forward(
        self,
        rows: Tensor,
        grid: Grid,
        source: Encoded,
        added: Tensor,
        dtype: torch.dtype = torch.float32,
        *,
        fast: bool = True,
    ) -> Tensor:
        """rows: [R, D]. added: to the energies of self-attention, [1, 1, T, T]. Returns [R, D]."""
        how, grids = self.computing(dtype, fast), (grid, source.grid)
        rows = self.around_self(rows, lambda inputs: self.self_attention(inputs, grid, added, how))
        rows = self.around_cross(
            rows, lambda inputs: self.cross_attention(inputs, source.rows, grids, source.added, how)
        )
        return self.forward_feedforward(rows, how)

    def step(self, rows: Tensor, past: Past, source: Tensor, added: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step of search. rows: [B, K, D]. source: its keys and values, [B, S, 2, D]. added: [B, 1, 1, S].

        Returns the rows, the keys and values of this step, [B, K, 2, D], and the weights of the attention to the
        source, [B, h, K, S].
        """
        new: list[Tensor] = []
        weights: list[Tensor] = []

        def own(inputs: Tensor) -> Tensor:
            query, key, value = self.self_attention.inputs(inputs).chunk(3, -1)
            new.append(torch.stack([key, value], 2))
            pairs = torch.cat([past.pairs, new[0][:, :, None]], 2)
            query, keys, values = (by_head(each, self.self_attention.heads) for each in (query, *pairs.unbind(3)))
            context, _ = attend(query[:, :, :, None], keys.transpose(2, 3), values.transpose(2, 3), past.added)
            return self.self_attention.outputs(context.flatten(2))  # type: ignore[no-any-return]

        def across(inputs: Tensor) -> Tensor:
            query = self.cross_attention.query(inputs)
            query, keys, values = (
                by_head(each, self.cross_attention.heads).transpose(1, 2) for each in (query, *source.unbind(2))
            )
            context, found = attend(query, keys, values, added)
            weights.append(found)
            return self.cross_attention.outputs(context.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

        rows = self.around_cross(self.around_self(rows, own), across)
        return self.around_feedforward(rows, self.feedforward), new[0], weights[0]


@dataclass(frozen=True)
class Past:
    """What a decoder layer keeps of t steps of search. pairs: keys and values, [B, K, t, 2, D]. added: to the energies
    of these and of the step itself, [B, K, 1, 1, t + 1]."""

    pairs: Tensor
    added: Tensor


def by_head(values: Tensor, heads: int) -> Tensor:
    """[..., h d] -> [..., h, d]."""
    return values.view(*values.shape[:-1], heads, values.shape[-1] // heads)


def active(dropout: Dropout) -> Dropout | None:
    """The dropout where it does anything now."""
    return dropout if dropout.training and dropout.rate else None
