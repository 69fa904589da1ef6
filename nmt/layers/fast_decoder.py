"""The conditional GRU over a whole target with a hand-written backward: same numbers as autograd on the plain steps.

What makes it fast: three products a step in each direction, in buffers that are reused; weight gradients summed over
all steps in one product each after the loop; and an attention without tanh, whose sigmoid torch computes ten times as
fast, and without the usual [B, S, C] temporaries in the backward. With g = sigmoid(2 (keys + query)) the energies are
v . tanh(keys + query) = 2 v . g - sum v, of which softmax does not see the constant; and with d the gradient of an
energy, softmax makes the d of one query sum to zero, so

    d query = 4 v * sum_s d_s g_s (1 - g_s)     d keys = 4 v * sum_t d_t g_t (1 - g_t)     d v = 2 sum d_s g_s

Shapes: T steps, B sentences, S source length, H hidden, C annotation size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmt.layers.gru import gates_backward, gates_forward
from nmt.layers.precision import StepProduct, over_time, product

KEPT_BYTES = {"cpu": 256 * 2**20, "cuda": 2 * 2**30}
"The sigmoids of the attention, [T, B, S, C], are kept for the backward up to this size and computed again above it."


def kept_bytes(device: torch.device) -> int:
    """KEPT_BYTES of a device."""
    return KEPT_BYTES.get(device.type, KEPT_BYTES["cpu"])


class FastConditionalGRU(torch.autograd.Function):
    """Inputs: projected [T, B, 3H], initial [B, H], keys and annotations [B, S, C], mask [B, S],
    first_weight [H, 3H], middle_weight [H, C + 3H] (query | second GRU), middle_bias [3H], energy_weight [C],
    context_weight [C, 3H], dtype of the products, and whether to keep what a backward needs.
    Outputs: states [T, B, H], contexts [T, B, C]."""

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        initial: Tensor,
        keys: Tensor,
        annotations: Tensor,
        mask: Tensor,
        first_weight: Tensor,
        middle_weight: Tensor,
        middle_bias: Tensor,
        energy_weight: Tensor,
        context_weight: Tensor,
        dtype: torch.dtype,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        """States and contexts of all steps."""
        (steps, batch, width), (_, length, size) = projected.shape, keys.shape
        hidden_size, slots = width // 3, steps if keep else 1
        states = projected.new_empty(steps + 1, batch, hidden_size)
        middles = projected.new_empty(slots, batch, hidden_size)
        contexts = projected.new_empty(steps, batch, size)
        first_gates, second_gates = projected.new_empty(2, slots, batch, width)
        candidates = projected.new_empty(2, slots, batch, hidden_size)
        weights = projected.new_empty(slots, batch, length)
        keep_sigmoids = keep and steps * keys.numel() * keys.element_size() <= kept_bytes(keys.device)
        kept = keys.new_empty(steps if keep_sigmoids else 1, batch, length, size)
        padding, doubled, doubled_energy = ~mask, 2 * keys, 2 * energy_weight
        times_first = StepProduct(first_weight, batch, dtype)
        times_middle = StepProduct(middle_weight, batch, dtype)
        times_context = StepProduct(context_weight, batch, dtype)
        states[0] = initial
        for t in range(steps):
            here = t % slots
            from_hidden = times_first(states[t])
            gates_forward(projected[t], from_hidden, states[t], first_gates[here], middles[here])
            candidates[0, here] = from_hidden[:, 2 * hidden_size :]
            from_middle = times_middle(middles[here])
            from_middle[:, size:] += middle_bias
            query, place = from_middle[:, None, :size], t % len(kept)
            sigmoids = torch.add(doubled, query, alpha=2, out=kept[place]).sigmoid_()
            energies = torch.mv(sigmoids.view(-1, size), doubled_energy).view(batch, length)
            torch.softmax(energies.masked_fill_(padding, -torch.inf), -1, out=weights[here])
            torch.bmm(weights[here][:, None], annotations, out=contexts[t][:, None])
            from_context = times_context(contexts[t])
            gates_forward(from_context, from_middle[:, size:], middles[here], second_gates[here], states[t + 1])
            candidates[1, here] = from_middle[:, size + 2 * hidden_size :]
        if not keep:
            return states[1:], contexts
        if not keep_sigmoids:  # the queries, of which they are computed again
            kept = product(middles.view(-1, hidden_size), middle_weight[:, :size], dtype)
        ctx.save_for_backward(
            states, middles, contexts, first_gates, second_gates, candidates, weights, kept,
            keys, annotations, first_weight, middle_weight, energy_weight, context_weight,
        )  # fmt: skip
        ctx.kept, ctx.dtype = keep_sigmoids, dtype
        return states[1:], contexts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor, grad_contexts: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all inputs."""
        (
            states, middles, contexts, first_gates, second_gates, candidates, weights, kept,
            keys, annotations, first_weight, middle_weight, energy_weight, context_weight,
        ) = ctx.saved_tensors  # fmt: skip
        (steps, batch, width), size = first_gates.shape, keys.shape[2]
        grad_projected = torch.empty_like(first_gates)
        grad_first = torch.empty_like(first_gates)
        grad_middle = states.new_empty(steps, batch, size + width)  # query | second GRU's hidden side
        grad_second = torch.empty_like(second_gates)
        grad_context = torch.empty_like(contexts)
        attention = AttentionBackward(kept if ctx.kept else None, keys, energy_weight)
        if not ctx.kept:
            queries = kept.view(steps, batch, size)
        transposed = (first_weight.t(), middle_weight.t(), context_weight.t())
        times_first, times_middle, times_context = (StepProduct(w, batch, ctx.dtype) for w in transposed)
        grad = torch.zeros_like(states[0])
        for t in reversed(range(steps)):
            grad = grad + grad_states[t]
            direct = gates_backward(
                grad, second_gates[t], candidates[1, t], middles[t], grad_second[t], grad_middle[t, :, size:]
            )
            grad_context[t] = times_context.added_to(grad_contexts[t], grad_second[t])
            grad_weights = torch.bmm(grad_context[t][:, None], annotations.transpose(1, 2))[:, 0]
            grad_energies = weights[t] * (grad_weights - (grad_weights * weights[t]).sum(1, keepdim=True))
            grad_middle[t, :, :size] = attention.step(t, grad_energies, None if ctx.kept else queries[t])
            direct = times_middle.added_to(direct, grad_middle[t])
            direct = gates_backward(
                direct, first_gates[t], candidates[0, t], states[t], grad_projected[t], grad_first[t]
            )
            grad = times_first.added_to(direct, grad_first[t])
        grad_annotations = torch.bmm(weights.permute(1, 2, 0), grad_context.transpose(0, 1))
        return (
            grad_projected,
            grad,
            attention.grad_keys(),
            grad_annotations,
            None,
            over_time(states[:-1], grad_first, ctx.dtype),
            over_time(middles, grad_middle, ctx.dtype),
            grad_middle[:, :, size:].sum((0, 1)),
            attention.grad_energy_weight,
            over_time(contexts, grad_second, ctx.dtype),
            None,
            None,
        )


