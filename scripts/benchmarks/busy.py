"""Measures the commands on a quiet machine and beside other programs, with threads that wait asleep and that spin.

Preparation, training and translation of one made-up text, as whole processes, one after another. Company is so many
processes that never rest. A fair share is what the scheduler would give: of c cores, c threads beside k others get
c / (c + k) of what they get alone. `share` is the quiet time of the commands' own setting divided by the time beside
the company; `of fair` divides it by the fair share. Spinning is OpenMP's default (GOMP_SPINCOUNT=300000).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bpe.command import Parser, num_cores
from bpe.textfiles import write_lines
from nmt.waiting import OWN_SETTINGS
from scripts.benchmarks.measure import Command, Tool, run_once
from scripts.benchmarks.report import Column, Row, Table, as_json, facts, write_json
from scripts.benchmarks.train_text import made_up

OWN = "as the commands set it"
SETTINGS = {OWN: {}, "spinning": {"GOMP_SPINCOUNT": "300000"}, "one thread": {"THREADS": "1"}}
COLUMNS = (
    Column("", "what"),
    Column("waiting", "setting"),
    Column("beside", "company"),
    Column("s", "seconds", ",.1f"),
    Column("CPU s", "cpu_seconds", ",.1f"),
    Column("share", "share", ".2f"),
    Column("of fair", "of_fair", ".2f"),
)
MODEL = ("model.embedding_size=256", "model.hidden_size=512", "training.validate_every=100000", "training.ema=0")


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench busy", description=__doc__, allow_abbrev=False)
    numbers = {"--updates": 12, "--lines": 150, "--pairs": 20_000, "--rounds": 3}
    for flag, default in numbers.items():
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"default: {default:,}")
    parser.add_argument("--company", type=int, nargs="+", default=[0, 1, 4], help="busy processes (default: 0 1 4)")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    return parser.parse_args(argv)


@contextmanager
def beside(count: int) -> Iterator[None]:
    """So many processes that never rest."""
    others = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def command(name: str, arguments: Sequence[object], setting: str) -> Tool:
    """One of the commands, as a process with the setting."""
    environment = {key: value for key, value in SETTINGS[setting].items() if key in OWN_SETTINGS}
    threads = ["--threads", SETTINGS[setting]["THREADS"]] if "THREADS" in SETTINGS[setting] else []
    if name == "prep":
        threads = []
    argv = [sys.executable, "-m", f"nmt.cli.{name}", *map(str, arguments), "--quiet", *threads]
    return Tool(name=name, steps=[Command(argv=argv, env=environment)])


def workloads(folder: Path, wanted: Namespace, setting: str) -> dict[str, Tool]:
    """What is timed. The first run makes what the next ones need."""
    prepared, model = folder / "prepared", folder / "model"
    options = [option for key in MODEL for option in ("--set", key)]
    prep = ("--corpus", folder / "corpus", "--prepared", prepared, "--src", "src", "--tgt", "trg", "--force")
    train = ("--prepared", prepared, "--model", model, "--max-updates", wanted.updates, "--force", *options)
    translate = ("--model", model, "--input", folder / "input", "--output", folder / "output")
    return {
        "nmt-prep": command("prep", (*prep, "--joint-bpe", 4000, "--tokenizer", "none"), setting),
        "nmt-train": command("train", train, setting),
        "nmt-translate": command("translate", (*translate, "--set", "search.max_length=16"), setting),
    }


def write_corpus(folder: Path, wanted: Namespace) -> None:
    """corpus/ and the lines to translate."""
    made_up(folder, 4000, wanted.pairs, 14)
    for language in ("src", "trg"):
        lines = (folder / f"train.{language}").read_text(encoding="utf-8").splitlines()
        write_lines(folder / "corpus" / f"train.{language}", lines)
        write_lines(folder / "corpus" / f"valid.{language}", lines[:50])
        write_lines(folder / "input", lines[: wanted.lines])


def measure(folder: Path, wanted: Namespace) -> list[Row]:
    """Rows of all commands, settings and companies; medians of the rounds."""
    rows: list[Row] = []
    for tool in workloads(folder, wanted, OWN).values():
        run_once(tool)
    for name in workloads(folder, wanted, OWN):
        quiet = 0.0
        for company in wanted.company:
            for setting in wanted.settings:
                tool = workloads(folder, wanted, setting)[name]
                with beside(company):
                    used = [run_once(tool) for _ in range(wanted.rounds)]
                seconds = statistics.median(one.wall_seconds for one in used)
                quiet = quiet or seconds
                fair = min(1.0, num_cores() / (num_cores() + company))
                row: Row = {"what": name, "setting": setting, "company": str(company), "seconds": seconds}
                row["cpu_seconds"] = statistics.median(one.user_seconds + one.system_seconds for one in used)
                rows.append(row | {"share": quiet / seconds, "of_fair": quiet / seconds / fair})
                print(Table(title="", columns=COLUMNS, rows=rows[-1:]).text(), file=sys.stderr, flush=True)
    return rows


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    for name in OWN_SETTINGS:
        os.environ.pop(name, None)
    about = facts("busy", argv, ("torch", "numpy"))
    print(about.text(), flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-busy-") as scratch:
        write_corpus(Path(scratch), wanted)
        rows = measure(Path(scratch), wanted)
    notes = [f"{num_cores()} cores; {wanted.updates} updates, {wanted.lines} lines; medians of {wanted.rounds}"]
    table = Table(title="beside so many busy processes", columns=COLUMNS, rows=rows, notes=notes)
    print(f"\n{table.text()}")
    if wanted.json:
        write_json(wanted.json, about, {"tables": as_json([table])})
