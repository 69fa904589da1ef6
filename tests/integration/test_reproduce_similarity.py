"""nmt-reproduce similarity on small model folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bpe.errors import UserError
from nmt.cli.common import run
from nmt.cli.reproduce_similarity import PROG, command
from nmt.text.vocabulary import Vocabulary
from tests.tiny_model import make_model_folder

MODES = ("untied", "decoder", "three-way")


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    return [str(make_model_folder(tmp_path / mode, tying=mode)) for mode in MODES]


def test_three_modes(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command([*folders, "--threads", "1", "--json", "--out", str(tmp_path / "out"), "--pieces", "30"])
    found = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "out" / "similarity.json").read_text()) == found
    assert len(found["correlations"]) == 15  # 3 + 2 + 1 matrices
    assert {c["num_pieces"] for c in found["correlations"]} == {30}
    assert {c["domain"] for c in found["correlations"]} == {"both", "source view", "target view"}
    assert len(found["readings"]) == 2
    assert [bool(of["note"]) for of in found["neighbours"]] == [True, True, False]
    shared = found["neighbours"][2]
    assert [near["piece"] for near in shared["neighbourhoods"]] == ["only", "source", "one", "three", "two"]
    assert {near["piece"] for near in shared["neighbourhoods"][0]["nearest"]} == {"one", "two", "three"}
    report = (tmp_path / "out" / "similarity.md").read_text()
    assert report.startswith("# What tying does to the embeddings\n\n## Rank correlations of similarities\n\n")
    assert all(reading in report for reading in found["readings"])


def test_printed_twice_alike(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command([*folders, "--threads", "1", "--neighbours", "2", "--words", "1"])
    printed = capsys.readouterr().out
    command([*folders, "--threads", "1", "--neighbours", "2", "--words", "1"])
    assert capsys.readouterr().out == printed
    assert printed.count("Source and target are not one space here") == 2
    assert [line.split()[:2] for line in printed.split("\n") if line.startswith(("en ", "de "))] == [
        ["en", "only"],
        ["de", "one"],
    ]


def test_one_three_way_model_and_a_word(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command([folders[2], "--threads", "1", "--word", "two"])
    printed = capsys.readouterr().out
    assert printed.startswith("Neighbours across en and de: three-way\n")  # one matrix: nothing to correlate
    assert "de       two    " in printed
    with pytest.raises(UserError, match="'tow' is not a piece of one language alone; near it: two"):
        command([folders[2], "--threads", "1", "--word", "tow"])
    with pytest.raises(UserError, match="no three-way model among these"):
        command([folders[0], folders[1], "--threads", "1", "--word", "two"])


def test_mistakes_are_one_line(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = shutil.copytree(folders[0], tmp_path / "other")
    vocabulary = Vocabulary.load(other / "vocabulary.json")
    changed = Vocabulary(vocabulary.both[::-1], vocabulary.source_only, vocabulary.target_only)
    changed.save(other / "vocabulary.json")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"vocabulary": changed.fingerprint}))
    cut = shutil.copytree(folders[0], tmp_path / "cut")
    (cut / "best.safetensors").write_bytes((cut / "best.safetensors").read_bytes()[:100])
    for arguments, words in (
        ([folders[0], str(other)], f"{other} and {folders[0]} have different vocabularies"),
        ([folders[1], str(cut)], "truncated or not a safetensors file"),
        ([folders[1], str(tmp_path / "nowhere")], "no such folder"),
        ([], "the following arguments are required: MODEL"),
    ):
        assert run(PROG, command, [*arguments, "--threads", "1"]) == 2
        printed = capsys.readouterr().err
        assert words in printed
        assert printed.count("\n") == 1
