"""nmt-evaluate: the numbers, where they come from, and what is said when something is missing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from sacrebleu import utils

from nmt.cli.evaluate import main
from nmt.evaluate.scoring import score
from nmt.evaluate.testsets import from_sacrebleu
from nmt.translate.translator import Translator
from tests.tiny_model import make_model_folder

SOURCES = ["the cat sat.", "", "dogs bark", "a, b and c"]
REFERENCES = ["die katze sass.", "", "hunde bellen", "a, b und c"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_folder(tmp_path_factory.mktemp("evaluate") / "model")


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a corpus/ of one test split."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    for language, lines in (("en", SOURCES), ("de", REFERENCES)):
        (tmp_path / "corpus" / f"test.{language}").write_text("\n".join(lines) + "\n")
    return tmp_path


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--json", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    parsed: dict[str, Any] = json.loads(out)
    return parsed


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([*map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("nmt-evaluate: error: ").rstrip("\n")


def test_a_model_on_the_test_split(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "--model", model, "--beam", 2, "--device", "cpu", "--output", "out.de", "--examples", 1)
    lines = (here / "out.de").read_text().split("\n")[:-1]
    translator = Translator.load(model, device="cpu")
    assert found["search"] == {**vars(translator.search), "beam": 2}
    expected = score(lines, REFERENCES)
    assert [found[name] for name in ("bleu", "chrf2", "ter")] == [expected.bleu, expected.chrf2, expected.ter]
    assert found["signatures"] == expected.signatures
    assert found["num_lines"] == 4
    assert found["model"] == str(model)
    assert found["weights"]["tying"] == "three-way"
    digest = hashlib.sha256((here / "corpus" / "test.de").read_bytes()).hexdigest()
    assert found["test_set"]["reference"] == {"path": "corpus/test.de", "lines": 4, "sha256": digest}
    assert found["examples"] == [{"source": SOURCES[0], "reference": REFERENCES[0], "translation": lines[0]}]
    assert found["sentences_per_second"] > 0
    assert "torch" in found["versions"]


def test_existing_translations_need_no_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "hyp").write_text("\n".join(REFERENCES) + "\n")
    found = report(capsys, "--hypotheses", "hyp", "--reference", "corpus/test.de", "--baseline", "corpus/test.en")
    assert found["bleu"] == pytest.approx(100)
    assert found["hypotheses"]["path"] == "hyp"
    assert found["comparison"]["baseline"] < found["comparison"]["system"] == pytest.approx(100)
    assert report(capsys, "--hypotheses", "hyp", "--src", "en", "--tgt", "de")["bleu"] == found["bleu"]


def test_text_has_each_score_with_its_signature(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--hypotheses", "corpus/test.de", "--reference", "corpus/test.de", "--examples", "1"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[:4] == ["source       ", f"reference    {REFERENCES[0]}", f"translation  {REFERENCES[0]}", ""]
    assert [line.split()[:2] for line in lines[4:8]] == [
        *(["BLEU", "100.00"], ["chrF2", "100.00"], ["chrF2++", "100.00"], ["TER", "0.00"])
    ]
    assert all("nrefs:1" in line for line in lines[4:8])
    assert lines[8:] == ["test.de: 4 lines", ""]


def test_every_reference_counts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """None of several is the one that wins, however they are given."""
    (here / "hyp").write_text("die katze sass.\n\nhunde klaeffen laut\na, b und c\n")
    (here / "more").write_text("eine katze sass da.\n\nhunde klaeffen laut\na, b und c\n")
    paths = ["corpus/test.de", "more"]
    both = report(capsys, "--hypotheses", "hyp", "--reference", *paths, "--baseline", "more")
    assert report(capsys, "--hypotheses", "hyp", "--reference", "more", "--reference", paths[0])["bleu"] == both["bleu"]
    single = [report(capsys, "--hypotheses", "hyp", "--reference", path)["bleu"] for path in paths]
    assert max(single) < both["bleu"] == pytest.approx(100)
    assert [file["path"] for file in both["test_set"]["references"]] == paths
    assert both["test_set"]["reference"]["path"] == paths[0]
    assert all("nrefs:2" in signature for signature in both["signatures"].values())
    assert "nrefs:2" in both["comparison"]["signature"]
    (here / "short").write_text("one line\n")
    expected = "corpus/test.de: 4 lines, but 1 in short; the files of a test set must have as many lines"
    assert failure(capsys, "--hypotheses", "hyp", "--reference", "corpus/test.de", "short") == expected


def test_intervals_and_scores_of_lines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "hyp").write_text("die katze lag.\n\nhunde bellen\na, b und c\n")
    asked = ["--hypotheses", "hyp", "--reference", "corpus/test.de", "--sentence-level", "--confidence", "50"]
    found = report(capsys, *asked)
    assert [scores["bleu"] for scores in found["sentences"]][1:] == pytest.approx([0, 100, 100])
    assert 0 < found["sentences"][0]["ter"] < 100
    assert found["confidence"].keys() == found["signatures"].keys() == found["sentence_signatures"].keys()
    assert "bs:50" in found["signatures"]["ter"]
    assert main(asked) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[0] == "line\tBLEU\tchrF2\tchrF2++\tTER"
    assert [float(value) for value in lines[3].split("\t")] == pytest.approx([3, 100, 100, 100, 0])
    assert lines[5].startswith("BLEU of lines  nrefs:1|case:mixed|eff:yes")
    interval = found["confidence"]["bleu"]
    assert f"{found['bleu']:.2f}  95%: {interval['mean']:.2f} ± {interval['half_width']:.2f}  nrefs:1|bs:50" in lines[7]
    assert "bs:1000" in report(capsys, *asked[:5], "--confidence")["signatures"]["bleu"]
    assert failure(capsys, *asked[:4], "--confidence", "1").startswith("--confidence: 1 samples give no interval")


def test_languages_are_found_by_any_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "--hypotheses", "corpus/test.de", "--src", "eng", "--tgt", "deu")
    assert found["test_set"]["reference"]["path"] == "corpus/test.de"
    for name in ("test.zho_Hans", "test.tha"):
        (here / name).write_text("猫坐在垫子上。\n")
    found = report(capsys, "--hypotheses", "test.tha", "--reference", "test.zho_Hans")
    assert (found["bleu"], found["notes"]) == (pytest.approx(100), [])
    assert "tok:zh" in found["signatures"]["bleu"]
    assert main(["--hypotheses", "test.tha", "--reference", "test.tha"]) == 0
    captured = capsys.readouterr()
    assert "tok:char" in captured.out
    assert captured.err.startswith("BLEU is by characters: sacreBLEU has no tokenizer for tha (th)\n")


def test_what_is_wrong_is_said_in_one_line(model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "short").write_text("one line\n")
    assert failure(capsys, "--hypotheses", "short", "--reference", "corpus/test.de").startswith(
        "1 translations for 4 references"
    )
    assert failure(capsys, "--model", model, "--source", "short", "--reference", "corpus/test.de").startswith(
        "short: 1 lines, but 4 in corpus/test.de"
    )
    assert failure(capsys, "--model", "nowhere").startswith("nowhere: no such folder")
    assert failure(capsys, "--model", model, "--corpus", "nowhere").startswith("nowhere/test.en: no such file")
    assert failure(capsys, "--hypotheses", "short").startswith("which languages?")
    assert failure(capsys, "--source", "short").startswith("--source without --reference")
    assert failure(capsys, "--model", model, "--testset", "wmt14/ful") == (
        "--testset: unknown test set 'wmt14/ful'; did you mean wmt14/full?"
    )
    assert failure(capsys, "--model", model, "--testset", "wmt19", "--tgt", "xx").startswith(
        "--testset: wmt19 has no en-xx; it has"
    )
    assert failure(capsys, "--model", model, "--testset", "wmt19", "--tokenize", "13b").startswith(
        "--tokenize: unknown"
    )


def test_a_test_set_of_sacrebleus_has_all_its_references(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["corpus/test.en", "corpus/test.de", "corpus/test.de"]
    monkeypatch.setattr(utils, "get_source_file", lambda name, pair: f"{names[0]}" if pair == "en-de" else "")
    monkeypatch.setattr(utils, "get_reference_files", lambda name, pair: names[1:])
    found = from_sacrebleu("wmt19", "eng", "ger")
    assert (found.name, len(found.references)) == ("wmt19/en-de", 2)


def test_a_download_that_fails_is_said_in_one_line(
    model: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(utils, "get_source_file", fail)
    assert failure(capsys, "--model", model, "--testset", "wmt14/full") == (
        "--testset wmt14/full: cannot be had (OSError: no route to host); "
        "check the network, or give --source and --reference"
    )
