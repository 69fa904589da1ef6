"""DL4MT's conditional GRU decoder (`gru_cond`): a GRU, attention with its state as the query, a second GRU.

    h1 = GRU1(y, h);  c = attention(h1);  h2 = GRU2(c, h1), whose biases stand on the hidden side

One step serves training's plain path and search; `forward` is all steps at once, fast or plain.

Shapes: T steps, B sentences, K hypotheses a sentence, S source length, E embedding, H hidden, C annotation size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nmt.layers.attention import AdditiveAttention
from nmt.layers.fast_decoder import FastConditionalGRU
from nmt.layers.gru import GRUCell
from nmt.layers.precision import product, wants_gradient
from nmt.layers.triton.available import uses_kernels


@dataclass(frozen=True)
class AnnotatedSource:
    """What the decoder attends to: annotations and keys, [B, S, C], and mask, [B, S], True at real tokens."""

    annotations: Tensor
    keys: Tensor
    mask: Tensor


class ConditionalGRU(nn.Module):
    """The decoder's recurrence."""

    def __init__(self, embedding_size: int, hidden_size: int, annotation_size: int) -> None:
        super().__init__()
        self.first = GRUCell(embedding_size, hidden_size)
        self.attention = AdditiveAttention(hidden_size, annotation_size)
        self.second = GRUCell(annotation_size, hidden_size, bias_on="hidden")

    def step(
        self, projected: Tensor, hidden: Tensor, source: AnnotatedSource, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step. projected: the first GRU's input side, [B, K, 3H]. hidden: [B, K, H]. dtype: of the products.

        Returns the next state, [B, K, H], the context, [B, K, C], and the attention weights, [B, K, S].
        """
        middle = self.first(projected, hidden, dtype)
        query = product(middle, self.attention.query_weight, dtype)
        context, weights = self.attention(query, source.keys, source.annotations, source.mask)
        return self.second(self.second.project(context, dtype), middle, dtype), context, weights

    def forward(
        self,
        projected: Tensor,
        initial: Tensor,
        source: AnnotatedSource,
        dtype: torch.dtype = torch.float32,
        *,
        fast: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """All steps of the training target. projected: [T, B, 3H]. initial: [B, H]. dtype: of the products.

        Returns the states, [T, B, H], and the contexts, [T, B, C].
        """
        if fast:
            return self._forward_fast(projected, initial, source, dtype)
        states, contexts = [], []
        hidden = initial[:, None]
        for inputs in projected:
            hidden, context, _ = self.step(inputs[:, None], hidden, source, dtype)
            states.append(hidden[:, 0])
            contexts.append(context[:, 0])
        return torch.stack(states), torch.stack(contexts)

    def _forward_fast(
        self, projected: Tensor, initial: Tensor, source: AnnotatedSource, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        attention, second = self.attention, self.second
        # What multiplies h1 is one product: the attention's query and the second GRU's hidden side.
        middle_weight = torch.cat([attention.query_weight, second.hidden_weight], 1)
        if uses_kernels(projected, dtype):
            return self._forward_kernels(projected, initial, source, dtype, middle_weight)
        # c_tt shifts every energy alike: its gradient is zero, not None.
        inputs = (projected, initial, source.keys + attention.energy_bias * 0, source.annotations)
        weights = (self.first.hidden_weight, middle_weight, second.bias, attention.energy_weight[:, 0])
        return FastConditionalGRU.apply(  # type: ignore[no-any-return]
            *inputs, source.mask, *weights, second.input_weight, dtype, wants_gradient(*inputs, *self.parameters())
        )

    def _forward_kernels(
        self, projected: Tensor, initial: Tensor, source: AnnotatedSource, dtype: torch.dtype, middle_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        from nmt.layers.triton.decoder import TritonConditionalGRU

        attention, second = self.attention, self.second
        inputs = (projected, initial, source.keys, source.annotations)
        weights = (self.first.hidden_weight, middle_weight, second.bias, attention.energy_weight[:, 0])
        return TritonConditionalGRU.apply(  # type: ignore[no-any-return]
            *inputs, source.mask, *weights, attention.energy_bias, second.input_weight, dtype,
            wants_gradient(*inputs, *self.parameters()),
        )  # fmt: skip
