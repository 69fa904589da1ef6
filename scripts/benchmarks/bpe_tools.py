"""The command lines of each BPE tool, and what one run of a benchmark of them was asked for."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from scripts.benchmarks.measure import Command, Tool, Usage
from scripts.benchmarks.report import Column, Row
from scripts.benchmarks.texts import Text

ROOT = Path(__file__).resolve().parents[2]
SUBWORD_NMT, OURS, HUGGING_FACE, SENTENCEPIECE = "subword-nmt", "bpe (ours)", "HF tokenizers", "sentencepiece"
HAS_HUGGING_FACE = find_spec("tokenizers") is not None
SENTENCEPIECE_SPECIALS = 4
"<unk>, <s>, </s> and the mark of a word's beginning, beside characters and merges."
MEGABYTE = 1_000_000

TIME_COLUMNS = (Column("wall s", "wall_seconds", ",.2f"), Column("user s", "user_seconds", ",.2f"))
PEAK_COLUMN = Column("peak MB", "peak_bytes", ",.0f", 1 / MEGABYTE)
SPEED_UP_COLUMN = Column("speed-up", "speed_up", ",.2f")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One run of the benchmark."""

    text: Text
    scratch: Path
    merges: Sequence[int]
    zipf_merges: int
    zipf_types: int
    zipf_tokens: int
    copies: Sequence[int]
    rounds: int
    limit: float
    "Seconds after which a tool is stopped."
    cores: int


def toolkit(*words: object, env: dict[str, str] | None = None) -> Command:
    """A module of this repository, run as a command."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return Command(argv=[sys.executable, "-P", "-m", *map(str, words)], env={"PYTHONPATH": path} | (env or {}))


def console(name: str, *words: object, stdin: Path | None = None, stdout: Path | None = None) -> Command:
    """A console command of an installed package."""
    return Command(argv=[str(Path(sysconfig.get_path("scripts"), name)), *map(str, words)], stdin=stdin, stdout=stdout)


def peer(action: str, *words: object, threads: int) -> Command:
    """One of `peers`, with so many threads."""
    env = {"RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false"}
    return toolkit("scripts.benchmarks.peers", action, *words, "--workers", threads, env=env)


def one_step_tools(commands: Mapping[str, Command]) -> list[Tool]:
    """By name; without Hugging Face's where the package is not installed."""
    there = {name: line for name, line in commands.items() if HAS_HUGGING_FACE or not name.startswith(HUGGING_FACE)}
    return [Tool(name=name, steps=[command]) for name, command in there.items()]


def figures(usage: Usage) -> Row:
    """What was measured; all of it lower bounds where the tool was stopped."""
    measured = {key: value for key, value in asdict(usage).items() if value is not None}
    return measured | {"at_least": [key for key in measured if key != "stopped"] if usage.stopped else []}


def row(name: str, usage: Usage, reference: Usage) -> Row:
    """A tool's figures, and how many times faster than the reference it was."""
    line: Row = {"tool": name, **figures(usage)}
    if not usage.stopped:
        line["speed_up"] = reference.wall_seconds / usage.wall_seconds
        line["at_least"] += ["speed_up"] if reference.stopped else []
    return line


def rates(usage: Usage, text: Text) -> Row:
    """Lines and words a second."""
    if usage.stopped:
        return {}
    return {
        "lines_per_second": text.num_lines / usage.wall_seconds,
        "words_per_second": text.num_words / usage.wall_seconds,
    }
