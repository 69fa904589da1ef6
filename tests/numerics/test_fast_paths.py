"""The fast paths against the plain ones: values, gradients, and float64 gradcheck."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from nmt.layers import fast_decoder
from nmt.layers.conditional_gru import ConditionalGRU, Source
from nmt.layers.gru import FastGRU, run_gru
from nmt.training import loss
from nmt.training.loss import chunked_cross_entropy, plain_cross_entropy

pytestmark = pytest.mark.numeric


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_the_gru_passes_gradcheck_and_equals_the_plain_one() -> None:
    inputs = random(4, 3, 6, seed=1), random(3, 2, seed=2), random(2, 6, seed=3)
    check = (*inputs, torch.float64)
    assert gradcheck(FastGRU.apply, check)
    torch.testing.assert_close(run_gru(*inputs, fast=True), run_gru(*inputs, fast=False))


@pytest.mark.parametrize("kept_bytes", [2**30, 0], ids=["kept", "recomputed"])
def test_the_decoder_equals_the_plain_one(kept_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_decoder, "KEPT_BYTES", kept_bytes)
    decoder = ConditionalGRU(3, 4, 8).double()
    for i, parameter in enumerate(decoder.parameters()):
        parameter.data = random(*parameter.shape, seed=i).detach() * 0.5
    annotations, previous, initial = random(3, 5, 8, seed=20), random(6, 3, 3, seed=21), random(3, 4, seed=22)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], dtype=torch.bool)
    leaves = [annotations, previous, initial, *decoder.parameters()]
    results = []
    for fast in (True, False):
        source = Source(annotations, decoder.attention.keys(annotations), mask)
        states, contexts = decoder(decoder.first.project(previous), initial, source, fast=fast)
        total = (states * random(6, 3, 4, seed=30)).sum() + (contexts * random(6, 3, 8, seed=31)).sum()
        results.append([states, contexts, *torch.autograd.grad(total, leaves)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kept_bytes", [2**30, 0], ids=["kept", "recomputed"])
def test_the_decoder_passes_gradcheck(kept_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_decoder, "KEPT_BYTES", kept_bytes)
    steps, batch, length, hidden, size = 3, 2, 3, 2, 4
    mask = torch.tensor([[True, True, True], [True, False, False]])
    shapes = [(steps, batch, 3 * hidden), (batch, hidden), (batch, length, size), (batch, length, size)]
    weights = [(hidden, 3 * hidden), (hidden, size + 3 * hidden), (3 * hidden,), (size,), (size, 3 * hidden)]
    tensors = [random(*shape, seed=i) for i, shape in enumerate(shapes + weights)]
    inputs = (*tensors[:4], mask, *tensors[4:], torch.float64)
    assert gradcheck(fast_decoder.FastConditionalGRU.apply, inputs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("elements", [1, 40, 10_000])
def test_the_chunked_loss_equals_the_plain_one(
    smoothing: float, elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", elements)
    leaves = [random(17, 5, seed=1), random(11, 5, seed=2), random(11, seed=3)]
    labels = torch.randint(11, (17,), generator=torch.Generator().manual_seed(4))
    results = []
    for function in (chunked_cross_entropy, plain_cross_entropy):
        costs = function(*leaves, labels, smoothing)
        results.append([*costs, *torch.autograd.grad(costs.smoothed / 7, leaves)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
