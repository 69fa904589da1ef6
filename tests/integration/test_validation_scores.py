"""A validation's numbers are those that nmt-score and nmt-translate give for the weights it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nmt.cli import prep, train
from nmt.config import Config, ModelConfig, PrepConfig, SearchConfig
from nmt.data.batching import BatchMaker
from nmt.data.corpus import PreparedCorpus
from nmt.evaluate.metrics import Options
from nmt.evaluate.scoring import bleu
from nmt.folder.bundle import BEST, create_folder, load_bundle
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.models.build import VocabularySizes, build_model
from nmt.tasks.translation.validation import TranslationValidator
from nmt.training.reporting import read_metrics
from nmt.translate.scorer import Scorer
from nmt.translate.searcher import searchable
from nmt.translate.translator import Translator
from tests.integration.test_train_command import arguments
from tests.prep_corpus import write_pairs
from tests.tiny_corpus import make_prepared

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreparedCorpus, Path]:
    """A corpus, and a model that has learned most of it."""
    folder = tmp_path_factory.mktemp("data")
    prepared, model = make_prepared(folder), folder / "model"
    changed = {
        "model.embedding_size": 32, "model.hidden_size": 32, "training.batch_tokens": 600, "training.dropout": None,
        "training.learning_rate": 0.01, "training.warmup_updates": 20, "training.validate_every": 60,
        "training.ema": 0.9, "training.label_smoothing": 0,
    }  # fmt: skip
    words = [word for key, value in changed.items() if value is not None for word in ("--set", f"{key}={value}")]
    assert train.main(arguments(prepared, model, "--quiet", *words, "--max-updates", "120")) == 0
    return PreparedCorpus.open(prepared), model


def test_they_are_those_of_nmt_score_and_nmt_translate(trained: tuple[PreparedCorpus, Path]) -> None:
    corpus, folder = trained
    metadata = load_bundle(folder, CPU).metadata
    checks = [record for record in read_metrics(folder / "metrics.jsonl") if record["kind"] == "validation"]
    best = next(record for record in checks if str(record["update"]) == metadata["update"])
    sources, references = (corpus.raw_lines("valid", side) for side in ("source", "target"))
    log_probs = Scorer.load(folder, device="cpu").score(sources, references)
    pieces = sum(map(len, log_probs))
    total = -sum(map(sum, log_probs))
    assert best["cross_entropy"] == pytest.approx(total / pieces, rel=1e-4)
    assert best["cost"] == pytest.approx(total / len(sources), rel=1e-4)
    translations = Translator.load(folder, device="cpu", search=SearchConfig(beam=2)).translate(sources)
    found = bleu(translations, references, Options(target_language="de"))
    assert found > 5  # nothing is compared where nothing matches
    assert best["bleu"] == pytest.approx(found, rel=1e-4)


def test_placeholders_are_read_and_counted_as_in_translation(tmp_path: Path) -> None:
    pairs = [(f"see {{{word}}} and {{x}}", f"{{x}} {{{word}}} und so") for word in ("a", "b", "c")] * 4
    for split in ("train", "valid"):
        write_pairs(tmp_path / "corpus", split, [*pairs, ("http://a.b/en {x}", "http://a.b/de {x}")])
    files = ["--corpus", str(tmp_path / "corpus"), "--prepared", str(tmp_path / "prepared"), "--joint-bpe", "5"]
    assert prep.main([*files, "--protect", "all", "--quiet", "--threads", "1", "--set", "prep.check_sides=false"]) == 0
    corpus = PreparedCorpus.open(tmp_path / "prepared")
    config = Config(prep=PrepConfig(source="en", target="de"), model=ModelConfig(embedding_size=4, hidden_size=4))
    model = build_model(config.model, VocabularySizes.of(corpus.vocabulary), seed=3)
    create_folder(tmp_path / "model", config, corpus)
    save_tensors(tmp_path / "model" / BEST, weight_tensors(model), weight_metadata(model))
    validator, sources = validator_of(corpus), corpus.raw_lines("valid", "source")
    translations = validator._translate(searchable(model.eval()), lambda: None)
    assert all(translation.count("{x}") == 1 for translation in translations)
    assert "http://a.b/en" in translations[-1]
    assert translations == Translator.load(tmp_path / "model", device="cpu", search=SearchConfig(beam=2)).translate(
        sources
    )


def validator_of(corpus: PreparedCorpus) -> TranslationValidator:
    views = corpus.vocabulary.source_view(True), corpus.vocabulary.target_view(True)
    return TranslationValidator(corpus, BatchMaker(corpus.split("valid"), *views), beam=2, with_bleu=True)


def test_they_do_not_depend_on_what_training_multiplies_in(
    trained: tuple[PreparedCorpus, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, folder = trained
    model, validator = load_bundle(folder, CPU).model, validator_of(corpus)
    expected = validator.run(model, lambda: None)
    model.compute_dtype = torch.bfloat16
    assert validator.run(model, lambda: None) == expected
    assert model.compute_dtype == torch.bfloat16
    model.fast = False
    assert validator.run(model, lambda: None).cross_entropy == pytest.approx(expected.cross_entropy, rel=1e-5)


def test_the_search_is_of_a_copy_of_the_weights_as_they_are_now(trained: tuple[PreparedCorpus, Path]) -> None:
    corpus, folder = trained
    model, validator = load_bundle(folder, CPU).model, validator_of(corpus)
    before = validator.run(model, lambda: None)
    with torch.no_grad():
        model.embeddings.output_bias[3] += 50  # one piece for ever
    after = validator.run(model, lambda: None)
    assert after.bleu is not None
    assert before.bleu is not None
    assert after.bleu < before.bleu / 2
    assert (folder / BEST).exists()
