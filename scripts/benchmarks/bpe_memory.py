"""How memory grows with the text: nmt-prep, learning and segmenting on copies of it."""

from __future__ import annotations

import shutil
from operator import itemgetter
from pathlib import Path

from scripts.benchmarks.bpe_tools import MEGABYTE, PEAK_COLUMN, TIME_COLUMNS, Setting, figures, toolkit
from scripts.benchmarks.measure import Command, Tool, run_once, take_turns
from scripts.benchmarks.report import Column, Row, Table
from scripts.benchmarks.texts import copy_corpus


def memory(setting: Setting) -> list[Table]:
    """One run of each command for each number of copies."""
    merges, codes = max(setting.merges), setting.scratch / "memory.codes"
    run_once(Tool(name="codes", steps=[_learn(setting.text.path, codes, merges)]))
    rows: list[Row] = []
    for copies in setting.copies:
        folder = setting.scratch / f"copies-{copies}"
        folder.mkdir()
        commands = _commands(setting, folder, copies, codes)
        found = take_turns(
            [Tool(name=name, steps=[command]) for name, command in commands.items()],
            rounds=1,
            limit=setting.limit,
            sample=True,
        )
        rows += [{"tool": name, "copies": copies, **figures(usage)} for name, usage in found.items()]
        shutil.rmtree(folder)
    table = Table(
        title=f"Peak memory by size of the text, {merges:,} merges, {setting.cores} cores",
        columns=(
            Column("command", "tool"),
            Column("copies", "copies", ",d"),
            *TIME_COLUMNS,
            PEAK_COLUMN,
            Column("tree MB", "tree_bytes", ",.0f", 1 / MEGABYTE),
        ),
        rows=sorted(rows, key=itemgetter("tool")),
        notes=["tree: largest sum over all processes, shared pages counted once, sampled"],
    )
    return [table]


def _commands(setting: Setting, folder: Path, copies: int, codes: Path) -> dict[str, Command]:
    text, merges, corpus = folder / "text", max(setting.merges), setting.text.corpus
    with open(text, "wb") as output:
        for _ in range(copies):
            with open(setting.text.path, "rb") as once:
                shutil.copyfileobj(once, output)
    segment = ("--quiet", "--codes", codes, "--workers", setting.cores, "--input", text, "--output", folder / "out")
    commands = {
        "python -m bpe.learn": _learn(text, folder / "codes", merges),
        "python -m bpe.segment": toolkit("bpe.segment", *segment),
    }
    if corpus is not None:
        paths = ("--corpus", copy_corpus(corpus, folder / "corpus", copies), "--prepared", folder / "prepared")
        prep = toolkit("nmt.cli.prep", "--quiet", *paths, "--joint-bpe", merges, "--threads", setting.cores)
        commands = {"nmt-prep": prep} | commands
    return commands


def _learn(text: Path, codes: Path, merges: int) -> Command:
    return toolkit("bpe.learn", "--quiet", "--merges", merges, "--input", text, "--output", codes)