class AttentionBackward:
    """Accumulates the gradients of keys and energy weight over the steps; `step` gives the query's."""

    def __init__(self, kept: Tensor | None, keys: Tensor, energy_weight: Tensor) -> None:
        self.kept, self.energy_weight = kept, energy_weight
        self.doubled = 2 * keys if kept is None else None
        self.again = torch.empty_like(keys) if kept is None else None
        self.buffer = torch.empty_like(keys)
        self.slopes = torch.zeros_like(keys)  # sum_t d_t g_t (1 - g_t), [B, S, C]
        self.grad_energy_weight = torch.zeros_like(energy_weight)

    def step(self, t: int, grad: Tensor, query: Tensor | None) -> Tensor:
        """grad: of the energies, [B, S]. query: [B, C] where sigmoids were not kept. Returns the query's gradient."""
        if self.kept is not None:
            sigmoids = self.kept[t]
        else:
            assert query is not None
            assert self.doubled is not None
            sigmoids = torch.add(self.doubled, query[:, None], alpha=2, out=self.again).sigmoid_()
        size = sigmoids.shape[2]
        self.grad_energy_weight.add_(torch.mv(sigmoids.view(-1, size).t(), grad.reshape(-1)), alpha=2)
        slopes = torch.addcmul(sigmoids, sigmoids, sigmoids, value=-1, out=self.buffer)
        self.slopes.addcmul_(slopes, grad[:, :, None])
        return torch.bmm(grad[:, None], slopes)[:, 0].mul_(self.energy_weight).mul_(4)

    def grad_keys(self) -> Tensor:
        """Gradient of the keys over all steps, [B, S, C]."""
        return self.slopes.mul_(self.energy_weight).mul_(4)
