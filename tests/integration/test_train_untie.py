"""Matrices that are tied part of a run: what is copied, that a run is continued across it to the bit, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from nmt.cli import average, train
from nmt.config import ModelConfig, TrainingConfig
from nmt.data.batching import BatchMaker
from nmt.data.corpus import PreparedCorpus
from nmt.data.feed import Feed
from nmt.data.position import Position
from nmt.folder.bundle import BEST, load_bundle, read_config
from nmt.folder.weights import read_tensors
from nmt.models.build import VocabularySizes, build_model
from nmt.tasks.translation.objective import TranslationObjective
from nmt.tasks.translation.validation import TranslationScores, TranslationValidator
from nmt.text.vocabulary import Vocabulary
from nmt.training.optimizers import load_optimizer, optimizer_tensors
from nmt.training.step import Updater
from nmt.translate.scorer import Scorer
from nmt.translate.translator import Translator
from tests.integration.test_train_command import refused
from tests.integration.test_train_ways import same_weights, words
from tests.tiny_corpus import make_prepared

CPU = torch.device("cpu")
PLANS = (("three-way", "training.untie_at=4"), ("decoder", "training.tie_at=4"))
EVERYTHING = (
    "three-way", "training.untie_at=4", "model.output_rows=target", "model.normalized_rows=true",
    "model.role_projections=[source, output]", "training.tie_gradient_scale=output=0.5",
    "training.record_tying=true", "training.log_every=2",
)  # fmt: skip
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"), pairs=150)


def run(prepared: Path, model: Path, updates: int, plan: tuple[str, ...], *more: str, network: str = "rnn") -> Path:
    given = words(prepared, model, network, updates, *(word for word in plan[1:] if "=" in word))
    assert train.main([*given, "--tying", plan[0], *more]) == 0
    return model


def last(model: Path) -> tuple[Weights, Weights, Weights]:
    """Weights, optimizer states, average."""
    names = ("weights", "optimizer", "average")
    return tuple(load_file(model / f"last/{name}.safetensors") for name in names)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("network", "plan"),
    [*(("rnn", plan) for plan in PLANS), ("transformer", EVERYTHING)],
)
def test_a_run_is_continued_to_the_bit_before_at_and_after_the_change(
    prepared: Path, tmp_path: Path, plan: tuple[str, ...], network: str
) -> None:
    whole = run(prepared, tmp_path / "whole", 7, plan, network=network)
    ends = [(3, 7), (4, 5, 7)] if network == "rnn" else [(3, 4, 7)]
    for number, updates in enumerate(ends):
        for end in updates:
            run(prepared, tmp_path / str(number), end, plan, network=network)
        same_weights(whole / "last", tmp_path / str(number) / "last")


@pytest.mark.parametrize(("tied", "optimizer"), [("three-way", "adam"), ("decoder", "adadelta")])
def test_the_untied_start_where_the_tied_ended(prepared: Path, tmp_path: Path, tied: str, optimizer: str) -> None:
    """Weights, moments, counts of steps and the average, row by row; an update then is an untied model's from there."""
    keys = (f"training.optimizer={optimizer}",)
    before = run(prepared, tmp_path / "before", 4, (tied, *keys))
    after = run(prepared, tmp_path / "after", 5, (tied, *keys, "training.untie_at=4"))
    vocabulary = PreparedCorpus.open(prepared).vocabulary
    bundle = load_bundle(run(prepared, tmp_path / "untied", 4, ("untied", *keys)), CPU)
    updater = Updater(bundle.model.requires_grad_(True), settings_of(after), TranslationObjective(settings_of(after)))
    kinds = [expected_copies(kind, vocabulary, tied) for kind in last(before)]
    updater.restore(kinds[0], kinds[2], {})
    load_optimizer(updater.optimizer, list(updater.parameters), kinds[1])
    batch = batch_number(prepared, 4, settings_of(after))
    updater.update(batch, 5)
    weights, states, averages = last(after)
    assert weights.keys() == updater.parameters.keys()
    for name, parameter in updater.parameters.items():
        assert torch.equal(weights[name], parameter), name
        assert torch.equal(averages[name], updater.average[name]), name
    made = optimizer_tensors(updater.optimizer, list(updater.parameters))
    assert made.keys() == states.keys()
    assert all(torch.equal(made[name], states[name]) for name in made)


def settings_of(model: Path) -> TrainingConfig:
    return read_config(model).training


