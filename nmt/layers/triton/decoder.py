"""The conditional GRU over a whole target by kernels, with a hand-written backward: seven launches a step each way.

The numbers are those of `nmt.layers.fast_decoder` with sums in another order, except that with products in bfloat16
the attention's keys and annotations are rounded to it, too, once for all steps: they are what a step reads most of,
and this halves it. The tanh of every position is computed again in the backward.

Shapes: T steps, B sentences, S source length, H hidden, C annotation size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmt.layers.triton.operators import (
    ROWS,
    attention_context,
    attention_energies,
    attention_keys_backward,
    attention_query_backward,
    attention_weights_backward,
    blocks,
    gates_backward,
    gates_forward,
)
from nmt.layers.triton.products import empty_twin, summed_over_time, times


@dataclass(frozen=True)
class DecoderSteps:
    """What the steps write, and the backward reads; X is T, or 1 where no backward is to come.

    The last three are states, middles and contexts once more, in the type that is multiplied: themselves in float32.
    """

    states: Tensor
    "[T + 1, B, H], the initial one first."
    middles: Tensor
    "Of the first GRU, [X, B, H]."
    contexts: Tensor
    "[T, B, C]"
    from_middle: Tensor
    "middles @ (query | second GRU's hidden side), [X, B, C + 3H]."
    gates: Tensor
    "Of both GRUs, [2, X, B, 3H]."
    candidates: Tensor
    "Of both GRUs the hidden side of n, [2, X, B, H]."
    weights: Tensor
    "Of the attention, [X, B, S]."
    states_low: Tensor
    middles_low: Tensor
    contexts_low: Tensor

    @classmethod
    def empty(cls, projected: Tensor, keys: Tensor, slots: int) -> DecoderSteps:
        """Room for all steps of projected, [T, B, 3H], and the initial state. keys: [B, S, C], as multiplied."""
        (steps, batch, width), (_, length, size), empty = projected.shape, keys.shape, projected.new_empty
        hidden = width // 3
        states, middles = empty(steps + 1, batch, hidden), empty(slots, batch, hidden)
        contexts, from_middle = empty(steps, batch, size), empty(slots, batch, size + width)
        gates, candidates = empty(2, slots, batch, width), empty(2, slots, batch, hidden)
        twins = (empty_twin(tensor, keys.dtype) for tensor in (states, middles, contexts))
        return cls(states, middles, contexts, from_middle, gates, candidates, empty(slots, batch, length), *twins)


class TritonConditionalGRU(torch.autograd.Function):
    """Inputs: projected [T, B, 3H], initial [B, H], keys and annotations [B, S, C], mask [B, S],
    first_weight [H, 3H], middle_weight [H, C + 3H] (query | second GRU), middle_bias [3H], energy_weight [C],
    energy_bias [1], context_weight [C, 3H], dtype of the products, and whether to keep what a backward needs.
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
        energy_bias: Tensor,
        context_weight: Tensor,
        dtype: torch.dtype,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        """All steps. energy_bias shifts every energy of a softmax alike: its gradient is zero."""
        source = keys.to(dtype).contiguous(), annotations.to(dtype).contiguous(), mask.contiguous()
        products = tuple(weight.to(dtype) for weight in (first_weight, middle_weight, context_weight))
        kept = DecoderSteps.empty(projected, source[0], len(projected) if keep else 1)
        kept.states[0] = initial
        if kept.states_low is not kept.states:
            kept.states_low[0] = initial
        run_steps(projected.contiguous(), source, products, (middle_bias, energy_weight), kept)
        if keep:
            ctx.save_for_backward(*vars(kept).values(), *source, *products, energy_weight, energy_bias)
        return kept.states[1:], kept.contexts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor, grad_contexts: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all inputs."""
        *tensors, keys, annotations, mask, first, middle, context, energy_weight, energy_bias = ctx.saved_tensors
        kept = DecoderSteps(*tensors)
        found = Gradients.empty(kept, keys)
        outputs = grad_states.contiguous(), grad_contexts.contiguous()
        initial = run_back(kept, (keys, annotations, mask), (first, middle, context, energy_weight), outputs, found)
        size = keys.shape[2]
        grad_keys = torch.empty_like(keys, dtype=torch.float32)
        shares = grad_keys.new_empty(len(keys), blocks(keys.shape[1], ROWS), size)
        queries = kept.from_middle[:, :, :size].contiguous()
        attention_keys_backward(keys, queries, energy_weight, found.energies, grad_keys, shares)
        return (
            found.projected,
            initial,
            grad_keys,
            torch.bmm(kept.weights.permute(1, 2, 0), found.contexts.transpose(0, 1)),
            None,
            summed_over_time(kept.states_low[:-1], found.first),
            summed_over_time(kept.middles_low, found.middle),
            found.second_exact.sum((0, 1)),
            shares.sum((0, 1)),
            torch.zeros_like(energy_bias),
            summed_over_time(kept.contexts_low, found.second),
            None,
            None,
        )


def run_steps(
    projected: Tensor,
    source: tuple[Tensor, ...],
    products: tuple[Tensor, ...],
    plain: tuple[Tensor, Tensor],
    kept: DecoderSteps,
) -> None:
    """All steps forward. source: keys, annotations and mask. products: the weights of first, middle and context, as
    they are multiplied. plain: middle_bias and energy_weight."""
    (keys, annotations, mask), (first, middle, context), (bias, energy_weight) = source, products, plain
    size, slots = keys.shape[2], len(kept.middles)
    states, states_low = kept.states.unbind(), kept.states_low.unbind()
    middles, middles_low = kept.middles.unbind(), kept.middles_low.unbind()
    contexts, contexts_low = kept.contexts.unbind(), kept.contexts_low.unbind()
    rounds = kept.states_low is not kept.states  # otherwise there is nothing to write once more
    queries, sides = (part.unbind() for part in kept.from_middle.split([size, kept.gates.shape[3]], 2))
    from_middle, weights = kept.from_middle.unbind(), kept.weights.unbind()
    (first_gates, second_gates), (first_sides, second_sides) = (
        [each.unbind() for each in pair.unbind()] for pair in (kept.gates, kept.candidates)
    )
    energies = torch.empty_like(weights[0])
    for t, inputs in enumerate(projected.unbind()):
        x = t % slots
        gates_forward(
            inputs, times(states_low[t], first), None, states[t], first_gates[x], first_sides[x], middles[x],
            middles_low[x] if rounds else None,
        )  # fmt: skip
        times(middles_low[x], middle, from_middle[x])
        attention_energies(keys, queries[x], energy_weight, mask, energies)
        attention_context(energies, annotations, weights[x], contexts[t], contexts_low[t] if rounds else None)
        gates_forward(
            times(contexts_low[t], context), sides[x], bias, middles[x], second_gates[x], second_sides[x],
            states[t + 1], states_low[t + 1] if rounds else None,
        )  # fmt: skip


@dataclass(frozen=True)
class Gradients:
    """What the backward steps write. Those of products are in the type that is multiplied."""

    projected: Tensor
    "Of the first GRU's input side, [T, B, 3H], float32."
    first: Tensor
    "Of its hidden side, [T, B, 3H]."
    middle: Tensor
    "Of the query | the second GRU's hidden side, [T, B, C + 3H]."
    second_exact: Tensor
    "Of the latter once more, float32, for the sum that is its bias's."
    second: Tensor
    "Of the second GRU's input side, [T, B, 3H]."
    contexts: Tensor
    "[T, B, C], float32."
    energies: Tensor
    "[T, B, S], float32."

    @classmethod
    def empty(cls, kept: DecoderSteps, keys: Tensor) -> Gradients:
        """Room for all steps. keys: [B, S, C], as they are multiplied."""
        first, _ = kept.gates.unbind()
        return cls(
            projected=torch.empty_like(first),
            first=torch.empty_like(first, dtype=keys.dtype),
            middle=torch.empty_like(kept.from_middle, dtype=keys.dtype),
            second_exact=torch.empty_like(first),
            second=torch.empty_like(first, dtype=keys.dtype),
            contexts=torch.empty_like(kept.contexts),
            energies=torch.empty_like(kept.weights),
        )


def run_back(
    kept: DecoderSteps,
    source: tuple[Tensor, ...],
    products: tuple[Tensor, ...],
    outputs: tuple[Tensor, Tensor],
    found: Gradients,
) -> Tensor:
    """All steps backward; fills found and returns the gradient of the initial state, [B, H].

    source: keys, annotations and mask. products: the weights of first, middle and context, as they are multiplied, and
    energy_weight. outputs: gradients of states and contexts.
    """
    (keys, annotations, mask), (*weights_of_products, energy_weight) = source, products
    first, middle, context = (weight.t() for weight in weights_of_products)
    size = keys.shape[2]
    states, middles, weights = kept.states.unbind(), kept.middles.unbind(), kept.weights.unbind()
    queries = kept.from_middle[:, :, :size].unbind()
    (first_gates, second_gates), (first_sides, second_sides) = (
        [each.unbind() for each in pair.unbind()] for pair in (kept.gates, kept.candidates)
    )
    of_queries, of_sides = (part.unbind() for part in found.middle.split([size, kept.gates.shape[3]], 2))
    of_middle, of_first, of_second = found.middle.unbind(), found.first.unbind(), found.second.unbind()
    exact, projected = found.second_exact.unbind(), found.projected.unbind()
    of_contexts, of_energies = found.contexts.unbind(), found.energies.unbind()
    of_outputs, of_seen = (grads.unbind() for grads in outputs)
    direct, of_weights = torch.zeros_like(states[0]), torch.empty_like(weights[0])
    returned: Tensor | None = None  # what came back through the first GRU's product
    for t in reversed(range(len(middles))):
        gates_backward(
            direct, returned, of_outputs[t], second_gates[t], second_sides[t], middles[t], of_second[t], of_sides[t],
            exact[t],
        )  # fmt: skip
        attention_weights_backward(
            of_seen[t], times(of_second[t], context), annotations, mask, of_contexts[t], of_weights
        )
        attention_query_backward(keys, queries[t], energy_weight, weights[t], of_weights, of_energies[t], of_queries[t])
        gates_backward(
            direct, times(of_middle[t], middle), None, first_gates[t], first_sides[t], states[t], projected[t],
            of_first[t], None,
        )  # fmt: skip
        returned = times(of_first[t], first)
    return direct if returned is None else direct.add_(returned)
