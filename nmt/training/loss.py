"""Label-smoothed cross entropy over a large vocabulary that never holds the scores of all positions.

Scores, loss and gradients are computed in chunks of rows; a chunk's scores become their own gradient in place.

Shapes: N target positions, E embedding, V target rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nmt.layers.onednn import padded
from nmt.layers.precision import is_prepared, multiply

CHUNK_ELEMENTS = 2**22
"Scores held at a time (rows x V): 16 MiB in float32, which stays near the cache."


class Costs(NamedTuple):
    """Sums over positions, in nats."""

    smoothed: Tensor
    "What is minimised: (1 - eps) * -log p(label) + eps * mean over V of -log p. Differentiable."
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
    return Costs(*ChunkedCrossEntropy.apply(readout, weight, bias, labels, smoothing, dtype))


def plain_cross_entropy(readout: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float) -> Costs:
    """The readable reference: the same numbers with all scores at once."""
    log_probs = torch.log_softmax(functional.linear(readout, weight, bias), -1)
    cross_entropy = -log_probs.gather(1, labels[:, None]).sum()
    smoothed = (1 - smoothing) * cross_entropy - smoothing * log_probs.mean(1).sum()
    return Costs(smoothed, cross_entropy.detach())


class ChunkedCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass, where the scores are at hand, and scales them in the backward."""

    @staticmethod
    def forward(
        ctx: Any, readout: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """The two sums of `Costs`."""
        differentiate = any(ctx.needs_input_grad)
        rows = max(1, CHUNK_ELEMENTS // weight.shape[0])
        prepare = is_prepared(dtype, readout)
        matrix = weight.to(dtype) if prepare else weight
        smoothed, cross_entropy = readout.new_zeros(()), readout.new_zeros(())
        grads = [torch.empty_like(readout), torch.zeros_like(weight), torch.zeros_like(bias)] if differentiate else []
        for start in range(0, len(labels), rows):
            part, answer = readout[start : start + rows], labels[start : start + rows, None]
            count = len(part)
            part = padded(part, dtype) if prepare else part
            scores = multiply(part, matrix.t())[:count].to(readout.dtype).add_(bias)
            normalizer = torch.logsumexp(scores, 1, keepdim=True)
            costs = (normalizer - scores.gather(1, answer)).sum()
            cross_entropy += costs
            smoothed += (1 - smoothing) * costs
            if smoothing:
                smoothed += smoothing * (normalizer - scores.mean(1, keepdim=True)).sum()
            if differentiate:
                scores.sub_(normalizer).exp_()  # probabilities, then the gradient of the scores, in place
                if smoothing:
                    scores.sub_(smoothing / len(bias))
                scores.scatter_add_(1, answer, scores.new_full((), smoothing - 1).expand_as(answer))
                grads[2] += scores.sum(0)
                scores = padded(scores, dtype) if prepare else scores
                grads[0][start : start + rows] = multiply(scores, matrix)[:count]
                grads[1] += multiply(scores.t(), part)
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(cross_entropy)
        return smoothed, cross_entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_smoothed: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients that the forward pass kept, scaled."""
        return (*(grad * grad_smoothed for grad in ctx.saved_tensors), None, None, None)
