"""GRUs of several directions at once, over a whole sequence, with a hand-written backward: two launches a step.

The numbers are those of `nmt.layers.gru.run_gru` of each direction; sums are made in another order.

Shapes: T steps, D directions, B sequences, H hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmt.layers.precision import wants_gradient
from nmt.layers.triton.operators import gates_backward, gates_forward
from nmt.layers.triton.products import empty_twin, summed_over_time, times


def run_directions(projected: Tensor, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """All states: projected inputs [T, D, B, 3H], weights [D, H, 3H] -> [T, D, B, H]. They begin with zeros."""
    keep = wants_gradient(projected, weights)
    return TritonGRU.apply(projected, weights, dtype, keep)  # type: ignore[no-any-return]


class TritonGRU(torch.autograd.Function):
    """keep: whether a backward is to come; without it the states alone are stored."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weights: Tensor, dtype: torch.dtype, keep: bool) -> Tensor:
        """States of all steps."""
        steps, directions, batch, width = projected.shape
        size, slots = width // 3, steps if keep else 1
        states = projected.new_empty(steps + 1, directions, batch, size)
        rounded, weights = empty_twin(states, dtype), weights.to(dtype)
        gates = projected.new_empty(slots, directions, batch, width)
        candidates = projected.new_empty(slots, directions, batch, size)
        states[0] = 0
        if rounded is not states:
            rounded[0] = 0
        news, twins, kept, sides = states.unbind(), rounded.unbind(), gates.unbind(), candidates.unbind()
        for t, inputs in enumerate(projected.unbind()):
            twin = twins[t + 1] if rounded is not states else None
            here = t % slots
            gates_forward(inputs, times(twins[t], weights), None, news[t], kept[here], sides[here], news[t + 1], twin)
        if keep:
            ctx.save_for_backward(states, rounded, gates, candidates, weights)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of projected inputs and weights."""
        states, rounded, gates, candidates, weights = ctx.saved_tensors
        grad_projected, grad_hidden = torch.empty_like(gates), torch.empty_like(gates, dtype=weights.dtype)
        transposed = weights.transpose(1, 2)
        direct, from_product = torch.zeros_like(states[0]), None
        of_inputs, of_hidden, outputs = grad_projected.unbind(), grad_hidden.unbind(), grad_states.contiguous().unbind()
        olds, kept, sides = states.unbind(), gates.unbind(), candidates.unbind()
        for t in reversed(range(len(gates))):
            gates_backward(
                direct, from_product, outputs[t], kept[t], sides[t], olds[t], of_inputs[t], of_hidden[t], None
            )
            from_product = times(of_hidden[t], transposed)
        return grad_projected, summed_over_time(rounded[:-1], grad_hidden), None, None


class Reversed(torch.autograd.Function):
    """Steps in another order, which is its own inverse, so that the backward takes it once more.

    Inputs: [T, B, X], and the steps to take, [T, B, 1] int64.
    """

    @staticmethod
    def forward(ctx: Any, steps: Tensor, order: Tensor) -> Tensor:
        """[T, B, X]."""
        ctx.save_for_backward(order)
        return steps.gather(0, order.expand_as(steps))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """[T, B, X]."""
        (order,) = ctx.saved_tensors
        return grad.gather(0, order.expand_as(grad)), None
