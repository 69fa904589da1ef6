"""The three modes differ in the tie and in nothing else: with equal vocabulary rows they compute the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nmt.config import Config, ModelConfig, PathsConfig, TrainingConfig
from nmt.data.batching import Batch, BatchMaker, Budget, EpochPlan
from nmt.data.corpus import PreparedCorpus
from nmt.models.build import VocabularySizes, build_model
from nmt.models.interface import TranslationModel
from nmt.reproduce import fairness
from nmt.reproduce.experiment import Experiment
from nmt.training.step import update_seed
from nmt.tying import Tying
from tests.tiny_corpus import make_prepared

pytestmark = pytest.mark.numeric
SEED = 3
MODEL = ModelConfig(embedding_size=12, hidden_size=10, dropout=0.4)
TRAINING = TrainingConfig(seed=SEED, batch_tokens=200, precision="float32")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return PreparedCorpus.open(make_prepared(tmp_path_factory.mktemp("fair")))


def model_of(mode: Tying, corpus: PreparedCorpus) -> TranslationModel:
    config = dataclasses.replace(MODEL, tying=mode.value)
    return build_model(config, VocabularySizes.of(corpus.vocabulary), seed=SEED)


def batches_of(mode: Tying, corpus: PreparedCorpus, count: int) -> list[Batch]:
    shared = mode.shares_source
    views = corpus.vocabulary.source_view(shared), corpus.vocabulary.target_view(shared)
    maker = BatchMaker(corpus.split("train"), *views)
    plan = EpochPlan(corpus.split("train"), Budget(TRAINING.batch_tokens, 0, TRAINING.max_length), SEED)
    return [maker.make(rows) for rows in plan.batches(0)[:count]]


def target_rows(corpus: PreparedCorpus) -> Tensor:
    """The union's rows that are in the target view, in its order."""
    view = corpus.vocabulary.target_view(False)
    return torch.from_numpy(view.to_union(torch.arange(view.size).numpy()))


def with_rows_of(table: Tensor, model: TranslationModel, corpus: PreparedCorpus) -> TranslationModel:
    """Give a model's vocabulary matrices the values of one union table."""
    matrices, rows = model.embeddings, target_rows(corpus)
    whole = matrices.tying.shares_source
    with torch.no_grad():
        matrices.source_input.copy_(table[: len(matrices.source_input)])
        for matrix in (matrices.target_input, matrices.output):
            matrix.copy_(table if whole else table[rows])
    return model


def test_everything_but_the_vocabulary_starts_bit_for_bit_the_same(corpus: PreparedCorpus) -> None:
    models = {mode: dict(model_of(mode, corpus).named_parameters()) for mode in Tying}
    names = [name for name in models[Tying.UNTIED] if not name.startswith("embeddings.")]
    assert len(names) == 25
    for name in names:
        for mode in Tying:
            assert torch.equal(models[mode][name], models[Tying.UNTIED][name]), (mode, name)


def test_equal_rows_give_equal_readouts_scores_and_dropout(corpus: PreparedCorpus) -> None:
    """In training mode, so that a single draw that came in another order would show."""
    table = torch.randn(corpus.vocabulary.size, MODEL.embedding_size, generator=torch.Generator().manual_seed(1))
    rows, readouts, scores = target_rows(corpus), {}, {}
    for mode in Tying:
        model = with_rows_of(table, model_of(mode, corpus), corpus).train()
        for number, batch in enumerate(batches_of(mode, corpus, 3), 1):
            torch.manual_seed(update_seed(SEED, number))
            readout = model.readout(batch)
            readouts[mode, number] = readout
            every = model.embeddings.scores(readout)
            scores[mode, number] = every[:, rows] if mode.shares_source else every
    for (mode, number), readout in readouts.items():
        assert torch.equal(readout, readouts[Tying.UNTIED, number]), (mode, number)
        assert torch.allclose(scores[mode, number], scores[Tying.UNTIED, number], atol=1e-6), (mode, number)
    assert not torch.equal(readouts[Tying.UNTIED, 1][:5], readouts[Tying.UNTIED, 2][:5])


def test_gradients_outside_the_vocabulary_agree(corpus: PreparedCorpus) -> None:
    """A cost of the readouts alone; the softmax itself has more classes where the union is scored."""
    table = torch.randn(corpus.vocabulary.size, MODEL.embedding_size, generator=torch.Generator().manual_seed(2))
    gradients = {}
    for mode in Tying:
        model = with_rows_of(table, model_of(mode, corpus), corpus).train()
        torch.manual_seed(update_seed(SEED, 1))
        model.readout(batches_of(mode, corpus, 1)[0]).pow(2).sum().backward()
        gradients[mode] = {
            name: parameter.grad
            for name, parameter in model.named_parameters()
            if not name.startswith("embeddings.") and parameter.grad is not None
        }
    for mode in Tying:
        assert gradients[mode].keys() == gradients[Tying.UNTIED].keys()
        for name, gradient in gradients[mode].items():
            assert torch.equal(gradient, gradients[Tying.UNTIED][name]), (mode, name)


@pytest.fixture
def experiment(corpus: PreparedCorpus, tmp_path: Path) -> Experiment:
    config = Config(model=MODEL, training=TRAINING, paths=PathsConfig(prepared=str(corpus.folder)))
    return Experiment(folder=tmp_path, config=config, scale="test", seeds=(SEED,))


def test_the_report_lists_every_difference(experiment: Experiment, corpus: PreparedCorpus) -> None:
    found = fairness.check(experiment, corpus, SEED)
    assert [each.what for each in found.differences] == [
        "model.tying",
        "source input",
        "target input",
        "output",
        "output bias",
        "classes of the softmax",
        "parameters, each storage once",
    ]
    by_name = {each.what: each.values for each in found.differences}
    vocabulary = corpus.vocabulary
    assert by_name["model.tying"] == {mode.value: mode.value for mode in Tying}
    assert by_name["target input"]["three-way"] == f"{vocabulary.size:,} rows, is source_input"
    assert by_name["output"]["decoder"] == f"{vocabulary.target_size:,} rows, is target_input"
    assert by_name["source input"]["decoder"] == f"{vocabulary.source_size:,} rows, starts as in untied"
    assert by_name["classes of the softmax"] == {
        "untied": f"{vocabulary.target_size:,}",
        "decoder": f"{vocabulary.target_size:,}",
        "three-way": f"{vocabulary.size:,}",
    }
    assert any("25 of 25 parameters" in line for line in found.shared)
    assert any("same pairs and the same pieces in the same order" in line for line in found.shared)


def other_dropout(config: Config) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, dropout=0.1))


def other_seed(config: Config) -> Config:
    return dataclasses.replace(config, training=dataclasses.replace(config.training, seed=SEED + 1))


def other_start(config: Config) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, initialization="dl4mt"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (other_dropout, {"model.dropout"}),
        (other_seed, {"training.seed", "start of encoder.ahead.input_weight", "batches"}),
        (other_start, {"model.initialization", "start of decoder.attention.key_weight"}),
    ],
)
def test_an_unfair_comparison_is_found_out(
    experiment: Experiment,
    corpus: PreparedCorpus,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Config], Config],
    expected: set[str],
) -> None:
    usual = fairness._config

    def unfair(experiment: Experiment, run: object) -> Config:
        config = usual(experiment, run)  # type: ignore[arg-type]
        return change(config) if config.model.tying == "three-way" else config

    monkeypatch.setattr(fairness, "_config", unfair)
    found = {each.what for each in fairness.check(experiment, corpus, SEED).differences}
    assert expected <= found
