"""Plans epochs of a corpus of WMT's size: seconds and memory until training can begin, and for every block of it.

Only the line starts are made, in a memory-mapped file as nmt-prep writes them: planning reads nothing else. Lengths are
those of a prepared folder's training pairs, drawn with a fixed seed, or like those of news: a log-normal source, and a
target of about as many pieces.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bpe.command import Parser
from nmt.data.batching import Budget, EpochPlan
from nmt.data.corpus import OFFSET_TYPE, ParallelIds, PreparedCorpus
from nmt.data.order import BLOCK_PAIRS
from scripts.benchmarks.report import Column, Row, Table, facts, write_json

CHUNK_PAIRS = 1_000_000
SAMPLE_SECONDS = 0.005
COLUMNS = (
    Column("", "step"),
    Column("s", "wall_seconds", ",.2f"),
    Column("CPU s", "cpu_seconds", ",.2f"),
    Column("MB after", "after_bytes", ",.0f", 1e-6),
    Column("MB at most", "peak_bytes", ",.0f", 1e-6),
    Column("bytes a pair", "bytes_per_pair", ",.2f"),
)


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench data", description=__doc__, allow_abbrev=False)
    sizes = {"--pairs": 40_000_000, "--batch-tokens": 4096, "--max-length": 100}
    for flag, default in sizes.items():
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"default: {default:,}")
    parser.add_argument("--prepared", type=Path, metavar="DIR", help="take the lengths of this folder's training pairs")
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="folder of the made-up line starts (16 bytes a pair)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    return parser.parse_args(argv)


def known_lengths(prepared: Path | None, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and target lengths to draw from."""
    if prepared:
        pairs = PreparedCorpus.open(prepared).split("train")
        return np.diff(pairs.source_offsets), np.diff(pairs.target_offsets)
    random = np.random.default_rng(1)
    source = np.exp(random.normal(3.2, 0.6, CHUNK_PAIRS))
    target = source * np.exp(random.normal(0, 0.2, CHUNK_PAIRS))
    return tuple(np.clip(side, 1, 1.1 * max_length).astype(np.int64) for side in (source, target))  # type: ignore[return-value]


def make_pairs(folder: Path, wanted: Namespace) -> ParallelIds:
    """Memory-mapped line starts of pairs whose pieces are not there."""
    random = np.random.default_rng(2)
    known = known_lengths(wanted.prepared, wanted.max_length)
    files = [np.memmap(folder / side, OFFSET_TYPE, "w+", shape=(wanted.pairs + 1,)) for side in ("source", "target")]
    for start in range(0, wanted.pairs, CHUNK_PAIRS):
        chosen = random.integers(len(known[0]), size=min(CHUNK_PAIRS, wanted.pairs - start))
        for file, lengths in zip(files, known, strict=True):
            file[start + 1 : start + 1 + len(chosen)] = file[start] + np.cumsum(lengths[chosen])
    del files, file
    ids = np.empty(0, dtype=np.int32)
    source, target = (np.memmap(folder / side, OFFSET_TYPE, "r") for side in ("source", "target"))
    return ParallelIds(ids, source, ids, target)


class Meter:
    """Rows of what steps cost. Memory is what the process has added since the meter was made."""

    def __init__(self, num_pairs: int) -> None:
        self.num_pairs, self.before = num_pairs, private_bytes()
        self.rows: list[Row] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note what is done inside."""
        ended, most = threading.Event(), [0]

        def sample() -> None:
            while not ended.wait(SAMPLE_SECONDS):
                most[0] = max(most[0], private_bytes())

        sampler = threading.Thread(target=sample)
        sampler.start()
        wall, processor = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            ended.set()
            sampler.join()
        after = private_bytes()
        self.rows.append(
            {
                "step": name,
                "wall_seconds": wall,
                "cpu_seconds": processor,
                "after_bytes": after - self.before,
                "peak_bytes": max(after, most[0]) - self.before,
                "bytes_per_pair": (after - self.before) / self.num_pairs,
            }
        )


def private_bytes() -> int:
    """Memory of this process that is no file's; what mapped files hold is the system's to take back."""
    status = Path("/proc/self/status")
    found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text(encoding="ascii")) if status.exists() else None
    return 1024 * int(found[1]) if found else 0


def measure(pairs: ParallelIds, budget: Budget) -> tuple[list[Row], dict[str, float]]:
    """Start, continue in the middle of an epoch, and go through all blocks of one."""
    meter = Meter(len(pairs))
    with meter.step("start: read the line starts"):
        plan = EpochPlan(pairs, budget, seed=1)
    with meter.step("number of batches"):
        num_batches = len(plan.batches(0))
    with meter.step("padding"):
        padding = plan.padding()
    with meter.step("largest batch"):
        plan.largest()
    with meter.step("first batch"):
        next(plan.stream(0, 0))
    with meter.step("continue half-way through epoch 1"):
        next(plan.stream(1, num_batches // 2))
    with meter.step("all batches of an epoch"):
        found = sum(len(rows) for rows in plan.batches(2))
    assert found == plan.num_pairs
    return meter.rows, {"num_pairs": plan.num_pairs, "num_batches": num_batches, "padding": padding}


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    with tempfile.TemporaryDirectory(dir=wanted.scratch) as folder:
        pairs = make_pairs(Path(folder), wanted)
        rows, found = measure(pairs, Budget(wanted.batch_tokens, 0, wanted.max_length))
        del pairs
    about = facts("data", argv, ("numpy",))
    title = (
        f"{found['num_pairs']:,} of {wanted.pairs:,} pairs, {found['num_batches']:,} batches of at most "
        f"{wanted.batch_tokens:,} tokens a side, {100 * found['padding']:.2f}% padding, blocks of {BLOCK_PAIRS:,}"
    )
    notes = ["MB: private memory added by planning; pages of mapped files, which the system takes back, are left out"]
    print(f"{about.text()}\n\n{Table(title=title, columns=COLUMNS, rows=rows, notes=notes).text()}")
    if wanted.json:
        options = {key: str(value) if isinstance(value, Path) else value for key, value in vars(wanted).items()}
        write_json(wanted.json, about, {"options": options, **found, "steps": rows})
