"""scripts/bench as a person runs it, on texts and sizes that take seconds; and how it measures. No time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bpe.command import run
from bpe.errors import UserError
from scripts.benchmarks.__main__ import main
from scripts.benchmarks.bpe_tools import HAS_HUGGING_FACE
from scripts.benchmarks.measure import Command, Tool, run_once, take_turns
from scripts.benchmarks.report import Column, Table
from tests.in_process import call

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1_000_000


def bench(folder: Path, *words: object) -> tuple[str, str]:
    """What scripts/bench runs once the environment is there; its standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scripts.benchmarks", *map(str, words)],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def benchmark(words: list[str]) -> int:
    """scripts/bench in this process."""
    return run("scripts/bench", main, words)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The report of all parts on a tiny text, and what was printed."""
    for package in ("sacremoses", "subword_nmt", "sentencepiece"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("bench")
    printed, _ = bench(folder, "bpe", "--quick", "--json", "found.json")
    return json.loads((folder / "found.json").read_text(encoding="utf-8")), printed


def rows_of(quick: tuple[dict[str, Any], str], beginning: str) -> dict[str, dict[str, Any]]:
    """Rows of the only table whose title begins so, by the tool."""
    (table,) = [table for table in quick[0]["tables"] if table["title"].startswith(beginning)]
    return {row["tool"]: row for row in table["rows"]}


def test_report_says_where_its_figures_come_from(quick: tuple[dict[str, Any], str]) -> None:
    report, printed = quick
    assert report["command"] == "scripts/bench bpe --quick --json found.json"
    assert report["versions"].keys() == {
        "nmt", "python", "subword-nmt", "tokenizers", "sentencepiece", "sacremoses"
    }  # fmt: skip
    for fact in (report["date"], report["machine"], report["command"], report["text"]):
        assert fact
        assert fact in printed
    for table in report["tables"]:
        assert f"\n{table['title']}\n" in printed
        for row in table["rows"]:
            assert row["wall_seconds"] > 0
            assert row["user_seconds"] > 0
            assert row["peak_bytes"] > MEGABYTE
            assert not row["stopped"]


@pytest.mark.parametrize("beginning", ["Learning 50 merges", "Learning 100 merges", "Learning 200 merges from word"])
def test_learning_is_compared_with_every_tool(beginning: str, quick: tuple[dict[str, Any], str]) -> None:
    rows = rows_of(quick, beginning)
    expected = ["subword-nmt", "bpe (ours)", *(["HF tokenizers"] if HAS_HUGGING_FACE else []), "sentencepiece"]
    assert list(rows) == expected
    assert rows["bpe (ours)"]["codes"] == "same file"
    assert rows["subword-nmt"]["codes"] == beginning.split()[1]
    assert rows["subword-nmt"]["speed_up"] == 1
    ours, theirs = rows["bpe (ours)"], rows["subword-nmt"]
    assert ours["speed_up"] == pytest.approx(theirs["wall_seconds"] / ours["wall_seconds"])


def test_segmented_text_is_that_of_subword_nmt(quick: tuple[dict[str, Any], str]) -> None:
    rows = rows_of(quick, "Segmenting")
    assert "subword-nmt" in rows
    assert "bpe (ours), 1" in rows
    for name, row in rows.items():
        if name.startswith(("bpe (ours)", "HF")):
            assert row["output"] == "same bytes", name
        assert row["words_per_second"] > 0


def test_preparation_gives_what_separate_commands_give(quick: tuple[dict[str, Any], str]) -> None:
    rows = rows_of(quick, "The whole preparation")
    ours = [row for name, row in rows.items() if name.startswith("nmt-prep")]
    assert ours
    assert {(row["codes"], row["pairs"]) for row in ours} == {("same file", "same")}
    assert rows["separate commands"]["speed_up"] == 1


def test_memory_is_measured_for_every_size(quick: tuple[dict[str, Any], str]) -> None:
    (table,) = [table for table in quick[0]["tables"] if table["title"].startswith("Peak memory")]
    commands = ["nmt-prep", "python -m bpe.learn", "python -m bpe.segment"]
    assert [(row["tool"], row["copies"]) for row in table["rows"]] == [(name, n) for name in commands for n in (1, 2)]


def test_training_step(tmp_path: Path) -> None:
    sizes = "--embedding 8 --hidden 8 --vocabulary 20 --sentences 2 --length 3 --rounds 1 --threads 1 --device cpu"
    done = call(benchmark, ["step", *sizes.split(), "--json", "found.json"], tmp_path)
    assert done.returncode == 0
    printed = done.stdout.decode()
    report = json.loads((tmp_path / "found.json").read_text())
    assert [row["variant"] for row in report["variants"]] == ["plain float32", "fast float32", "fast bf16"]
    assert report["variants"][0]["speedup"] == 1
    assert report["options"]["vocabulary"] == 20
    assert report["command"] in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "which benchmark?"),
        (["tain"], "no benchmark 'tain'; give one of "),
        (["bpe", "--parts", "lern"], "invalid choice: 'lern'"),
        (["bpe", "--merges", "0"], "must be more than 0"),
        (["bpe", "--corpus", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_mistakes_get_one_line(words: list[str], told: str, tmp_path: Path) -> None:
    done = call(benchmark, words, tmp_path)
    error = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert told in error
    assert error.count("\n") == 1


def python(code: str) -> Tool:
    return Tool(name=code, steps=[Command(argv=[sys.executable, "-c", code])])


def test_a_tool_past_its_limit_is_stopped_and_not_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    slow = python(f"open({str(log)!r}, 'a').write('x'); import time; time.sleep(600)")
    found = take_turns([slow, python("pass")], rounds=3, limit=2)
    assert found[slow.name].stopped
    assert found[slow.name].wall_seconds >= 2
    assert not found["pass"].stopped
    assert log.read_text() == "x"


def test_peak_memory_is_the_commands_and_not_that_of_who_measures() -> None:
    held = bytearray(300 * MEGABYTE)
    small, large = run_once(python("pass")), run_once(python(f"bytearray({200 * MEGABYTE})"))
    assert len(held) > 200 * MEGABYTE
    assert small.peak_bytes < 100 * MEGABYTE
    assert 200 * MEGABYTE < large.peak_bytes < 300 * MEGABYTE


def test_processes_that_a_command_starts_are_counted() -> None:
    child = f"import time; held = bytearray({100 * MEGABYTE}); time.sleep(1)"
    usage = run_once(
        python(f"import subprocess, sys; a, b = (subprocess.Popen([sys.executable, '-c', {child!r}]) for _ in '12'); "
               "a.wait(); b.wait()"),
        sample=True,
    )  # fmt: skip
    assert 100 * MEGABYTE < usage.peak_bytes < 200 * MEGABYTE
    assert usage.tree_bytes is None or usage.tree_bytes > 200 * MEGABYTE


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(UserError, match=r"failed with exit code 1: ValueError: no such thing"):
        run_once(python("raise ValueError('no such thing')"))


def test_lower_bounds_and_missing_figures_show_in_a_table() -> None:
    rows = [
        {"tool": "slow", "seconds": 9.0, "at_least": ["seconds"]},
        {"tool": "quick", "seconds": 2.5, "times": 3.6},
    ]
    columns = (Column("", "tool"), Column("s", "seconds", ".1f"), Column("times", "times", ".1f", 10))
    printed = Table(title="Speed", columns=columns, rows=rows, notes=["a note"]).text()
    assert printed.split("\n") == [
        "Speed",
        "          s  times",
        "slow   >9.0      -",
        "quick   2.5   36.0",
        "  a note",
    ]
