"""A copy of the recurrent model made for search: the numbers of `nmt.models.rnn.model`, in fewer and faster passes.

What differs from the readable model, which stays the reference:

- products that share an input are one product, and `nmt.layers.fixed` lays their weights out, in float32, bf16 or int8;
- tanh(x) is 2 sigmoid(2x) - 1, since torch's sigmoid is ten times as fast as its tanh: what feeds a tanh has weights of
  twice the size. In the attention even the 2 and the -1 go: the one into the energies' weight, and the other shifts all
  energies of a query alike, which the softmax does not see;
- the attention goes through a few sentences at a time, so that its [K, S, C] stay in the processor's cache.

Embeddings are the model's own.

Shapes: B sentences, K hypotheses a sentence, R = B K rows, S source length, E embedding, H hidden, C = 2H annotation
size, N scored target rows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nmt.data.batching import mask_of
from nmt.layers.fixed import Affine, affine
from nmt.layers.gru import GRUCell
from nmt.layers.triton.available import uses_kernels
from nmt.models.fixed import FixedModel
from nmt.models.interface import SearchModel, Step
from nmt.models.rnn.model import RNNMemory, RNNModel, RNNState, reversal
from nmt.models.scoring import FixedOutput

BLOCK_BYTES = 2**21
"Of the attention's [B, K, S, C] at a time on the CPU: what stays in the caches of two cores."
EMBEDDING_BOUND = 8.0
"int8 cuts embeddings at this many times their root mean square: trained ones reach 4 to 6."


class FixedRNN(FixedModel):
    """The copy. Nothing of it changes after it was made."""

    @torch.no_grad()
    def __init__(self, model: RNNModel, precision: str) -> None:
        super().__init__(model.embeddings, precision, bound=1.0)
        encoder, decoder, attention = model.encoder, model.decoder, model.decoder.attention
        readout = model.output_layer
        self.hidden_size = size = model.initial.weight.shape[0]
        source, target = (bound_of(table) for table in (self.embeddings.source_input, self.embeddings.target_input))

        def fixed(weight: Tensor, bias: Tensor | None = None, bound: float = 1.0) -> Affine:
            return affine(weight, weight.new_zeros(len(weight)) if bias is None else bias, precision, bound=bound)

        self.directions = [
            (fixed(*input_side(cell), source), fixed(for_gates(cell.hidden_weight.t())))
            for cell in (encoder.ahead, encoder.back)
        ]
        self.keys = fixed(2 * attention.key_weight.t(), 2 * attention.key_bias)
        self.first_state = fixed(model.initial.weight, model.initial.bias)
        first_weight, first_bias = input_side(decoder.first)
        readout_bias = readout.state.bias + readout.previous.bias + readout.context.bias
        self.from_previous = fixed(
            torch.cat([first_weight, 2 * readout.previous.weight]), torch.cat([first_bias, 2 * readout_bias]), target
        )
        self.from_state = fixed(for_gates(decoder.first.hidden_weight.t()))
        second_bias = for_gates(decoder.second.bias)
        self.from_middle = fixed(
            torch.cat([2 * attention.query_weight.t(), for_gates(decoder.second.hidden_weight.t())]),
            torch.cat([second_bias.new_zeros(2 * size), second_bias]),
        )
        self.from_context = fixed(torch.cat([for_gates(decoder.second.input_weight.t()), 2 * readout.context.weight]))
        self.state_readout = fixed(2 * readout.state.weight)
        self.energy_weight = 2 * attention.energy_weight[:, 0]

    @torch.no_grad()
    def encode(self, source: Tensor, source_lengths: Tensor) -> RNNMemory:
        """See SearchModel.encode."""
        (batch, length), size = source.shape, self.hidden_size
        order = reversal(source_lengths, length)
        ids = source.t()
        annotations = self.energy_weight.new_empty(length, batch, 2 * size)
        self._run(0, ids, annotations[:, :, :size])
        back = self._run(1, ids.gather(0, order), torch.empty_like(annotations[:, :, size:]))
        torch.gather(back, 0, order[:, :, None].expand_as(back), out=annotations[:, :, size:])
        annotations = annotations.transpose(0, 1).contiguous()
        keys = self.keys(annotations.view(-1, 2 * size)).view_as(annotations)
        return RNNMemory(annotations, keys, mask_of(source_lengths, length))

    def _run(self, direction: int, ids: Tensor, states: Tensor) -> Tensor:
        """One direction of the encoder over ids, [S, B]; fills and returns states, [S, B, H]."""
        from_input, from_hidden = self.directions[direction]
        inputs = from_input(functional.embedding(ids.reshape(-1), self.embeddings.source_input))
        hidden = torch.zeros_like(states[0])
        for step, gates in enumerate(inputs.view(*ids.shape, -1)):
            hidden = gru(gates, from_hidden(hidden), hidden)
            states[step] = hidden
        return states

    @torch.no_grad()
    def initial_state(self, memory: RNNMemory) -> RNNState:  # type: ignore[override]
        """See SearchModel.initial_state."""
        shares = memory.mask / memory.mask.sum(1, keepdim=True)
        mean = torch.bmm(shares[:, None], memory.annotations)[:, 0]
        return RNNState(torch.tanh(self.first_state(mean))[:, None])

    @torch.no_grad()
    def step(self, memory: RNNMemory, state: RNNState, previous: Tensor, output: FixedOutput) -> Step:  # type: ignore[override]
        """See SearchModel.step."""
        (batch, beam), size = previous.shape, self.hidden_size
        ids, hidden = previous.reshape(-1), state.hidden.reshape(-1, size)
        embedded = functional.embedding(ids.clamp(min=0), self.embeddings.target_input)
        embedded.masked_fill_((ids < 0)[:, None], 0)  # START
        from_previous = self.from_previous(embedded)
        middle = gru(from_previous[:, : 3 * size], self.from_state(hidden), hidden)
        from_middle = self.from_middle(middle)
        weights = self._attend(memory, from_middle[:, : 2 * size].view(batch, beam, 2 * size))
        context = torch.bmm(weights, memory.annotations).view(len(ids), 2 * size)
        from_context = self.from_context(context)
        hidden = gru(from_context[:, : 3 * size], from_middle[:, 2 * size :], middle)
        readout = self.state_readout(hidden).add_(from_previous[:, 3 * size :]).add_(from_context[:, 3 * size :])
        log_probs = output.log_probs(tanh_of_half_(readout)).view(batch, beam, -1)
        return Step(log_probs, RNNState(hidden.view(batch, beam, size)), weights)

    def _attend(self, memory: RNNMemory, query: Tensor) -> Tensor:
        """query: twice the projected states, [B, K, C] -> attention weights, [B, K, S], zero at padding."""
        (batch, beam, size), length = query.shape, memory.keys.shape[1]
        num = max(1, BLOCK_BYTES // (4 * beam * length * size)) if query.device.type == "cpu" else batch
        energies = [
            torch.mv((keys[:, None] + queries[:, :, None]).sigmoid_().flatten(0, 2), self.energy_weight)
            for keys, queries in zip(memory.keys.split(num), query.split(num), strict=True)
        ]
        joined = torch.cat(energies).view(batch, beam, length)
        return torch.softmax(joined.masked_fill_(~memory.mask[:, None], -torch.inf), -1)


def copy_for_search(model: RNNModel, precision: str) -> SearchModel:
    """The copy that is fastest where the model lies."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if precision != "int8" and uses_kernels(model.embeddings.output, dtype):
        from nmt.models.rnn.kernel_search import KernelRNN

        return KernelRNN(model, precision)
    return FixedRNN(model, precision)


