"""word2vec beside gensim: running words a second in one pass over the same words, in processes that take turns.

Both read the same file, keep the same words and are timed from the first update to the last, without counting words
or reading them. Of a made-up text unless one is named. `words/CPU s` divides by the processor time of all threads,
which company on the machine hardly changes; `words/s` by the clock.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from itertools import islice
from pathlib import Path

import numpy as np

from bpe.command import Parser, num_cores
from bpe.errors import UserError
from bpe.textfiles import read_lines, write_lines
from scripts.benchmarks.report import Column, Row, Table, as_json, facts, write_json
from scripts.benchmarks.zipf import zipf_counts

OURS, GENSIM = "ours", "gensim"
SETTINGS = {
    "200 numbers, window 8, 25 noise words": {"size": 200, "window": 8, "negatives": 25, "subsample": 1e-4},
    "100 numbers, window 5, 5 noise words": {"size": 100, "window": 5, "negatives": 5, "subsample": 1e-3},
}
"word2vec's example, and gensim's defaults."
MIN_COUNT = 5
LINE_WORDS = 25
COLUMNS = (
    Column("", "tool"),
    Column("threads", "threads"),
    Column("words/s", "words_per_second", ",.0f"),
    Column("words/CPU s", "words_per_cpu_second", ",.0f"),
    Column("of gensim", "of_gensim", ".2f"),
    Column("of gensim, CPU", "of_gensim_cpu", ".2f"),
)


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench word2vec", description=__doc__, allow_abbrev=False)
    parser.add_argument("--text", type=Path, metavar="FILE", help="words between spaces (default: made up)")
    parser.add_argument("--words", type=int, default=300_000, metavar="N", help="of the text (default: 300,000)")
    parser.add_argument("--types", type=int, default=20_000, metavar="N", help="of the made-up text (default: 20,000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--threads", type=int, nargs="+", metavar="N", help="default: 1 and all cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    return parser.parse_args(argv)


def write_text(path: Path, wanted: Namespace) -> None:
    """The first words of the text, or words drawn by Zipf's law."""
    if wanted.text:
        words = (word for line in read_lines(wanted.text) for word in [*line.split(), "\n"])
        lines = " ".join(islice(words, wanted.words)).split("\n")
    else:
        counts = zipf_counts(wanted.types, 10 * wanted.words, seed=1)
        shares = np.array(list(counts.values()), dtype=np.float64)
        drawn = np.random.default_rng(1).choice(list(counts), size=wanted.words, p=shares / shares.sum())
        lines = [" ".join(drawn[start : start + LINE_WORDS]) for start in range(0, wanted.words, LINE_WORDS)]
    write_lines(path, (line.strip() for line in lines if line.strip()))


def run(tool: str, text: Path, setting: dict[str, float], threads: int) -> dict[str, float]:
    """One training in a process of its own: seconds, cpu_seconds and words."""
    order = {"tool": tool, "text": str(text), "threads": threads, "min_count": MIN_COUNT, **setting}
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-P", "-m", "scripts.benchmarks.drivers.word2vec", json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"failed: {lines[-1]}", where=tool, hint="scripts/environment bench installs gensim")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(text: Path, setting: dict[str, float], threads: int, rounds: int) -> list[Row]:
    """Rows of both tools, medians of the rounds."""
    found: dict[str, list[dict[str, float]]] = {GENSIM: [], OURS: []}
    for number in range(1, rounds + 1):
        for tool, runs in found.items():
            print(f"round {number} of {rounds}: {tool}, {threads} threads", file=sys.stderr, flush=True)
            runs.append(run(tool, text, setting, threads))
    rows = []
    for tool, runs in found.items():
        row: Row = {"tool": tool, "threads": str(threads)}
        for rate, seconds in (("words_per_second", "seconds"), ("words_per_cpu_second", "cpu_seconds")):
            row[rate] = statistics.median(each["words"] / each[seconds] for each in runs)
        row["of_gensim"] = row["words_per_second"] / (rows[0] if rows else row)["words_per_second"]
        row["of_gensim_cpu"] = row["words_per_cpu_second"] / (rows[0] if rows else row)["words_per_cpu_second"]
        rows.append(row)
    return rows


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    about = facts("word2vec", argv, ("torch", "numpy", "gensim"))
    print(about.text(), flush=True)
    threads = wanted.threads or sorted({1, num_cores()})
    tables = []
    with tempfile.TemporaryDirectory(prefix="bench-word2vec-") as scratch:
        text = Path(scratch) / "text"
        write_text(text, wanted)
        for title, setting in SETTINGS.items():
            rows = [row for count in threads for row in measure(text, setting, count, wanted.rounds)]
            notes = [f"medians of {wanted.rounds}; {wanted.words:,} words of {wanted.text or 'a made-up text'}"]
            tables.append(Table(title=title, columns=COLUMNS, rows=rows, notes=notes))
            print(f"\n{tables[-1].text()}", flush=True)
    if wanted.json:
        write_json(wanted.json, about, {"tables": as_json(tables)})
