"""scripts/bench train at sizes that take seconds, without peers; what they count and compute. No time is
asserted."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from bpe.errors import UserError
from nmt.config import ModelConfig, TrainingConfig
from nmt.data.corpus import PreparedCorpus
from nmt.text.vocabulary import NUM_SPECIALS, Vocabulary
from scripts.benchmarks import train, train_parts, train_peers
from scripts.benchmarks.model_cost import OURS, Sizes, cost
from scripts.benchmarks.train_parts import Stopwatch, Training, Work, watched
from scripts.benchmarks.train_peers import DRIVERS, OPERATIONS, with_ratios
from scripts.benchmarks.train_text import TrainingText, made_up, of_prepared
from scripts.benchmarks.transformer_cost import TransformerSizes, transformer_cost
from scripts.benchmarks.update_parts import BATCH, PARTS_OF
from tests.tiny_corpus import make_prepared

SIZES = Sizes(embedding=8, hidden=12)
TRANSFORMER = TransformerSizes(embedding=8, layers=2, heads=2, feedforward=12)
MODELS = {
    "rnn": ModelConfig(embedding_size=SIZES.embedding, hidden_size=SIZES.hidden, dropout=0.0),
    "transformer": ModelConfig(
        architecture="transformer", embedding_size=8, layers=2, heads=2, feedforward_size=12, dropout=0.0
    ),
}
every_architecture = pytest.mark.parametrize("architecture", MODELS)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """What everything is compared with is small too; the number of threads stays what it was."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_peers, "PRODUCT_SIZE", 64)
        patch.setattr(train_parts, "COPY_BYTES", 2**16)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of our own rows."""
    path = tmp_path_factory.mktemp("bench") / "found.json"
    sizes = "--vocabulary 50 --batch-tokens 60 --rounds 1 --pairs 80 --length 5 --embedding 8 --hidden 12 --threads 1"
    limits = "--updates 6 --warm-up 1 --peers --variants float32"
    train.main([*sizes.split(), *limits.split(), "--json", str(path)])
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def test_rows_hold_together(found: dict[str, Any]) -> None:
    speed, memory, *_ = found["tables"]
    of_model = cost(OURS, 50 + NUM_SPECIALS, SIZES)
    assert [row["tool"] for row in speed["rows"]] == ["ours, float32"]
    for row in speed["rows"]:
        assert row["updates"] == 6
        assert row["pieces_per_batch"] == pytest.approx(60, rel=0.25)
        assert 0 <= row["padding"] < 0.5
        assert row["parameters"] == of_model.parameters
        assert row["state_bytes"] == 16 * of_model.parameters
        assert row["flops"] == pytest.approx(OPERATIONS * row["multiply_adds_per_piece"] * row["pieces_per_second"])
        assert row["multiply_adds_per_piece"] > of_model.per_output_piece
        assert row["peak_bytes"] > row["imports_bytes"] > 10_000_000
    assert memory["rows"] == speed["rows"]


def test_parts_add_up_to_the_update(found: dict[str, Any]) -> None:
    tables = found["tables"][2:]
    assert [table["title"].split(",")[1].strip() for table in tables] == ["float32", "bf16"]
    for table in tables:
        *parts, whole = table["rows"]
        assert [row["part"] for row in parts] == list(PARTS_OF["rnn"].names)
        assert sum(row["share"] for row in parts) == pytest.approx(1)
        assert sum(row["milliseconds"] for row in parts) == pytest.approx(whole["milliseconds"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--updates 0", "must be at least 1"),
        ("--prepared nowhere", "no such folder"),
        ("--peers fairsec", "invalid choice: 'fairsec'"),
    ],
)
def test_mistakes_are_told(words: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        train.main(words.split())


def lines(text: TrainingText, name: str) -> list[list[str]]:
    return [line.split() for line in (text.folder / name).read_text(encoding="utf-8").split("\n")[:-1]]


def check_same_text(text: TrainingText, num_pairs: int) -> None:
    """What the peers read as words is what we read as ids."""
    pairs = PreparedCorpus(text.folder, {"splits": {"train": {}}}, Vocabulary((), (), ())).split("train")
    words = [word for (word,) in lines(text, "words")]
    assert len(words) == len(set(words)) == text.num_words
    assert len(pairs) == text.num_pairs == num_pairs
    for name, one in (("train.src", pairs.source), ("train.trg", pairs.target)):
        assert lines(text, name) == [[words[i - NUM_SPECIALS] for i in one(line)] for line in range(num_pairs)]
    assert lines(text, "dev.src") == lines(text, "train.src")[:4]


def test_all_tools_read_the_same_text(tmp_path: Path) -> None:
    text = made_up(tmp_path, num_words=30, num_pairs=12, median_length=5)
    check_same_text(text, 12)
    assert min(map(len, lines(text, "train.trg"))) >= 1


def test_prepared_text_is_cut_and_its_vocabulary_filled_up(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "data")
    corpus = PreparedCorpus.open(prepared)
    folder = tmp_path / "text"
    folder.mkdir()
    check_same_text(of_prepared(folder, corpus.vocabulary.size, 7, prepared), 7)
    with pytest.raises(UserError, match="its vocabulary has"):
        of_prepared(folder, 5, 7, prepared)


def training_on(folder: Path, architecture: str, *, fast: bool = True) -> Training:
    return Training(
        Work(
            text=made_up(folder, num_words=30, num_pairs=40, median_length=5),
            model=MODELS[architecture],
            training=TrainingConfig(fast=fast, precision="float32", batch_tokens=60, ema=0),
            device=torch.device("cpu"),
            threads=1,
        )
    )


@every_architecture
def test_multiply_adds_of_the_parts_are_those_of_the_model(architecture: str, tmp_path: Path) -> None:
    training = training_on(tmp_path, architecture)
    batch, rows = next(training.stream()), training.work.text.rows
    parts = PARTS_OF[architecture].multiply_adds(training.work.model, rows, batch)
    of_model = cost(OURS, rows, SIZES) if architecture == "rnn" else transformer_cost(OURS, rows, TRANSFORMER)
    assert training.num_parameters == of_model.parameters
    source, target = batch.source_lengths, batch.target_lengths
    across, itself = int((source * target).sum()), int((source * source).sum() + (target * target).sum())
    attention = 2 * 2 * SIZES.hidden * across if architecture == "rnn" else 2 * 2 * 8 * (across + itself)
    expected = int(source.sum()) * of_model.per_source_piece + batch.num_target_tokens * of_model.per_output_piece
    assert sum(parts.values()) == expected + attention


@every_architecture
@pytest.mark.parametrize("fast", [True, False])
def test_watching_an_update_changes_nothing(fast: bool, architecture: str, tmp_path: Path) -> None:
    weights = []
    for number, watching in enumerate((False, True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        training, watch = training_on(folder, architecture, fast=fast), Stopwatch(torch.device("cpu"))
        batch = next(training.stream())
        if watching:
            with watched(training, watch):
                watch.mark("")
                training.update(batch)
            names = [name for name, _ in watch.marks]
            assert set(PARTS_OF[architecture].names) - set(names) == {BATCH}
            if architecture == "rnn":
                assert names.index("decoder loop") > names.index("encoder")
        else:
            training.update(batch)
        weights.append(torch.cat([p.detach().flatten() for p in training.model.parameters()]))
    assert torch.equal(*weights)


def test_ratios_are_of_our_first_row() -> None:
    rows = [
        {"tool": "ours, float32", "pieces_per_second": 600.0, "flops": 50.0},
        {"tool": "other", "pieces_per_second": 200.0, "flops": 100.0},
    ]
    first, other = with_ratios(rows)
    assert (first["ours_faster"], first["ours_faster_normalised"]) == (1, 1)
    assert (other["ours_faster"], other["ours_faster_normalised"]) == (3, 0.5)
    assert "ours_faster" not in with_ratios(rows[1:])[0]


@pytest.fixture(scope="module")
def metering() -> ModuleType:
    """The drivers' module, which no package holds."""
    spec = importlib.util.spec_from_file_location("metering", DRIVERS / "metering.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["metering"] = module  # its dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


def test_meter_counts_what_comes_after_the_warm_up(metering: ModuleType) -> None:
    spec = {"device": "cpu", "warm_up": 2, "updates": 7, "seconds": 1000}
    meter, model = metering.Meter(spec, planning=False), torch.nn.Linear(2, 2)
    for number in range(9):
        assert meter.begin(model, metering.Counts(source=1, target=number, positions=2 * number))
    with pytest.raises(metering.Enough):
        meter.begin(model, metering.Counts(source=1, target=9, positions=18))
    assert [(span["updates"], span["target"]) for span in meter.spans] == [(5, 2 + 3 + 4 + 5 + 6), (2, 7 + 8)]
    assert meter.parameters == 6


def test_batches_are_fitted_to_the_asked_size(metering: ModuleType) -> None:
    def train(spec: dict[str, Any], limit: int, meter: Any) -> None:
        draw = np.random.default_rng(1)
        while True:  # a tool that leaves a quarter of its batches to padding
            counts = metering.Counts(source=1, target=round(limit * draw.uniform(0.7, 0.8)), positions=limit)
            assert not meter.begin(torch.nn.Linear(2, 2), counts)

    limit = metering._fitted_limit({"device": "cpu", "batch_tokens": 300}, train)
    assert limit == pytest.approx(400, rel=0.02)


def test_transformers_are_counted_and_trained(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    sizes = "--architecture transformer --vocabulary 50 --batch-tokens 60 --rounds 1 --pairs 80 --length 5 --threads 1"
    sizes += " --embedding 8 --layers 2 --heads 2 --feedforward 12"
    limits = "--updates 4 --warm-up 1 --peers --variants float32"
    train.main([*sizes.split(), *limits.split(), "--json", str(path)])
    speed, memory, *parts = json.loads(path.read_text(encoding="utf-8"))["tables"]
    assert [row["part"] for row in parts[0]["rows"]] == [*PARTS_OF["transformer"].names, "whole update"]
    of_model = transformer_cost(OURS, 50 + NUM_SPECIALS, TRANSFORMER)
    [row] = speed["rows"]
    assert row["parameters"] == of_model.parameters
    assert memory["rows"] == [row]
