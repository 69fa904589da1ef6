"""Recurrent highway networks (Zilly et al., 2016, equations 7 to 9, with the carry gate coupled: c = 1 - t).

A step goes through D highway layers, the input enters the first one:

    h = tanh(x W_H' [d = 1] + s R_H' + b_H);  t = sigmoid(x W_T' [d = 1] + s R_T' + b_T);  s = (h - s) * t + s

h and t lie one after the other. `run_rhn` has a plain version, which autograd differentiates, and a fast one with a
hand-written backward; both give the same numbers.

Shapes: T steps, D depth, B sequences, X input size, H hidden size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nmt.layers.linear import linear
from nmt.layers.precision import wants_gradient
from nmt.layers.recurrent import Masks, Recurrence, masked_product
from nmt.layers.squash import squash


class RHN(nn.Module):
    """Its weights. input_weight: [2H, X]. recurrent_weight: [D, 2H, H]. bias: [D, 2H]."""

    def __init__(self, input_size: int, hidden_size: int, depth: int) -> None:
        super().__init__()
        self.input_weight = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.recurrent_weight = nn.Parameter(torch.empty(depth, 2 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(depth, 2 * hidden_size))


class RHNMasks(NamedTuple):
    """Of Bayesian dropout, the same at all steps, at all depths and for both maps. inputs: [1, B, X]. hidden:
    [1, B, H]."""

    inputs: Masks
    hidden: Masks


NO_MASKS = RHNMasks(None, None)


def run_rhn(
    inputs: Tensor,
    state: Tensor,
    weights: RHN,
    masks: RHNMasks = NO_MASKS,
    dtype: torch.dtype = torch.float32,
    *,
    fast: bool = True,
) -> tuple[Tensor, Tensor]:
    """inputs: [T, B, X]. state: [B, H]. -> states after each step, [T, B, H], and the last. dtype: of the products."""
    if masks.inputs is None:
        projected = linear(inputs, weights.input_weight, weights.bias[0], dtype)
    else:
        projected = masked_product(inputs, weights.input_weight, masks.inputs, dtype) + weights.bias[0]
    matrices, biases = weights.recurrent_weight, weights.bias[1:]
    if fast:
        keep = wants_gradient(projected, state, matrices, biases)
        states: Tensor = FastRHN.apply(projected, state, matrices, biases, masks.hidden, (dtype, keep))
        return states, states[-1]
    found = []
    for step in projected:
        for depth, matrix in enumerate(matrices):
            base = biases[depth - 1] if depth else step
            state = highway(base + masked_product(state, matrix, masks.hidden, dtype), state)
        found.append(state)
    return torch.stack(found), state


def highway(gates: Tensor, state: Tensor) -> Tensor:
    """The elementwise part: h and t before their nonlinearities, [B, 2H], and the state, [B, H] -> the next state."""
    new, transform = gates.chunk(2, -1)
    return (torch.tanh(new) - state) * torch.sigmoid(transform) + state


class FastRHN(torch.autograd.Function):
    """`run_rhn` behind its projected inputs, [T, B, 2H]. how: dtype of the products, whether a backward is to come."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        state: Tensor,
        weights: Tensor,
        biases: Tensor,
        masks: Masks,
        how: tuple[torch.dtype, bool],
    ) -> Tensor:
        """The states after each step."""
        (steps, batch, width), depth, (dtype, keep) = projected.shape, len(weights), how
        size, total = width // 2, steps * depth
        slots = total if keep else 1
        states = projected.new_empty(total + 1, batch, size)
        gates = projected.new_empty(slots, batch, width)
        new, transform = gates.split(size, 2)
        recurrences = [Recurrence(weight, masks, batch, dtype).prepare_forward() for weight in weights]
        bases = [bias.expand(batch, width) for bias in biases]
        states[0] = state
        for k in range(total):
            (t, d), here = divmod(k, depth), k % slots
            recurrences[d].step(bases[d - 1] if d else projected[t], states[k], gates[here])
            squash(new[here], new[here])
            transform[here].sigmoid_()
            torch.lerp(states[k], new[here], transform[here], out=states[k + 1])
        if keep:
            ctx.save_for_backward(gates, states, weights, masks)
        ctx.dtype = dtype
        return states[depth::depth].contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of projected inputs, first state, weights and biases."""
        gates, states, weights, masks = ctx.saved_tensors
        (total, batch, width), depth = gates.shape, len(weights)
        new, transform = gates.split(width // 2, 2)
        slopes = torch.empty_like(gates).unflatten(2, (2, -1))
        torch.ops.aten.tanh_backward.grad_input(transform, new, grad_input=slopes[:, :, 0])
        torch.ops.aten.sigmoid_backward.grad_input(new - states[:-1], transform, grad_input=slopes[:, :, 1])
        carry, grads = 1 - transform, torch.empty_like(slopes)
        recurrences = [Recurrence(weight, masks, batch, ctx.dtype).prepare_backward() for weight in weights]
        grad = torch.zeros_like(states[0])
        for k in reversed(range(total)):
            t, d = divmod(k, depth)
            if d == depth - 1:
                grad = grad + grad_states[t]
            torch.mul(slopes[k], grad[:, None], out=grads[k])
            grad = recurrences[d].gradient(grads[k].flatten(1)).addcmul_(grad, carry[k])
        of_depth = grads.flatten(2).unflatten(0, (-1, depth)).unbind(1)
        before = states[:-1].unflatten(0, (-1, depth)).unbind(1)
        pairs = zip(recurrences, before, of_depth, strict=True)
        grad_weights = torch.stack([recurrence.weight_gradient(*pair) for recurrence, *pair in pairs])
        grad_biases = [part.sum((0, 1)) for part in of_depth[1:]]
        return (
            of_depth[0].contiguous(),
            grad,
            grad_weights,
            torch.stack(grad_biases) if grad_biases else weights.new_zeros(0, width),
            None,
            None,
        )
