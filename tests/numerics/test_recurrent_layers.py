"""LSTM against torch.nn.LSTM, recurrent highway networks against their equations in NumPy, both against autograd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nmt.layers import lstm
from nmt.layers.lstm import LSTM, NO_MASKS, LSTMMasks, LSTMState, run_layer
from nmt.layers.rhn import RHN, RHNMasks, run_rhn

pytestmark = pytest.mark.numeric
T, B, X, H = 6, 3, 5, 7
DTYPES = pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
WAYS = pytest.mark.parametrize("fast", [True, False])


def drawn(module: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.4, 0.4)
    return module.to(dtype)


def numbers(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, requires_grad=True)


def masks_of(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float64).bernoulli_(0.5).mul_(2)


def layers(module: LSTM, inputs: Tensor, states: list[LSTMState], fast: bool) -> tuple[Tensor, list[LSTMState]]:
    last = []
    for number, state in enumerate(states):
        inputs, after = run_layer(inputs, state, module.layer(number), fast=fast)
        last.append(after)
    return inputs, last


@WAYS
@DTYPES
@pytest.mark.parametrize("two_biases", [True, False])
def test_lstm_is_torchs_with_its_names_states_and_gradients(
    dtype: torch.dtype, limit: float, two_biases: bool, fast: bool
) -> None:
    ours, theirs = LSTM(X, H, 2, two_biases=two_biases), nn.LSTM(X, H, 2).to(dtype)
    drawn(ours, dtype)
    absent = theirs.load_state_dict(ours.state_dict(), strict=False).missing_keys
    assert absent == ([] if two_biases else ["bias_hh_l0", "bias_hh_l1"])
    for name in absent:
        nn.init.zeros_(theirs.get_parameter(name))
    inputs, first = numbers(T, B, X, dtype=dtype), numbers(2, 2, B, H, dtype=dtype)
    rows, last = layers(ours, inputs, [LSTMState(*pair) for pair in first.unbind(1)], fast)
    expected, (hidden, cell) = theirs(inputs, tuple(first))
    of_both = []
    for found, states, cells in (
        (rows, torch.stack([each.hidden for each in last]), torch.stack([each.cell for each in last])),
        (expected, hidden, cell),
    ):
        module = ours if found is rows else theirs
        parameters = [module.get_parameter(name) for name, _ in ours.named_parameters()]
        total = (found * torch.linspace(-1, 1, found.numel(), dtype=dtype).view_as(found)).sum() + cells.square().sum()
        grads = torch.autograd.grad(total + states.sin().sum(), [inputs, first, *parameters])
        of_both.append([found, states, cells, *grads])
    for mine, other in zip(*of_both, strict=True):
        torch.testing.assert_close(mine, other, atol=limit, rtol=limit)


def test_both_fast_ways_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 layers whose matrices are small are oneDNN's, all others ours, whatever the size."""
    ours, theirs = LSTM(X, H, 2, two_biases=True), nn.LSTM(X, H, 2)
    drawn(ours, torch.float32)
    theirs.load_state_dict(ours.state_dict())
    inputs, first = numbers(T, B, X, dtype=torch.float32), torch.randn(2, 2, B, H)
    expected, _ = theirs(inputs, tuple(first))
    other = torch.autograd.grad(expected.sin().sum(), [inputs, *theirs.parameters()])
    for limit in (0, 2**22):
        monkeypatch.setattr(lstm, "LARGE_BYTES", limit)
        rows, _ = layers(ours, inputs, [LSTMState(*pair) for pair in first.unbind(1)], fast=True)
        parameters = [ours.get_parameter(name) for name, _ in theirs.named_parameters()]
        mine = torch.autograd.grad(rows.sin().sum(), [inputs, *parameters])
        torch.testing.assert_close((rows, *mine), (expected, *other), atol=1e-6, rtol=1e-6)


def check_gradients(run: Callable[..., Tensor], *tensors: Tensor) -> None:
    assert torch.autograd.gradcheck(run, tensors, fast_mode=False)


@pytest.mark.parametrize("masked", [True, False])
def test_fast_lstm_has_the_plain_ones_numbers_and_gradients(masked: bool) -> None:
    module = LSTM(X, H, 1, two_biases=False)
    drawn(module)
    masks = LSTMMasks(masks_of(4, B, X), masks_of(4, B, H)) if masked else NO_MASKS
    inputs, hidden, cell = numbers(T, B, X), numbers(B, H), numbers(B, H)

    def run(fast: bool) -> list[Tensor]:
        rows, last = run_layer(inputs, LSTMState(hidden, cell), module.layer(0), masks, fast=fast)
        total = rows.sin().sum() + last.cell.square().sum()
        return [rows, *torch.autograd.grad(total, [inputs, hidden, cell, *module.parameters()])]

    for fast, plain in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-12, rtol=1e-12)
    with torch.no_grad():  # keeps nothing for a backward
        rows, last = run_layer(inputs, LSTMState(hidden, cell), module.layer(0), masks)
        plain_rows, plain_last = run_layer(inputs, LSTMState(hidden, cell), module.layer(0), masks, fast=False)
    torch.testing.assert_close((rows, *last), (plain_rows, *plain_last), atol=1e-12, rtol=1e-12)