def gru(from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> Tensor:
    """`nmt.layers.gru.gru_step` for weights `for_gates`: gates of both sides, [R, 3H], and state, [R, H] -> state."""
    size = hidden.shape[-1]
    gates = (from_input[:, : 2 * size] + from_hidden[:, : 2 * size]).sigmoid_()
    candidate = torch.addcmul(from_input[:, 2 * size :], gates[:, :size], from_hidden[:, 2 * size :])
    return tanh_of_half_(candidate).lerp_(hidden, gates[:, size:])


def tanh_of_half_(values: Tensor) -> Tensor:
    """tanh(values / 2), in place."""
    return values.sigmoid_().mul_(2).sub_(1)


def for_gates(weight: Tensor) -> Tensor:
    """Rows r, u, n of a GRU's weight, [3H, X], or bias, [3H], with those of n doubled for `tanh_of_half_`."""
    reset_and_update, candidate = weight.split([len(weight) // 3 * 2, len(weight) // 3])
    return torch.cat([reset_and_update, 2 * candidate])


def input_side(cell: GRUCell) -> tuple[Tensor, Tensor]:
    """Weight, [3H, X], and bias, [3H], of a cell that has its bias there, `for_gates`."""
    return for_gates(cell.input_weight.t()), for_gates(cell.bias)


def bound_of(table: Tensor) -> float:
    """The largest magnitude that int8 tells apart in the rows of an embedding table."""
    root_mean_square = float(torch.linalg.vector_norm(table)) / table.numel() ** 0.5
    largest = max(map(abs, torch.aminmax(table)), default=0.0)
    return min(float(largest), EMBEDDING_BOUND * root_mean_square) or 1.0
