"""Optimizers against their papers' equations in NumPy, schedules at known points, states that continue exactly."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nmt.config import TrainingConfig
from nmt.folder.weights import read_tensors, save_tensors
from nmt.training.optimizers import learning_rate, load_optimizer, make_optimizer, optimizer_tensors, try_step

pytestmark = pytest.mark.numeric

WITHOUT_COMPILER = """
import sys, torch
from nmt.config import TrainingConfig
from nmt.training.optimizers import load_optimizer, make_optimizer, optimizer_tensors, try_step
for name in ("adam", "adadelta"):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = make_optimizer({"weight": weight}, TrainingConfig(optimizer=name))
    try_step(optimizer)
    weight.grad = torch.ones(3)
    optimizer.step()
    optimizer.zero_grad()
    load_optimizer(optimizer, ["weight"], optimizer_tensors(optimizer, ["weight"]))
assert "torch._dynamo" not in sys.modules
"""


def test_torchs_compiler_is_not_loaded() -> None:
    """It takes a second or more at the start of every training, and nothing is compiled."""
    subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], check=True)


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
        ("constant", 1, {1: 2.0, 2: 2.0}),
        ("inverse-sqrt", 1, {1: 2.0, 2: math.sqrt(2)}),
        ("inverse-sqrt", 100, {99: 1.98, 101: 2 * math.sqrt(100 / 101)}),
        ("cosine", 0, {1: 1 + math.cos(math.pi / 1100), 1101: 0.0}),
        ("cosine", 1099, {1099: 2.0, 1100: 0.0}),
        ("cosine", 2200, {1100: 1.0, 2200: 2.0, 2201: 0.0}),
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


def with_states(name: str, steps: int, dtype: torch.dtype) -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer]:
    """Parameters, one number among them, and an optimizer that has made some steps."""
    shapes, random = {"w": (31, 17), "b": (65,), "c": (), "d": (1, 1)}, torch.Generator().manual_seed(7)
    values = {name: nn.Parameter(torch.randn(shape, generator=random, dtype=dtype)) for name, shape in shapes.items()}
    with torch.no_grad():
        values["b"][3] = -0.0
    optimizer = make_optimizer(values, SETTINGS[name][0])
    for _ in range(steps):
        for parameter in values.values():
            parameter.grad = torch.randn(parameter.shape, generator=random, dtype=dtype)
        optimizer.step()
    optimizer.zero_grad()
    return values, optimizer


def bits(values: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, bytes]:
    """Every number of parameters and states, as it lies in memory."""
    tensors = {**values, **optimizer_tensors(optimizer, list(values))}
    return {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("flag", [None, 0.0], ids=["unasked", "not left out"])
def test_adadelta_is_torchs_bit_for_bit(flag: float | None, dtype: torch.dtype) -> None:
    ours, optimizer = with_states("adadelta", 0, dtype)
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours.values()]
    reference = torch.optim.Adadelta(theirs, lr=1.0, rho=0.95, eps=1e-6, foreach=True)
    random = torch.Generator().manual_seed(8)
    for step in range(12):
        optimizer.param_groups[0]["lr"] = reference.param_groups[0]["lr"] = 1 / (1 + step)
        optimizer.found_inf = None if flag is None else torch.tensor(flag)  # type: ignore[attr-defined]
        for mine, other in zip(ours.values(), theirs, strict=True):
            scale = 10 ** float(torch.randn((), generator=random))
            mine.grad = torch.randn(mine.shape, generator=random, dtype=dtype) * scale
            other.grad = mine.grad.clone()
        optimizer.step()
        reference.step()
    for mine, other in zip(ours.values(), theirs, strict=True):
        assert torch.equal(mine, other)
        for key, value in reference.state[other].items():
            assert torch.equal(optimizer.state[mine][key], value), key


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_that_is_left_out_changes_no_bit(name: str, dtype: torch.dtype) -> None:
    values, optimizer = with_states(name, 5, dtype)
    before = bits(values, optimizer)
    for bad in (math.nan, math.inf, -1e30):
        for parameter in values.values():
            parameter.grad = torch.full_like(parameter, bad)
        optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
        optimizer.step()
    assert bits(values, optimizer) == before
    assert float(optimizer.state[values["w"]]["step"]) == 5


@pytest.mark.parametrize("steps", [0, 3], ids=["fresh", "used"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_tried_step_makes_states_and_changes_no_number(name: str, steps: int) -> None:
    """With the gradients of an update, and without any; the steps that follow are those of a run without it."""
    (tried, optimizer), (plain, other) = (with_states(name, steps, torch.float32) for _ in range(2))
    try_step(optimizer)
    assert all(parameter.grad is None for parameter in tried.values())
    for parameter in tried.values():
        parameter.grad = torch.full_like(parameter, math.nan)
    try_step(optimizer)
    assert not getattr(optimizer, "found_inf", None)
    states = optimizer_tensors(optimizer, list(tried))
    assert {float(states[f"{key}.step"]) for key in tried} == {steps}
    assert steps or not any(bool(state.any()) for state in states.values())
    if steps:
        assert bits(tried, optimizer) == bits(plain, other)
    for values, each in ((tried, optimizer), (plain, other)):
        random = torch.Generator().manual_seed(9)
        for parameter in values.values():
            parameter.grad = torch.randn(parameter.shape, generator=random)
        each.step()
    assert bits(tried, optimizer) == bits(plain, other)


def test_a_step_that_cannot_be_left_out_is_not_tried() -> None:
    """Adam that is not fused, as on MPS."""
    value = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([value], fused=False)
    try_step(optimizer)
    assert not optimizer.state
    assert value.tolist() == [1, 1, 1]


def test_adadelta_goes_on_from_a_checkpoint_where_the_device_decides(tmp_path: Path) -> None:
    whole, optimizer = with_states("adadelta", 4, torch.float32)
    again = {key: nn.Parameter(parameter.detach().clone()) for key, parameter in whole.items()}
    fresh = make_optimizer(again, SETTINGS["adadelta"][0])
    save_tensors(tmp_path / "optimizer.safetensors", optimizer_tensors(optimizer, list(whole)), {})
    load_optimizer(fresh, list(again), read_tensors(tmp_path / "optimizer.safetensors")[0])
    fresh.found_inf = torch.zeros(())  # type: ignore[attr-defined]
    for values, each in ((whole, optimizer), (again, fresh)):
        for parameter in values.values():
            parameter.grad = torch.ones_like(parameter)
        each.step()
    assert bits(whole, optimizer) == bits(again, fresh)
