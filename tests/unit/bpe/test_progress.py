"""Progress: one line rewritten on a terminal, plain lines elsewhere, nothing where nothing can be printed."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from bpe import progress
from bpe.progress import Progress, duration

ROOT = Path(__file__).resolve().parents[3]


class Clock:
    """Stands in for the module `time`: a second passes at each look."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "time", Clock())


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, total: int | None = 100, quiet: bool = False) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("Reading", total, quiet=quiet) as steps:
        for _ in range(25):
            steps.advance(4)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0s"), (59, "59s"), (60, "1m00s"), (185, "3m05s"), (7800, "2h10m"), (360_000, "100h00m")],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_where_there_is_no_terminal_lines_are_plain_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(io.StringIO(), monkeypatch).split("\n")
    assert lines[-1] == ""
    assert 2 <= len(lines) - 1 <= 4
    assert not any("\r" in line or "\x1b" in line for line in lines)
    assert lines[0].startswith("Reading: ")
    assert " of 100 lines (" in lines[0]
    assert lines[0].endswith(" left")
    assert lines[-2].startswith("Reading: 100 of 100 lines (100%), ")


def test_on_a_terminal_one_line_is_rewritten_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(Terminal(), monkeypatch)
    assert text.count("\n") == 1
    assert text.endswith("\x1b[K\n")
    assert text.count("\rReading: ") == 26


def test_without_a_total_there_is_a_count_and_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    last = shown(io.StringIO(), monkeypatch, total=None).split("\n")[-2]
    assert last.startswith("Reading: 100 lines, ")
    assert last.endswith("/s")


def test_a_short_task_says_nothing_and_a_quiet_one_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch, quiet=True) == ""
    assert shown(Terminal(), monkeypatch, quiet=True) == ""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("Reading", 10) as steps:
        steps.advance()
    assert stream.getvalue() == ""


def test_the_share_gives_the_time_left_where_the_total_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("Reading") as steps:
        for number in range(20):
            steps.advance(4, number / 40)
        steps.advance(4, 1.0)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("Reading: 40 lines (22%), ")
    assert lines[0].endswith(" left")
    assert lines[-1].startswith("Reading: 84 lines (100%), ")
    assert lines[-1].endswith("/s")


def test_patience_keeps_a_short_task_silent_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds, printed in ((15, True), (60, False)):
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress("Reading", patience=seconds) as steps:
            for _ in range(20):
                steps.advance()
        assert bool(stream.getvalue()) == printed


def test_no_standard_error_and_a_closed_one_are_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress("Reading", 100) as steps:
            for _ in range(50):
                steps.advance()
        assert steps.done == 50


def test_a_process_started_without_standard_error_counts_all_the_same() -> None:
    code = "from bpe import progress\nprogress.PLAIN_SECONDS = 0\nwith progress.Progress('x') as p: p.advance()\n"
    code += "print(p.done)"
    command = f'exec "{sys.executable}" -c "$0" 2>&-'
    done = subprocess.run(["sh", "-c", command, code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "1\n"
