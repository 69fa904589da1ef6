"""Everything that only a GPU can show, in one command of a few minutes, the most useful first.

A time limit loses nothing: JSON is written after every table, and what there is no time left for is named. With
--device cpu --tiny every stage runs at sizes that take seconds, which says that the command works and nothing else.
With --quick two versions are timed side by side, in turns.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bpe.command import Parser
from bpe.errors import UserError
from nmt.device import pick_device, repeat_bits, set_threads
from scripts.benchmarks import gpu_quick, gpu_training
from scripts.benchmarks.gpu_search import searching
from scripts.benchmarks.gpu_work import TINY, Bench, Scale
from scripts.benchmarks.report import Facts, Table, as_json, facts, write_json
from scripts.benchmarks.train_text import made_up

ROOT = Path(__file__).resolve().parents[2]
CHECK_SECONDS = 150
"The tests get no more of the time than this."

Stage = Callable[[Bench], Iterator[Table]]
STAGES: dict[str, tuple[Stage, int]] = {
    "products": (gpu_training.products, 5),
    "sentences": (gpu_training.sentences, 20),
    "graph": (gpu_training.graph, 40),
    "profile": (gpu_training.profile, 20),
    "waiting": (gpu_training.waiting, 20),
    "resuming": (gpu_training.resuming, 40),
    "buffers": (gpu_training.buffers, 60),
    "batches": (gpu_training.batches, 40),
    "settings": (gpu_training.settings, 30),
    "search": (searching, 60),
    "precisions": (gpu_training.precisions, 30),
    "learning": (gpu_training.learning, 40),
}
"What is measured after the checks, in this order, and the seconds that have to be left for it to be begun."


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench gpu", description=__doc__, allow_abbrev=False)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes that take seconds")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="default: every core")
    parser.add_argument("--minutes", type=float, default=8, metavar="N", help="begin nothing later (default: 8)")
    parser.add_argument(
        "--only", nargs="+", choices=("checks", *STAGES), metavar="STAGE", help=f"checks, {', '.join(STAGES)}"
    )
    parser.add_argument("--quick", action="store_true", help="an update and a step of search alone")
    parser.add_argument("--against", metavar="VERSION", help="with --quick: a commit, or a folder with another version")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, after every table")
    wanted = parser.parse_args(argv)
    if wanted.against and not wanted.quick:
        raise UserError("compares nothing without --quick", where="--against", hint="add --quick")
    return wanted


@dataclass
class Report:
    """What was found so far; written whenever something is added."""

    about: Facts
    wanted: Namespace
    checks: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    "Of each stage."

    def add(self, table: Table) -> None:
        """Print a table and keep it."""
        print(f"\n{table.text()}", flush=True)
        self.tables.append(table)
        self.write()

    def note(self, line: str) -> None:
        """A line in the place of a table."""
        self.add(Table(title=line, columns=(), rows=[]))

    def write(self) -> None:
        """The JSON, where it is wanted."""
        if self.wanted.json:
            options = {
                key: str(value) if isinstance(value, Path) else value for key, value in vars(self.wanted).items()
            }
            found = {"checks": self.checks, "seconds": self.seconds, "tables": as_json(self.tables)}
            write_json(self.wanted.json, self.about, {"options": options, **found})


def main(argv: list[str]) -> None:
    """Measure, print and write; a check that failed is a UserError at the end."""
    started, wanted = time.monotonic(), arguments(argv)
    device, threads = pick_device(wanted.device), set_threads(wanted.threads)
    scale = TINY if wanted.tiny else Scale()
    report = Report(facts("gpu", argv, ("torch", "numpy", "triton")), wanted)
    print(report.about.text(), flush=True)
    if wanted.quick:
        report.add(gpu_quick.compared(ROOT, wanted.against, scale, device, threads))
        return
    if not wanted.only or "checks" in wanted.only:
        report.checks = run_checks(min(CHECK_SECONDS, 60 * wanted.minutes))
        report.note(f"Checks against the CPU: {report.checks['summary']}")
    repeat_bits(device)  # as nmt-train does
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        text = made_up(Path(folder), scale.pieces, scale.pairs, scale.median_length)
        bench = Bench(scale=scale, text=text, device=device, threads=threads)
        for name in STAGES:
            if not wanted.only or name in wanted.only:
                run_stage(name, bench, report, started + 60 * wanted.minutes)
    if report.checks.get("failed"):
        print(report.checks["output"], file=sys.stderr)
        raise UserError(f"the GPU's numbers are not the CPU's: {report.checks['summary']}", hint="see above")


def run_stage(name: str, bench: Bench, report: Report, ends: float) -> None:
    """One stage, if there is time. What fails is told, and the others go on."""
    stage, needed = STAGES[name]
    started = time.monotonic()
    if started + (0 if report.wanted.tiny else needed) > ends:
        report.note(f"{name}: left out, there is no time left (--minutes N, or --only {name})")
        return
    torch.manual_seed(1)  # whichever stage ran before
    try:
        for table in stage(bench):
            report.add(table)
    except Exception as error:  # whatever a GPU that nobody saw before says, the other stages are worth having
        lines = str(error).strip().splitlines() or ["no message"]
        report.note(f"{name}: failed, {type(error).__name__}: {lines[0]}")
    report.seconds[name] = time.monotonic() - started
    report.write()


def run_checks(limit: float) -> dict[str, Any]:
    """The tests that need a CUDA device, one after the other; without a device they skip themselves."""
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "tests/numerics/test_cuda.py"]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path}
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired as late:
        told = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else (late.stdout or "")
        return {"failed": True, "summary": f"not done after {limit:.0f} seconds", "output": told}
    last = ([line for line in done.stdout.split("\n") if line.strip()] or ["no output"])[-1]
    return {"failed": bool(done.returncode), "summary": re.sub(r"=+", "", last).strip(), "output": done.stdout}
