"""Updates of several batches or workers equal those of one batch; what is not finite is left out, on the device too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nmt.config import ModelConfig, TrainingConfig
from nmt.data.batching import Batch, BatchMaker
from nmt.data.corpus import PreparedCorpus
from nmt.models.build import VocabularySizes, build_model
from nmt.tasks.interface import Carried, Loss
from nmt.tasks.translation.objective import TranslationObjective, share_of
from nmt.training.step import StepResult, Updater, update_seed
from tests.tiny_corpus import make_prepared

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"), pairs=300)


@pytest.fixture(scope="module")
def maker(prepared: Path) -> BatchMaker:
    corpus = PreparedCorpus.open(prepared)
    return BatchMaker(corpus.split("train"), corpus.vocabulary.source_view(True), corpus.vocabulary.target_view(True))


def updater_of(
    maker: BatchMaker, *, deferred: bool = False, dtype: torch.dtype = torch.float64, **settings: object
) -> Updater:
    size = maker.target_view.size + maker.target_view.gap
    config = ModelConfig(embedding_size=6, hidden_size=5, dropout=0.0)
    model = build_model(config, VocabularySizes(size, size, size)).to(dtype)
    training = TrainingConfig(precision="float32", **settings)  # type: ignore[arg-type]
    return Updater(model, training, TranslationObjective(training), deferred=deferred)


def weights(updater: Updater) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in updater.parameters.items()}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_shares_part_a_batch_into_equal_neighbours(size: int, maker: BatchMaker) -> None:
    batch = maker.make(np.arange(30))
    shares = [share_of(batch, rank, size) for rank in range(size)]
    there = [share for share in shares if share is not None]
    assert sum((share.pairs for share in there), ()) == batch.pairs
    assert sum(share.num_target_tokens for share in there) == batch.num_target_tokens
    longest = int((batch.source_lengths + batch.target_lengths).max())
    tokens = [int((share.source_lengths + share.target_lengths).sum()) if share else 0 for share in shares]
    assert max(tokens) - min(tokens) <= 2 * longest
    for share in there:
        expected = maker.make(share.pairs)
        for name in ("source", "source_lengths", "target", "target_lengths"):
            assert torch.equal(getattr(share, name), getattr(expected, name))


@pytest.mark.parametrize("normalization", ["tokens", "sentences"])
def test_batches_summed_are_the_larger_batch(normalization: str, maker: BatchMaker) -> None:
    """In float64; the parts have other numbers of pairs and of pieces."""
    parts, whole = [np.arange(9), np.arange(9, 12), np.arange(12, 40)], np.arange(40)
    found = []
    for rows in (parts, [whole]):
        updater = updater_of(maker, normalization=normalization)
        updater.begin([maker.make(part) for part in rows], 1)
        found.append((weights(updater), updater.read()[0]))
    (left, one), (right, other) = found
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=1e-9, atol=1e-12)
    assert one.loss == pytest.approx(other.loss)
    assert one.smoothed == pytest.approx(other.smoothed)
    assert one.gradient_norm == pytest.approx(other.gradient_norm)


@pytest.mark.parametrize("normalization", ["tokens", "sentences"])
def test_a_batch_in_parts_is_the_batch(normalization: str, maker: BatchMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[dict[str, torch.Tensor], StepResult]] = []
    sizes: list[int] = []
    plain = Updater.loss

    def counted(self: Updater, batch: Batch, carried: Carried) -> Loss:
        sizes.append(batch.num_target_tokens)
        return plain(self, batch, carried)

    monkeypatch.setattr(Updater, "loss", counted)
    for limit in (0, 60):
        updater = updater_of(maker, normalization=normalization, part_tokens=limit)
        updater.begin([maker.make(np.arange(40))], 1)
        found.append((weights(updater), updater.read()[0]))
    whole, *parts = sizes
    assert sum(parts) == whole
    assert len(parts) > 2
    assert max(parts) < 90
    for name, expected in found[0][0].items():
        torch.testing.assert_close(found[1][0][name], expected, rtol=1e-9, atol=1e-12)
    assert found[1][1].loss == pytest.approx(found[0][1].loss)


@pytest.mark.parametrize("normalization", ["tokens", "sentences"])
def test_the_workers_gradients_sum_to_one_workers(normalization: str, maker: BatchMaker) -> None:
    updater, batch = updater_of(maker, normalization=normalization), maker.make(np.arange(20))
    updater.loss(batch)[0].backward()  # type: ignore[no-untyped-call]
    wanted = {name: p.grad.clone() for name, p in updater.parameters.items() if p.grad is not None}
    updater.optimizer.zero_grad()
    for rank in range(3):
        share = share_of(batch, rank, 3)
        assert share is not None
        updater._differentiate(share, updater.objective.count(share) / updater.objective.count(batch), {})
    for name, gradient in wanted.items():
        torch.testing.assert_close(updater.parameters[name].grad, gradient, rtol=1e-9, atol=1e-12)


def test_every_worker_draws_for_itself() -> None:
    seeds = {update_seed(1, number, rank) for number in (1, 2, 11) for rank in (0, 1, 11)}
    assert len(seeds) == 9


def poison(monkeypatch: pytest.MonkeyPatch, *calls: int) -> None:
    """Make the loss of these calls, from 1, not a number."""
    plain, made = Updater.loss, []

    def loss(self: Updater, batch: Batch, carried: Carried) -> Loss:
        made.append(1)
        found = plain(self, batch, carried)
        return found._replace(loss=found.loss * float("nan")) if len(made) in calls else found

    monkeypatch.setattr(Updater, "loss", loss)


@pytest.mark.parametrize("optimizer", ["adam", "adadelta"])
def test_a_device_that_is_not_waited_for_makes_the_same_updates(
    optimizer: str, maker: BatchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third of five updates is not finite: weights, states and average are as if it had not been tried."""
    batches = [maker.make(np.arange(start, start + 20)) for start in range(0, 100, 20)]
    found = []
    for deferred in (False, True):
        poison(monkeypatch, 3)
        updater = updater_of(maker, deferred=deferred, optimizer=optimizer, skip_nonfinite=1, clip_norm=0.1)
        for number, batch in enumerate(batches, 1):
            updater.begin([batch], number)
        monkeypatch.undo()
        found.append((updater, updater.read()))
    (eager, told), (lazy, told_later) = found
    assert (
        [result.finite for result in told]
        == [result.finite for result in told_later]
        == [True, True, False, True, True]
    )
    assert [r.gradient_norm for r in told[:2]] == pytest.approx([r.gradient_norm for r in told_later[:2]])
    for name, parameter in eager.parameters.items():
        torch.testing.assert_close(lazy.parameters[name], parameter, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(lazy.average[name], eager.average[name], rtol=1e-7, atol=1e-9)
        for key, value in eager.optimizer.state[parameter].items():
            if key != "step":
                torch.testing.assert_close(lazy.optimizer.state[lazy.parameters[name]][key], value)


def test_after_too_many_the_device_makes_no_update(maker: BatchMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, 2, 3)
    updater, batch = updater_of(maker, deferred=True, skip_nonfinite=1), maker.make(np.arange(10))
    updater.begin([batch], 1)
    kept = weights(updater)
    for number in (2, 3, 4, 5):
        updater.begin([batch], number)
    assert [result.finite for result in updater.read()] == [True, False, False, True, True]
    assert all(torch.equal(kept[name], value) for name, value in weights(updater).items())
    updater.refused.fill_(0)
    updater.begin([batch], 6)
    assert any(not torch.equal(kept[name], value) for name, value in weights(updater).items())


def test_an_update_that_lacks_a_workers_part_is_not_made_nor_any_after_it(maker: BatchMaker) -> None:
    """As on a GPU whose sums were broken off: of two workers' parts there is this one's alone."""
    updater, batch = updater_of(maker, deferred=True, skip_nonfinite=9), maker.make(np.arange(10))
    kept, parts = weights(updater), iter([1, 1, 2])
    updater.workers.size = 2
    updater.workers.add_up = lambda _, totals: totals.mul_(next(parts))  # type: ignore[assignment, method-assign]
    for number in (1, 2, 3):
        updater.begin([batch], number)
    assert [result.complete for result in updater.read()] == [False, False, True]
    assert all(torch.equal(kept[name], value) for name, value in weights(updater).items())


def gradient_of(updater: Updater, batch: Batch) -> dict[str, torch.Tensor]:
    """The whole batch's, through the loss alone."""
    updater.model.train()
    updater.loss(batch)[0].backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad.clone() for name, p in updater.parameters.items() if p.grad is not None}
    updater.optimizer.zero_grad()
    return found


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("way", ["whole", "in parts", "several batches"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("share", [0.25, 4.0, 0.0], ids=["clipped", "below the limit", "never"])
def test_the_step_is_of_clipped_gradients_and_the_norm_that_of_before(
    share: float, dtype: torch.dtype, tolerance: float, way: str, deferred: bool, maker: BatchMaker
) -> None:
    """share: of the gradient's norm, the limit. Adam's first mean is a tenth of the gradient that it was given."""
    rows = np.arange(40)
    gradient = gradient_of(updater_of(maker, dtype=dtype), maker.make(rows))
    norm = float(sum((value.double() ** 2).sum() for value in gradient.values())) ** 0.5
    settings = {"part_tokens": 60} if way == "in parts" else {}
    updater = updater_of(maker, dtype=dtype, deferred=deferred, clip_norm=share * norm, **settings)
    parts = [rows[:9], rows[9:12], rows[12:]] if way == "several batches" else [rows]
    updater.begin([maker.make(part) for part in parts], 1)
    assert updater.read()[0].gradient_norm == pytest.approx(norm, rel=tolerance)
    factor = min(1.0, share) if share else 1.0
    for name, value in gradient.items():
        mean = updater.optimizer.state[updater.parameters[name]]["exp_avg"]
        torch.testing.assert_close(10 * mean, factor * value, rtol=tolerance, atol=tolerance * norm)


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("ema", [0.999, 0.3], ids=["warm-up", "decay"])
def test_the_moving_average_has_a_short_memory_at_first(ema: float, deferred: bool, maker: BatchMaker) -> None:
    """Its decay at update n is min(ema, (1 + n) / (10 + n)): 2/11, 3/12, 4/13 ..., and later ema."""
    updater = updater_of(maker, ema=ema, deferred=deferred, warmup_updates=0, learning_rate=0.1)
    expected = weights(updater)
    for number in (1, 2, 3, 4, 50_000):
        updater.begin([maker.make(np.arange(10 * (number % 7), 10 * (number % 7) + 10))], number)
        decay = {1: 2 / 11, 2: 3 / 12, 3: 4 / 13, 4: 5 / 14}.get(number, ema)
        decay = min(decay, ema)
        for name, now in weights(updater).items():
            expected[name] = decay * expected[name] + (1 - decay) * now
            torch.testing.assert_close(updater.average[name], expected[name], rtol=1e-6, atol=1e-8)


def test_the_step_size_is_that_of_the_updates_number(maker: BatchMaker) -> None:
    settings = {"learning_rate": 0.5, "schedule": "inverse-sqrt", "warmup_updates": 4}
    updater = updater_of(maker, **settings)
    found = []
    for number in (1, 2, 4, 5, 16):
        updater.update(maker.make(np.arange(5)), number)
        found.append(updater.optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([0.125, 0.25, 0.5, 0.5 * (4 / 5) ** 0.5, 0.25])


@pytest.mark.parametrize("optimizer", ["adam", "adadelta"])
def test_an_update_that_the_device_leaves_out_changes_no_bit(
    optimizer: str, maker: BatchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    updater = updater_of(maker, deferred=True, dtype=torch.float32, optimizer=optimizer, skip_nonfinite=5)
    updater.begin([maker.make(np.arange(10))], 1)

    def state() -> list[bytes]:
        states = updater.optimizer.state.values()
        tensors = [*updater.parameters.values(), *updater.average.values(), *(v for s in states for v in s.values())]
        return [tensor.detach().numpy().tobytes() for tensor in tensors]

    before = state()
    poison(monkeypatch, 1, 2)
    for number in (2, 3):
        updater.begin([maker.make(np.arange(10, 20))], number)
    assert [result.finite for result in updater.read()] == [True, False, False]
    assert state() == before
