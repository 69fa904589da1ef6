"""nmt-reproduce table1, from a corpus to the tables."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bpe.command import run
from nmt.cli import prep
from nmt.cli.reproduce_table1 import PROG, command
from nmt.data.corpus import read_manifest
from nmt.reproduce.table1_report import FILES
from tests.tiny_corpus import make_corpus

pytest.importorskip("sacremoses")

SMALL = ("--set", "model.embedding_size=8", "--set", "model.hidden_size=8", "--threads", "1")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus without a test set, in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = make_corpus(tmp_path / "corpus", pairs=300)
    for path in folder.glob("test.*"):
        path.unlink()
    return folder


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run(PROG, command, [*SMALL, "--quiet", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output(capsys, "--json", *arguments))
    return found


def test_the_numbers_are_those_of_nmt_prep(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "--merges", "20", "45", "5000")
    last = found["rows"][-1]["merges"]
    assert [row["merges"] for row in found["rows"]] == [20, 45, last]
    assert found["exhausted"]
    for row, asked in zip(found["rows"], (20, 45, 5000), strict=True):
        arguments = ["--joint-bpe", str(asked), "--set", "prep.min_character_count=0"]  # bytes are rows of their own
        assert prep.main([*arguments, "--threads", "1", "--quiet", "--force"]) == 0
        manifest = read_manifest(Path("prepared"))
        assert manifest["splits"]["train"]["pairs"] == 300 == found["pairs"]
        assert manifest["overlap"].items() <= row.items()
        assert manifest["subwords"]["learned"] == row["merges"]
        assert manifest["subwords"]["characters"] == found["characters"]
        assert manifest["subwords"]["words"] == found["words"]["distinct"]
        rows = {"source": "source_size", "target": "target_size", "union": "size"}
        assert row["vocabulary"] == {name: manifest["vocabulary"][key] for name, key in rows.items()}


def test_protected_words_stay_whole_as_in_nmt_prep(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    protect = ("--protect", "B[a-z]+n", "Katze")
    (row,) = as_json(capsys, "--merges", "20", *protect)["rows"]
    assert prep.main(["--joint-bpe", "20", *protect, "--threads", "1", "--quiet"]) == 0
    assert read_manifest(Path("prepared"))["overlap"].items() <= row.items()
    assert as_json(capsys, "--merges", "20")["rows"][0]["source_running"] > row["source_running"]


def test_pairs_that_nmt_prep_drops_are_counted(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = as_json(capsys, "--merges", "20")
    for language in ("en", "de"):
        with open(corpus / f"train.{language}", "a") as stream:
            stream.write("\n" if language == "en" else "Hündin.\n")
    after = as_json(capsys, "--merges", "20")
    assert after["pairs"] == before["pairs"] + 1
    assert after["words"]["target"] == before["words"]["target"] + 2


def test_shards_compression_and_workers_change_nothing(
    corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmt.prepare.executors.FEW_PAIRS", 10)
    monkeypatch.setattr("nmt.prepare.shards.STRIDE", 37)
    whole = as_json(capsys, "--merges", "30")
    for language in ("en", "de"):
        path = corpus / f"train.{language}"
        lines = path.read_bytes().splitlines(keepends=True)
        (corpus / f"train-1.{language}").write_bytes(b"".join(lines[:120]))
        (corpus / f"train-2.{language}.gz").write_bytes(gzip.compress(b"".join(lines[120:])))
        path.unlink()
    shards = as_json(capsys, "--merges", "30", "--threads", "2")
    assert len(shards["files"]) == 2
    assert {**shards, "files": whole["files"]} == whole


def test_the_model_is_the_configured_one(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, large = (
        as_json(capsys, "--merges", "20", "--set", f"model.embedding_size={size}")["rows"][0] for size in (8, 16)
    )
    assert small["union"] == large["union"]
    assert large["sizes"]["three-way"]["embedding"] == 17 * large["vocabulary"]["union"]
    assert small["sizes"]["three-way"]["embedding"] == 9 * small["vocabulary"]["union"]
    totals = [large["sizes"][mode]["total"] for mode in ("untied", "decoder", "three-way")]
    assert totals == sorted(totals, reverse=True)
    assert large["sizes"]["three-way"]["of_untied"] == totals[2] / totals[0]


def test_the_printed_table(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys)
    assert "Table 1 for en-de" in text
    assert "merges: then no pair of symbols occurs twice any more" in text  # the default ladder begins above
    assert "paper, EN-FR" in text
    assert "94,000" in text
    assert max(map(len, text.splitlines())) <= 120
    with_notes = output(capsys, "--set", "prep.source_threshold=3", "--set", "prep.min_frequency=3")
    assert "Not applied here: prep.source_threshold." in with_notes
    assert "occurs 3 times any more" in with_notes


def test_the_shares_of_running_text_add_up(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row in as_json(capsys, "--merges", "10", "30")["rows"]:
        for shares in row["running_shares"].values():
            assert sum(shares.values()) == pytest.approx(1)
        assert row["running_shares"]["joint"]["both"] == row["running_share"]
        shared = row["running_shares"]["source"]["both"] * row["source_running"]
        assert shared == pytest.approx(row["source_running_shared"])


def test_files_are_the_same_bytes_again(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    printed = [output(capsys, "--merges", "10", "20", "40", "--json", "--out", name) for name in ("one", "two")]
    first, second = ({path.name: path.read_bytes() for path in Path(name).iterdir()} for name in ("one", "two"))
    assert first == second
    assert {*FILES, "table1-pieces.svg", "table1-sizes.svg"} == first.keys()
    assert json.loads(first["table1.json"]) == json.loads(printed[0])
    assert b"(table1-pieces.svg)" in first["table1.md"]
    assert first["table1.html"].count(b"<svg") == 2
    assert first["table1.html"].count(b"<table>") == first["table1.md"].count(b"| merges") == 4


def test_without_matplotlib_the_page_says_so(
    corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    output(capsys, "--merges", "10", "--out", "report")
    assert {path.name for path in Path("report").iterdir()} == set(FILES)
    assert "matplotlib is not installed: no pictures" in Path("report/table1.html").read_text(encoding="utf-8")


def test_what_was_done_is_said_on_standard_error(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command([*SMALL, "--merges", "10", "--out", "report"])
    said = capsys.readouterr().err
    assert "en -> de (English is the source unless --src says otherwise)" in said
    assert "written: report/table1.md" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--merges", "0"), "--merges: 0 merges are out of range"),
        (("--merges", "2000000"), "2,000,000 merges are out of range"),
        (("--merges", "x"), "invalid int value"),
        (("--set", "prep.sentencepiece=100"), "prep.sentencepiece: Table 1 is about a joint BPE"),
        (("--corpus", "nowhere"), "nowhere: no such folder"),
        (("--src", "fr"), "no training text for fr"),
    ],
)
def test_mistakes_are_one_line(
    corpus: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    assert run(PROG, command, [*SMALL, *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("nmt-reproduce table1: error: ")
    assert expected in error


def test_blank_text_is_one_line(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus / "train.de").write_text("\n" * 300)
    assert run(PROG, command, [*SMALL, "--quiet", "--set", "prep.check_sides=false"]) == 2
    assert "train.de: no words" in capsys.readouterr().err


def test_only_the_training_text_is_needed(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in corpus.glob("valid.*"):
        path.unlink()
    assert as_json(capsys, "--merges", "20")["pairs"] == 300
