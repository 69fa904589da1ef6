"""Gated recurrent units as DL4MT has them (Cho et al., 2014), over a whole sequence at once.

    r, u = sigmoid(x W + h U + b);  n = tanh(r * (h Ux) + x Wx + bx);  h' = u * h + (1 - u) * n

The three gates are kept in one matrix, in the order r, u, n, so that a step is one product. `run_gru` has a plain
version, which autograd differentiates, and a fast one with a hand-written backward that sums the weight gradient over
all steps in one product; both give the same numbers.

Shapes: T steps, B sequences, X input size, H hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nmt.layers.precision import StepProduct, over_time, product, wants_gradient


class GRUCell(nn.Module):
    """Weights of one GRU. bias_on says to which side the biases are added: DL4MT's second decoder GRU has them on the
    hidden side (inside `r * (...)` for n), every other GRU on the input side."""

    def __init__(self, input_size: int, hidden_size: int, *, bias_on: str = "input") -> None:
        super().__init__()
        assert bias_on in ("input", "hidden")
        self.bias_on = bias_on
        self.input_weight = nn.Parameter(torch.empty(input_size, 3 * hidden_size))
        self.hidden_weight = nn.Parameter(torch.empty(hidden_size, 3 * hidden_size))
        self.bias = nn.Parameter(torch.empty(3 * hidden_size))

    def project(self, inputs: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The part of every gate that does not depend on the previous step: [..., X] -> [..., 3H]."""
        projected = product(inputs, self.input_weight, dtype)
        return projected + self.bias if self.bias_on == "input" else projected

    def forward(self, projected: Tensor, hidden: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """One step: projected inputs [..., 3H], state [..., H] -> next state [..., H]. dtype: of the product."""
        gates = product(hidden, self.hidden_weight, dtype)
        return gru_step(projected, gates if self.bias_on == "input" else gates + self.bias, hidden)


def gru_step(from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> Tensor:
    """The GRU's elementwise part: both sides' gates [..., 3H] and the state [..., H] -> the next state."""
    size = hidden.shape[-1]
    reset, update = torch.sigmoid(from_input[..., : 2 * size] + from_hidden[..., : 2 * size]).chunk(2, -1)
    candidate = torch.tanh(reset * from_hidden[..., 2 * size :] + from_input[..., 2 * size :])
    return update * hidden + (1 - update) * candidate


def run_gru(
    projected: Tensor, initial: Tensor, hidden_weight: Tensor, dtype: torch.dtype = torch.float32, *, fast: bool = True
) -> Tensor:
    """All states of a GRU: projected inputs [T, B, 3H], initial state [B, H], weight [H, 3H] -> [T, B, H].

    dtype: precision of the products. Positions after a sequence's end are computed like any other; the caller masks
    them.
    """
    if fast:
        keep = wants_gradient(projected, initial, hidden_weight)
        return FastGRU.apply(projected, initial, hidden_weight, dtype, keep)  # type: ignore[no-any-return]
    states = []
    for inputs in projected:
        initial = gru_step(inputs, product(initial, hidden_weight, dtype), initial)
        states.append(initial)
    return torch.stack(states)


def gates_forward(from_input: Tensor, from_hidden: Tensor, hidden: Tensor, gates: Tensor, new: Tensor) -> None:
    """`gru_step` in place: writes r, u, n into gates [B, 3H] and the next state into new [B, H]."""
    size = hidden.shape[1]
    torch.add(from_input, from_hidden, out=gates)
    gates[:, : 2 * size].sigmoid_()
    reset, update, candidate = gates.split(size, 1)
    torch.addcmul(from_input[:, 2 * size :], reset, from_hidden[:, 2 * size :], out=candidate)
    candidate.tanh_()
    torch.lerp(candidate, hidden, update, out=new)


def gates_backward(
    grad: Tensor, gates: Tensor, from_hidden_n: Tensor, hidden: Tensor, grad_input: Tensor, grad_hidden: Tensor
) -> Tensor:
    """Backward of `gates_forward`. grad: of the new state, [B, H]. from_hidden_n: h Ux (+ bx), [B, H].

    Writes the gradients of both sides' gates, [B, 3H] each; returns the direct part u * grad of the old state's.
    """
    size = hidden.shape[1]
    reset, update, candidate = gates.split(size, 1)
    to_reset, to_update, to_candidate = grad_input.split(size, 1)
    direct: Tensor = grad * update
    through = grad - direct  # grad * (1 - u)
    torch.mul(through, 1 - candidate * candidate, out=to_candidate)
    torch.mul(hidden - candidate, direct, out=to_update).mul_(1 - update)
    torch.mul(to_candidate, reset, out=grad_hidden[:, 2 * size :])
    torch.mul(grad_hidden[:, 2 * size :], from_hidden_n, out=to_reset).mul_(1 - reset)
    grad_hidden[:, : 2 * size].copy_(grad_input[:, : 2 * size])
    return direct


class FastGRU(torch.autograd.Function):
    """`run_gru` with everything but `h U` outside the loop, forward and backward.

    keep: whether a backward is to come; without it the states alone are stored.
    """

    @staticmethod
    def forward(ctx: Any, projected: Tensor, initial: Tensor, weight: Tensor, dtype: torch.dtype, keep: bool) -> Tensor:
        """States of all steps."""
        steps, batch, width = projected.shape
        kept = steps if keep else 1
        states = projected.new_empty(steps + 1, batch, width // 3)
        gates = projected.new_empty(kept, batch, width)
        candidates = projected.new_empty(kept, batch, width // 3)  # h Ux, which the backward of r needs
        times_weight = StepProduct(weight, batch, dtype)
        states[0] = initial
        for t in range(steps):
            place = t % kept
            from_hidden = times_weight(states[t])
            gates_forward(projected[t], from_hidden, states[t], gates[place], states[t + 1])
            candidates[place] = from_hidden[:, 2 * width // 3 :]
        if keep:
            ctx.save_for_backward(states, gates, candidates, weight)
        ctx.dtype = dtype
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of projected inputs, initial state and weight."""
        states, gates, candidates, weight = ctx.saved_tensors
        steps, batch, _ = gates.shape
        grad_projected, grad_hidden = torch.empty_like(gates), torch.empty_like(gates)
        times_transposed = StepProduct(weight.t(), batch, ctx.dtype)
        grad = torch.zeros_like(states[0])
        for t in reversed(range(steps)):
            grad = grad + grad_states[t]
            direct = gates_backward(grad, gates[t], candidates[t], states[t], grad_projected[t], grad_hidden[t])
            grad = times_transposed.added_to(direct, grad_hidden[t])
        return grad_projected, grad, over_time(states[:-1], grad_hidden, ctx.dtype), None, None
