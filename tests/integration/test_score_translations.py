"""nmt-score of what nmt-translate wrote with its pieces, and the numbers for a whole file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmt.cli import entries, score, translate
from nmt.cli.entries import SourceLines
from nmt.config import SearchConfig
from nmt.search.scoring import Scoring
from tests.tiny_model import make_model_folder

LINES = ["the cat sat.", "", "dogs, dogs", "The cat. A dog.  One two.", "only source", "üx"]
FIXED = ("--device", "cpu", "--threads", "1")
WAYS: dict[str, tuple[str, ...]] = {
    "usual": ("--n-best", "3"),
    "parts": ("--split-sentences",),
    "draws": ("--sampling", "--n-best", "20", "--allow-unknown", "--allow-source-pieces"),
    "penalised": ("--repetition-penalty", "1.5"),
    "beginnings": ("--prefixes", "prefixes"),
}
Call = Callable[..., list[str]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    modes = ("untied", "decoder", "three-way")
    return {mode: make_model_folder(root / mode, tying=mode, seed=seed) for seed, mode in enumerate(modes, 1)}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """What nmt-translate --json writes of LINES into the file "json"; of each translation in turn."""
    monkeypatch.chdir(tmp_path)
    Path("input").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    Path("prefixes").write_text("dog\nqu\n\nüx\nonly\n\n", encoding="utf-8")

    def run(folder: Path, *arguments: object) -> list[dict[str, Any]]:
        files = ("--model", folder, "--input", "input", "--output", "json", "--json")
        assert translate.main([str(argument) for argument in (*FIXED, *files, *arguments)]) == 0
        records = [json.loads(line) for line in Path("json").read_text(encoding="utf-8").splitlines()]
        return [found for record in records for found in record["translations"]]

    return run


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs nmt-score; returns the lines that it prints."""

    def run(folder: Path, *arguments: object) -> list[str]:
        assert score.main([str(argument) for argument in (*FIXED, "--model", folder, *arguments)]) == 0
        return capsys.readouterr().out.splitlines()

    return run


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tying", ["untied", "three-way"])
def test_translations_score_as_search_said(
    tying: str, way: str, folders: dict[str, Path], written: Any, call: Call
) -> None:
    found = written(folders[tying], *WAYS[way])
    printed = [json.loads(line) for line in call(folders[tying], "--translations", "json", "--json")]
    assert [entry["log_prob"] for entry in printed] == pytest.approx([one["log_prob"] for one in found], abs=1e-4)
    for entry, one in zip(printed, found, strict=True):
        assert entry["pieces"] == pytest.approx(one["log_probs"], abs=1e-4)
    if way in ("usual", "draws"):
        assert {one["finished"] for one in found} == {True, False}
    if way == "parts":
        assert any(len(one.get("parts", ())) == 3 for one in found)
    if way == "beginnings":
        assert found[1]["pieces"] == [], "a blank line stays blank"
        assert found[0]["pieces"][:3] == ["d@@", "o@@", "g"]


def test_texts_cut_anew_are_other_pieces(folders: dict[str, Path], written: Any, call: Call) -> None:
    folder = folders["three-way"]
    found = written(folder, *WAYS["draws"])
    listed = call(folder, "--translations", "json")
    Path("list").write_text("".join(f"{line}\n" for line in listed), encoding="utf-8")
    anew = call(folder, "--source", "input", "--n-best", "list")
    assert [line.split("|||")[:2] for line in anew] == [line.split("|||")[:2] for line in listed]
    scores, others = ([float(line.rsplit(" ||| ", 1)[1]) for line in lines] for lines in (listed, anew))
    assert scores == pytest.approx([one["log_prob"] for one in found], abs=1e-4)
    assert any(abs(first - second) > 0.1 for first, second in zip(scores, others, strict=True))


@pytest.mark.parametrize("modes", [("untied", "decoder"), ("three-way", "three-way"), ("three-way", "untied")])
def test_ensembles_score_as_they_search(
    modes: tuple[str, str], folders: dict[str, Path], written: Any, call: Call
) -> None:
    first, second = (folders[mode] for mode in modes)
    found = written(first, "--ensemble", second, "--n-best", 3)
    printed = call(first, "--ensemble", second, "--translations", "json")
    scores = [float(line.rsplit(" ||| ", 1)[1]) for line in printed]
    assert scores == pytest.approx([one["log_prob"] for one in found], abs=1e-4)


