"""training.record_tying: gradients by role against plain autograd, rows by group, and a run that is as without it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bpe.errors import UserError
from nmt.cli import train
from nmt.config import ModelConfig, TrainingConfig
from nmt.data.batching import Batch, BatchMaker
from nmt.data.corpus import PreparedCorpus
from nmt.layers.roles import USES, gradients_by_role
from nmt.layers.tying import load_unique, unique_parameters
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import TranslationModel
from nmt.tasks.translation import tying_watch
from nmt.tasks.translation.objective import TranslationObjective
from nmt.tasks.translation.tying_watch import BANDS, SIDES, RowGroups, TyingWatch, check_against, check_untied
from nmt.text.vocabulary import NUM_SPECIALS
from nmt.training.reporting import read_metrics
from nmt.training.step import Updater
from nmt.tying import Tying
from tests.tiny_corpus import make_prepared
from tests.tiny_model import SIZES, make_model_of

pytestmark = pytest.mark.numeric
MODES = [pytest.param(mode, id=mode.value) for mode in Tying]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prepared(tmp_path_factory.mktemp("data"), pairs=200)


@pytest.fixture(scope="module")
def corpus(prepared: Path) -> PreparedCorpus:
    return PreparedCorpus.open(prepared)


def model_of(corpus: PreparedCorpus, mode: Tying, architecture: str = "rnn") -> TranslationModel:
    config = ModelConfig(
        tying=mode.value, embedding_size=6, dropout=0.0, architecture=architecture, **SIZES[architecture]
    )  # type: ignore[arg-type]
    return build_model(config, VocabularySizes.of(corpus.vocabulary), seed=3)


def batch_of(corpus: PreparedCorpus, mode: Tying, pairs: int = 30) -> Batch:
    shared, vocabulary = mode.shares_source, corpus.vocabulary
    maker = BatchMaker(corpus.split("train"), vocabulary.source_view(shared), vocabulary.target_view(shared))
    return maker.make(np.arange(pairs))


def watch_of(corpus: PreparedCorpus, model: TranslationModel, against: str = "") -> TyingWatch:
    groups = RowGroups(corpus.vocabulary, corpus.split("train"))
    return TyingWatch(model.embeddings, corpus.vocabulary, groups, against)


def updater_of(model: TranslationModel, watch: TyingWatch | None, **settings: object) -> Updater:
    training = TrainingConfig(precision="float32", log_every=1, clip_norm=0.1, **settings)  # type: ignore[arg-type]
    return Updater(model, training, TranslationObjective(training), watch=watch)


def separate_gradients(corpus: PreparedCorpus, model: TranslationModel, batch: Batch) -> dict[str, torch.Tensor]:
    """The reference: three matrices of their own with the same values, through plain autograd."""
    model.fast = False
    embeddings = model.embeddings
    for role in USES:
        embeddings._parameters[role] = torch.nn.Parameter(getattr(embeddings, role).detach().clone())
    objective = TranslationObjective(TrainingConfig())
    objective.loss(model, batch, {}).loss.backward()  # type: ignore[no-untyped-call]
    return {role: getattr(embeddings, role).grad for role in USES}


@pytest.mark.parametrize("architecture", ["rnn", "transformer"])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_by_role_are_those_of_separate_copies(mode: Tying, architecture: str, corpus: PreparedCorpus) -> None:
    batch, model = batch_of(corpus, mode), model_of(corpus, mode, architecture)
    objective = TranslationObjective(TrainingConfig())
    with gradients_by_role(model.embeddings) as sums:
        objective.loss(model, batch, {}).loss.backward()  # type: ignore[no-untyped-call]
    model.embeddings.assert_tied()
    caught = dict(zip(USES, sums, strict=True))
    wanted = separate_gradients(corpus, model_of(corpus, mode, architecture), batch)
    for role in USES:
        assert caught[role].norm() > 0
        torch.testing.assert_close(caught[role], wanted[role], rtol=1e-4, atol=1e-7)
    for matrix in model.embeddings.matrices():
        summed = sum(caught[role] for role in USES if getattr(model.embeddings, role) is matrix)
        torch.testing.assert_close(matrix.grad, summed, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("architecture", ["rnn", "transformer"])
@pytest.mark.parametrize("mode", MODES)
def test_an_update_is_the_same_to_the_bit(mode: Tying, architecture: str, corpus: PreparedCorpus) -> None:
    """Of several batches, each in parts, and with dropout."""
    found = []
    for watched in (False, True):
        model = model_of(corpus, mode, architecture)
        updater = updater_of(model, watch_of(corpus, model) if watched else None, part_tokens=60)
        for number in (1, 2):
            updater.begin([batch_of(corpus, mode, 12), batch_of(corpus, mode, 5)], number)
            updater.read()
        found.append({name: tensor.detach().clone() for name, tensor in unique_parameters(model).items()})
    for name, tensor in found[0].items():
        assert torch.equal(tensor, found[1][name]), name


@pytest.mark.parametrize("mode", MODES)
def test_figures_of_gradients(mode: Tying, corpus: PreparedCorpus) -> None:
    """Norms and cosines computed in NumPy from the gradients of separate copies, of two batches in several parts."""
    model = model_of(corpus, mode)
    watch = watch_of(corpus, model)
    updater = updater_of(model, watch, part_tokens=60)
    batches = [batch_of(corpus, mode, pairs) for pairs in (12, 5)]
    updater.begin(batches, 1)
    found = watch.figures()
    count = sum(batch.num_target_tokens for batch in batches)
    every = [separate_gradients(corpus, model_of(corpus, mode), batch) for batch in batches]
    gradients = {
        role: sum(
            one[role].double().numpy() * batch.num_target_tokens / count
            for one, batch in zip(every, batches, strict=True)
        )
        for role in USES
    }
    vocabulary = corpus.vocabulary
    union = np.arange(vocabulary.size)
    source, target = vocabulary.source_view(mode.shares_source), vocabulary.target_view(mode.shares_source)
    ids = {
        role: union[: source.size] if role == "source_input" else target.to_union(union[: target.size]) for role in USES
    }
    assert len(ids["output"]) == len(gradients["output"])
    part = {"both": vocabulary.both, "source_only": vocabulary.source_only, "target_only": vocabulary.target_only}
    for role, gradient in gradients.items():
        assert found[f"gradient.{role}"] == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
        for side in SIDES:
            rows = [
                row
                for row, piece in enumerate(ids[role])
                if piece >= NUM_SPECIALS and vocabulary.pieces[piece] in part[side]
            ]
            assert (f"gradient.{role}.{side}" in found) == bool(rows)
            if rows:
                assert found[f"gradient.{role}.{side}"] == pytest.approx(
                    np.linalg.norm(gradient[rows]), rel=1e-3, abs=1e-6
                )
    for one, other in combinations(USES, 2):
        common = sorted(set(ids[one]) & set(ids[other]))
        first, second = (gradients[role][np.searchsorted(ids[role], common)].ravel() for role in (one, other))
        cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
        assert found[f"cosine.{one}.{other}"] == pytest.approx(cosine, abs=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_rows_by_side_and_by_band(mode: Tying, corpus: PreparedCorpus) -> None:
    vocabulary, train_ids = corpus.vocabulary, corpus.split("train")
    counts = np.bincount(np.concatenate([train_ids.source_ids, train_ids.target_ids]), minlength=vocabulary.size)
    by_count = sorted(range(NUM_SPECIALS, vocabulary.size), key=lambda row: (-counts[row], row))
    groups = RowGroups(vocabulary, train_ids)
    sizes = np.bincount(groups.bands[NUM_SPECIALS:])
    assert len(sizes) == BANDS
    assert max(sizes) - min(sizes) <= 1
    assert [int(groups.bands[row]) for row in by_count] == sorted(groups.bands[NUM_SPECIALS:])
    assert all(groups.bands[:NUM_SPECIALS] == -1)

    model = model_of(corpus, mode)
    watch = watch_of(corpus, model)
    updater_of(model, watch).begin([batch_of(corpus, mode)], 1)
    found = watch.figures()
    matrices = {Tying.UNTIED: list(USES), Tying.DECODER: list(USES[:2]), Tying.THREE_WAY: list(USES[:1])}[mode]
    assert {name.split(".")[1] for name in found if name.startswith("rows.")} == set(matrices)
    view = vocabulary.target_view(mode.shares_source)
    of_target = matrices[-1]
    lengths = {
        int(view.to_union(np.array(row))): float(length)
        for row, length in enumerate(getattr(model.embeddings, of_target).detach().norm(dim=1))
    }
    for band in range(BANDS):
        own = [lengths[row] for row, one in enumerate(groups.bands) if one == band and row in lengths]
        assert (f"rows.{of_target}.band_{band + 1}" in found) == bool(own)
        if own:
            assert found[f"rows.{of_target}.band_{band + 1}"] == pytest.approx(np.mean(own), rel=1e-5)
    own = [length for row, length in lengths.items() if groups.sides[row] == 2]
    assert found[f"rows.{of_target}.target_only"] == pytest.approx(np.mean(own), rel=1e-5)


def test_a_piece_of_the_text_is_counted_wherever_it_is(corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = RowGroups(corpus.vocabulary, corpus.split("train"))
    monkeypatch.setattr(tying_watch, "COUNTED_AT_ONCE", 7)
    assert (RowGroups(corpus.vocabulary, corpus.split("train")).bands == whole.bands).all()


@pytest.mark.parametrize("mode", MODES)
def test_rank_correlations_with_an_untied_model(
    mode: Tying, prepared: Path, corpus: PreparedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against SciPy, over the pieces that are drawn; with itself an untied model correlates fully."""
    monkeypatch.setattr(tying_watch, "SAMPLED", 12)
    folder = make_model_of(prepared, tmp_path / "untied", tying="untied", seed=5)
    untied = load_file(folder / "best.safetensors")
    model = model_of(corpus, mode)
    watch = watch_of(corpus, model, str(folder))
    found = watch.at_validation()
    assert set(found) == {f"rho.{role}" for role in USES}
    own = {True: corpus.vocabulary.source_view(False), False: corpus.vocabulary.target_view(False)}
    mine = {
        True: corpus.vocabulary.source_view(mode.shares_source),
        False: corpus.vocabulary.target_view(mode.shares_source),
    }
    for role in USES:
        is_source, drawn = role == "source_input", watch._sample[role]
        assert len(set(drawn)) == 12
        assert drawn.min() >= NUM_SPECIALS
        pair = (
            getattr(model.embeddings, role).detach().numpy()[mine[is_source].from_union(drawn)],
            untied[f"embeddings.{role}"].numpy()[own[is_source].from_union(drawn)],
        )
        cosines = [
            [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(rows.astype(np.float64), 2)]
            for rows in pair
        ]
        ranks = np.argsort(np.argsort(cosines))  # no two are equal
        assert found[f"rho.{role}"] == pytest.approx(np.corrcoef(ranks)[0, 1], abs=1e-3)
    if mode is Tying.UNTIED:
        load_unique(model, untied)
        assert list(watch.at_validation().values()) == pytest.approx([1, 1, 1])


