"""Scaled dot-product attention with several heads (Vaswani et al., 2017, section 3.2), all steps of a batch at once.

Batches are time-major and flat: row t * B + b is step t of sentence b, and there may be a few rows of zeros behind
them, so that products see few numbers of rows (`Grid`). The products of attention itself are in float32, whatever the
others are in: they are many and small.

Shapes: B sentences, T queries a sentence, S keys, D model size, h heads, d = D / h, R rows of a grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nmt.layers.linear import Linear
from nmt.layers.onednn import padded_rows


@dataclass(frozen=True)
class Grid:
    """The rows of a batch: `steps` x `batch` of them, and zeros behind."""

    steps: int
    batch: int
    rows: int

    @classmethod
    def of(cls, steps: int, batch: int, device: torch.device) -> Grid:
        """With the rows behind that the device's products want."""
        count = steps * batch
        return cls(steps, batch, padded_rows(count) if device.type == "cpu" else count)

    def flat(self, values: Tensor) -> Tensor:
        """[T, B, X] -> [R, X], zeros behind."""
        return functional.pad(values.flatten(0, 1), (0, 0, 0, self.rows - self.steps * self.batch))

    def grid(self, rows: Tensor) -> Tensor:
        """[R, X] -> [T, B, X]."""
        return rows[: self.steps * self.batch].view(self.steps, self.batch, -1)


SHORT = 16
"Rows of fewer numbers than a vector holds: torch's softmax goes through them one by one, in six times the time."
FEW = 4096
"Of so few numbers in all, five passes take longer than that."