def expected_copies(tensors: Weights, vocabulary: Vocabulary, tied: str) -> Weights:
    """By the slices of the vocabulary's order, not by the code under test."""
    first, gap = vocabulary.source_size - len(vocabulary.source_only), len(vocabulary.source_only)
    target = torch.tensor([*range(first), *range(first + gap, vocabulary.size)])
    found = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if parts[0] != "embeddings" or (tied == "decoder" and parts[1] != "target_input") or tensor.dim() == 0:
            found[name] = tensor
        if parts[0] != "embeddings":
            continue
        rest = "".join(f".{part}" for part in parts[2:])
        whole = tensor.dim() == 0
        if tied == "decoder":
            if parts[1] == "target_input":
                found |= {name: tensor, f"embeddings.output{rest}": tensor}
        elif parts[1] == "source_input":
            found[name] = tensor if whole else tensor[: vocabulary.source_size]
            for role in ("target_input", "output"):
                found[f"embeddings.{role}{rest}"] = tensor if whole else tensor[target]
        elif not whole:
            found[name] = tensor[target]
    return {name: tensor.clone() for name, tensor in found.items()}


def batch_number(prepared: Path, number: int, settings: TrainingConfig) -> object:
    """The batch of an update, from 0, as an untied model sees it."""
    corpus = PreparedCorpus.open(prepared)
    views = corpus.vocabulary.source_view(False), corpus.vocabulary.target_view(False)
    stream = Feed(corpus, settings, views).stream(Position(0, 0, 0))
    for _ in range(number):
        next(stream)
    return next(stream)[1]


@pytest.mark.parametrize("keep", ["mean", "target", "output"])
def test_what_becomes_one_is_the_mean_or_what_is_kept(prepared: Path, tmp_path: Path, keep: str) -> None:
    """The rule of nmt-convert --tying; states go the same way, and rows that had none have zeros."""
    before = run(prepared, tmp_path / "before", 4, ("untied",))
    after = tmp_path / "after"
    run(prepared, after, 4, ("three-way", "training.tie_at=4", f"training.tie_keep={keep}"))
    seen: list[tuple[Weights, Weights]] = []
    changed = Updater.restore

    def spied(self: Updater, weights: Weights, average: Weights, carried: object) -> None:
        seen.append((weights, average))
        changed(self, weights, average, carried)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "restore", spied)
        run(prepared, after, 5, ("three-way", "training.tie_at=4", f"training.tie_keep={keep}"))
    vocabulary = PreparedCorpus.open(prepared).vocabulary
    for kind, table in ((0, seen[-1][0]), (2, seen[-1][1])):
        untied = last(before)[kind]
        rows = {
            role: dict(zip(pieces(vocabulary, side), untied[f"embeddings.{role}"], strict=True))
            for role, side in (("source_input", "source"), ("target_input", "target"), ("output", "target"))
        }
        for row, piece in enumerate(vocabulary.pieces):
            there = {role: of[piece] for role, of in rows.items() if piece in of}
            if keep == "mean":
                wanted = torch.stack(list(there.values())).mean(0)
            else:
                role = "output" if keep == "output" else f"{keep}_input"
                wanted = there[role] if role in there else there["output" if "output" in there else "source_input"]
            torch.testing.assert_close(table["embeddings.source_input"][row], wanted)


def pieces(vocabulary: Vocabulary, side: str) -> list[str]:
    return [*vocabulary.pieces[:3], *vocabulary.side(side)]


