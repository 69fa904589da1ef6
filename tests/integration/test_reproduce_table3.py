"""nmt-reproduce table3 on tiny models: those of table 6 and its own, the report, and what wrong use prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from nmt.cli.reproduce import main
from nmt.evaluate.rankcorrelation import correlation, unit_rows
from nmt.reproduce import paper
from nmt.reproduce.intervals import summarize
from nmt.reproduce.language.schedule import LanguageSchedule
from nmt.reproduce.rowscores import KINDS
from nmt.reproduce.wordsimilarity import FILES
from nmt.text.words import WordVocabulary
from tests.tiny_language import FLAGS, finished, no_workers, write_benchmarks, write_text_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sets/, and table6/ with the small models of two seeds."""
    folder = tmp_path_factory.mktemp("table3")
    write_benchmarks(folder / "sets")
    finished(folder / "table6", "table6", (1, 2), ("small", "small-wt"))
    return folder


def words(place: Path, out: Path, *more: str) -> list[str]:
    return ["table3", "--from", str(place / "table6"), "--benchmarks", str(place / "sets"), "--out", str(out), *more]


def test_models_of_table_6_are_scored_beside_the_papers_figures(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(place, tmp_path, "--column", "text8", "--name", "a text")) == 0
    printed, told = capsys.readouterr()
    assert "small-wt-2: rows scored" in told
    found = json.loads((tmp_path / "table3.json").read_text(encoding="utf-8"))
    text, page = ((tmp_path / f"table3.{kind}").read_text(encoding="utf-8") for kind in ("md", "html"))
    assert text.startswith("# Table 3 on a text: the rows of a small language model, scale small")
    assert "13 words have a row" in text
    for name, row in paper.TABLE_3["text8"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == "9 of 10"
        assert cells[5:] == [f"{row.input:.2f}", f"{row.output:.2f}", f"{row.tied:.2f}"]
        for cell, role in zip(cells[2:5], KINDS, strict=True):
            rhos = [run["agreements"][role][name]["rho"] for run in found["runs"] if role in run["agreements"]]
            summary = summarize(rhos)
            assert cell == f"{summary.mean:.3f} ± {summary.margin:.3f}"
    assert "<svg" in page
    reading = " ".join(printed.split())
    assert "Output rows score higher than input rows: SimLex-999" in reading
    assert "Tied rows against output rows (the paper claims no order): SimLex-999" in reading


def test_rows_are_those_of_the_last_epochs_weights(place: Path, tmp_path: Path) -> None:
    assert main(words(place, tmp_path, "--quiet")) == 0
    found = json.loads((tmp_path / "table3.json").read_text(encoding="utf-8"))
    model = place / "table6/models/small-2"
    weights = load_file(model / "last/weights.safetensors")
    vocabulary = WordVocabulary.load(model / "vocabulary.json")
    lines = [line.split() for line in (place / "sets" / FILES["MEN"]).read_text().splitlines()[:9]]
    rows = [vocabulary.encode(line[:2]) for line in lines]
    scores = np.array([float(line[2]) for line in lines])
    run = next(run for run in found["runs"] if run["name"] == "small-2")
    for role in ("input", "output"):
        unit = unit_rows(weights[f"embeddings.{role}"])
        cosines = np.array([float(unit[a] @ unit[b]) for a, b in rows])
        expected = correlation(_ranks(cosines), _ranks(scores))
        assert run["agreements"][role]["MEN"]["rho"] == pytest.approx(expected, abs=1e-9)


def _ranks(values: np.ndarray) -> np.ndarray:
    below = (values[None] < values[:, None]).sum(1) + ((values[None] == values[:, None]).sum(1) + 1) / 2
    return below - below.mean()


def test_it_trains_its_own_where_none_are_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LanguageSchedule, "work", no_workers)
    corpus = write_text_folder(tmp_path / "corpus")
    own = ["table3", "--corpus", str(corpus), "--benchmarks", str(place / "sets"), "--out", str(tmp_path / "out")]
    assert main([*own, *FLAGS, "--report-only"]) == 0
    assert "not there yet: small-1, small-wt-1" in capsys.readouterr().out
    assert main([*own, *FLAGS, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in found["runs"]] == ["small-1", "small-wt-1"]
    assert not found["missing"]
    assert main(words(place, tmp_path / "other", "--json")) == 0
    theirs = json.loads(capsys.readouterr().out)["runs"][:2]
    assert found["runs"] == theirs  # the same text, recipe and seed


def test_render_writes_the_same_again(place: Path, tmp_path: Path) -> None:
    assert main(words(place, tmp_path, "--quiet")) == 0
    names = ("table3.md", "table3.html", "table3.json", "table3.svg")
    before = {name: (tmp_path / name).read_bytes() for name in names}
    for name in names[:2]:
        (tmp_path / name).unlink()
    assert main(["render", str(tmp_path / "table3.json")]) == 0
    assert before == {name: (tmp_path / name).read_bytes() for name in names}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--from", "none"], "none: holds no comparison of language models; name the folder that nmt-reproduce table6"),
        (["--seeds", "2"], "--seeds: is said of training, and --from takes models that are trained; leave one"),
        (["--set", "lm.dropout=0.5"], "lm.dropout: is said of training, and --from takes"),
        (["--corpus", "x"], "--corpus: is said of training, and --from takes"),
        (["--benchmarks", "none"], "SimLex-999 is not there; nmt-data fetch word-similarity --corpus none"),
        (["--column", "imdb"], "argument --column: invalid choice: 'imdb'"),
    ],
)
def test_wrong_use_is_said_in_a_line(
    place: Path, tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(place, tmp_path / "out"), *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_comparison_without_the_small_models_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = json.loads((place / "table6/experiment.json").read_text())
    (tmp_path / "experiment.json").write_text(json.dumps(experiment | {"table": "table5"}))
    assert main([*words(place, tmp_path / "out"), "--from", str(tmp_path)]) == 2
    assert "its table has no model 'small'; it has large, large-wt" in capsys.readouterr().err
    (tmp_path / "experiment.json").write_text("{")
    assert main([*words(place, tmp_path / "out"), "--from", str(tmp_path)]) == 2
    assert "experiment.json: damaged" in capsys.readouterr().err
