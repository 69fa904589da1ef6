"""bfloat16 products: near float32, whatever the processor; weights in float32; training that goes the same way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from nmt.config import ModelConfig, TrainingConfig
from nmt.data.batching import BatchMaker, Budget, EpochPlan
from nmt.data.corpus import PreparedCorpus
from nmt.layers.precision import StepProduct, dense, multiply, over_time, product
from nmt.layers.processor import native_bfloat16
from nmt.models.build import VocabularySizes, build_model
from nmt.tasks.translation.objective import TranslationObjective
from nmt.training.step import Updater
from tests.tiny_corpus import make_prepared

pytestmark = pytest.mark.numeric
BF16 = torch.bfloat16


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products; more threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error(found: Tensor, exact: Tensor) -> float:
    """Distance from the exact result, relative to its size."""
    assert found.dtype == torch.float32
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_a_rounded_product_is_within_one_percent(rows: int) -> None:
    inputs, weight, base = random(rows, 300, seed=1), random(300, 80, seed=2), random(rows, 80, seed=3)
    exact = inputs.double() @ weight.double()
    step = StepProduct(weight, rows, BF16)
    for found in (product(inputs, weight, BF16), step(inputs)):
        assert 1e-4 < error(found, exact) < 0.01  # rounded indeed, and not by much
    assert 1e-4 < error(step.added_to(base, inputs), base.double() + exact) < 0.01
    time = random(20, 8, 30, seed=4), random(20, 8, 50, seed=5)
    exact = torch.einsum("tbx,tby->xy", time[0].double(), time[1].double())
    assert 1e-4 < error(over_time(*time, BF16), exact) < 0.01


@pytest.mark.parametrize("shape", [(7, 30), (3, 5, 30)])
def test_the_gradients_of_a_rounded_product_are_within_one_percent(shape: tuple[int, ...]) -> None:
    inputs, weight = random(*shape, seed=1).requires_grad_(), random(30, 20, seed=2).requires_grad_()
    upstream = random(*shape[:-1], 20, seed=3)
    found = torch.autograd.grad((product(inputs, weight, BF16) * upstream).sum(), (inputs, weight))
    doubles = inputs.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    exact = torch.autograd.grad((doubles[0] @ doubles[1] * upstream.double()).sum(), doubles)
    for gradient, reference in zip(found, exact, strict=True):
        assert 1e-4 < error(gradient, reference) < 0.01


def test_a_rounded_product_is_that_of_rounded_inputs() -> None:
    """To the float32 sums where there are no bfloat16 products, to one more rounding where the library makes it."""
    inputs, weight = random(33, 300, seed=1), random(300, 80, seed=2)
    exact = inputs.bfloat16().double() @ weight.bfloat16().double()
    most = 2e-3 if native_bfloat16(inputs.device) else 1e-6
    assert error(product(inputs, weight, BF16), exact) < most
    assert error(StepProduct(weight, 33, BF16)(inputs), exact) < most
    time = random(20, 8, 30, seed=4), random(20, 8, 50, seed=5)
    exact = torch.einsum("tbx,tby->xy", *(part.bfloat16().double() for part in time))
    assert error(over_time(*time, BF16), exact) < most


def test_steps_do_not_write_over_each_other() -> None:
    for dtype in (torch.float32, BF16):
        step, inputs = StepProduct(random(40, 30, seed=1), 21, dtype), (random(21, 40, seed=2), random(21, 40, seed=3))
        first = step(inputs[0])
        kept = first.clone()
        step(inputs[1])
        assert torch.equal(first, kept)


def test_a_float32_product_is_not_rounded() -> None:
    inputs, weight, base = random(64, 300, seed=1), random(300, 80, seed=2), random(64, 80, seed=3)
    exact = inputs.double() @ weight.double()
    step = StepProduct(weight, 64, torch.float32)
    assert max(error(step(inputs), exact), error(product(inputs, weight, torch.float32), exact)) < 1e-6
    assert error(step.added_to(base, inputs), base.double() + exact) < 1e-6


def test_views_are_multiplied_as_what_they_show() -> None:
    wide, rows = random(300, 200, seed=1), random(64, 600, seed=2)
    left, right = rows[:, ::2], wide[:, :80]
    assert dense(right).is_contiguous()
    assert dense(wide.t()) is not wide
    assert dense(wide.t()).data_ptr() == wide.data_ptr()
    assert error(multiply(left, right), left.double() @ right.double()) < 1e-6
    assert error(multiply(right.t(), left.t()), right.t().double() @ left.t().double()) < 1e-6


def test_a_product_added_to_a_base_leaves_base_and_earlier_results_alone() -> None:
    base, step = random(4, 8, seed=1), StepProduct(random(6, 8, seed=2), 4, BF16)
    before = base.clone()
    first = step.added_to(base, random(4, 6, seed=3))
    kept = first.clone()
    step.added_to(base, random(4, 6, seed=4))
    assert torch.equal(base, before)
    assert torch.equal(first, kept)


def train(corpus: PreparedCorpus, precision: str, updates: int, *, fast: bool = True) -> tuple[Updater, list[float]]:
    """Loss per piece of each update of a three-way tied model."""
    config = TrainingConfig(precision=precision, fast=fast, learning_rate=0.005, warmup_updates=0, schedule="constant")
    model = build_model(
        ModelConfig(embedding_size=32, hidden_size=48, dropout=0.1, initialization="scaled"),
        VocabularySizes.of(corpus.vocabulary),
    )
    pairs, updater, losses = corpus.split("train"), Updater(model, config, TranslationObjective(config)), []
    maker = BatchMaker(pairs, corpus.vocabulary.source_view(True), corpus.vocabulary.target_view(True))
    stream = EpochPlan(pairs, Budget(400, 0, 100), seed=1).stream(0, 0)
    for number in range(1, updates + 1):
        batch = maker.make(next(stream)[2])
        losses.append(updater.update(batch, number).smoothed / batch.num_target_tokens)
    return updater, losses


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return PreparedCorpus.open(make_prepared(tmp_path_factory.mktemp("data"), pairs=300))


def test_training_in_bfloat16_goes_the_way_of_float32(corpus: PreparedCorpus) -> None:
    (_, exact), (updater, rounded) = (train(corpus, precision, 30) for precision in ("float32", "bf16"))
    assert exact != rounded
    assert exact[-1] < 0.8 * exact[0]
    assert rounded[0] == pytest.approx(exact[0], rel=0.002)
    assert sum(rounded[-10:]) == pytest.approx(sum(exact[-10:]), rel=0.03)
    assert {parameter.dtype for parameter in updater.parameters.values()} == {torch.float32}
    states = [tensor for state in updater.optimizer.state.values() for tensor in state.values()]
    assert {tensor.dtype for tensor in states} == {torch.float32}


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-3), ("bf16", 2e-3)])
def test_training_by_plain_steps_makes_the_same_updates(corpus: PreparedCorpus, precision: str, most: float) -> None:
    """With dropout, whose draws do not depend on the path; within rounding that training itself magnifies."""
    (one, fast), (other, plain) = (train(corpus, precision, 16, fast=path) for path in (True, False))
    assert fast != plain, "both took the same path"
    assert fast == pytest.approx(plain, rel=most)
    if precision != "float32":
        return
    for name, expected in other.parameters.items():
        if not name.endswith("energy_bias"):  # shifts all energies alike: its gradient is 0, or whatever rounding makes
            difference = (one.parameters[name] - expected).detach().norm() / expected.detach().norm().clamp_min(1e-3)
            assert float(difference) < 0.02, name
