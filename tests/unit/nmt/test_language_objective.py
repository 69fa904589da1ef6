"""What an update of a language model is: its cost, the state it carries, parts, and updates that are left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.nn import functional

from nmt.config import LanguageConfig, TrainingConfig
from nmt.data.streams import Streams, TextBatch
from nmt.models.language import LanguageModel
from nmt.models.language_build import build_language_model
from nmt.tasks.interface import Carried, Loss
from nmt.tasks.language.objective import LanguageObjective
from nmt.training.optimizers import learning_rate
from nmt.training.step import Updater

WORDS = np.random.default_rng(0).integers(0, 11, 4 * 13).astype(np.int32)
CONFIG = LanguageConfig(embedding_size=5, layers=2, projection=True, streams=4, unroll=3, weight_decay=0.01)
SETTINGS = {"precision": "float32", "optimizer": "sgd", "learning_rate": 0.5, "warmup_updates": 0, "ema": 0.0}
Numbers = dict[str, torch.Tensor]


def updater_of(*, deferred: bool = False, **more: object) -> Updater:
    model = build_language_model(CONFIG, 11, seed=3).to(torch.float64)
    settings = TrainingConfig(**(SETTINGS | {"schedule": "epochs"} | more))  # type: ignore[arg-type]
    return Updater(model, settings, LanguageObjective(4, CONFIG.weight_decay), deferred=deferred)


def batches() -> Iterator[TextBatch]:
    return iter(Streams(WORDS, 4, 3))


def numbers(updater: Updater) -> Numbers:
    weights = {name: parameter.detach().clone() for name, parameter in updater.parameters.items()}
    return weights | {name: part.clone() for name, part in updater.carried.items()}


def plain_update(model: LanguageModel, batch: TextBatch, state: tuple[torch.Tensor, ...], rate: float) -> list[object]:
    """The paper's update in a few lines: sum over steps, mean over streams, half of lambda P's squares, decay."""
    rows, state = model.features(batch.words, state)
    scores = model.embeddings.scores(rows)
    cost = functional.cross_entropy(scores.flatten(0, 1), batch.labels.flatten(), reduction="sum") / 4
    penalty = CONFIG.projection_penalty / 2 * model.projection.weight.square().sum() / 4  # type: ignore[union-attr]
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(cost + penalty, parameters)
    factor = min(1.0, 1.0 / float(torch.stack([g.norm() for g in gradients]).norm()))
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= rate * factor * gradient
            parameter *= 1 - CONFIG.weight_decay
    return [float((cost + penalty).detach()), tuple(part.detach() for part in state)]


def test_updates_are_the_papers_and_the_state_goes_from_one_to_the_next() -> None:
    updater, model = updater_of(clip_norm=1.0), build_language_model(CONFIG, 11, seed=3).to(torch.float64)
    state = model.initial_state(4)
    for number, batch in enumerate(batches(), 1):
        loss, state = plain_update(model, batch, state, 0.5)  # type: ignore[assignment]
        assert updater.update(batch, number).loss == pytest.approx(loss)
        found = numbers(updater)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(found[name], parameter.detach(), rtol=1e-9, atol=1e-12)
        for number_of_part, part in enumerate(state):
            torch.testing.assert_close(found[f"state.{number_of_part}"], part, rtol=1e-9, atol=1e-12)
    begins = next(batches())
    assert begins.begins
    model.load_state_dict(updater.model.state_dict())
    zero = model.features(begins.words, model.initial_state(4)).state
    updater.update(begins, 9)
    for number_of_part, part in enumerate(zero):
        torch.testing.assert_close(updater.carried[f"state.{number_of_part}"], part.detach(), rtol=1e-9, atol=1e-12)


def test_parts_of_the_streams_make_the_same_updates_and_states() -> None:
    whole, parts = updater_of(), updater_of(part_tokens=6)
    for number, batch in enumerate(batches(), 1):
        one, other = whole.update(batch, number), parts.update(batch, number)
        assert one.loss == pytest.approx(other.loss)
        assert one.cross_entropy == pytest.approx(other.cross_entropy)
        for (name, left), right in zip(numbers(whole).items(), numbers(parts).values(), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("deferred", [False, True])
def test_an_update_that_is_left_out_changes_neither_weights_nor_state(
    deferred: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    updater, plain, made = updater_of(deferred=deferred, skip_nonfinite=1), Updater.loss, []

    def loss(self: Updater, batch: TextBatch, carried: Carried) -> Loss:
        made.append(1)
        found = plain(self, batch, carried)
        return found._replace(loss=found.loss * float("nan")) if len(made) == 2 else found

    monkeypatch.setattr(Updater, "loss", loss)
    seen = []
    for number, batch in enumerate(batches(), 1):
        updater.begin([batch], number)
        seen.append(numbers(updater))
    assert [result.finite for result in updater.read()] == [True, False, True, True]
    assert all(torch.equal(seen[1][name], value) for name, value in seen[0].items())
    assert not any(torch.equal(seen[2][name], seen[1][name]) for name in updater.carried)


def test_the_rate_falls_in_every_epoch_from_one_on() -> None:
    """Zaremba et al.'s small model: 1 in epochs 1 to 5, a half in the 6th, a quarter in the 7th."""
    settings = TrainingConfig(schedule="epochs", learning_rate=1.0, warmup_updates=0, decay=2.0, decay_from=6)
    assert [learning_rate(settings, 99, epoch) for epoch in (0, 4, 5, 6)] == [1.0, 1.0, 0.5, 0.25]
