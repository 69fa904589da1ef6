"""How fast merges are learned: of the text, and of word counts as large as WMT's."""

from __future__ import annotations

import json
from pathlib import Path

from bpe.textfiles import write_lines
from scripts.benchmarks.bpe_tools import (
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
from scripts.benchmarks.measure import Tool, Usage, take_turns
from scripts.benchmarks.report import Column, Row, Table
from scripts.benchmarks.zipf import zipf_counts

TOOL_COLUMN, MERGES_COLUMN = Column("tool", "tool"), Column("merges", "codes")
SENTENCEPIECE_NOTE = "sentencepiece: BPE of as many pieces, by its own definition of words"


def learn(setting: Setting) -> list[Table]:
    """A table for each number of merges."""
    return [_learn(setting, merges) for merges in setting.merges]


def _learn(setting: Setting, merges: int) -> Table:
    folder = setting.scratch / f"learn-{merges}"
    folder.mkdir()
    found = take_turns(_text_tools(setting, merges, folder), rounds=setting.rounds, limit=setting.limit)
    rates_columns = (Column("lines/s", "lines_per_second", ",.0f"), Column("words/s", "words_per_second", ",.0f"))
    return Table(
        title=f"Learning {merges:,} merges",
        columns=(TOOL_COLUMN, *TIME_COLUMNS, *rates_columns, PEAK_COLUMN, SPEED_UP_COLUMN, MERGES_COLUMN),
        rows=[line | rates(found[line["tool"]], setting.text) for line in _rows(found, folder)],
        notes=[SENTENCEPIECE_NOTE],
    )


def _text_tools(setting: Setting, merges: int, folder: Path) -> list[Tool]:
    """Each learns `merges` merges: peer.codes, ours.codes, hf.json and sp.model."""
    files = ("--input", setting.text.path, "--output")
    size = setting.text.num_symbols + merges
    sp_size = setting.text.num_characters + SENTENCEPIECE_SPECIALS + merges
    commands = {
        SUBWORD_NMT: console("subword-nmt", "learn-bpe", "-s", merges, *files, folder / "peer.codes"),
        OURS: toolkit("bpe.learn", "--quiet", "--merges", merges, *files, folder / "ours.codes"),
        HUGGING_FACE: peer("hf-learn", "--size", size, *files, folder / "hf.json", threads=setting.cores),
        SENTENCEPIECE: peer("sp-learn", "--size", sp_size, *files, folder / "sp", threads=setting.cores),
    }
    return one_step_tools(commands)


def zipf(setting: Setting) -> list[Table]:
    """Merges of made-up word counts of WMT's size: what learning costs once the words are counted."""
    folder, merges = setting.scratch / "zipf", setting.zipf_merges
    folder.mkdir()
    counts = zipf_counts(setting.zipf_types, setting.zipf_tokens, seed=1)
    write_lines(folder / "counts.txt", (f"{word} {count}" for word, count in counts.items()))
    write_lines(folder / "counts.tsv", (f"{word}\t{count}" for word, count in counts.items()))
    num_characters = len(set().union(*counts))
    num_symbols = num_characters + len({word[-1] for word in counts})
    about = f"{len(counts):,} word types, {sum(counts.values()):,} words (scripts/benchmarks/zipf.py, seed 1)"
    del counts
    found = take_turns(
        _zipf_tools(setting, folder, num_characters, num_symbols), rounds=setting.rounds, limit=setting.limit
    )
    table = Table(
        title=f"Learning {merges:,} merges from word counts",
        columns=(TOOL_COLUMN, *TIME_COLUMNS, PEAK_COLUMN, SPEED_UP_COLUMN, MERGES_COLUMN),
        rows=_rows(found, folder),
        notes=[
            about,
            "HF tokenizers reads no counts: it gets every word as often as it occurs, and counts them",
            SENTENCEPIECE_NOTE,
            f"stopped after {setting.limit:,.0f} s (--limit): figures after > are lower bounds",
        ],
    )
    return [table]


def _zipf_tools(setting: Setting, folder: Path, num_characters: int, num_symbols: int) -> list[Tool]:
    merges, counts = setting.zipf_merges, ("--input", folder / "counts.txt")
    ours = ("bpe.learn", "--quiet", "--dict-input", "--merges", merges, *counts, "--output", folder / "ours.codes")
    theirs = ("learn-bpe", "--dict-input", "-s", merges, *counts, "--output", folder / "peer.codes")
    hf = ("--counts", "--size", num_symbols + merges, *counts, "--output", folder / "hf.json")
    size = num_characters + SENTENCEPIECE_SPECIALS + merges
    sp = ("--counts", "--size", size, "--input", folder / "counts.tsv", "--output", folder / "sp")
    return one_step_tools(
        {
            SUBWORD_NMT: console("subword-nmt", *theirs),
            OURS: toolkit(*ours),
            HUGGING_FACE: peer("hf-learn", *hf, threads=setting.cores),
            SENTENCEPIECE: peer("sp-learn", *sp, threads=setting.cores),
        }
    )


def _rows(found: dict[str, Usage], folder: Path) -> list[Row]:
    codes = _compared(found, folder)
    return [row(name, usage, found[SUBWORD_NMT]) | {"codes": codes.get(name)} for name, usage in found.items()]


def _compared(found: dict[str, Usage], folder: Path) -> dict[str, str]:
    """What each tool learned, beside subword-nmt's."""
    done = [name for name, usage in found.items() if not usage.stopped]
    if SUBWORD_NMT not in done:
        return {}
    reference = (folder / "peer.codes").read_bytes()
    merges = [tuple(line.split(" ")) for line in reference.decode("utf-8").split("\n")[1:-1]]
    words = {SUBWORD_NMT: f"{len(merges):,}", SENTENCEPIECE: "its own"}
    if OURS in done:
        words[OURS] = "same file" if (folder / "ours.codes").read_bytes() == reference else "OTHER FILE"
    if HUGGING_FACE in done:
        words[HUGGING_FACE] = _first_difference(merges, folder / "hf.json")
    return {name: text for name, text in words.items() if name in done}


def _first_difference(merges: list[tuple[str, ...]], tokenizer: Path) -> str:
    learned = [tuple(pair) for pair in json.loads(tokenizer.read_bytes())["model"]["merges"]]
    if learned == merges:
        return "same"
    pairs = enumerate(zip(learned, merges, strict=False), 1)
    first = next((number for number, (one, other) in pairs if one != other), None)
    return f"other from merge {first:,}" if first else f"{len(learned):,}"
