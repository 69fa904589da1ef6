"""The loss of language models against torch's, whole and in chunks; the probabilities of scoring, averaged or not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nmt.config import LanguageConfig
from nmt.layers import word_cross_entropy as module
from nmt.layers.word_cross_entropy import plain_word_cross_entropy, word_cross_entropy, word_log_probs
from nmt.models.language import detached
from nmt.models.language_build import build_language_model
from nmt.models.montecarlo import next_word_log_probs

pytestmark = pytest.mark.numeric
N, E, C = 23, 6, 40


def tensors(dtype: torch.dtype = torch.float64, spread: float = 1.0) -> tuple[Tensor, ...]:
    torch.manual_seed(1)
    rows, weight, bias = (torch.randn(size, dtype=dtype) * spread for size in ((N, E), (C, E), (C,)))
    return (*(each.requires_grad_() for each in (rows, weight, bias)), torch.randint(C, (N,)))


@pytest.mark.parametrize("narrow", [0, 512])
@pytest.mark.parametrize("elements", [1, 5 * C, 2**24])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_loss_and_gradients_are_torchs_in_chunks_of_any_size(
    dtype: torch.dtype, limit: float, elements: int, narrow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NARROW", narrow)
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", elements)
    rows, weight, bias, labels = tensors(dtype)
    for scale, factor in ((1.0, 1.0), (0.05, 1.0), (0.05, 3.0)):
        found = word_cross_entropy(rows, weight, bias, labels, scale=scale) * factor
        expected = plain_word_cross_entropy(rows, weight, bias, labels) * scale * factor
        torch.testing.assert_close(found, expected, atol=limit, rtol=limit)
        for mine, other in zip(
            torch.autograd.grad(found, [rows, weight, bias]),
            torch.autograd.grad(expected, [rows, weight, bias]),
            strict=True,
        ):
            torch.testing.assert_close(mine, other, atol=limit, rtol=limit)


def test_scores_that_no_exponential_can_hold_are_right() -> None:
    """An answer a thousand nats below the best, whose probability float32 cannot hold, costs what it costs."""
    rows, weight, bias, labels = tensors(torch.float32, spread=25.0)
    found, expected = (way(rows, weight, bias, labels) for way in (word_cross_entropy, plain_word_cross_entropy))
    assert expected.item() > 100 * N
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    for mine in torch.autograd.grad(found, [rows, weight, bias]):
        assert bool(mine.isfinite().all())


def test_without_gradients_nothing_is_kept_and_no_rows_cost_nothing() -> None:
    rows, weight, bias, labels = tensors()
    with torch.no_grad():
        found = word_cross_entropy(rows, weight, bias, labels)
    torch.testing.assert_close(found, plain_word_cross_entropy(rows, weight, bias, labels).detach())
    nothing = word_cross_entropy(rows[:0], weight, bias, labels[:0])
    assert nothing.item() == 0
    assert not torch.autograd.grad(nothing, weight)[0].any()
    assert word_log_probs(rows[:0], weight, bias, labels[:0]).shape == (0,)


@pytest.mark.parametrize("elements", [1, 5 * C, 2**24])
def test_log_probs_of_labels(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", elements)
    rows, weight, bias, labels = tensors()
    expected = torch.log_softmax(functional.linear(rows, weight, bias), 1)[torch.arange(N), labels]
    torch.testing.assert_close(word_log_probs(rows, weight, bias, labels), expected.detach())


def test_bfloat16_products_are_near() -> None:
    rows, weight, bias, labels = tensors(torch.float32)
    found = word_cross_entropy(rows, weight, bias, labels, dtype=torch.bfloat16)
    expected = plain_word_cross_entropy(rows, weight, bias, labels)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0)
    for mine, other in zip(
        torch.autograd.grad(found, [rows, weight]), torch.autograd.grad(expected, [rows, weight]), strict=True
    ):
        assert float((mine - other).norm() / other.norm()) < 0.02


def test_probabilities_are_averaged_over_draws_that_carry_their_own_states() -> None:
    config = LanguageConfig(embedding_size=8, word_dropout=0.3, hidden_dropout=0.5, initialization=1.0)
    model = build_language_model(config, C).double()
    torch.manual_seed(2)
    text = torch.randint(C, (9, 2))
    parts = [(text[0:4], text[1:5]), (text[4:8], text[5:9])]
    model.train()
    torch.manual_seed(7)
    states = [model.initial_state(2) for _ in range(5)]
    averaged = []
    for inputs, labels in parts:
        found, states = next_word_log_probs(model, inputs, labels, states)
        averaged.append(found)
    torch.manual_seed(7)  # the same draws, one after another, by hand
    by_hand = [model.initial_state(2) for _ in range(5)]
    for (inputs, labels), found in zip(parts, averaged, strict=True):
        probabilities = []
        for number, state in enumerate(by_hand):
            rows, by_hand[number] = model.features(inputs, detached(state))
            probabilities.append(model.embeddings.scores(rows).softmax(-1).gather(2, labels[:, :, None])[:, :, 0])
        torch.testing.assert_close(found, torch.stack(probabilities).mean(0).log().detach())
    model.eval()
    once, _ = next_word_log_probs(model, *parts[0], [model.initial_state(2)])
    twice, _ = next_word_log_probs(model, *parts[0], [model.initial_state(2)] * 2)
    torch.testing.assert_close(once, twice)
    assert not torch.allclose(once, averaged[0])
