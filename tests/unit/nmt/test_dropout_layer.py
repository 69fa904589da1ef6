"""Dropout against what it promises: rates, scale, gradients, and the same draws for the same seed."""

from __future__ import annotations

import pytest
import torch

from nmt.layers.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_numbers_are_left_out_at_the_rate_and_the_others_scaled_up(rate: float) -> None:
    torch.manual_seed(1)
    inputs, layer = torch.ones(333, 301), Dropout(rate)
    found = layer(inputs)
    left_out = found == 0
    assert float(left_out.float().mean()) == pytest.approx(rate, abs=5 * (rate * (1 - rate) / inputs.numel()) ** 0.5)
    assert torch.allclose(found[~left_out], torch.tensor(1 / (1 - rate)))
    by_place = left_out.view(-1)[: left_out.numel() // 4 * 4].view(-1, 4).float().mean(0)  # four from one draw
    assert torch.allclose(by_place, torch.tensor(rate), atol=0.015)
    pairs = (left_out.view(-1)[:-1] & left_out.view(-1)[1:]).float().mean()
    assert float(pairs) == pytest.approx(rate * rate, abs=0.01)


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4)])
def test_gradients_pass_where_numbers_do(shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    inputs = torch.randn(shape, dtype=torch.float64).requires_grad_()
    found = Dropout(0.4)(inputs)
    found.sum().backward()
    assert inputs.grad is not None
    torch.testing.assert_close(inputs.grad, torch.where(found == 0, 0.0, 1 / 0.6).to(torch.float64))


def test_draws_follow_from_the_seed() -> None:
    inputs, layer = torch.ones(50, 3), Dropout(0.5)
    torch.manual_seed(3)
    first, second = layer(inputs), layer(inputs)
    torch.manual_seed(3)
    assert torch.equal(layer(inputs), first)
    assert not torch.equal(first, second)


def test_nothing_is_left_out_outside_of_training_or_at_rate_zero() -> None:
    inputs = torch.ones(5, 5)
    assert Dropout(0.5).eval()(inputs) is inputs
    assert Dropout(0.0)(inputs) is inputs
