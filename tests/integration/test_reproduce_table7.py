"""nmt-reproduce table7 on tiny texts: one with a validation text, one without, one that is not there; and wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nmt.cli.reproduce import main
from nmt.reproduce.language.schedule import LanguageSchedule
from nmt.text.words import WordVocabulary
from tests.tiny_language import FLAGS, WORDS, no_workers, write_text_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """corpus/bbc, which is found, news/, which is named, and out/ with what was found of both."""
    folder = tmp_path_factory.mktemp("table7")
    write_text_folder(folder / "corpus/bbc")
    write_text_folder(folder / "encyclopedia", ("train", "test"))
    text = folder / "encyclopedia/train.txt"
    text.write_text(text.read_text().replace("\n", " ") + "rare\n")  # a line alone, as text8 is
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(LanguageSchedule, "work", no_workers)
        assert main(["table7", "--corpus", "text8=encyclopedia", *FLAGS, "--out", "out"]) == 0
    return folder


def test_each_text_stands_beside_the_papers_figures(place: Path) -> None:
    found = json.loads((place / "out/table7.json").read_text(encoding="utf-8"))
    text = (place / "out/table7.md").read_text(encoding="utf-8")
    assert list(found["texts"]) == ["text8", "bbc"]
    assert found["absent"] == ["imdb"]
    assert "- IMDB: left open, its text is not there (nmt-data fetch imdb --corpus corpus/imdb" in text
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if ", t" in line[:20]]
    rows = {cells[0]: cells[1:] for cells in lines}
    assert rows["text8, test"][1::2] == ["195.3", "187.1", "199.0", "183.2"]
    assert rows["IMDB, test"] == ["-", "94.3", "-", "94.8", "-", "94.4", "-", "91.5"]
    results = found["texts"]["bbc"]["rows"][3]
    assert results["key"] == "small-wt-pr"
    assert rows["BBC, test"][6:] == [f"{results['perplexity']['test']['mean']:.2f}", "98.9"]
    assert "text8, valid" not in text
    page = (place / "out/table7.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert (place / "out/bbc/report.html").exists()


def test_a_text_without_validation_reports_none(place: Path) -> None:
    results = json.loads((place / "out/table7.json").read_text(encoding="utf-8"))["texts"]["text8"]
    assert list(results["text"]["words"]) == ["train", "test"]
    assert list(results["protocols"]) == ["train", "test"]
    assert "its curves are of the test text, which chooses nothing" in (place / "out/table7.md").read_text()
    assert len(results["rows"][0]["runs"][0]["curve"]) == 2


def test_rare_words_of_text8_are_unknown(place: Path) -> None:
    words = WordVocabulary.load(place / "out/text8/prepared/vocabulary.json").words
    assert set(words) == {*WORDS, "<unk>"}
    assert "rare" not in words


def test_it_goes_on_and_is_rendered_again(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    done: list[str] = []
    monkeypatch.setattr(LanguageSchedule, "work", lambda schedule, runs: done.extend(run.name for run in runs))
    assert main(["table7", *FLAGS, "--seeds", "2", "--out", "out", "--quiet"]) == 0  # text8 was prepared before
    assert done == [f"{key}-2" for key in ("small", "small-wt", "small-pr", "small-wt-pr")] * 2
    assert "BBC: not there yet: small-2" in capsys.readouterr().out
    before = (place / "out/table7.md").read_bytes()
    assert main(["render", "out/table7.json", "out/bbc/report.json"]) == 0
    assert (place / "out/table7.md").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "corpus: no text is there, none of text8, imdb, bbc; nmt-data fetch bbc --corpus corpus/bbc, or name"),
        (
            ["--corpus", "ptb=x"],
            "--corpus: 'ptb=x' is not NAME=DIR with a text of the table; its texts are text8, imdb",
        ),
        (["--corpus", "bbc"], "--corpus: 'bbc' is not NAME=DIR"),
        (["--corpus", "bbc=none"], "none: no such folder"),
        (["--corpus", "imdb=half"], "half: holds no file of validation text"),
        (["--seeds", "0"], "--seeds: 0 is out of range: it must be 1 to 1,000"),
        (["--set", "lm.tying=tied"], "lm.tying: is what the table's models differ in"),
    ],
)
def test_wrong_use_is_said_in_a_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_text_folder(tmp_path / "half", ("train", "test"))
    assert main(["table7", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