def test_what_to_compare_with_must_be_an_untied_model_of_the_vocabulary(
    prepared: Path, corpus: PreparedCorpus, tmp_path: Path
) -> None:
    other = make_prepared(tmp_path / "other", pairs=20, seed=2)
    cases = {
        "no such folder": tmp_path / "nothing",
        "has three-way tying": make_model_of(prepared, tmp_path / "tied"),
        "another vocabulary": make_model_of(other, tmp_path / "foreign", tying="untied"),
    }
    for problem, folder in cases.items():
        with pytest.raises(UserError, match=problem):
            check_untied(str(folder), corpus.vocabulary)
    begun = make_model_of(prepared, tmp_path / "begun", tying="untied")
    (begun / "best.safetensors").unlink()
    with pytest.raises(UserError, match="train the untied model first"):
        check_untied(str(begun), corpus.vocabulary)
    with pytest.raises(UserError, match=r"record_tying_against: is for training\.record_tying"):
        check_against(TrainingConfig(record_tying_against="model"), corpus.vocabulary)
    check_against(TrainingConfig(), corpus.vocabulary)


SMALL = {
    "model.embedding_size": 8, "model.hidden_size": 10, "training.batch_tokens": 120, "training.max_updates": 12,
    "training.save_every": 3, "training.validate_every": 4, "training.log_every": 4, "training.tensorboard": "false",
    "training.validation_metric": "cost", "training.precision": "float32",
}  # fmt: skip


