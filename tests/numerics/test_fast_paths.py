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


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_the_gru_passes_gradcheck_and_equals_the_plain_one() -> None:
    inputs = random(4, 3, 6, seed=1), random(3, 2, seed=2), random(2, 6, seed=3)
    check = (*inputs, torch.float64, True)
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
    inputs = (*tensors[:4], mask, *tensors[4:], torch.float64, True)
    assert gradcheck(fast_decoder.FastConditionalGRU.apply, inputs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("elements", [1, 40, 10_000])
def test_the_chunked_loss_equals_the_plain_one(
    smoothing: float, elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", elements)
    leaves = [random(17, 5, seed=1), random(11, 5, seed=2), random(11, seed=3)]
    labels = torch.randint(1, 11, (17,), generator=torch.Generator().manual_seed(4))
    results = []
    for function in (chunked_cross_entropy, plain_cross_entropy):
        costs = function(*leaves, labels, smoothing)
        results.append([*costs, *torch.autograd.grad(costs.smoothed / 7, leaves)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_without_a_backward_nothing_is_kept_and_the_numbers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = ConditionalGRU(3, 4, 8).double()
    for i, parameter in enumerate(decoder.parameters()):
        parameter.data = random(*parameter.shape, seed=i).detach() * 0.5
    annotations, projected, initial = random(3, 5, 8, seed=20), random(6, 3, 12, seed=21), random(3, 4, seed=22)
    source = Source(annotations, decoder.attention.keys(annotations), torch.ones(3, 5, dtype=torch.bool))
    leaves, labels = (random(17, 5, seed=1), random(11, 5, seed=2), random(11, seed=3)), torch.arange(17) % 10 + 1

    def everything() -> list[Tensor]:
        states, contexts = decoder(projected, initial, source)
        encoded = run_gru(random(4, 3, 15, seed=7), random(3, 5, seed=8), random(5, 15, seed=9))
        return [states, contexts, encoded, *chunked_cross_entropy(*leaves, labels, 0.1)]

    expected = [tensor.detach() for tensor in everything()]

    def differentiated(*_: object) -> None:
        raise AssertionError("a gradient was computed that nobody wants")

    monkeypatch.setattr(loss.Chunk, "differentiate", differentiated)
    monkeypatch.setattr(torch.autograd.function.FunctionCtx, "save_for_backward", differentiated)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = everything()
        for one, other in zip(found, expected, strict=True):
            assert not one.requires_grad
            torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_padding_is_no_class() -> None:
    leaves, labels = [random(17, 5, seed=1), random(11, 5, seed=2), random(11, seed=3)], torch.arange(17) % 10 + 1
    before = chunked_cross_entropy(*leaves, labels, 0.1)
    gradients = torch.autograd.grad(before.smoothed, leaves[1:])
    for gradient in gradients:
        assert not gradient[0].any()
        assert gradient[1:].all()
    with torch.no_grad():
        leaves[2][0] += 100
    after = chunked_cross_entropy(*leaves, labels, 0.1)
    torch.testing.assert_close([*after], [*before], rtol=1e-12, atol=0)
