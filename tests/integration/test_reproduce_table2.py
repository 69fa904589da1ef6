"""nmt-reproduce table2 on a tiny text: runs, vectors, report, going on, and what wrong use prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nmt.cli.reproduce import main
from nmt.reproduce import paper, table2
from nmt.reproduce.intervals import summarize
from nmt.reproduce.rowscores import KINDS, verdict
from nmt.reproduce.wordsimilarity import FILES
from nmt.word2vec.vectors import read_vectors

WORDS = [f"w{number}" for number in range(12)]
FLAGS = [
    "--passes",
    "2",
    "--size",
    "6",
    "--window",
    "3",
    "--negatives",
    "3",
    "--set",
    "word2vec.subsample=0",
    "--threads",
    "1",
]


def made(folder: Path) -> list[str]:
    """A text of two topics, benchmarks of its words, and the command line that uses them."""
    random = np.random.default_rng(1)
    lines = (random.choice(WORDS[6 * (number % 2) :][:6], size=8) for number in range(60))
    (folder / "text.txt").write_text("\n".join(" ".join(line) for line in lines))
    (folder / "sets").mkdir()
    for file in FILES.values():
        pairs = [random.choice(WORDS, size=2) for _ in range(9)]
        (folder / "sets" / file).write_text("".join(f"{a} {b} {n % 4}\n" for n, (a, b) in enumerate(pairs)) + "x y 1\n")
    return ["table2", "--text", str(folder / "text.txt"), "--benchmarks", str(folder / "sets"), *FLAGS]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A finished comparison of two seeds."""
    folder = tmp_path_factory.mktemp("table2")
    words = [*made(folder), "--out", str(folder / "out"), "--quiet"]
    assert main([*words, "--seeds", "2"]) == 0
    return folder, words


def test_report_holds_the_papers_figures_and_ours(done: tuple[Path, list[str]]) -> None:
    out = done[0] / "out"
    found = json.loads((out / "table2.json").read_text(encoding="utf-8"))
    text, page = ((out / f"table2.{kind}").read_text(encoding="utf-8") for kind in ("md", "html"))
    assert found["paper"]["table2"]["MEN"] == {"input": 0.66, "output": 0.61, "tied": 0.5}
    for name, row in paper.TABLE_2.items():
        line = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == "9 of 10"
        assert cells[5:] == [f"{row.input:.2f}", f"{row.output:.2f}", f"{row.tied:.2f}"]
        for cell, role in zip(cells[2:5], KINDS, strict=True):
            rhos = [run["agreements"][role][name]["rho"] for run in found["runs"] if role in run["agreements"]]
            summary = summarize(rhos)
            assert cell == f"{summary.mean:.3f} ± {summary.margin:.3f}"
    assert "Which rows are alike" in text
    assert "<svg" in page
    assert (out / "table2.svg").exists()
    for run in found["runs"]:
        assert run["num_parameters"] == 12 * 6 * (2 if run["mode"] == "untied" else 1)


def test_vectors_are_those_that_were_scored(done: tuple[Path, list[str]]) -> None:
    folder = done[0] / "out" / "vectors"
    names = {f"untied-seed{seed}.{role}.txt" for seed in (1, 2) for role in ("input", "output")}
    assert {path.name for path in folder.iterdir()} == names | {f"tied-seed{seed}.tied.txt" for seed in (1, 2)}
    words, vectors = read_vectors(folder / "untied-seed1.input.txt")
    assert sorted(words) == sorted(WORDS)
    assert vectors.shape == (12, 6)


def test_what_is_finished_is_not_done_again(
    done: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, words = done
    capsys.readouterr()
    monkeypatch.setattr(table2, "do_run", lambda *_: pytest.fail("a run was done again"))
    before = {path: path.read_bytes() for path in (folder / "out" / "vectors").iterdir()}
    assert main([*words, "--seeds", "2"]) == 0
    assert "Input rows score higher than output rows: SimLex-999" in " ".join(capsys.readouterr().out.split())
    assert before == {path: path.read_bytes() for path in (folder / "out" / "vectors").iterdir()}
    assert main([*words, "--seeds", "3", "--report-only"]) == 0
    assert "not there yet: untied-seed3, tied-seed3" in capsys.readouterr().out
    assert main([*words, "--seeds", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "nmt-table2"


def test_two_jobs_find_the_same(done: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, words = done
    assert main([*words[:-3], "--out", str(tmp_path / "again"), "--quiet", "--jobs", "2"]) == 0
    for name in ("untied-seed1.input.txt", "tied-seed1.tied.txt"):
        ours = (tmp_path / "again" / "vectors" / name).read_bytes()
        assert ours == (folder / "out" / "vectors" / name).read_bytes()


def test_benchmarks_are_fetched_where_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = made(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NMT_CACHE", str(tmp_path / "cache"))
    without = [word for word in words if word not in ("--benchmarks", str(tmp_path / "sets"))]
    assert main([*without, "--from", str(tmp_path / "sets"), "--quiet"]) == 2  # not the real sets: their sizes differ
    assert not (tmp_path / "table2" / "runs").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--passes", "3"], "holds another comparison: passes differ; name another folder with --out"),
        (["--text", "other.txt"], "holds another comparison: the text differ"),
        (["--text", "none.txt"], "none.txt: no such file; name the text with --text, or fetch one"),
        (["--benchmarks", "none"], "SimLex-999 is not there; nmt-data fetch word-similarity --corpus none"),
        (["--seeds", "0"], "--seeds: 0 is out of range"),
        (["--scale", "tiny"], "no recipe of scale 'tiny'; choose one of paper, small"),
        (["--size", "0"], "word2vec.size: 0 is out of range: it must be 1 or more"),
    ],
)
def test_wrong_use_is_said_in_a_line(
    done: tuple[Path, list[str]],
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.txt").write_text("a b " * 20)
    capsys.readouterr()
    assert main([*done[1], *more]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]


def test_verdicts_follow_the_interval() -> None:
    assert verdict(summarize([0.1, 0.11, 0.12])) == "shown"
    assert verdict(summarize([-0.1, -0.11, -0.12])) == "the other way round"
    assert verdict(summarize([0.1, -0.1, 0.12])) == "not shown"
    assert verdict(summarize([0.5])) == "open"