def run(prepared: Path, model: Path, **more: object) -> None:
    words = ["--prepared", str(prepared), "--model", str(model), "--threads", "1", "--device", "cpu", "--quiet"]
    settings = {**SMALL, **{key.replace("__", "."): value for key, value in more.items()}}
    assert train.main([*words, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]) == 0


def told(model: Path) -> list[dict[str, object]]:
    """The records but for times and memory."""
    gone = ("seconds", "cpu_seconds", "tokens_per_second", "peak_memory")
    records = read_metrics(model / "metrics.jsonl")
    return [{key: value for key, value in record.items() if key not in gone} for record in records]


def test_a_run_that_records_makes_the_same_weights_and_goes_on_to_the_same_records(
    prepared: Path, tmp_path: Path
) -> None:
    untied = make_model_of(prepared, tmp_path / "untied", tying="untied")
    recorded = {"training__record_tying": "true", "training__record_tying_against": untied}
    run(prepared, tmp_path / "plain")
    run(prepared, tmp_path / "recorded", **recorded)
    for updates in (5, 12):  # not where something is written
        run(prepared, tmp_path / "resumed", **{**recorded, "training__max_updates": updates})
    for name in ("last/weights", "last/optimizer", "last/average", "best"):
        plain, other, resumed = (
            load_file(tmp_path / run / f"{name}.safetensors") for run in ("plain", "recorded", "resumed")
        )
        for key, tensor in plain.items():
            assert torch.equal(tensor, other[key]), (name, key)
            assert torch.equal(tensor, resumed[key]), (name, key)
    records = told(tmp_path / "recorded")
    assert [record["update"] for record in records if record["kind"] == "tying"] == [4, 8, 12]
    checks = [record for record in records if record["kind"] == "validation"]
    assert all({f"rho.{role}" for role in USES} < record.keys() for record in checks)
    without = [{key: value for key, value in record.items() if "rho." not in key} for record in records]
    assert [record for record in without if record["kind"] != "tying"] == told(tmp_path / "plain")
    resumed_records = told(tmp_path / "resumed")
    for kind in ("tying", "validation"):
        wanted = [record for record in records if record["kind"] == kind]
        assert [record for record in resumed_records if record["kind"] == kind and record["update"] != 5] == wanted
