"""The fast paths against the plain ones: values, gradients, and float64 gradcheck.

gradcheck needs float64, in which products are not prepared as they are in float32 and bf16. So the fast paths run in
float32, too, at odd sizes, with padding, against plain steps in float64: what differs must be rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from nmt.config import ModelConfig
from nmt.data.batching import BatchMaker, mask_of
from nmt.data.corpus import ParallelIds
from nmt.layers import cross_entropy, fast_decoder
from nmt.layers.conditional_gru import AnnotatedSource, ConditionalGRU
from nmt.layers.cross_entropy import chunked_cross_entropy, plain_cross_entropy
from nmt.layers.gru import FastGRU, run_gru
from nmt.models.build import VocabularySizes, build_model
from nmt.text.vocabulary import SourceView, TargetView

pytestmark = pytest.mark.numeric


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_the_gru_passes_gradcheck_and_equals_the_plain_one() -> None:
    inputs = random(4, 3, 6, seed=1), random(3, 2, seed=2), random(2, 6, seed=3)
    check = (*inputs, torch.float64, True)
    assert gradcheck(FastGRU.apply, check)
    torch.testing.assert_close(run_gru(*inputs, fast=True), run_gru(*inputs, fast=False))


@pytest.mark.parametrize("kept_bytes", [2**30, 0], ids=["kept", "recomputed"])
def test_the_decoder_equals_the_plain_one(kept_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fast_decoder.KEPT_BYTES, "cpu", kept_bytes)
    decoder = ConditionalGRU(3, 4, 8).double()
    for i, parameter in enumerate(decoder.parameters()):
        parameter.data = random(*parameter.shape, seed=i).detach() * 0.5
    annotations, previous, initial = random(3, 5, 8, seed=20), random(6, 3, 3, seed=21), random(3, 4, seed=22)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], dtype=torch.bool)
    leaves = [annotations, previous, initial, *decoder.parameters()]
    results = []
    for fast in (True, False):
        source = AnnotatedSource(annotations, decoder.attention.keys(annotations), mask)
        states, contexts = decoder(decoder.first.project(previous), initial, source, fast=fast)
        total = (states * random(6, 3, 4, seed=30)).sum() + (contexts * random(6, 3, 8, seed=31)).sum()
        results.append([states, contexts, *torch.autograd.grad(total, leaves)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kept_bytes", [2**30, 0], ids=["kept", "recomputed"])
def test_the_decoder_passes_gradcheck(kept_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fast_decoder.KEPT_BYTES, "cpu", kept_bytes)
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
    monkeypatch.setitem(cross_entropy.CHUNK_ELEMENTS, "cpu", elements)
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
    source = AnnotatedSource(annotations, decoder.attention.keys(annotations), torch.ones(3, 5, dtype=torch.bool))
    leaves, labels = (random(17, 5, seed=1), random(11, 5, seed=2), random(11, seed=3)), torch.arange(17) % 10 + 1

    def everything() -> list[Tensor]:
        states, contexts = decoder(projected, initial, source)
        encoded = run_gru(random(4, 3, 15, seed=7), random(3, 5, seed=8), random(5, 15, seed=9))
        return [states, contexts, encoded, *chunked_cross_entropy(*leaves, labels, 0.1)]

    expected = [tensor.detach() for tensor in everything()]

    def differentiated(*_: object) -> None:
        raise AssertionError("a gradient was computed that nobody wants")

    monkeypatch.setattr(cross_entropy.ChunkProducts, "differentiate", differentiated)
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


def assert_rounding(found: Sequence[Tensor], expected: Sequence[Tensor], bound: float = 3e-6) -> None:
    """float32 against float64: each number within `bound` of its tensor's largest."""
    for single, exact in zip(found, expected, strict=True):
        assert single.dtype == torch.float32
        assert exact.dtype == torch.float64
        error, scale = float((single - exact).detach().abs().max()), float(exact.detach().abs().max())
        assert error <= bound * scale + 1e-12, (tuple(exact.shape), error / scale)


def in_both(leaves: Sequence[Tensor]) -> list[list[Tensor]]:
    """The same numbers, which float32 holds, as leaves in float32 and in float64."""
    rounded = [leaf.detach().float() for leaf in leaves]
    return [[leaf.to(dtype).requires_grad_() for leaf in rounded] for dtype in (torch.float32, torch.float64)]


ODD = [(1, 1, 3), (5, 3, 7), (3, 16, 6), (4, 17, 5), (2, 33, 9), (3, 67, 2)]
"Steps, sequences and hidden size: one row, rows that are padded for their products and rows that are not."


@pytest.mark.parametrize(("steps", "batch", "hidden"), ODD)
def test_the_gru_in_float32_differs_by_rounding(steps: int, batch: int, hidden: int) -> None:
    shapes = [(steps, batch, 3 * hidden), (batch, hidden), (hidden, 3 * hidden)]
    single, exact = in_both([random(*shape, seed=i) for i, shape in enumerate(shapes)])
    weights = random(steps, batch, hidden, seed=9).detach()
    results = []
    for leaves, fast in ((single, True), (exact, False)):
        states = run_gru(*leaves, fast=fast)
        total = (states * weights.to(states.dtype)).sum()
        results.append([states, *torch.autograd.grad(total, leaves)])
    assert_rounding(*results)