def test_a_model_of_another_vocabulary_is_one_line(
    folders: dict[str, Path], written: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    written(folders["untied"])
    files = ["--translations", "json", "--model", str(folders["untied"])]
    assert score.main([*files, "--ensemble", "nowhere"]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [(), ("--length-penalty", "0.4"), ("--length-penalty", "0.8", "--length-normalization", "gnmt")],
)
def test_normalised_scores_are_those_of_search(
    options: tuple[str, ...], folders: dict[str, Path], written: Any, call: Call
) -> None:
    folder = folders["three-way"]
    found = written(folder, "--n-best", 3, "--split-sentences", *options)
    printed = [json.loads(line) for line in call(folder, "--translations", "json", "--normalize", "--json", *options)]
    assert [entry["score"] for entry in printed] == pytest.approx([one["score"] for one in found], abs=1e-4)
    assert [entry["log_prob"] for entry in printed] == pytest.approx([one["log_prob"] for one in found], abs=1e-4)
    plain = call(folder, "--source", "input", "--target", "input", "--normalize", *options)
    pairs = [json.loads(line) for line in call(folder, "--source", "input", "--target", "input", "--json")]
    values = dict(zip(options[::2], options[1::2], strict=True))
    scoring = Scoring(
        SearchConfig(
            length_penalty=float(values.get("--length-penalty", 1)),
            length_normalization=values.get("--length-normalization", "length"),
        )
    )
    expected = [scoring.score(pair["log_prob"], len(pair["pieces"])) for pair in pairs]
    assert [float(line) for line in plain] == pytest.approx(expected, abs=1e-5)


def test_summaries_are_of_all_pieces(folders: dict[str, Path], written: Any, call: Call) -> None:
    folder = folders["decoder"]
    found = [one for one in written(folder, "--n-best", 2) if one["log_probs"]]
    total = -math.fsum(one["log_prob"] for one in found)
    pieces = sum(len(one["log_probs"]) for one in found)
    expected = {
        "cross-entropy": total / len(found),
        "ce-mean-words": total / pieces,
        "ce-sum": total,
        "perplexity": math.exp(total / pieces),
    }
    for kind, value in expected.items():
        [printed] = call(folder, "--translations", "json", "--summary", kind)
        assert float(printed) == pytest.approx(value, rel=1e-4)
    [line] = call(folder, "--translations", "json", "--summary", "perplexity", "--json")
    numbers = json.loads(line)
    assert {name.replace("_", "-"): value for name, value in numbers.items() if name not in ("pairs", "pieces")} == (
        pytest.approx(expected, rel=1e-4)
    )
    assert (numbers["pairs"], numbers["pieces"]) == (len(found), pieces)


def test_a_summary_of_pairs_counts_every_line(folders: dict[str, Path], written: Any, call: Call) -> None:
    written(folders["untied"])
    files = ("--source", "input", "--target", "prefixes")
    sums = [float(line) for line in call(folders["untied"], *files)]
    [printed] = call(folders["untied"], *files, "--summary", "cross-entropy")
    assert float(printed) == pytest.approx(-math.fsum(sums) / len(LINES), abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "one of --target, --n-best and --translations is needed"),
        (("--target", "input", "--n-best", "input"), "one of --target, --n-best and --translations is needed"),
        (("--target", "input"), "--source is needed; name the lines"),
        (("--translations", "json", "--source", "input"), "--translations brings its own source and pieces"),
        (("--translations", "json", "--pieces"), "--translations brings its own source and pieces"),
        (("--translations", "json", "--length-penalty", "1"), "--length-penalty counts with --normalize only"),
        (("--translations", "json", "--normalize", "--summary", "perplexity"), "--summary is of log-probabilities"),
        (("--translations", "json", "--summary", "loss"), "argument --summary: invalid choice: 'loss'"),
        (("--translations", "input"), "input:1: not JSON; write it with nmt-translate --json"),
        (("--translations", "list"), "list:1: no line of nmt-translate --json"),
        (("--translations", "odd"), "odd:2: no line of nmt-translate --json ('finished')"),
        (("--translations", "blank", "--summary", "perplexity"), "nothing was scored, so there is no summary"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: tuple[str, ...], message: str, folders: dict[str, Path], written: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    written(folders["untied"])
    line = {"source_pieces": ["a"], "translations": [{"text": "a", "pieces": ["a"], "finished": True}]}
    other = {"source_pieces": ["a"], "translations": [{"text": "a", "pieces": ["a"]}]}
    Path("odd").write_text(f"{json.dumps(line)}\n{json.dumps(other)}\n")
    Path("list").write_text("[1, 2]\n")
    Path("blank").write_text("")
    capsys.readouterr()
    assert score.main([*FIXED, "--model", str(folders["untied"]), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_source_lines_can_be_asked_for_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "KEPT_LINES", 3)
    (tmp_path / "lines").write_text("".join(f"line {number}\n" for number in range(20)))
    lines = SourceLines(str(tmp_path / "lines"))
    for number in (0, 0, 5, 4, 9, 8, 11):
        assert lines.line(number) == f"line {number}"
        assert len(lines.kept) <= 3
    for number in (2, 19, 0, 12):
        assert lines.line(number) == f"line {number}"
    assert lines.line(20) is None
    assert (lines.line(3), lines.end) == ("line 3", 20)
