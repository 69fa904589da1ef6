"""The copy of the recurrent model for search on CUDA with Triton: a step is six products and eight kernels between.

The numbers are those of `nmt.models.rnn.model`; in bf16 what is multiplied is rounded, annotations and keys among it,
and every result is a float32 sum.

Shapes: B sentences, K hypotheses a sentence, R = B K rows, S source length, E embedding, H hidden, C = 2H annotation
size, N scored target rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nmt.data.batching import mask_of
from nmt.layers.triton.operators import attention_context, attention_energies, gates_forward
from nmt.layers.triton.products import empty_twin, times
from nmt.layers.triton.search import embedded, log_softmax_, read_out
from nmt.models.interface import SearchModel, Step
from nmt.models.rnn.model import RNNMemory, RNNModel, RNNState
from nmt.text.vocabulary import PAD


@dataclass(frozen=True)
class KernelOutput:
    """The target rows that are scored: weight, [N, E], as it is multiplied, and bias, [N], -inf for padding."""

    weight: Tensor
    bias: Tensor

    def log_probs(self, readout: Tensor) -> Tensor:
        """[R, E] -> log-probabilities, [R, N]."""
        scores = times(readout, self.weight.t())
        log_softmax_(scores, self.bias)
        return scores


class KernelRNN(SearchModel):
    """The copy. Its encoder and, in float32, its vocabulary matrices are the model's own."""

    @torch.no_grad()
    def __init__(self, model: RNNModel, precision: str) -> None:
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.embeddings, self.encoder, self.first_state = model.embeddings, model.encoder, model.initial
        self.attention, decoder, readout = model.decoder.attention, model.decoder, model.output_layer
        first, second = decoder.first, decoder.second

        def multiplied(*parts: Tensor) -> Tensor:
            return torch.cat(parts, 1).to(self.dtype)

        self.from_previous = multiplied(first.input_weight, readout.previous.weight.t())
        self.from_state = multiplied(first.hidden_weight)
        self.from_middle = multiplied(self.attention.query_weight, second.hidden_weight)
        self.from_context = multiplied(second.input_weight, readout.context.weight.t())
        self.state_readout = multiplied(readout.state.weight.t())
        self.input_bias, self.middle_bias = first.bias.detach().clone(), second.bias.detach().clone()
        self.readout_bias = readout.state.bias + readout.previous.bias + readout.context.bias
        self.energy_weight = self.attention.energy_weight.detach()[:, 0].contiguous()
        bias = self.embeddings.output_bias.detach()
        bias = bias.index_fill(0, torch.full((1,), PAD, device=bias.device), -torch.inf)
        self.whole = KernelOutput(self.embeddings.output.detach().to(self.dtype), bias)

    @property
    def device(self) -> torch.device:
        """See SearchModel.device."""
        return self.embeddings.output.device

    @property
    def num_targets(self) -> int:
        """See SearchModel.num_targets."""
        return len(self.whole.bias)

    @torch.no_grad()
    def output(self, targets: Tensor | None = None) -> KernelOutput:
        """See SearchModel.output."""
        if targets is None:
            return self.whole
        return KernelOutput(self.whole.weight.index_select(0, targets), self.whole.bias.index_select(0, targets))

    @torch.no_grad()
    def encode(self, source: Tensor, source_lengths: Tensor) -> RNNMemory:
        """See SearchModel.encode."""
        inputs = functional.embedding(source.t(), self.embeddings.source_input)
        annotations = self.encoder(inputs, source_lengths, self.dtype).transpose(0, 1).contiguous()
        keys = self.attention.keys(annotations, self.dtype)
        return RNNMemory(annotations.to(self.dtype), keys.to(self.dtype), mask_of(source_lengths, source.shape[1]))

    @torch.no_grad()
    def initial_state(self, memory: RNNMemory) -> RNNState:  # type: ignore[override]
        """See SearchModel.initial_state."""
        shares = memory.mask / memory.mask.sum(1, keepdim=True)
        mean = torch.bmm(shares[:, None], memory.annotations.float())[:, 0]
        return RNNState(torch.tanh(self.first_state(mean))[:, None])

    @torch.no_grad()
    def step(self, memory: RNNMemory, state: RNNState, previous: Tensor, output: KernelOutput) -> Step:  # type: ignore[override]
        """See SearchModel.step."""
        (batch, beam), rows = previous.shape, previous.numel()
        hidden = state.hidden.reshape(rows, -1)
        size, width = hidden.shape[1], 3 * hidden.shape[1]
        inputs = hidden.new_empty(rows, self.embeddings.target_input.shape[1], dtype=self.dtype)
        embedded(previous.reshape(-1).contiguous(), self.embeddings.target_input, inputs)
        from_previous = times(inputs, self.from_previous)
        middle, middle_low = self._gated(
            from_previous[:, :width], times(hidden.to(self.dtype), self.from_state), hidden, input_bias=self.input_bias
        )
        from_middle = times(middle_low, self.from_middle)
        context, weights = self._attend(memory, from_middle[:, : 2 * size])
        from_context = times(context, self.from_context)
        new, new_low = self._gated(from_context[:, :width], from_middle[:, 2 * size :], middle, bias=self.middle_bias)
        readout = torch.empty_like(inputs)
        parts = times(new_low, self.state_readout), from_previous[:, width:], from_context[:, width:]
        read_out(*parts, self.readout_bias, readout)
        log_probs = output.log_probs(readout).view(batch, beam, -1)
        return Step(log_probs, RNNState(new.view(batch, beam, size)), weights.view(batch, beam, -1))

    def _gated(
        self,
        from_input: Tensor,
        from_hidden: Tensor,
        hidden: Tensor,
        *,
        bias: Tensor | None = None,
        input_bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The next state, [R, H], and the same as it is multiplied."""
        new = torch.empty_like(hidden)
        low = empty_twin(new, self.dtype)
        twin = None if low is new else low
        gates_forward(from_input, from_hidden, bias, hidden, None, None, new, twin, input_bias)
        return new, low

    def _attend(self, memory: RNNMemory, query: Tensor) -> tuple[Tensor, Tensor]:
        """query: [R, C]. Returns the contexts, [R, C], as they are multiplied, and the weights, [R, S]."""
        mask = memory.mask.contiguous()
        energies = query.new_empty(len(query), mask.shape[1])
        weights, context = torch.empty_like(energies), query.new_empty(query.shape)
        low = empty_twin(context, self.dtype)
        attention_energies(memory.keys.contiguous(), query, self.energy_weight, mask, energies)
        twin = None if low is context else low
        attention_context(energies, memory.annotations.contiguous(), weights, context, twin)
        return low, weights