@pytest.mark.parametrize("kept_bytes", [2**30, 0], ids=["kept", "recomputed"])
@pytest.mark.parametrize(("steps", "batch", "hidden"), ODD)
def test_the_decoder_in_float32_differs_by_rounding(
    steps: int, batch: int, hidden: int, kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fast_decoder.KEPT_BYTES, "cpu", kept_bytes)
    length, embedding, size = 7, 5, 2 * hidden
    decoders = [ConditionalGRU(embedding, hidden, size).to(dtype) for dtype in (torch.float32, torch.float64)]
    values = [random(*parameter.shape, seed=i).detach() * 0.5 for i, parameter in enumerate(decoders[0].parameters())]
    inputs = [(batch, length, size), (steps, batch, embedding), (batch, hidden)]
    both = in_both([random(*shape, seed=20 + i) for i, shape in enumerate(inputs)])
    mask = mask_of(torch.arange(batch) * 5 % length + 1, length)
    weights = random(steps, batch, 3 * hidden, seed=30).detach()
    results = []
    for decoder, leaves, fast in zip(decoders, both, (True, False), strict=True):
        for parameter, value in zip(decoder.parameters(), values, strict=True):
            parameter.data.copy_(value.float())
        annotations, previous, initial = leaves
        source = AnnotatedSource(annotations, decoder.attention.keys(annotations), mask)
        outputs = torch.cat(decoder(decoder.first.project(previous), initial, source, fast=fast), 2)
        total = (outputs * weights.to(outputs.dtype)).sum()
        gradients = torch.autograd.grad(total, [*leaves, *named(decoder)])
        results.append([outputs, *gradients])
    assert_rounding(*results, bound=1e-5)


def named(decoder: ConditionalGRU) -> list[Tensor]:
    """All parameters but the one whose gradient is zero: it shifts every energy alike."""
    return [parameter for name, parameter in decoder.named_parameters() if name != "attention.energy_bias"]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [1, 5, 17, 1000])
@pytest.mark.parametrize(("rows", "size", "targets"), [(1, 3, 5), (16, 7, 33), (37, 5, 129)])
def test_the_chunked_loss_in_float32_differs_by_rounding(
    rows: int, size: int, targets: int, chunk: int, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last chunk has fewer rows than the others wherever they do not divide."""
    monkeypatch.setattr(cross_entropy, "CHUNK_ROWS", chunk)
    monkeypatch.setitem(cross_entropy.CHUNK_ELEMENTS, "cpu", 1)
    shapes = [(rows, size), (targets, size), (targets,)]
    single, exact = in_both([random(*shape, seed=i) for i, shape in enumerate(shapes)])
    labels = torch.randint(1, targets, (rows,), generator=torch.Generator().manual_seed(4))
    results = []
    functions: list[Callable[..., cross_entropy.Costs]] = [chunked_cross_entropy, plain_cross_entropy]
    for function, leaves in zip(functions, (single, exact), strict=True):
        costs = function(*leaves, labels, smoothing)
        results.append([*costs, *torch.autograd.grad(costs.smoothed / 7, leaves)])
    assert_rounding(*results)


@pytest.mark.parametrize("pairs", [1, 3, 19, 50])
def test_a_whole_models_gradient_in_float32_differs_by_rounding(pairs: int) -> None:
    """Sentences of 1 to 9 pieces, so that most rows of a batch have padding on both sides."""
    draw = np.random.default_rng(pairs)
    sides = []
    for _ in range(2):
        lengths = draw.integers(1, 10, pairs)
        offsets = np.concatenate([[0], lengths.cumsum()])
        sides += [draw.integers(3, 40, offsets[-1], dtype=np.int32), offsets]
    maker = BatchMaker(ParallelIds(*sides), SourceView(40), TargetView(first=40, gap=0, size=40))
    batch = maker.make(np.arange(pairs))
    config = ModelConfig(embedding_size=7, hidden_size=9, dropout=0.0)
    results = []
    for dtype, fast, function in (
        (torch.float32, True, chunked_cross_entropy),
        (torch.float64, False, plain_cross_entropy),
    ):
        model = build_model(config, VocabularySizes(40, 40, 40)).to(dtype)
        model.fast = fast
        matrices = model.embeddings
        readout = model.readout(batch)
        costs = function(readout, matrices.output, matrices.output_bias, batch.target_labels(), 0.1)
        parameters = {name: value for name, value in model.named_parameters() if "energy_bias" not in name}
        gradients = torch.autograd.grad(costs.smoothed / batch.num_target_tokens, list(parameters.values()))
        results.append([readout, *costs, *gradients])
    assert_rounding(*results, bound=1e-4)  # the attention's gradients are small differences
