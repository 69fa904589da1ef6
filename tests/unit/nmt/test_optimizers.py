"""Optimizers against their papers' equations in NumPy, schedules at known points, states that continue exactly."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nmt.config import TrainingConfig
from nmt.training.optimizers import learning_rate, load_optimizer, make_optimizer, optimizer_tensors
from nmt.weights import read_tensors, save_tensors

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize(
    ("schedule", "warmup", "points"),
    [
        ("constant", 0, {1: 2.0, 10: 2.0, 5000: 2.0}),
        ("constant", 100, {1: 0.02, 50: 1.0, 100: 2.0, 101: 2.0}),
        ("inverse-sqrt", 100, {1: 0.02, 50: 1.0, 100: 2.0, 400: 1.0, 10_000: 0.2}),
        ("inverse-sqrt", 0, {1: 2.0, 4: 1.0, 100: 0.2}),
        ("cosine", 100, {50: 1.0, 100: 2.0, 600: 1.0, 350: 1 + math.sqrt(0.5), 1100: 0.0, 2000: 0.0}),
        ("cosine", 0, {550: 1.0, 1100: 0.0}),
        ("cosine", 1100, {550: 1.0, 1100: 2.0}),
    ],
)
def test_schedules_at_known_points(schedule: str, warmup: int, points: dict[int, float]) -> None:
    config = TrainingConfig(schedule=schedule, warmup_updates=warmup, learning_rate=2.0, max_updates=1100)
    for update, rate in points.items():
        assert learning_rate(config, update) == pytest.approx(rate, abs=1e-12), update


def parameters() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: nn.Parameter(torch.randn(*shape, generator=generator))
        for name, shape in {"a.w": (3, 4), "b": (5,)}.items()
    }


def gradients(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator) * 0.01]


def make_steps(values: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        for parameter, gradient in zip(values.values(), gradients(step), strict=True):
            parameter.grad = gradient
        optimizer.step()


def adadelta(value: np.ndarray, steps: int, number: int) -> np.ndarray:
    """Zeiler (2012), algorithm 1, with rho 0.95, eps 1e-6 and step 1."""
    rho, eps = 0.95, 1e-6
    squares, changes = np.zeros_like(value), np.zeros_like(value)
    for step in range(steps):
        gradient = gradients(step)[number].double().numpy()
        squares = rho * squares + (1 - rho) * gradient**2
        change = -np.sqrt(changes + eps) / np.sqrt(squares + eps) * gradient
        changes = rho * changes + (1 - rho) * change**2
        value = value + change
    return value


def adam(value: np.ndarray, steps: int, number: int) -> np.ndarray:
    """Kingma and Ba (2015), algorithm 1, with beta 0.9 and 0.98, eps 1e-9 and step 0.01."""
    mean, square = np.zeros_like(value), np.zeros_like(value)
    for step in range(steps):
        gradient = gradients(step)[number].double().numpy()
        mean, square = 0.9 * mean + 0.1 * gradient, 0.98 * square + 0.02 * gradient**2
        unbiased = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.98 ** (step + 1))
        value = value - 0.01 * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-9)
    return value


SETTINGS = {
    "adadelta": (TrainingConfig(optimizer="adadelta", learning_rate=1.0), adadelta),
    "adam": (TrainingConfig(optimizer="adam", learning_rate=0.01), adam),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_optimizer_follows_its_papers_equations(name: str) -> None:
    config, equations = SETTINGS[name]
    values = parameters()
    start = [parameter.detach().double().numpy().copy() for parameter in values.values()]
    make_steps(values, make_optimizer(values, config), 0, 6)
    for number, parameter in enumerate(values.values()):
        expected = equations(start[number], 6, number)
        np.testing.assert_allclose(parameter.detach().numpy() - start[number], expected - start[number], rtol=2e-4)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_state_read_back_makes_the_next_steps_to_the_bit(name: str, tmp_path: Path) -> None:
    config, _ = SETTINGS[name]
    whole = parameters()
    optimizer = make_optimizer(whole, config)
    make_steps(whole, optimizer, 0, 4)
    save_tensors(tmp_path / "optimizer.safetensors", optimizer_tensors(optimizer, list(whole)), {})
    again = {key: nn.Parameter(parameter.detach().clone()) for key, parameter in whole.items()}
    fresh = make_optimizer(again, config)
    load_optimizer(fresh, list(again), read_tensors(tmp_path / "optimizer.safetensors")[0])
    make_steps(whole, optimizer, 4, 7)
    make_steps(again, fresh, 4, 7)
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_a_state_belongs_to_names_and_leaves_the_learning_rate_alone() -> None:
    values = parameters()
    optimizer = make_optimizer(values, TrainingConfig(learning_rate=0.5))
    make_steps(values, optimizer, 0, 2)
    tensors = optimizer_tensors(optimizer, list(values))
    assert set(tensors) == {f"{name}.{key}" for name in ("a.w", "b") for key in ("step", "exp_avg", "exp_avg_sq")}
    other = make_optimizer(values, TrainingConfig(learning_rate=0.25))
    load_optimizer(other, list(values), dict(reversed(tensors.items())))
    assert other.param_groups[0]["lr"] == 0.25
    assert torch.equal(other.state[values["b"]]["exp_avg"], tensors["b.exp_avg"])
