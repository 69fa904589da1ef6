"""The Triton kernels, run by Triton's interpreter, against the plain layers; and compiled for a GPU that is not there.

That they compute right on a GPU, test_cuda.py says where there is one.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nmt.config import ModelConfig
from nmt.data.batching import Batch
from nmt.layers.conditional_gru import AnnotatedSource, ConditionalGRU
from nmt.layers.cross_entropy import FIRST, PAD, plain_cross_entropy
from nmt.layers.gru import run_gru
from nmt.layers.triton.available import kernels_told, uses_kernels
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import TranslationModel
from nmt.training.optimizers import Adadelta

pytest.importorskip("triton", reason="Triton is not installed (it has wheels for Linux alone)")
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip(
        "kernels are not interpreted where there is a GPU: test_cuda.py has it run them", allow_module_level=True
    )

KERNELS = ("gate_kernels", "attention_kernels", "loss_kernels", "optimizer_kernels", "search_kernels")
ROOT = Path(__file__).resolve().parents[2]


def distance(found: Tensor | None, expected: Tensor | None) -> float:
    """Of two vectors, as a share of the length of the expected one."""
    assert found is not None
    assert expected is not None
    error, size = (found.detach().double() - expected.detach().double()).norm(), expected.detach().double().norm()
    return float(error / size) if size else float(error)


def filled(module: torch.nn.Module) -> None:
    """Numbers that are neither small nor large."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 1 / (len(parameter) + 1) ** 0.5)


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape).requires_grad_()


Sizes = tuple[int, int, int, int, int]


@pytest.mark.parametrize(
    "sizes",
    [(3, 3, 5, 6, 12), (1, 2, 19, 3, 7), (1, 1, 1, 1, 2), (2, 1, 3, 260, 520)],
    ids=["small", "many positions", "one of each", "many numbers"],
)
def test_the_decoder_equals_its_plain_steps_in_float64(sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, batch, length, hidden, annotation = sizes
    torch.manual_seed(1)
    decoder = ConditionalGRU(2, hidden, annotation)
    filled(decoder)
    reference = ConditionalGRU(2, hidden, annotation).double()
    reference.load_state_dict(decoder.state_dict())
    values = (
        numbers(steps, batch, 3 * hidden),
        numbers(batch, hidden),
        *(numbers(batch, length, annotation) for _ in range(2)),
    )
    mask = torch.arange(length) < torch.tensor([1, length, length - 1][:batch]).clamp(min=1)[:, None]
    exact = [value.detach().double().requires_grad_() for value in values]
    monkeypatch.setattr("nmt.layers.conditional_gru.uses_kernels", lambda *_: True)
    found = decoder(values[0], values[1], AnnotatedSource(values[3], values[2], mask))
    expected = reference(exact[0], exact[1], AnnotatedSource(exact[3], exact[2], mask), torch.float64, fast=False)
    grads = [torch.randn(each.shape) for each in found]
    torch.autograd.backward(found, grads)
    torch.autograd.backward(expected, [grad.double() for grad in grads])
    for mine, right in zip(found, expected, strict=True):
        assert distance(mine, right) < 2e-6
    for value, right in zip((*values, *decoder.parameters()), (*exact, *reference.parameters()), strict=True):
        if right.grad is not None and float(right.grad.norm()) > 1e-5:
            assert distance(value.grad, right.grad) < 2e-5
    assert decoder.attention.energy_bias.grad is not None


def model_with(kernels: bool, monkeypatch: pytest.MonkeyPatch) -> TranslationModel:
    torch.manual_seed(1)
    model = build_model(ModelConfig(embedding_size=6, hidden_size=7, dropout=0.0), VocabularySizes(20, 20, 20))
    filled(model)
    for module in ("nmt.layers.conditional_gru", "nmt.models.rnn.model"):
        monkeypatch.setattr(f"{module}.uses_kernels", lambda *_: kernels)
    return model


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 3e-2)])
def test_a_model_computes_the_same_with_kernels(
    dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = torch.tensor([3, 1])
    ids = torch.randint(3, 20, (2, 3), generator=torch.Generator().manual_seed(1))
    batch = Batch.of(ids, lengths, ids, lengths, (0, 1))
    found: list[list[Tensor]] = []
    for kernels in (False, True):
        model = model_with(kernels, monkeypatch)
        model.compute_dtype, model.fast = dtype, kernels
        rows = model.readout(batch)
        (rows * torch.arange(rows.numel()).view_as(rows).sin()).sum().backward()
        found.append([rows, *(p.grad for p in model.parameters() if p.grad is not None)])
    for right, mine in zip(*found, strict=True):
        assert distance(mine, right) < tolerance or float(right.norm()) < 1e-5


def test_without_gradients_the_same_states_come_in_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, ids = torch.tensor([2, 1]), torch.full((2, 2), 5)
    batch = Batch.of(ids, lengths, ids, lengths, (0, 1))
    model = model_with(True, monkeypatch)
    with torch.no_grad():
        alone = model.readout(batch)
    assert torch.equal(model.readout(batch), alone)


def test_both_directions_equal_two_recurrences() -> None:
    from nmt.layers.triton.recurrence import run_directions

    torch.manual_seed(2)
    projected, weights = numbers(4, 2, 3, 15), numbers(2, 5, 15)
    again = [each.detach().clone().requires_grad_() for each in (projected, weights)]
    found = run_directions(projected, weights, torch.float32)
    start = torch.zeros(3, 5)
    expected = torch.stack([run_gru(again[0][:, i], start, again[1][i], fast=False) for i in range(2)], 1)
    grad = torch.randn(found.shape)
    for each in (found, expected):
        each.backward(grad)
    assert distance(found, expected) < 1e-6
    assert max(distance(a.grad, b.grad) for a, b in zip((projected, weights), again, strict=True)) < 5e-6


def test_steps_reversed_are_differentiated_as_torch_does() -> None:
    from nmt.layers.triton.recurrence import Reversed

    steps, order = numbers(3, 2, 2), torch.tensor([[1, 2], [0, 1], [2, 0]])[:, :, None]
    again, grad = steps.detach().clone().requires_grad_(), torch.randn(3, 2, 2)
    found, expected = Reversed.apply(steps, order), again.gather(0, order.expand_as(again))
    for each in (found, expected):
        each.backward(grad)
    assert torch.equal(found, expected)
    assert torch.equal(steps.grad, again.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "smoothing"), [(13, 0.1), (4100, 0.0), (4100, 0.1)])
