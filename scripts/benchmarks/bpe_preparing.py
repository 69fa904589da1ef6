"""The whole preparation: nmt-prep against the usual pipeline of separate commands."""

from __future__ import annotations

import filecmp
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from nmt.data.corpus import PreparedCorpus
from nmt.text.pipeline import SIDES
from scripts.benchmarks.bpe_tools import (
    PEAK_COLUMN,
    SPEED_UP_COLUMN,
    TIME_COLUMNS,
    Setting,
    console,
    row,
    toolkit,
)
from scripts.benchmarks.measure import Command, Tool, Usage, take_turns
from scripts.benchmarks.report import Column, Row, Table
from scripts.benchmarks.texts import copy_corpus

PIPELINE = "separate commands"
UNESCAPE = r"""s/&#124;/|/g;s/&#91;/[/g;s/&#93;/]/g;s/&lt;/</g;s/&gt;/>/g;s/&apos;/'/g;s/&quot;/"/g;s/&amp;/\&/g"""
"For sed: sacremoses' command writes these XML escapes whatever its options; nmt-prep does not."


def prep(setting: Setting) -> list[Table]:
    """Times, and whether both ways give the same."""
    corpus, merges, folder = setting.text.corpus, max(setting.merges), setting.scratch / "prep"
    if corpus is None:
        print("the part prep is left out: it needs both sides of a corpus (--corpus)", file=sys.stderr)
        return []
    copy_corpus(corpus, folder / "corpus")
    languages = (corpus.source, corpus.target)
    workers = sorted({1, setting.cores})
    tools = [Tool(name=_pipeline(jobs), steps=_steps(folder, languages, merges, jobs)) for jobs in workers]
    tools += [Tool(name=_ours(threads), steps=[_nmt_prep(folder, merges, threads)]) for threads in workers]
    found = take_turns(tools, rounds=setting.rounds, limit=setting.limit)
    same = _compared(folder, languages, found, workers)
    num_valid = (folder / f"corpus/valid.{languages[0]}").read_bytes().count(b"\n")
    table = Table(
        title=f"The whole preparation, {merges:,} joint merges",
        columns=(
            Column("what", "tool"),
            *TIME_COLUMNS,
            PEAK_COLUMN,
            SPEED_UP_COLUMN,
            Column("codes", "codes"),
            Column("pieces of pairs", "pairs"),
        ),
        rows=[row(name, usage, found[PIPELINE]) | same.get(name, {}) for name, usage in found.items()],
        notes=[
            "separate commands: of each side sacremoses normalize tokenize and sed (XML escapes to characters),",
            "then subword-nmt learn-joint-bpe-and-vocab, and of each side apply-bpe; training text only",
            f"nmt-prep: training text and {num_valid:,} pairs of validation text, to ids, vocabulary and manifest",
            "sacremoses' command normalises a line with its line feed: where a German one ends in .\" the stop moves",
        ],
    )
    return [table]


def _pipeline(jobs: int) -> str:
    return PIPELINE if jobs == 1 else f"{PIPELINE}, sacremoses -j {jobs}"


def _ours(threads: int) -> str:
    return f"nmt-prep, {threads} core{'s' if threads > 1 else ''}"


def _steps(folder: Path, languages: tuple[str, str], merges: int, jobs: int) -> list[Command]:
    """The raw text of both sides to escaped.LANG, tokenised.LANG and segmented.LANG."""
    raw, escaped, tokenised, vocabulary, segmented = (
        [folder / (name + language) for language in languages]
        for name in ("corpus/train.", "escaped.", "tokenised.", "vocabulary.", "segmented.")
    )
    steps: list[Command] = []
    for side, language in enumerate(languages):
        options = ("--quiet", "--language", language, "--processes", jobs)
        steps += [
            console("sacremoses", *options, "normalize", "tokenize", stdin=raw[side], stdout=escaped[side]),
            Command(argv=["sed", "-e", UNESCAPE], stdin=escaped[side], stdout=tokenised[side]),
        ]
    codes = folder / "codes"
    joint = ("--symbols", merges, "--input", *tokenised, "--output", codes, "--write-vocabulary", *vocabulary)
    steps.append(console("subword-nmt", "learn-joint-bpe-and-vocab", *joint))
    steps += [
        console("subword-nmt", "apply-bpe", "--codes", codes, "--input", text, "--output", output)
        for text, output in zip(tokenised, segmented, strict=True)
    ]
    return steps


def _nmt_prep(folder: Path, merges: int, threads: int) -> Command:
    """No pair is dropped for its length: the separate commands drop none."""
    paths = ("--corpus", folder / "corpus", "--prepared", folder / f"prepared-{threads}")
    limits = [word for key in ("max_length", "max_ratio") for word in ("--set", f"prep.{key}=1000000")]
    same = ["--tokenizer", "moses", "--set", "prep.min_character_count=0"]  # as the separate commands do it
    same += [word for side in SIDES for word in ("--set", f"prep.{side}_normalize=moses")]
    words = [*paths, *limits, *same, "--joint-bpe", merges, "--threads", threads]
    return toolkit("nmt.cli.prep", "--quiet", "--force", *words)


def _compared(folder: Path, languages: tuple[str, str], found: dict[str, Usage], workers: list[int]) -> dict[str, Row]:
    """What each nmt-prep made, beside the files of the last pipeline that ran."""
    if any(usage.stopped for usage in found.values()):
        return {}
    same: dict[str, Row] = {}
    segmented = [folder / f"segmented.{language}" for language in languages]
    for threads in workers:
        prepared = folder / f"prepared-{threads}"
        codes = filecmp.cmp(prepared / "bpe.codes", folder / "codes", shallow=False)
        pairs = _same_pairs(prepared, segmented)
        same[_ours(threads)] = {"codes": "same file" if codes else "OTHER", "pairs": pairs}
    return same


def _same_pairs(prepared: Path, segmented: Sequence[Path]) -> str:
    """How many of the prepared training pairs are the segmented ones, as words."""
    corpus = PreparedCorpus.open(prepared)
    train, decode = corpus.split("train"), corpus.vocabulary.decode
    same = others = 0
    with ExitStack() as files:
        sides = [files.enter_context(open(path, encoding="utf-8", newline="\n")) for path in segmented]
        lines = (tuple(side.split() for side in pair) for pair in zip(*sides, strict=True))
        for number, pair in enumerate(pair for pair in lines if all(pair)):
            if number >= len(train):
                others += 1
                continue
            same += pair == (decode(train.source(number)), decode(train.target(number)))
    return "same" if same == len(train) and not others else f"{same:,} of {len(train) + others:,} same"
