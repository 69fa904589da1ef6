"""Everything that only a GPU can show, in one command: correctness, training at Table 8's size, memory, and search.

With --device cpu --tiny every part runs at sizes that take seconds, which says that the command works and nothing else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bpe.command import Parser
from bpe.errors import UserError
from nmt.config import Config
from nmt.configfile import build_config, read_yaml
from nmt.device import peak_memory, pick_device, set_threads
from scripts.benchmarks.gpu_search import SearchWork, search_table
from scripts.benchmarks.report import Column, Row, Table, as_json, facts, write_json
from scripts.benchmarks.train_parts import Stopwatch, Training, Work, batches_of, parts_table
from scripts.benchmarks.train_peers import BYTES_PER_PARAMETER
from scripts.benchmarks.train_text import TrainingText, made_up

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "configs/table8/paper.yaml"
PAPER_UPDATES = 300_000
PRECISIONS = {"float32": ("float32", "highest"), "tf32": ("float32", "high"), "bf16": ("bf16", "highest")}
"Of products: what nmt calls it, and what PyTorch may do with float32 products."
COLUMNS = (
    Column("products", "precision"),
    Column("batch", "batch"),
    Column("pieces/batch", "pieces_per_batch", ",.0f"),
    Column("ms", "milliseconds", ",.1f"),
    Column("pieces/s", "pieces_per_second", ",.0f"),
    Column(f"minutes for {PAPER_UPDATES:,} updates", "paper_minutes", ",.0f"),
    Column("peak MB", "peak_bytes", ",.0f", 1e-6),
    Column("parameters, gradients, optimizer MB", "state_bytes", ",.0f", 1e-6),
    Column("peak/that", "peak_of_state", ".2f"),
)
NOTES = (
    "Table 8's recipe: Adadelta, no dropout; pieces: real target pieces, </s> counted",
    "peak: with the largest batch of the text tried first, as nmt-train does; on a CPU the whole process until then",
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of what is measured."""

    embedding: int = 500
    hidden: int = 1000
    pieces: int = 94_000
    pairs: int = 60_000
    median_length: int = 24
    sentences: int = 80
    batch_tokens: tuple[int, ...] = (4096, 16_384, 32_768)
    updates: int = 10
    rounds: int = 2
    search_sentences: int = 512
    search_alone: int = 20


TINY = Scale(
    embedding=8,
    hidden=12,
    pieces=60,
    pairs=60,
    median_length=5,
    sentences=6,
    batch_tokens=(40,),
    updates=2,
    rounds=1,
    search_sentences=6,
    search_alone=2,
)


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench gpu", description=__doc__, allow_abbrev=False)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes that take seconds")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="default: every core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    """Measure, print and write; a check that failed is a UserError at the end."""
    wanted = arguments(argv)
    device, threads = pick_device(wanted.device), set_threads(wanted.threads)
    scale = TINY if wanted.tiny else Scale()
    about = facts("gpu", argv, ("torch", "numpy", "triton"))
    print(about.text(), flush=True)
    checks = run_checks()
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        text = made_up(Path(folder), scale.pieces, scale.pairs, scale.median_length)
        for table in _tables(scale, text, device, threads):
            print(f"\n{table.text()}", flush=True)
            tables.append(table)
    print(f"\nChecks against the CPU: {checks['summary']}")
    if wanted.json:
        options = {key: str(value) if isinstance(value, Path) else value for key, value in vars(wanted).items()}
        write_json(wanted.json, about, {"options": options, "checks": checks, "tables": as_json(tables)})
    if checks["failed"]:
        raise UserError(f"the GPU's numbers are not the CPU's: {checks['summary']}", hint="scripts/test -m cuda")


def run_checks() -> dict[str, Any]:
    """The tests that need a CUDA device, one after the other; without a device they skip themselves."""
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-m", "cuda", "tests/numerics"]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    last = ([line for line in done.stdout.split("\n") if line.strip()] or ["no output"])[-1]
    return {"failed": bool(done.returncode), "summary": re.sub(r"=+", "", last).strip(), "output": done.stdout}


@contextmanager
def float32_products(how: str) -> Iterator[None]:
    """Let PyTorch round the inputs of float32 products, or not."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(how)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _tables(scale: Scale, text: TrainingText, device: torch.device, threads: int) -> Iterator[Table]:
    rows: list[Row] = []
    for precision, (ours, torchs) in PRECISIONS.items():
        for work in _works(scale, text, device, threads, ours):
            with float32_products(torchs):
                row, parts = _measured(work, precision)
            rows.append(row)
            yield from parts
    size = f"E={scale.embedding} H={scale.hidden}, {text.rows:,} rows, {text.about}"
    failed = [f"{row['precision']}, {row['batch']}: {row['failed']}" for row in rows if "failed" in row]
    yield Table(title=f"Training, {size}", columns=COLUMNS, rows=rows, notes=[*NOTES, *failed])
    yield search_table(
        SearchWork(
            text=text,
            model=_recipe(scale).model,
            device=device,
            length=scale.median_length,
            sentences=scale.search_sentences,
            alone=scale.search_alone,
        )
    )


def _recipe(scale: Scale) -> Config:
    """Table 8's, at the wanted size."""
    config = build_config(read_yaml(RECIPE))
    return replace(config, model=replace(config.model, embedding_size=scale.embedding, hidden_size=scale.hidden))


def _works(scale: Scale, text: TrainingText, device: torch.device, threads: int, precision: str) -> list[Work]:
    config = _recipe(scale)
    budgets = [(0, scale.sentences), *((tokens, 0) for tokens in scale.batch_tokens)]
    return [
        Work(
            text=text,
            model=config.model,
            training=replace(config.training, precision=precision, batch_tokens=tokens, batch_sentences=sentences),
            device=device,
            threads=threads,
            updates=scale.updates,
            rounds=scale.rounds,
        )
        for tokens, sentences in budgets
    ]


def _measured(work: Work, precision: str) -> tuple[Row, Sequence[Table]]:
    """One training: its row, and the table of its parts; what does not fit in memory has no figures."""
    cuda = work.device.type == "cuda"
    row: Row = {"precision": precision, "batch": batches_of(work)}
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        training = Training(work)
        training.updater.try_largest(training.feed.largest().to(work.device))
        row |= _speed(training)
        state = BYTES_PER_PARAMETER * training.num_parameters
        peak = peak_memory(work.device)
        row |= {"peak_bytes": peak, "state_bytes": state, "peak_of_state": peak / state}
        return row, [parts_table(training, precision)]
    except (torch.OutOfMemoryError, UserError) as error:
        return row | {"failed": str(error).split("\n")[0]}, []


def _speed(training: Training) -> Row:
    """Without the marks between parts: a warm round, then one that counts."""
    work, watch, pieces = training.work, Stopwatch(training.work.device), 0
    for counts in (False, True):
        watch.mark("")
        for batch in training.stream():
            training.update(batch)
            pieces += counts * batch.num_target_tokens
        watch.mark("updates")
        milliseconds = watch.milliseconds()["updates"] / work.updates
    row: Row = {
        "milliseconds": milliseconds,
        "pieces_per_batch": pieces / work.updates,
        "pieces_per_second": 1000 * pieces / work.updates / milliseconds,
    }
    return row | ({"paper_minutes": milliseconds * PAPER_UPDATES / 60_000} if work.training.batch_sentences else {})
