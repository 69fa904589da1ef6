"""nmt-train and what its validations say: the best, patience, time, the moving average, and scores that are none."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import nmt.tasks.translation.validation
import nmt.training.tally
from nmt.cli import train
from nmt.folder.averaging import AVERAGE, RECENT
from nmt.folder.bundle import BEST
from nmt.folder.weights import weight_tensors
from nmt.models.interface import TranslationModel
from nmt.search.expansion import NotNumbers
from nmt.tasks.translation.validation import TranslationScores, TranslationValidator
from nmt.training.loop import Trainer
from nmt.training.reporting import read_metrics
from nmt.training.step import Updater
from tests.integration.test_train_command import arguments, refused
from tests.tiny_corpus import make_prepared

NAN = float("nan")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"), pairs=200)


Weights = dict[str, Tensor]


def script(
    monkeypatch: pytest.MonkeyPatch, scores: Mapping[int, float], cross_entropy: float = 1.0
) -> dict[int, Weights]:
    """Validations say BLEU by update, the last of `scores` from there on. Fills what is returned with the weights that
    were validated."""
    seen: dict[int, Weights] = {}
    run: Callable[..., None] = Trainer._run

    def of(self: Trainer, validator: TranslationValidator, cost: object) -> None:
        def scripted(model: TranslationModel, tick: object) -> TranslationScores:
            update = self.progress.update
            seen[update] = {name: tensor.clone() for name, tensor in weight_tensors(model).items()}
            score = scores[max(known for known in scores if known <= update)]
            return TranslationScores(cross_entropy, cross_entropy * 9, score)

        validator.run = scripted  # type: ignore[method-assign]
        run(self, validator, cost)

    monkeypatch.setattr(Trainer, "_run", of)
    return seen


def words(prepared: Path, model: Path, updates: int, **settings: object) -> list[str]:
    wanted = {"validate_every": 2, "save_every": 3, **settings}
    changed = [word for key, value in wanted.items() for word in ("--set", f"training.{key}={value}")]
    return arguments(prepared, model, "--quiet", *changed, "--max-updates", str(updates))


def state(model: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((model / "last/state.json").read_text())
    return found


def equal(left: Weights, right: Weights) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_the_moving_average_is_validated_and_the_best_and_the_run_goes_on_from_its_own_weights(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    seen = script(monkeypatch, {2: 5.0, 4: 7.0, 6: 6.0})
    assert train.main(words(prepared, model, 6, ema=0.9)) == 0
    best, last, average = (load_file(model / name) for name in (BEST, "last/weights.safetensors", f"last/{AVERAGE}"))
    assert sorted(seen) == [2, 4, 6]
    assert equal(best, seen[4])
    assert equal(average, seen[6])
    assert not any(torch.equal(last[name], average[name]) for name in last if last[name].numel() > 1)
    monkeypatch.undo()
    again = tmp_path / "again"
    raw = script(monkeypatch, {2: 5.0, 4: 7.0, 6: 6.0})
    assert train.main(words(prepared, again, 6, ema=0)) == 0
    assert equal(load_file(again / "last/weights.safetensors"), last)  # the average has no part in the updates
    assert equal(raw[6], last)


@pytest.mark.parametrize("parts", [[40], [4, 8, 40], [10, 40]], ids=str)
def test_patience_ends_a_run_at_the_same_validation_however_often_it_was_continued(
    parts: list[int], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Better at 2, 4 and 10; equal at 12 is no improvement; the third without one is at 16."""
    model = tmp_path / "model"
    script(monkeypatch, {2: 1.0, 4: 3.0, 6: 2.0, 8: 3.0, 10: 4.0, 12: 4.0, 14: 1.0, 16: 3.9, 18: 99.0})
    for limit in parts:
        assert train.main(words(prepared, model, limit, patience=3)) == 0
    found = state(model)
    assert found["update"] == 16
    assert found["finished"] == "no improvement in 3 validations"
    assert (found["best_update"], found["best_score"], found["waiting"]) == (10, 4.0, 3)


def test_no_patience_is_endless(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, {2: 5.0, 4: 1.0})
    assert train.main(words(prepared, tmp_path / "model", 12, patience=0)) == 0
    assert (state(tmp_path / "model")["update"], state(tmp_path / "model")["waiting"]) == (12, 5)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that is ten seconds later whenever it is read: once before each update, and in each validation."""
    fake = SimpleNamespace(now=0.0, process_time=time.process_time)

    def monotonic() -> float:
        fake.now += 10
        return float(fake.now)

    fake.monotonic = monotonic
    monkeypatch.setattr(nmt.training.tally, "time", fake)
    return fake


@pytest.mark.parametrize(("parts", "updates"), [([40], 6), ([3, 40], 5)], ids=str)
def test_minutes_end_a_run_and_earlier_sessions_count(
    parts: list[int],
    updates: int,
    clock: SimpleNamespace,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first session of two has 30 s of updates and 10 of its validation; what lies between them does not count."""
    model = tmp_path / "model"
    script(monkeypatch, {0: 1.0})
    for limit in parts:
        assert train.main(words(prepared, model, limit, max_minutes=1, validate_every=100)) == 0
        clock.now += 1e6
    assert state(model)["update"] == updates
    assert state(model)["finished"] == "1 minutes"
    assert load_file(model / BEST)  # it was validated before it ended


