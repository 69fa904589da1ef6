"""The loss of `nmt.layers.cross_entropy` on CUDA: a few launches for each chunk of rows, in a few large chunks.

A chunk's scores are written once by their product, read twice by one kernel, which adds the bias and writes their
gradient, rounded to what is multiplied, and read from there by the two products that differentiate them.

Rows whose label is padding cost nothing and have no gradient, so that a batch can be filled up.

Shapes: N target positions, E embedding, V target rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmt.layers.triton.operators import operator
from nmt.layers.triton.products import times
from nmt.text.vocabulary import PAD

FIRST = PAD + 1
COLUMNS = 4096
"Scores of a row that a program reads at a time."


def _cross_entropy_rows(
    scores: Tensor, bias: Tensor, labels: Tensor, smoothing: float, costs: Tensor, grads: Tensor | None
) -> None:
    from nmt.layers.triton.loss_kernels import cross_entropy_kernel

    cross_entropy_kernel[(len(scores),)](
        scores, bias, labels, costs, scores if grads is None else grads, smoothing,
        FIRST=FIRST, SIZE=scores.shape[1], HAS_GRADS=grads is not None, BLOCK=COLUMNS, num_warps=8,
    )  # fmt: skip


cross_entropy_rows = operator(
    "cross_entropy_rows(Tensor scores, Tensor bias, Tensor labels, float smoothing, Tensor(a!) costs,"
    " Tensor(b!)? grads)",
    _cross_entropy_rows,
)
"""scores: [N, V], without bias, [V]. labels: [N]. Writes costs, [N, 2]: what is minimised and the cross entropy of each
position; and the gradient of the first with respect to the scores, [N, V], where that is given."""


class TritonCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass, where the scores are at hand, and scales them in the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        readout: Tensor,
        weight: Tensor,
        bias: Tensor,
        labels: Tensor,
        how: tuple[float, torch.dtype, int, bool],
    ) -> tuple[Tensor, Tensor]:
        """The two sums of `Costs`. how: smoothing, dtype of products, rows of a chunk, whether gradients are wanted."""
        smoothing, dtype, rows, differentiate = how
        costs = readout.new_empty(len(labels), 2)
        inputs, matrix = readout.detach().to(dtype), weight.to(dtype)
        grads = [torch.empty_like(each) for each in (readout, weight, bias)] if differentiate else []
        for start in range(0, len(labels), rows):
            part = inputs[start : start + rows]
            scores = times(part, matrix.t())
            grad = None
            if differentiate:
                grad = scores if dtype == scores.dtype else torch.empty_like(scores, dtype=dtype)
            cross_entropy_rows(scores, bias, labels[start : start + rows], smoothing, costs[start : start + rows], grad)
            if grad is not None:
                times(grad, matrix, grads[0][start : start + rows])
                _add_up(grads[1:], grad, part, first=not start)
        smoothed, cross_entropy = costs.sum(0).unbind()
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(cross_entropy)
        return smoothed, cross_entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_smoothed: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients that the forward pass kept, scaled."""
        return (*(grad * grad_smoothed for grad in ctx.saved_tensors), None, None)


def _add_up(sums: list[Tensor], grad: Tensor, part: Tensor, *, first: bool) -> None:
    """Add a chunk's gradients of weight and bias to those of the chunks before it."""
    of_weight, of_bias = sums
    if first:
        times(grad.t(), part, of_weight)
        torch.sum(grad, 0, dtype=of_bias.dtype, out=of_bias)
    else:
        of_weight += times(grad.t(), part)
        of_bias += grad.sum(0, dtype=of_bias.dtype)
