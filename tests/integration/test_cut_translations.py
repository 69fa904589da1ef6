"""What nmt-translate says of translations that the length limit cut, and when."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nmt.cli import cut, translate
from tests.tiny_model import make_model_folder

LINES = ["the cat sat.", "", "dogs, dogs", "one two. three.", "a", *(letter * 9 for letter in "bcdefghijk")]
WHY = "cut at the length limit (--max-length-ratio, --max-length): its end is missing, or it repeats itself"
Call = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_folder(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def call(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command on lines; returns what it said on standard error."""

    def run(*arguments: object, lines: list[str] = LINES, path: Path | None = None) -> str:
        if path is None:
            path = tmp_path / "input"
            path.write_text("".join(f"{line}\n" for line in lines))
        files = ["--input", path, "--output", tmp_path / "output", "--model", folder]
        fixed = ["--device", "cpu", "--threads", "1", *files]
        assert translate.main([str(argument) for argument in (*fixed, *arguments)]) == 0
        return capsys.readouterr().err

    return run


@pytest.fixture
def finished(call: Call, tmp_path: Path) -> list[bool]:
    """Of each of LINES, by JSON, which alone says it for each line."""
    assert call("--json") == ""
    records = [json.loads(line) for line in (tmp_path / "output").read_text().splitlines()]
    found = [record["translations"][0]["finished"] for record in records]
    assert len(set(found)) == 2
    return found


def test_several_lines_are_counted_and_the_first_named_at_the_end(
    call: Call, finished: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [number for number, ended in enumerate(finished, 1) if not ended]
    assert len(numbers) > 3
    everyone = ", ".join(map(str, numbers))
    monkeypatch.setattr(cut, "NAMED", len(numbers))
    assert call() == f"nmt-translate: {len(numbers)} lines have a translation {WHY}: lines {everyone}\n"
    monkeypatch.setattr(cut, "NAMED", 2)
    some = f"lines {numbers[0]}, {numbers[1]} and {len(numbers) - 2} more"
    assert call() == f"nmt-translate: {len(numbers)} lines have a translation {WHY}: {some}\n"


def test_one_line_is_named(call: Call, finished: list[bool]) -> None:
    ended = [line for line, own in zip(LINES, finished, strict=True) if own]
    missing = LINES[finished.index(False)]
    assert call(lines=ended) == ""
    assert call(lines=[*ended, missing]) == f"nmt-translate: line {len(ended) + 1}: a translation was {WHY}\n"


def test_quiet_says_nothing(call: Call, finished: list[bool]) -> None:
    assert call("--quiet") == ""


def test_any_translation_of_a_list_counts(call: Call) -> None:
    assert "line 1: a translation was cut" in call("--n-best", 3, "--min-length", 9, lines=["a"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_in_a_pipe_the_first_is_said_and_no_other(call: Call, finished: list[bool], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    data = "".join(f"{line}\n" for line in LINES)
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(data,), daemon=True)
    writer.start()
    first = finished.index(False) + 1
    assert call(path=tmp_path / "pipe") == (
        f"nmt-translate: line {first}: a translation was {WHY}; other such lines are not named\n"
    )
    writer.join()
