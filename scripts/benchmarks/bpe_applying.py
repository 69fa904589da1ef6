"""How fast a text is segmented by merges that are there."""

from __future__ import annotations

import filecmp
from pathlib import Path

from scripts.benchmarks.bpe_tools import (
    HAS_HUGGING_FACE,
    HUGGING_FACE,
    OURS,
    PEAK_COLUMN,
    SENTENCEPIECE,
    SENTENCEPIECE_SPECIALS,
    SPEED_UP_COLUMN,
    SUBWORD_NMT,
    TIME_COLUMNS,
    Setting,
    console,
    one_step_tools,
    peer,
    rates,
    row,
    toolkit,
)
from scripts.benchmarks.measure import Tool, Usage, run_once, take_turns
from scripts.benchmarks.report import Column, Table


def apply(setting: Setting) -> list[Table]:
    """The text, by the largest number of merges, on one core and on all."""
    merges, folder = max(setting.merges), setting.scratch / "apply"
    folder.mkdir()
    _make_models(setting, merges, folder)
    tools = [tool for workers in sorted({1, setting.cores}) for tool in _tools(setting, folder, workers)]
    found = take_turns(tools, rounds=setting.rounds, limit=setting.limit)
    table = Table(
        title=f"Segmenting by {merges:,} merges",
        columns=(
            Column("tool, workers", "tool"),
            *TIME_COLUMNS,
            Column("words/s", "words_per_second", ",.0f"),
            PEAK_COLUMN,
            SPEED_UP_COLUMN,
            Column("output", "output"),
        ),
        rows=[
            row(name, usage, found[SUBWORD_NMT])
            | rates(usage, setting.text)
            | {"output": _compared(name, found, folder)}
            for name, usage in found.items()
        ],
        notes=[
            "subword-nmt apply-bpe works on one core: the console command ignores --num-workers",
            "all but sentencepiece apply the same merges; sentencepiece has as many pieces of its own",
        ],
    )
    return [table]


def _make_models(setting: Setting, merges: int, folder: Path) -> None:
    """What the tools apply, made outside the measurement."""
    text, size = setting.text, setting.text.num_characters + SENTENCEPIECE_SPECIALS + merges
    files = ("--input", text.path, "--output")
    steps = [
        toolkit("bpe.learn", "--quiet", "--merges", merges, *files, folder / "codes"),
        peer("sp-learn", "--size", size, *files, folder / "sp", threads=setting.cores),
    ]
    if HAS_HUGGING_FACE:
        steps.append(peer("hf-from-codes", "--codes", folder / "codes", *files, folder / "hf.json", threads=1))
    run_once(Tool(name="models", steps=steps))


def _tools(setting: Setting, folder: Path, workers: int) -> list[Tool]:
    """The tools that take a number of workers, each writing NAME.segmented; subword-nmt comes with the first."""

    def files(name: str) -> tuple[object, ...]:
        return "--input", setting.text.path, "--output", folder / f"{name}.segmented"

    codes, size = ("--codes", folder / "codes"), f", {workers}"
    hf, sp = (("--model", folder / name) for name in ("hf.json", "sp.model"))
    ours = ("bpe.segment", "--quiet", *codes, "--workers", workers)
    commands = {
        OURS + size: toolkit(*ours, *files(OURS + size)),
        HUGGING_FACE + size: peer("hf-apply", *hf, *files(HUGGING_FACE + size), threads=workers),
        SENTENCEPIECE + size: peer("sp-apply", *sp, *files(SENTENCEPIECE + size), threads=workers),
    }
    first = {SUBWORD_NMT: console("subword-nmt", "apply-bpe", *codes, *files(SUBWORD_NMT))} if workers == 1 else {}
    return one_step_tools(first | commands)


def _compared(name: str, found: dict[str, Usage], folder: Path) -> str | None:
    """Whether the output is subword-nmt's, byte for byte."""
    if found[name].stopped or found[SUBWORD_NMT].stopped or name == SUBWORD_NMT:
        return None
    if name.startswith(SENTENCEPIECE):
        return "its own"
    same = filecmp.cmp(folder / f"{name}.segmented", folder / f"{SUBWORD_NMT}.segmented", shallow=False)
    return "same bytes" if same else "OTHER"