def test_the_loss_equals_all_scores_at_once_in_float64(size: int, smoothing: float) -> None:
    from nmt.layers.triton.loss import TritonCrossEntropy

    torch.manual_seed(3)
    values = numbers(4, 3), numbers(size, 3), numbers(size)
    exact = [value.detach().double().requires_grad_() for value in values]
    labels = torch.tensor([size - 1, 5, PAD, FIRST])
    found = TritonCrossEntropy.apply(*values, labels, (smoothing, torch.float32, 3, True))
    real = labels != PAD  # the others cost nothing
    expected = plain_cross_entropy(exact[0][real], exact[1], exact[2], labels[real], smoothing)
    found[0].mul(0.5).backward()
    expected.smoothed.mul(0.5).backward()  # type: ignore[no-untyped-call]
    for mine, right in zip(found, expected, strict=True):
        assert mine.item() == pytest.approx(right.item(), rel=1e-6)
    assert max(distance(a.grad, b.grad) for a, b in zip(values, exact, strict=True)) < 2e-6


def test_the_loss_in_bfloat16_is_near() -> None:
    from nmt.layers.triton.loss import TritonCrossEntropy

    torch.manual_seed(3)
    values = numbers(5, 8), numbers(20, 8), numbers(20)
    exact, labels = [value.detach().double().requires_grad_() for value in values], torch.tensor([3, 5, 19, 1, 7])
    found = TritonCrossEntropy.apply(*values, labels, (0.1, torch.bfloat16, 2, True))[0]
    expected = plain_cross_entropy(*exact, labels, 0.1).smoothed
    for each in (found, expected):
        each.backward()
    assert found.item() == pytest.approx(expected.item(), rel=2e-3)
    assert max(distance(a.grad, b.grad) for a, b in zip(values, exact, strict=True)) < 2e-2
    assert not TritonCrossEntropy.apply(*values, labels, (0.1, torch.bfloat16, 2, False))[1].requires_grad


def test_adadelta_makes_torchs_steps_and_leaves_them_out_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmt.training.optimizers.uses_kernels", lambda *_: True)
    torch.manual_seed(4)
    start = torch.randn(1030)
    mine, right = start.clone().requires_grad_(), start.clone().requires_grad_()
    kernel = Adadelta([mine], lr=0.5, rho=0.95, eps=1e-6)
    torchs = torch.optim.Adadelta([right], lr=0.5, rho=0.95, eps=1e-6, foreach=False)
    for refused in (0.0, 0.0, 1.0, 0.0):
        gradient, before = torch.randn(1030), [mine.detach().clone(), *map(torch.clone, kernel.state[mine].values())]
        mine.grad, right.grad = gradient.clone().fill_(torch.nan) if refused else gradient.clone(), gradient.clone()
        kernel.found_inf, kernel.grad_scale = torch.tensor(refused), torch.tensor(2.0)
        mine.grad *= 2
        kernel.step()
        if refused:
            assert all(map(torch.equal, before, [mine, *kernel.state[mine].values()]))
        else:
            torchs.step()
    assert distance(mine - start, right - start) < 1e-5
    assert float(kernel.state[mine]["step"]) == 3


def test_kernels_are_for_cuda_where_triton_works() -> None:
    assert not uses_kernels(torch.zeros(1), torch.float32)
    with kernels_told("none"):
        assert not uses_kernels(torch.zeros(1), torch.float32)


@pytest.fixture(scope="module")
def compiled() -> dict[str, int]:
    """Variants of kernels that Triton compiled for sm_90, by name."""
    env = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.compiled_kernels"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_every_kernel_compiles_for_an_h100(compiled: dict[str, int]) -> None:
    modules = (importlib.import_module(f"nmt.layers.triton.{name}") for name in KERNELS)
    names = {name for module in modules for name in vars(module) if name.endswith("_kernel")}
    assert set(compiled) == names
