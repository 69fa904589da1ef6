"""Long short-term memory (Hochreiter and Schmidhuber, 1997), as in Zaremba et al. (2014, section 3), over a sequence.

    i, f, o = sigmoid(x W' + h U' + b);  g = tanh(x W' + h U' + b);  c' = f * c + i * g;  h' = o * tanh(c')

Gates lie one after another in the order i, f, g, o, and weights are named and laid out as those of torch.nn.LSTM, with
one bias for each gate where there are not two. `run_layer` has a plain version, which autograd differentiates, and fast
ones that give the same numbers: oneDNN's own layer where the matrices are small, so that the calls of a step would take
longer than their work; otherwise a hand-written backward, in which what does not need the next step is computed for all
steps at once and weight gradients are summed over the steps in one product each.

Shapes: T steps, B sequences, X input size, H hidden size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nmt.layers.linear import linear
from nmt.layers.precision import LARGE_BYTES, wants_gradient
from nmt.layers.processor import has_onednn
from nmt.layers.recurrent import Masks, Recurrence, masked_product
from nmt.layers.squash import squash

GATES = 4


class LayerWeights(NamedTuple):
    """Of one layer. weight_ih: [4H, X]. weight_hh: [4H, H]. bias: [4H], the sum of both where there are two."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor


class LSTM(nn.Module):
    """The weights of layers of LSTM, each reading the states of the one below."""

    def __init__(self, input_size: int, hidden_size: int, layers: int, *, two_biases: bool) -> None:
        super().__init__()
        self.layers, self.hidden_size, self.two_biases = layers, hidden_size, two_biases
        for number in range(layers):
            size = hidden_size if number else input_size
            self.register_parameter(f"weight_ih_l{number}", nn.Parameter(torch.empty(GATES * hidden_size, size)))
            self.register_parameter(f"weight_hh_l{number}", nn.Parameter(torch.empty(GATES * hidden_size, hidden_size)))
            for side in ("ih", "hh") if two_biases else ("ih",):
                self.register_parameter(f"bias_{side}_l{number}", nn.Parameter(torch.empty(GATES * hidden_size)))

    def layer(self, number: int) -> LayerWeights:
        """The weights of a layer, from 0."""
        parameters = self._parameters
        found = [parameters[f"{name}_l{number}"] for name in ("weight_ih", "weight_hh", "bias_ih")]
        weight_ih, weight_hh, bias = (parameter for parameter in found if parameter is not None)
        other = parameters.get(f"bias_hh_l{number}")
        return LayerWeights(weight_ih, weight_hh, bias if other is None else bias + other)


class LSTMState(NamedTuple):
    """hidden, cell: [B, H]."""

    hidden: Tensor
    cell: Tensor


class LSTMMasks(NamedTuple):
    """Of Bayesian dropout, the same at all steps, one for each gate. inputs: [4, B, X]. hidden: [4, B, H]."""

    inputs: Masks
    hidden: Masks


NO_MASKS = LSTMMasks(None, None)


def run_layer(
    inputs: Tensor,
    state: LSTMState,
    weights: LayerWeights,
    masks: LSTMMasks = NO_MASKS,
    dtype: torch.dtype = torch.float32,
    *,
    fast: bool = True,
) -> tuple[Tensor, LSTMState]:
    """inputs: [T, B, X] -> states of all steps, [T, B, H], and the last. dtype: of the products."""
    if fast and masks.inputs is None and masks.hidden is None and suits_onednn(weights.weight_hh, dtype):
        return onednn_layer(inputs, state, weights)
    if masks.inputs is None:
        projected = linear(inputs, weights.weight_ih, weights.bias, dtype)
    else:
        projected = masked_product(inputs, weights.weight_ih, masks.inputs, dtype) + weights.bias
    if fast:
        keep = wants_gradient(projected, *state, weights.weight_hh)
        states, cell = FastLSTM.apply(projected, *state, weights.weight_hh, masks.hidden, (dtype, keep))
        return states, LSTMState(states[-1], cell)
    found = []
    for step in projected:
        gates = step + masked_product(state.hidden, weights.weight_hh, masks.hidden, dtype)
        state = lstm_step(gates, state.cell)
        found.append(state.hidden)
    return torch.stack(found), state


