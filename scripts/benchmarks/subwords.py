"""Measures BPE against subword-nmt, Hugging Face tokenizers and sentencepiece, and nmt-prep against separate commands.

All tools read the same words, take turns, and run as processes of their own; what they write is compared in the run.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from bpe.command import Parser, num_cores
from bpe.errors import UserError
from scripts.benchmarks.bpe_applying import apply
from scripts.benchmarks.bpe_learning import learn, zipf
from scripts.benchmarks.bpe_memory import memory
from scripts.benchmarks.bpe_preparing import prep
from scripts.benchmarks.bpe_tools import HAS_HUGGING_FACE, Setting
from scripts.benchmarks.report import Table, as_json, facts, write_json
from scripts.benchmarks.texts import QUICKSTART, Text, of_corpus, of_files, quick_corpus

PARTS: dict[str, Callable[[Setting], list[Table]]] = {
    "learn": learn,
    "zipf": zipf,
    "apply": apply,
    "prep": prep,
    "memory": memory,
}
PACKAGES = ("subword-nmt", "tokenizers", "sentencepiece", "sacremoses")


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench bpe", description=__doc__, allow_abbrev=False)
    text = parser.add_mutually_exclusive_group()
    text.add_argument(
        "--corpus", type=Path, metavar="DIR", help="raw text of two languages (default: quickstart/corpus)"
    )
    text.add_argument("--input", type=Path, nargs="+", metavar="FILE", help="raw text; leaves out the part prep")
    text.add_argument("--quick", action="store_true", help="everything on a tiny made-up text: does it work?")
    parser.add_argument("--merges", type=int, nargs="+", default=[8_000, 32_000], metavar="N")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="turns, of which the median is printed (3)")
    parser.add_argument("--limit", type=float, default=900, metavar="SECONDS", help="stop a tool after this (900)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    wanted = parser.parse_args(argv)
    if wanted.rounds < 1 or min(wanted.merges) < 1 or wanted.limit <= 0:
        raise UserError("--rounds, --merges and --limit must be more than 0")
    return wanted


def main(argv: list[str]) -> None:
    """Measure the parts that were asked for, print and write. Scratch files go where TMPDIR says."""
    wanted = arguments(argv)
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="bench-bpe-") as folder:
        setting = _setting(wanted, Path(folder))
        if not HAS_HUGGING_FACE:
            print("tokenizers is not installed: left out", file=sys.stderr)
        about = facts("bpe", argv, PACKAGES)
        print(f"{about.text()}\ntext: {setting.text.about}", flush=True)
        print("user: processor time of all processes; peak: the largest process; speed-up: in wall time", flush=True)
        for part in dict.fromkeys(wanted.parts):
            for table in PARTS[part](setting):
                tables.append(table)
                print(f"\n{table.text()}", flush=True)
            if wanted.json:  # after each part: a long run that is stopped keeps what it found
                write_json(wanted.json, about, {"text": setting.text.about, "tables": as_json(tables)})


def _setting(wanted: Namespace, scratch: Path) -> Setting:
    quick = wanted.quick
    return Setting(
        text=_text(wanted, scratch),
        scratch=scratch,
        merges=[50, 100] if quick else sorted(set(wanted.merges)),
        zipf_merges=200 if quick else 89_500,
        zipf_types=2_000 if quick else 1_500_000,
        zipf_tokens=50_000 if quick else 220_000_000,
        copies=(1, 2) if quick else (1, 4, 16),
        rounds=1 if quick else wanted.rounds,
        limit=wanted.limit,
        cores=num_cores(),
    )


def _text(wanted: Namespace, scratch: Path) -> Text:
    output = scratch / "text"
    if wanted.quick:
        return of_corpus(quick_corpus(scratch / "quick"), output, "made-up text")
    if wanted.input:
        return of_files(wanted.input, output)
    if wanted.corpus is None and not QUICKSTART.is_dir():
        hint = "fetch one with nmt-data fetch homeassistant --src en --tgt de and give --corpus corpus"
        raise UserError("no text to measure on: there is no quickstart/corpus", hint=hint)
    return of_corpus(wanted.corpus or QUICKSTART, output)