@pytest.mark.parametrize("bad", [{"bleu": NAN}, {"cross_entropy": NAN, "cost": NAN}, {"cost": float("inf")}], ids=str)
def test_a_validation_that_is_not_finite_is_no_improvement(
    bad: dict[str, float],
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first of all, one after the best, and two in a row that use up patience."""
    model = tmp_path / "model"
    good = TranslationScores(1.0, 9.0, 5.0)
    wrong = dataclasses.replace(good, **bad)
    said = iter([wrong, good, wrong, dataclasses.replace(good, bleu=6.0), wrong, wrong, wrong])
    there: list[bool] = []

    def run(self: TranslationValidator, model_: TranslationModel, tick: object) -> TranslationScores:
        there.append((model / BEST).exists())
        return next(said)

    monkeypatch.setattr(TranslationValidator, "run", run)
    assert train.main(words(prepared, model, 40, patience=2, average_last=9)) == 0
    assert there[:3] == [False, False, True]
    found = state(model)
    assert (found["update"], found["best_update"], found["best_score"]) == (12, 8, 6.0)
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 4
    assert all("not finite, which counts as no improvement; these weights are not kept" in line for line in printed)
    assert printed[0].startswith("validation at update 2: cross entropy ")
    assert sorted(path.name for path in (model / RECENT).iterdir()) == ["4.safetensors", "8.safetensors"]
    checks = [record for record in read_metrics(model / "metrics.jsonl") if record["kind"] == "validation"]
    for name in bad:
        assert [checks[0][name] is None, checks[1][name] is None] == [True, False]
    for line in (model / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda constant: pytest.fail(constant))


def test_an_average_that_is_not_finite_is_not_kept(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    said = iter([TranslationScores(1.0, 9.0, 5.0), TranslationScores(1.0, 9.0, 6.0), TranslationScores(NAN, NAN, NAN)])
    monkeypatch.setattr(TranslationValidator, "run", lambda *_: next(said))
    wanted = [word for word in words(prepared, model, 4, average_last=2) if word != "--quiet"]
    assert train.main(wanted) == 0
    assert "average of the last 2 validations' weights: cross entropy nan, BLEU nan: not finite, not kept" in (
        capsys.readouterr().err
    )
    assert state(model)["best_score"] == 6.0
    assert not (model / AVERAGE).exists()


@pytest.mark.parametrize("bleu", [True, False])
def test_a_run_without_any_number_ends_in_one_line(
    bleu: bool, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights themselves are NaN where they are validated: no search is tried, and nothing is written as best."""
    begin = Updater.begin

    def spoilt(self: Updater, batches: Sequence[object], number: int, epoch: int = 0) -> None:
        begin(self, batches, number, epoch)
        if number == 2:
            for average in self.average.values():
                average.fill_(NAN)

    def search(*_: object) -> None:
        pytest.fail("a search of weights that are known to be none")

    monkeypatch.setattr(Updater, "begin", spoilt)
    monkeypatch.setattr(TranslationValidator, "_translate", search)
    model = tmp_path / "model"
    metric = "bleu" if bleu else "cost"
    for _ in range(2):  # and the same again, since nothing is finished
        line = refused(words(prepared, model, 4, validation_metric=metric), capsys)
        assert line == (
            "training: no validation gave a finite score, so that there are no best weights (ended after 4 updates of "
            "4); lower training.learning_rate and start over with --force"
        )
        assert not (model / BEST).exists()
        assert state(model)["finished"] == ""
        assert state(model)["waiting"] == 2
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(model / "last/weights.safetensors").values())


def test_a_search_that_finds_no_numbers_is_a_validation_that_is_not_finite(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The references' cost may be finite where longer translations overflow."""
    search, calls = nmt.tasks.translation.validation.beam_search, []

    def failing(*given: object) -> object:
        calls.append(1)
        if len(calls) == 4:  # two are the memory's
            raise NotNumbers("the model's probabilities are not numbers (NaN)")
        return search(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(nmt.tasks.translation.validation, "beam_search", failing)
    assert train.main(words(prepared, tmp_path / "model", 4)) == 0
    printed = capsys.readouterr().err
    assert printed.startswith("validation at update 4: cross entropy ")
    assert ", BLEU nan: not finite, which counts" in printed
    assert (state(tmp_path / "model")["best_update"], state(tmp_path / "model")["waiting"]) == (2, 1)