def test_the_best_may_be_of_either_part_and_is_read_as_what_it_is(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder translates, scores and is averaged with weights of before and of behind the change."""
    scores = iter([5.0, 1.0, 2.0, 9.0])
    monkeypatch.setattr(
        TranslationValidator, "run", lambda self, model, tick: TranslationScores(1.0, 9.0, next(scores))
    )
    plan = ("three-way", "training.untie_at=4", "training.validate_every=2", "training.average_last=3")
    model = run(prepared, tmp_path / "model", 6, plan)
    for name, mode in ((BEST, "three-way"), ("recent/4.safetensors", "three-way"), ("recent/6.safetensors", "untied")):
        assert read_tensors(model / name)[1]["tying"] == mode
        bundle = load_bundle(model / name, CPU)
        assert bundle.model.embeddings.tying.value == bundle.config.model.tying == mode
        assert bundle.target_view.size == bundle.model.num_targets
        assert np.isfinite(Scorer(bundle).score(["the cat"], ["die Katze"])).all()
    assert len(Translator.load(model, device="cpu").translate(["the cat sees Anna."])) == 1
    assert average.main(["--model", str(model), "--last", "3", "--output", str(tmp_path / "mean")]) == 2


def test_the_mean_of_the_last_validations_is_of_those_behind_the_change(prepared: Path, tmp_path: Path) -> None:
    plan = ("three-way", "training.untie_at=4", "training.validate_every=2", "training.average_last=3")
    model = run(prepared, tmp_path / "model", 8, plan)
    files = [path for path in (model / BEST, model / "average.safetensors") if path.exists()]
    [mean] = [metadata for metadata in (read_tensors(path)[1] for path in files) if "averaged" in metadata]
    assert (mean["averaged"], mean["tying"]) == ("2", "untied")


def test_the_ledger_and_the_change_are_said(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = words(prepared, tmp_path / "model", "rnn", 6, "training.untie_at=0.67", "training.patience=0")
    given.remove("--quiet")
    assert train.main(given) == 0
    said = capsys.readouterr().err
    assert "tying over time: three-way until update 4, untied from there on" in said
    assert "update 4: tying changes from three-way to untied, a copy for each role" in said
    assert train.main(given) == 0
    assert "is already finished" in capsys.readouterr().err
    problem = refused([*given, "--max-updates", "9"], capsys)
    assert problem.startswith(f"{tmp_path / 'model'}: this run has training.max_updates = 6, which cannot become 9")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--untie-at", "0.67"],
         "training.untie_at: is 0.67 of the updates, and training.patience = 8 may end training before the 9 of "
         "training.max_updates; set training.patience=0, or name an update, as 6"),
        (["--tie-at", "0.5", "--set", "training.patience=0", "--set", "training.max_minutes=3"],
         "training.tie_at: is 0.5 of the updates, and training.max_minutes = 3 may end training before the 9 of "
         "training.max_updates; set training.max_minutes=0, or name an update, as 4"),
        (["--untie-at", "3", "--tying", "untied"],
         "training.untie_at: is 3, and nothing is tied; name the mode of the tied part with --tying, as three-way"),
        (["--untie-at", "3", "--tie-at", "2"],
         "training.tie_at: is 2.0: a run changes once, and training.untie_at is 3; leave it "
         "out"),
        (["--untie-at", "2.5"], "training.untie_at: 2.5 is out of range: it must be a fraction below 1, or the whole "
         "number of an update; 0: none"),
        (["--set", "training.tie_keep=source"],
         "training.tie_keep: is 'source': nothing becomes one (training.tie_at); leave it out"),
        (["--tying", "decoder", "--tie-at", "2", "--set", "training.tie_keep=source"],
         "training.tie_keep: is 'source': decoder tying leaves the source's matrix as it is; leave it out"),
        (["--tying", "untied", "--set", "training.tie_gradient_scale=output=0.5"],
         "training.tie_gradient_scale: is 'output=0.5': untied tying leaves output its own matrix; leave it out"),
        (["--set", "training.tie_gradient_scale=output"],
         "training.tie_gradient_scale: 'output' is not ROLE=NUMBER with a number of 0 or more; for example output=0.5"),
        (["--set", "training.tie_gradient_scale=[output=1, output=2]"],
         "training.tie_gradient_scale: is 'output=1, output=2': output is named twice; leave it out"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_line(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert refused([*words(prepared, tmp_path / "model", "rnn", 9), *more], capsys) == said
    assert not (tmp_path / "model").exists()


def test_a_run_cannot_begin_untied_from_a_tied_model(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = run(prepared, tmp_path / "start", 3, ("three-way",))
    given = words(prepared, tmp_path / "model", "rnn", 9, "training.tie_at=4")
    assert "the run would begin untied" in refused([*given, "--from", str(start)], capsys)


def test_a_run_can_start_from_one_that_was_untied(prepared: Path, tmp_path: Path) -> None:
    """As the untied model that it is, whatever its own run began as."""
    start = run(prepared, tmp_path / "start", 6, ("three-way", "training.untie_at=2", "training.validate_every=6"))
    given = words(prepared, tmp_path / "model", "rnn", 3)
    assert train.main([*given, "--from", str(start)]) == 0
    assert load_bundle(tmp_path / "model", CPU).model.embeddings.tying.value == "untied"


def test_gradients_are_scaled_by_role_where_it_shares(prepared: Path) -> None:
    """A matrix's gradient is the sum of its roles', each times its number; no other gradient changes."""
    corpus = PreparedCorpus.open(prepared)
    settings = TrainingConfig(batch_tokens=100)
    views = corpus.vocabulary.source_view(True), corpus.vocabulary.target_view(True)
    batch = BatchMaker(corpus.split("train"), *views).make([0, 1, 2])
    sizes, objective = VocabularySizes.of(corpus.vocabulary), TranslationObjective(settings)

    def gradients(tying: str, ways: dict[str, object], scales: dict[str, float]) -> Weights:
        config = ModelConfig(embedding_size=8, hidden_size=8, dropout=0.0, tying=tying, **ways)  # type: ignore[arg-type]
        model = build_model(config, sizes)
        model.embeddings.gradient_scales = scales
        objective.loss(model, batch, {}).loss.backward()
        return {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}

    for ways in ({}, {"role_projections": ("source", "output"), "normalized_rows": True}):
        parts = [
            gradients("three-way", ways, {role: float(role == one) for role in ("source", "target", "output")})
            for one in ("source", "target", "output")
        ]
        scaled = gradients("three-way", ways, {"source": 2.0, "output": 0.25})
        table = "embeddings.source_input"
        expected = 2 * parts[0][table] + parts[1][table] + 0.25 * parts[2][table]
        torch.testing.assert_close(scaled[table], expected)
        plain = gradients("three-way", ways, {})
        torch.testing.assert_close(plain[table], sum(part[table] for part in parts))
        for name in plain:
            assert name == table or torch.equal(plain[name], scaled[name]), name
