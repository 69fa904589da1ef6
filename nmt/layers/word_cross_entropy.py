"""Cross entropy over a vocabulary of which every row is a class, as a language model has it, without smoothing.

Scores, loss and gradients are computed in chunks of rows, so that memory stays bounded; a chunk's scores become their
own gradient in place. With no class left out and nothing spread over the others, a chunk takes two passes fewer than in
the loss of translation.

Shapes: N positions, E embedding, C words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nmt.layers.linear import affine_rows, column_sums
from nmt.layers.precision import is_prepared, multiply, rounded, wants_gradient

CHUNK_ELEMENTS = 2**24
"Scores held at a time (rows x C): 64 MiB in float32."

NARROW = 512
"Up to this width E the gradient of the weight is faster made as its transpose, though that is copied then."


def word_cross_entropy(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    dtype: torch.dtype = torch.float32,
    *,
    scale: float = 1.0,
) -> Tensor:
    """The sum over all positions, in nats, times scale. rows: [N, E]. weight: [C, E]. bias: [C]. labels: [N] int64.

    dtype: of the products. scale: such as one over the streams; given here it costs no pass over the gradients.
    """
    differentiate = wants_gradient(rows, weight, bias)
    found: Tensor = WordCrossEntropy.apply(rows, weight, bias, labels, (scale, dtype, differentiate))
    return found


def plain_word_cross_entropy(rows: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """The readable reference: all scores at once."""
    return functional.cross_entropy(functional.linear(rows, weight, bias), labels, reduction="sum")


@torch.no_grad()
def word_log_probs(
    rows: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """log p(label) of every position, [N]."""
    products = WordProducts(weight, bias, dtype)
    found = [
        functional.log_softmax(products.scores(rows[part]), 1).gather(1, labels[part, None])[:, 0]
        for part in chunks(len(labels), len(bias))
    ]
    return torch.cat(found) if found else rows.new_empty(0)


def chunks(rows: int, words: int) -> Iterator[slice]:
    """Parts of so many rows, each of at most CHUNK_ELEMENTS scores, about equally large."""
    number = -(-rows * words // CHUNK_ELEMENTS)
    size = -(-rows // number) if number else 1
    return (slice(start, start + size) for start in range(0, rows, size))


class WordCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass, where the scores are at hand, and hands them out in the backward."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, how: tuple[float, torch.dtype, bool]
    ) -> Tensor:
        """The sum. how: what it is multiplied by, dtype of the products, whether gradients are wanted."""
        scale, dtype, differentiate = how
        products = WordProducts(weight, bias, dtype)
        total, grad_rows, grad_bias = rows.new_zeros(()), torch.empty_like(rows), torch.zeros_like(bias)
        grad_weight: Tensor | None = None
        for part in chunks(len(labels), len(bias)):
            scores, answers = products.scores(rows[part]), labels[part, None]
            best = scores.amax(1, keepdim=True)
            total -= (scores.gather(1, answers) - best).sum()
            probabilities = torch.softmax(scores, 1, out=scores)
            total -= probabilities.amax(1).log_().sum()  # the best one's: exp(0) / sum
            if differentiate:
                grad = probabilities.scatter_add_(1, answers, -torch.ones_like(best))
                grad_bias += column_sums(grad)
                grad_rows[part], of_weight = products.gradients(grad, scale)
                grad_weight = of_weight if grad_weight is None else grad_weight.add_(of_weight)
        if differentiate:
            grad_weight = torch.zeros_like(weight) if grad_weight is None else grad_weight
            ctx.save_for_backward(grad_rows, grad_weight, grad_bias.mul_(scale))
        return total.mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients that the forward pass kept, scaled; on the CPU they are not where that would change nothing."""
        if grad.device.type == "cpu" and grad == 1:
            return (*ctx.saved_tensors, None, None)
        return (*(kept * grad for kept in ctx.saved_tensors), None, None)


class WordProducts:
    """The products of one chunk of rows after another.

    Rows are not padded: chunks are equally large, and a padded copy of all scores would cost more than a kernel.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.bias, self.dtype = bias, dtype
        self.prepare = is_prepared(dtype, weight)
        self.matrix = rounded(weight, dtype) if self.prepare else weight
        self.part = weight.new_empty(0)

    def scores(self, part: Tensor) -> Tensor:
        """part: [N, E]. Scores of every word, [N, C], to be written over."""
        self.part = part
        if self.prepare:
            return affine_rows(rounded(part, self.dtype), self.matrix, self.bias)
        return functional.linear(part, self.matrix, self.bias)

    def gradients(self, grad: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """grad: of the last scores, [N, C]. Returns those of their part, [N, E], and of the weight, [C, E], times
        scale, which is multiplied into what is small."""
        part = self.part * scale
        if self.prepare:
            grad, part = rounded(grad, self.dtype), rounded(part, self.dtype)
        narrow = part.shape[1] <= NARROW
        of_weight = multiply(part.t(), grad).t().contiguous() if narrow else multiply(grad.t(), part)
        return multiply(grad, self.matrix).mul_(scale), of_weight
