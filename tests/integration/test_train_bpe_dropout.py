"""nmt-train with BPE-dropout: exact when it is killed and continued, and clear about data that has no merges."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import nmt.data.feed
from nmt.cli import prep, train
from nmt.training.reporting import read_metrics
from tests.integration.test_train_command import arguments, assert_same_run, process, refused, stop_at
from tests.tiny_corpus import make_corpus

pytest.importorskip("sacremoses")

DROPOUT = ["--batch-tokens", "400", "--set", "training.bpe_dropout=0.2"]
"About 30 batches an epoch, so that 50 updates see two."


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("data") / "corpus")


def prepared_from(corpus: Path, name: str, *more: str) -> Path:
    folder = corpus.with_name(name)
    assert prep.main(["--corpus", str(corpus), "--prepared", str(folder), "--quiet", *more]) == 0
    return folder


@pytest.fixture(scope="module")
def prepared(corpus: Path) -> Path:
    return prepared_from(corpus, "prepared", "--joint-bpe", "60", "--set", "prep.bpe_dropout=true")


@pytest.fixture(scope="module")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    assert train.main(arguments(prepared, folder, *DROPOUT, "--max-updates", "50", "--quiet")) == 0
    return folder


def test_a_killed_run_continues_to_the_same_bits(prepared: Path, uninterrupted: Path, tmp_path: Path) -> None:
    wanted = arguments(prepared, tmp_path / "model", *DROPOUT, "--max-updates", "50")
    code, _ = stop_at(process(wanted), "update 25 ", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert train.main([*wanted, "--quiet"]) == 0
    assert_same_run(uninterrupted, tmp_path / "model")
    assert read_metrics(uninterrupted / "metrics.jsonl")[-1]["epoch"] == 2


def test_a_run_continues_in_any_block_of_an_epoch(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nmt.data.feed, "BLOCK_PAIRS", 150)
    for name, limits in (("whole", ["40"]), ("parts", ["3", "24", "40"])):
        for limit in limits:
            wanted = arguments(prepared, tmp_path / name, *DROPOUT, "--max-updates", limit, "--quiet")
            assert train.main(wanted) == 0
    left, right = (load_file(tmp_path / name / "last/weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_pieces_make_a_difference_and_cannot_change_half_way(
    prepared: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    assert train.main(arguments(prepared, model, "--batch-tokens", "400", "--max-updates", "10", "--quiet")) == 0
    with_dropout, without = (read_metrics(folder / "metrics.jsonl")[1] for folder in (uninterrupted, model))
    assert with_dropout["cross_entropy"] != without["cross_entropy"]
    line = refused(arguments(prepared, uninterrupted, "--batch-tokens", "400", "--max-updates", "60", "--set",
                             "training.bpe_dropout=0.1"), capsys)  # fmt: skip
    assert "this run has training.bpe_dropout = 0.2, which cannot become 0.1 half way" in line


def test_what_it_tells(corpus: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = prepared_from(corpus, "plain", "--joint-bpe", "60")
    told = []
    for folder in (prepared, plain):
        assert train.main(arguments(folder, tmp_path / "model", *DROPOUT, "--dry-run")) == 0
        told.append(capsys.readouterr().out)
    assert all("padding, both before BPE-dropout" in text for text in told)
    assert ["prep.bpe_dropout=true lacks none" in text for text in told] == [False, True]
    assert train.main(arguments(plain, tmp_path / "model", *DROPOUT, "--max-updates", "3", "--quiet")) == 0


def test_text_without_merges_is_refused(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pieces = prepared_from(corpus, "sentencepiece", "--sentencepiece", "45")
    line = refused(arguments(pieces, tmp_path / "model", *DROPOUT), capsys)
    assert line.startswith(f"{pieces}: BPE-dropout leaves out merges, and this text has none: sentencepiece; ")
    assert not (tmp_path / "model").exists()
    line = refused(arguments(pieces, tmp_path / "model", "--set", "training.bpe_dropout=1.5"), capsys)
    assert line == "training.bpe_dropout: 1.5 is out of range: it must be 0 to 1"
    wanted = ["--corpus", str(corpus), "--sentencepiece", "45", "--set", "prep.bpe_dropout=true"]
    assert prep.main([*wanted, "--prepared", str(tmp_path / "p")]) == 2
    assert "prep.bpe_dropout: True is out of range: it must be false: sentencepiece" in capsys.readouterr().err