def suits_onednn(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether oneDNN has the layer and it is the faster way. weight: [4H, H]. dtype: of the products."""
    of_type = weight.dtype == dtype == torch.float32
    return of_type and has_onednn(weight.device) and 4 * weight.numel() <= LARGE_BYTES


def onednn_layer(inputs: Tensor, state: LSTMState, weights: LayerWeights) -> tuple[Tensor, LSTMState]:
    """`run_layer` as torch.nn.LSTM computes it on the CPU."""
    matrices = [weights.weight_ih, weights.weight_hh, weights.bias, torch.zeros_like(weights.bias)]
    first = [part[None] for part in state]
    training = wants_gradient(inputs, *state, *matrices)
    rows, hidden, cell = torch.lstm(inputs, first, matrices, True, 1, 0.0, training, False, False)
    return rows, LSTMState(hidden[0], cell[0])


def lstm_step(gates: Tensor, cell: Tensor) -> LSTMState:
    """The elementwise part: all gates before their nonlinearities, [B, 4H], and the cell, [B, H] -> the next state."""
    inputs, forget, candidate, output = gates.chunk(GATES, -1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(inputs) * torch.tanh(candidate)
    return LSTMState(torch.sigmoid(output) * torch.tanh(cell), cell)


class FastLSTM(torch.autograd.Function):
    """`run_layer` behind its projected inputs, [T, B, 4H]. how: dtype of the products, whether a backward is to come.

    Returns the states of all steps and the last cell.
    """

    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        hidden: Tensor,
        cell: Tensor,
        weight: Tensor,
        masks: Masks,
        how: tuple[torch.dtype, bool],
    ) -> tuple[Tensor, Tensor]:
        """[T, B, H] and [B, H]."""
        (steps, batch, width), (dtype, keep) = projected.shape, how
        size, slots = width // GATES, steps if keep else 1
        gates = projected.new_empty(slots, batch, width)
        cells = projected.new_empty(slots + 1, batch, size)
        states = projected.new_empty(steps + 1, batch, size)
        squashed = projected.new_empty(slots, batch, size)  # tanh of the cells
        both, candidates, outputs = gates.split([2 * size, size, size], 2)
        recurrence = Recurrence(weight, masks, batch, dtype).prepare_forward()
        states[0], cells[0] = hidden, cell
        for t in range(steps):
            here, before, after = t % slots, t % len(cells), (t + 1) % len(cells)
            recurrence.step(projected[t], states[t], gates[here])
            both[here].sigmoid_()
            squash(candidates[here], candidates[here])
            outputs[here].sigmoid_()
            write, forget = both[here].split(size, 1)
            torch.mul(forget, cells[before], out=cells[after]).addcmul_(write, candidates[here])
            squash(cells[after], squashed[here])
            torch.mul(outputs[here], squashed[here], out=states[t + 1])
        if keep:
            ctx.save_for_backward(gates, cells, states, squashed, weight, masks)
        ctx.dtype = dtype
        return states[1:], cells[steps % len(cells)].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor, grad_cell: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of projected inputs, first state, first cell and weight."""
        gates, cells, states, squashed, weight, masks = ctx.saved_tensors
        steps, batch, width = gates.shape
        by_gate = gates.unflatten(2, (GATES, width // GATES))
        slopes = slopes_of_gates(by_gate, cells[:-1], squashed)
        through = torch.ops.aten.tanh_backward(by_gate[:, :, 3], squashed)  # of the cell, by the state
        grads = torch.empty_like(by_gate)
        recurrence = Recurrence(weight, masks, batch, ctx.dtype).prepare_backward()
        grad_hidden = torch.zeros_like(grad_cell)
        for t in reversed(range(steps)):
            grad_hidden = grad_hidden.add_(grad_states[t])
            grad_cell = torch.addcmul(grad_cell, grad_hidden, through[t])
            torch.mul(slopes[t, :, :3], grad_cell[:, None], out=grads[t, :, :3])
            torch.mul(slopes[t, :, 3], grad_hidden, out=grads[t, :, 3])
            grad_cell.mul_(by_gate[t, :, 1])
            grad_hidden = recurrence.gradient(grads[t].flatten(1))
        flat = grads.flatten(2)
        return flat, grad_hidden, grad_cell, recurrence.weight_gradient(states[:-1], flat), None, None


def slopes_of_gates(gates: Tensor, cells: Tensor, squashed: Tensor) -> Tensor:
    """What the gradient of the cell (i, f, g) or of the state (o) is multiplied by for that of the gate before its
    nonlinearity. gates: behind it, [T, B, 4, H]. cells: before each step, [T, B, H]. Returns [T, B, 4, H]."""
    write, forget, candidate, output = gates.unbind(2)
    found = torch.empty_like(gates)
    ops = torch.ops.aten
    ops.sigmoid_backward.grad_input(candidate, write, grad_input=found[:, :, 0])
    ops.sigmoid_backward.grad_input(cells, forget, grad_input=found[:, :, 1])
    ops.tanh_backward.grad_input(write, candidate, grad_input=found[:, :, 2])
    ops.sigmoid_backward.grad_input(squashed, output, grad_input=found[:, :, 3])
    return found
