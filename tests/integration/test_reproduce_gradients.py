"""nmt-reproduce gradients on a tiny text: a point an epoch, going on, the report, and wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nmt.cli.reproduce import main
from tests.tiny_language import FLAGS, write_text_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """corpus/ and out/ with two seeds."""
    folder = tmp_path_factory.mktemp("gradients")
    write_text_folder(folder / "corpus")
    assert main(words(folder, folder / "out", "--seeds", "2")) == 0
    return folder


def words(place: Path, out: Path, *more: str) -> list[str]:
    return ["gradients", "--corpus", str(place / "corpus"), "--out", str(out), *FLAGS, "--quiet", *more]


def test_there_is_a_point_for_the_start_and_for_each_epoch(place: Path) -> None:
    found = json.loads((place / "out/gradients.json").read_text(encoding="utf-8"))
    assert [len(run["points"]) for run in found["runs"]] == [3, 3]
    for run in found["runs"]:
        assert run["points"][0] != run["points"][2]
        assert all(point["output_share"] == 1 for point in run["points"])
    text, page = ((place / f"out/gradients.{kind}").read_text(encoding="utf-8") for kind in ("md", "html"))
    assert "than like the input's, mean over all rows, as the paper argues: " in text
    assert "than like the input's, mean over the rows of the words that were read, which both roles change: " in text
    assert "16 batches of 20 words" in text
    assert "<svg" in page


def test_a_run_in_parts_is_the_same(place: Path, tmp_path: Path) -> None:
    """As after a kill behind the first epoch: what is measured is kept, and the model goes on from there."""
    one = [word if word != "2" else "1" for word in words(place, tmp_path)]
    assert one[one.index("--max-epochs") + 1] == "1"
    assert main(one) == 0
    body = json.loads((tmp_path / "experiment.json").read_text())
    body["set"]["training.max_epochs"] = 2
    (tmp_path / "experiment.json").write_text(json.dumps(body))
    assert main(words(place, tmp_path)) == 0
    found, whole = (json.loads((out / "gradients.json").read_text()) for out in (tmp_path, place / "out"))
    assert found["runs"][0] == whole["runs"][0]


def test_what_is_there_is_reported_and_rendered_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (place / "out/gradients.md").read_bytes()
    assert main(["render", str(place / "out/gradients.json")]) == 0
    assert (place / "out/gradients.md").read_bytes() == before
    assert main(words(place, place / "out", "--seeds", "3", "--report-only")) == 0
    assert "not there yet: small-wt-3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--batches", "0"], "--batches: 0 is out of range: it must be 1 or more"),
        (["--batches", "3"], "was measured on 16 batches, not 3; --batches 16, or name another folder with --out"),
        (["--seeds", "0"], "--seeds: 0 is out of range"),
        (["--scale", "paper"], "holds another comparison (another scale)"),
        (["--jobs", "2"], "unrecognized arguments: --jobs 2"),
    ],
)
def test_wrong_use_is_said_in_a_line(
    place: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(place, place / "out", *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