def test_gradients_of_a_masked_lstm_layer_are_those_of_differences() -> None:
    module, masks = LSTM(2, 3, 1, two_biases=False), LSTMMasks(masks_of(4, 2, 2), masks_of(4, 2, 3))
    drawn(module)

    def run(inputs: Tensor, hidden: Tensor, cell: Tensor, *_: Tensor) -> Tensor:
        rows, last = run_layer(inputs, LSTMState(hidden, cell), module.layer(0), masks)
        return torch.cat([rows, last.cell[None]])

    check_gradients(run, numbers(3, 2, 2), numbers(2, 3), numbers(2, 3), *module.parameters())


def test_gates_see_their_own_masks_in_the_order_i_f_g_o() -> None:
    """What gate k reads is masked by row k alone: with everything of one gate left out, it is its bias's."""
    module = LSTM(X, H, 1, two_biases=False)
    drawn(module)
    inputs, hidden, cell = torch.randn(1, B, X).double(), torch.randn(B, H).double(), torch.randn(B, H).double()
    biases = module.layer(0).bias.view(4, H)
    full = inputs[0] @ module.layer(0).weight_ih.t() + hidden @ module.layer(0).weight_hh.t() + biases.flatten()
    for gate in range(4):
        masks = LSTMMasks(torch.ones(4, B, X).double(), torch.ones(4, B, H).double())
        for mask in masks:
            assert mask is not None
            mask[gate] = 0
        expected = full.view(B, 4, H).clone()
        expected[:, gate] = biases[gate]
        i, f, g, o = expected.unbind(1)
        new_cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        for fast in (True, False):
            rows, last = run_layer(inputs, LSTMState(hidden, cell), module.layer(0), masks, fast=fast)
            torch.testing.assert_close(last.cell, new_cell)
            torch.testing.assert_close(rows[0], o.sigmoid() * new_cell.tanh())


def rhn_in_numpy(
    inputs: np.ndarray, state: np.ndarray, weights: dict[str, np.ndarray], masks: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Zilly et al. (2016), equations 7 to 9, with c = 1 - t, one number after another."""
    found = []
    for step in inputs:
        for depth, (matrix, bias) in enumerate(zip(weights["recurrent_weight"], weights["bias"], strict=True)):
            gates = (state * masks[1]) @ matrix.T + bias
            if depth == 0:
                gates = gates + (step * masks[0]) @ weights["input_weight"].T
            h, t = np.tanh(gates[:, :H]), 1 / (1 + np.exp(-gates[:, H:]))
            state = h * t + state * (1 - t)
        found.append(state)
    return np.stack(found)


@WAYS
@DTYPES
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("depth", [1, 3])
def test_rhn_computes_the_equations(depth: int, masked: bool, dtype: torch.dtype, limit: float, fast: bool) -> None:
    module = RHN(X, H, depth)
    drawn(module, dtype)
    inputs, state = torch.randn(T, B, X, dtype=dtype), torch.randn(B, H, dtype=dtype)
    masks = RHNMasks(masks_of(1, B, X).to(dtype), masks_of(1, B, H).to(dtype)) if masked else RHNMasks(None, None)
    rows, last = run_rhn(inputs, state, module, masks, fast=fast)
    weights = {name: parameter.detach().double().numpy() for name, parameter in module.named_parameters()}
    plain = [np.ones(()) if mask is None else mask[0].double().numpy() for mask in masks]
    expected = rhn_in_numpy(inputs.double().numpy(), state.double().numpy(), weights, (plain[0], plain[1]))
    np.testing.assert_allclose(rows.detach().double().numpy(), expected, atol=limit, rtol=limit)
    assert torch.equal(last, rows[-1])


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("depth", [1, 3])
def test_fast_rhn_has_the_plain_ones_gradients(depth: int, masked: bool) -> None:
    module = RHN(X, H, depth)
    drawn(module)
    masks = RHNMasks(masks_of(1, B, X), masks_of(1, B, H)) if masked else RHNMasks(None, None)
    inputs, state = numbers(T, B, X), numbers(B, H)

    def run(fast: bool) -> list[Tensor]:
        rows, last = run_rhn(inputs, state, module, masks, fast=fast)
        return [rows, *torch.autograd.grad(rows.sin().sum() + last.exp().sum(), [inputs, state, *module.parameters()])]

    for mine, other in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-12, rtol=1e-12)


def test_gradients_of_a_masked_rhn_are_those_of_differences() -> None:
    module, masks = RHN(2, 3, 2), RHNMasks(masks_of(1, 2, 2), masks_of(1, 2, 3))
    drawn(module)

    def run(inputs: Tensor, state: Tensor, *_: Tensor) -> Tensor:
        return run_rhn(inputs, state, module, masks)[0]

    check_gradients(run, numbers(3, 2, 2), numbers(2, 3), *module.parameters())
