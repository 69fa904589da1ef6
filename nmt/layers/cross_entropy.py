"""Label-smoothed cross entropy over a large vocabulary that never holds the scores of all positions.

Scores, loss and gradients are computed in chunks of rows; a chunk's scores become their own gradient in place. The
row of padding is no class: it gets no probability and no share of label smoothing, here as in search and in scoring.

Shapes: N target positions, E embedding, V target rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nmt.layers.onednn import padded_rows
from nmt.layers.precision import is_prepared, multiply, prepared, rounded, wants_gradient
from nmt.layers.triton.available import uses_kernels
from nmt.text.vocabulary import PAD

FIRST = PAD + 1
"The first row that is a class."
CHUNK_ELEMENTS = {"cpu": 2**22, "cuda": 2**28}
"""Scores held at a time (rows x V), by device: 16 MiB in float32 stay near a CPU's cache. A GPU has none as large, and
every chunk costs it launches and two more passes over a gradient of the whole matrix: as many as a GPU has room for."""
CHUNK_SHARE = 1 / 64
"Of a GPU's memory that the float32 scores of a chunk take at most."
CHUNK_ROWS = 256
"But so many rows at least: every chunk makes and adds up a gradient of the whole matrix."


class Costs(NamedTuple):
    """Sums over positions, in nats."""

    smoothed: Tensor
    "What is minimised: (1 - eps) * -log p(label) + eps * mean over V, padding left out, of -log p. Differentiable."
    cross_entropy: Tensor
    "-log p(label). Not differentiable."


def chunked_cross_entropy(
    readout: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    smoothing: float,
    dtype: torch.dtype = torch.float32,
) -> Costs:
    """readout: [N, E]. weight: [V, E]. bias: [V]. labels: [N] int64. smoothing: eps, in [0, 1). dtype: of products."""
    differentiate = wants_gradient(readout, weight, bias)
    if uses_kernels(readout, dtype):
        from nmt.layers.triton.loss import TritonCrossEntropy

        how = (smoothing, dtype, even_rows(len(labels), chunk_rows(weight)), differentiate)
        return Costs(*TritonCrossEntropy.apply(readout, weight, bias, labels, how))
    return Costs(*ChunkedCrossEntropy.apply(readout, weight, bias, labels, (smoothing, dtype, differentiate)))


def chunk_rows(weight: Tensor) -> int:
    """How many rows are scored at a time by a weight, [V, E]."""
    elements = CHUNK_ELEMENTS.get(weight.device.type, CHUNK_ELEMENTS["cpu"])
    if weight.device.type == "cuda":
        memory = torch.cuda.get_device_properties(weight.device).total_memory
        elements = min(elements, int(memory * CHUNK_SHARE) // 4)
    return max(CHUNK_ROWS, elements // len(weight))


def even_rows(count: int, limit: int) -> int:
    """How many of so many rows are taken at a time where that is limited: about equally many."""
    return -(-count // -(-count // limit)) if count else 1


def plain_cross_entropy(readout: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float) -> Costs:
    """The readable reference: the same numbers with all scores at once."""
    log_probs = torch.log_softmax(functional.linear(readout, weight, bias)[:, FIRST:], -1)
    cross_entropy = -log_probs.gather(1, labels[:, None] - FIRST).sum()
    smoothed = (1 - smoothing) * cross_entropy - smoothing * log_probs.mean(1).sum()
    return Costs(smoothed, cross_entropy.detach())


class ChunkedCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass, where the scores are at hand, and scales them in the backward."""

    @staticmethod
    def forward(
        ctx: Any, readout: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, how: tuple[float, torch.dtype, bool]
    ) -> tuple[Tensor, Tensor]:
        """The two sums of `Costs`. how: smoothing, dtype of the products, whether gradients are wanted."""
        smoothing, dtype, differentiate = how
        size = len(bias)
        rows = chunk_rows(weight)
        chunk = ChunkProducts(weight, bias, dtype, min(rows, len(labels)))
        smoothed, cross_entropy = readout.new_zeros(()), readout.new_zeros(())
        grads = [torch.empty_like(readout), weight, torch.zeros_like(bias)] if differentiate else []
        for start in range(0, len(labels), rows):
            part, answer = readout[start : start + rows], labels[start : start + rows, None]
            scores = chunk.scores(part)
            torch.log_softmax(scores, 1, out=scores)
            costs = scores.gather(1, answer).sum()
            cross_entropy -= costs
            smoothed -= (1 - smoothing) * costs
            if smoothing:
                smoothed -= smoothing * scores[:, FIRST:].mean(1).sum()
            if differentiate:
                scores.exp_()  # probabilities, then the gradient of the scores but for smoothing's share, in place
                scores.scatter_add_(1, answer, scores.new_full((), smoothing - 1).expand_as(answer))
                grads[2] += scores.sum(0)
                grads[0][start : start + rows] = chunk.differentiate(scores)
        if differentiate:
            grads[1] = chunk.grad_weight.t().contiguous()
            if smoothing:  # its share of every class's gradient is the same
                share = smoothing / (size - FIRST)
                grads[0] -= weight[FIRST:].sum(0) * share
                grads[1][FIRST:] -= readout.sum(0) * share
                grads[2][FIRST:] -= len(labels) * share
            ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(cross_entropy)
        return smoothed, cross_entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_smoothed: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients that the forward pass kept, scaled."""
        return (*(grad * grad_smoothed for grad in ctx.saved_tensors), None, None)


class ChunkProducts:
    """The products of one chunk of rows after another, in buffers that are reused: with many target rows they are too
    large for the C library to keep, and pages fresh from the system would cost more than the products."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, rows: int) -> None:
        self.bias, self.dtype = bias, dtype
        self.prepare = is_prepared(dtype, weight)
        self.matrix = rounded(weight, dtype) if self.prepare else weight
        self.buffered = self.matrix.dtype == torch.bfloat16 and weight.device.type == "cpu"
        self.grad_weight = weight.new_zeros(weight.shape[1], weight.shape[0])
        "[E, V], summed over the chunks that were differentiated."
        self.part = weight.new_empty(0)
        if self.buffered:
            count = padded_rows(rows)
            self.rounded = self.matrix.new_empty(count, len(bias))
            self.exact = weight.new_empty(count, len(bias))
            self.rounded_grad = self.matrix.new_empty(self.grad_weight.shape)
            self.exact_grad = torch.empty_like(self.grad_weight)

    def scores(self, part: Tensor) -> Tensor:
        """part: [N, E]. Scores of every target row, [N, V], to be written over; padding's are -inf."""
        self.part = prepared(part, self.dtype) if self.prepare else part
        if self.buffered:
            found = torch.mm(self.part, self.matrix.t(), out=self.rounded[: len(self.part)])
            scores = self.exact[: len(part)].copy_(found[: len(part)]).add_(self.bias)
        else:
            scores = multiply(self.part, self.matrix.t())[: len(part)].add_(self.bias)
        scores[:, PAD] = -torch.inf
        return scores

    def differentiate(self, grad: Tensor) -> Tensor:
        """grad: of the last scores, [N, V]. Returns that of their part, [N, E], and adds to `grad_weight`."""
        count = len(grad)
        if not self.buffered:
            upper = prepared(grad, self.dtype) if self.prepare else grad
            self.grad_weight += multiply(self.part.t(), upper)
            return multiply(upper, self.matrix)[:count]
        upper = self.rounded[: len(self.part)]
        upper[:count] = grad
        upper[count:] = 0
        torch.mm(self.part.t(), upper, out=self.rounded_grad)
        self.grad_weight += self.exact_grad.copy_(self.rounded_grad)
        return torch.mm(upper, self.matrix)[:count].to(grad.dtype)