def hidden_keys(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """[B, S], True at real keys -> what is added to energies, [B, 1, 1, S]: 0 there, -inf elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)[:, None, None]


def hidden_future(steps: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """What is added to energies so that a query sees its own key and earlier ones, [1, 1, T, T]."""
    above = torch.full((steps, steps), -torch.inf, dtype=dtype, device=device)
    return above.triu_(1)[None, None]


def attend(query: Tensor, keys: Tensor, values: Tensor, added: Tensor | None) -> tuple[Tensor, Tensor]:
    """softmax(q k' / sqrt(d) + added) v, and the weights: [..., T, d] and [..., T, S]. All [..., T or S, d]."""
    energies = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5
    weights = torch.softmax(energies if added is None else energies + added, -1)
    return weights @ values, weights


def split_heads(values: Tensor, heads: int) -> Tensor:
    """[T, B, h d] -> [B, h, T, d], a view."""
    steps, batch, size = values.shape
    return values.view(steps, batch, heads, size // heads).permute(1, 2, 0, 3)


def join_heads(values: Tensor) -> Tensor:
    """[B, h, T, d] -> [T, B, h d]."""
    return values.permute(2, 0, 1, 3).flatten(2)


Drop = Callable[[Tensor], Tensor]
How = tuple[int, Grid, Grid]
"Heads, the grid of the queries, the grid of the keys."


class SelfAttention(nn.Module):
    """Queries, keys and values of the same rows by one product: rows of its weight are q | k | v, each head by head."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = Linear(size, 3 * size)
        self.outputs = Linear(size, size)

    def forward(self, rows: Tensor, grid: Grid, added: Tensor | None, how: Computing) -> Tensor:
        """rows: [R, D]. added: to the energies, [B or 1, 1, T or 1, T]. Returns [R, D]."""
        projected = self.inputs(rows, how.dtype, keep=how.fused)
        context = multihead(projected, None, added, (self.heads, grid, grid), how)
        return self.outputs(context, how.dtype)  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """Queries of target rows; keys and values of source rows by one product, k | v, which a search makes once."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = Linear(size, size)
        self.source = Linear(size, 2 * size)
        self.outputs = Linear(size, size)

    def forward(
        self, rows: Tensor, source: Tensor, grids: tuple[Grid, Grid], added: Tensor | None, how: Computing
    ) -> Tensor:
        """rows: [R, D]. source: [R', D]. grids: of both. added: [B, 1, 1, S]. Returns [R, D]."""
        projected = self.query(rows, how.dtype, keep=how.fused), self.source(source, how.dtype, keep=how.fused)
        context = multihead(*projected, added, (self.heads, *grids), how)
        return self.outputs(context, how.dtype)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Computing:
    """How training computes. dtype: of the products. dropout: of attention weights. fast: see TranslationModel.fast."""

    dtype: torch.dtype = torch.float32
    dropout: Drop | None = None
    fast: bool = True

    @property
    def fused(self) -> bool:
        """Whether attention has its own backward, which takes what is projected in the dtype of the products."""
        return self.fast and self.dropout is None


def multihead(projected: Tensor, source: Tensor | None, added: Tensor | None, sizes: How, how: Computing) -> Tensor:
    """projected: q, [R, D], and source: k | v, [R', 2 D]; or q | k | v, [R, 3 D], and None. Returns [R, D]."""
    if how.fused:
        return FastAttention.apply(projected, source, added, sizes)  # type: ignore[no-any-return]
    query, keys, values = parts(projected, source, sizes)
    context, weights = attend(query, keys, values, added)
    return sizes[1].flat(join_heads(context if how.dropout is None else how.dropout(weights) @ values))


def parts(projected: Tensor, source: Tensor | None, sizes: How) -> list[Tensor]:
    """q, k and v of `multihead` as views, [B, h, T or S, d]."""
    heads, targets, sources = sizes
    first = targets.grid(projected)
    found = first.chunk(3, 2) if source is None else (first, *sources.grid(source).chunk(2, 2))
    return [split_heads(values, heads) for values in found]


class FastAttention(torch.autograd.Function):
    """`multihead` in few passes: each of q, k and v is laid out by head once, and so are their gradients.

    What is projected may be bfloat16, and the contexts are then, too; in between all is float32.
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, source: Tensor | None, added: Tensor | None, sizes: How) -> Tensor:
        """[R, D]."""
        query, keys, values = (laid_out(part) for part in parts(projected, source, sizes))
        heads, targets, sources = sizes
        energies = torch.bmm(query, keys.mT).mul_(query.shape[2] ** -0.5)
        if added is not None:
            energies.view(targets.batch, heads, targets.steps, sources.steps).add_(added)
        weights = softmax_(energies)
        context = projected.new_empty(targets.rows, heads * query.shape[2])
        context[targets.steps * targets.batch :] = 0
        split_heads(targets.grid(context), heads).copy_(torch.bmm(weights, values).unflatten(0, (-1, heads)))
        ctx.save_for_backward(query, keys, values, weights)
        ctx.sizes, ctx.shapes = sizes, (projected.shape, None if source is None else source.shape)
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of what was projected."""
        query, keys, values, weights = ctx.saved_tensors
        heads, targets, sources = ctx.sizes
        upper = laid_out(split_heads(targets.grid(grad), heads))
        inner = softmax_backward_(torch.bmm(upper, values.mT), weights).mul_(query.shape[2] ** -0.5)
        found = torch.bmm(inner, keys), torch.bmm(inner.mT, query), torch.bmm(weights.mT, upper)
        first, second = (None if shape is None else grad.new_empty(shape) for shape in ctx.shapes)
        assert first is not None
        for part, gradient in zip(parts(first, second, ctx.sizes), found, strict=True):
            part.copy_(gradient.unflatten(0, (-1, heads)))
        for whole, grid in ((first, targets), (second, sources)):
            if whole is not None:
                whole[grid.steps * grid.batch :] = 0
        return first, second, None, None


def laid_out(part: Tensor) -> Tensor:
    """A view, [B, h, T, d] -> a copy laid out so, [B h, T, d]; float32 from bfloat16."""
    dtype = torch.promote_types(part.dtype, torch.float32)
    return part.to(dtype, memory_format=torch.contiguous_format, copy=True).flatten(0, 1)


def softmax_(energies: Tensor) -> Tensor:
    """Softmax over the last dimension, in place."""
    if not _short(energies):
        return torch.softmax(energies, -1, out=energies)
    energies.sub_(energies.amax(-1, keepdim=True)).exp_()
    return energies.div_(energies.sum(-1, keepdim=True))


def softmax_backward_(grad: Tensor, weights: Tensor) -> Tensor:
    """The gradient of what the softmax got, from that of the weights, which is written over."""
    if not _short(grad):
        return torch._softmax_backward_data(grad, weights, -1, weights.dtype)
    grad.mul_(weights)
    return grad.addcmul_(weights, grad.sum(-1, keepdim=True), value=-1)


def _short(values: Tensor) -> bool:
    """Whether rows are many and too short for torch's softmax."""
    return values.device.type == "cpu" and values.shape[-1] < SHORT and values.numel() >= FEW
