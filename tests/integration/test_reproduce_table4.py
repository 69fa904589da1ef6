"""nmt-reproduce table4 on tiny models and vectors: the correlations, the reading, the report, and wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from nmt.cli.reproduce import main
from nmt.reproduce.provenance import Provenance
from nmt.reproduce.table2 import MODES, run_path, vectors_path
from nmt.reproduce.table4 import PAIRS, Table4, Table4Column
from nmt.reproduce.table4_report import table4_text
from nmt.word2vec.vectors import write_vectors
from tests.tiny_language import WORDS, finished


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """table6/ with the small models of two seeds, the second's tied one missing; table2/ with vectors of two seeds."""
    folder = tmp_path_factory.mktemp("table4")
    finished(folder / "table6", "table6", (1, 2), ("small", "small-wt"))
    (folder / "table6/models/small-wt-2/scores.json").unlink()
    draw = np.random.default_rng(1)
    for seed in (1, 2):
        output = draw.normal(size=(12, 5)).astype(np.float32)
        rows = {"input": draw.normal(size=(12, 5)), "output": output, "tied": 3 * output}
        for mode, roles in MODES.items():
            for role in roles:
                path = vectors_path(folder / "table2", mode, seed, role)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_vectors(path, WORDS, rows[role])
            run_path(folder / "table2", mode, seed).parent.mkdir(parents=True, exist_ok=True)
            run_path(folder / "table2", mode, seed).write_text("{}")
    return folder


def words(place: Path, out: Path, *more: str) -> list[str]:
    folders = ["--word2vec", str(place / "table2"), "--small", str(place / "table6")]
    return ["table4", *folders, "--threads", "1", "--out", str(out), *more]


def by_definition(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation of the ranks of the cosines of all pairs, none of which are equal."""
    ranks = []
    for matrix in (first.astype(np.float64), second.astype(np.float64)):
        unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        ranks.append((unit @ unit.T)[np.triu_indices(len(unit), 1)].argsort().argsort())
    return float(np.corrcoef(*ranks)[0, 1])


def test_correlations_are_by_definition(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(place, tmp_path, "--words", "9")) == 0
    printed, told = capsys.readouterr()
    found = json.loads((tmp_path / "table4.json").read_text(encoding="utf-8"))
    vectors, small = found["columns"]
    assert vectors["rhos"]["output, tied"] == pytest.approx([1, 1])
    assert vectors["seeds"] == [1, 2]
    assert (small["seeds"], small["words"], small["missing"]) == ([1], 9, ["small-wt-2"])
    models = place / "table6/models"
    untied = load_file(models / "small-1/last/weights.safetensors")
    tied = load_file(models / "small-wt-1/last/weights.safetensors")["embeddings.input"]
    rows = {"input": untied["embeddings.input"], "output": untied["embeddings.output"], "tied": tied}
    for first, second in PAIRS:
        expected = by_definition(rows[first][:9], rows[second][:9])
        assert small["rhos"][f"{first}, {second}"] == pytest.approx([expected], abs=1e-4)
    assert "LSTM, small, seed 1: input, output" in told
    reading = " ".join(printed.split())
    assert "word2vec: the tied embedding is more like the output embedding than like the input embedding: " in reading
    assert "embedding: open at one seed; rho" in reading
    assert "LSTM, small: not there yet: small-wt-2" in reading
    assert "LSTM, large: no models yet: nmt-reproduce table5" in reading


def test_report_has_the_papers_figures_and_is_rendered_again(place: Path, tmp_path: Path) -> None:
    assert main(words(place, tmp_path, "--quiet")) == 0
    text = (tmp_path / "table4.md").read_text(encoding="utf-8")
    cells = [
        cell.strip() for cell in next(ln for ln in text.splitlines() if "output, tied" in ln).strip("|").split("|")
    ]
    assert (cells[1], cells[2], cells[4], cells[5], cells[6]) == ("1.000 ± 0.000", "0.39", "0.65", "-", "0.77")
    assert "<svg" in (tmp_path / "table4.html").read_text(encoding="utf-8")
    assert main(["render", str(tmp_path / "table4.json")]) == 0
    assert (tmp_path / "table4.md").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("as_input", "finding"),
    [([0.1, 0.12], "shown; rho +0.490"), ([0.9, 0.92], "the other way round; rho -0.310"), ([0.1, 0.99], "not shown")],
)
def test_the_reading_follows_the_interval(as_input: list[float], finding: str) -> None:
    rhos = {"input, output": [0.0, 0.0], "input, tied": as_input, "output, tied": [0.6, 0.6]}
    column = Table4Column(model="small", folder="x", words=9, seeds=(1, 2), rhos=rhos, missing=())
    made = Provenance.now("nmt-reproduce table4")
    printed = table4_text(Table4(name="", made=made, limit=9, columns=(column,)))
    assert f"like the input embedding: {finding}" in " ".join(printed.split())
    assert "the paper: +0.34" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no folder of trained models named; name one with --word2vec, --small or --large"),
        (["--small", "none"], "none: holds no comparison of language models; name the folder"),
        (["--word2vec", "none"], "none: holds no finished vectors of both modes; name the folder"),
        (["--word2vec", "none", "--words", "2"], "--words: 2 is out of range: it must be 3 or more"),
        (
            ["--word2vec", "none", "--words", "94000"],
            "--words: the pairs of 94,000 pieces in 3 matrices take 172.8",
        ),
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
    assert main(["table4", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
