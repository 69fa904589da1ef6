"""The two passes over all splits, as tasks on shards: raw lines to tokenised ones and word counts, then to ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from bpe.errors import UserError
from bpe.progress import Progress
from bpe.textfiles import sha256_of, write_lines
from nmt.data.corpus import raw_file
from nmt.prepare.encoding import EncodedShard, EncodeTask, encode_shard, encoded_file, forget_encoder
from nmt.prepare.executors import Executor, Result, TaskT
from nmt.prepare.files import PairOfFiles
from nmt.prepare.filtering import PairRules, SeenHashes, all_dropped
from nmt.prepare.findings import LineChecks
from nmt.prepare.merging import PieceNumbers, SplitStatistics, merge_shards
from nmt.prepare.pairs import read_pairs
from nmt.prepare.shards import Shard, cut, index_pairs
from nmt.prepare.shifts import Shift, ShiftFinder, stretches
from nmt.prepare.tokenizing import (
    Tokenized,
    TokenizeTask,
    WordCounts,
    forget_tokenizers,
    marks_file,
    tokenize_shard,
    tokenized_file,
)
from nmt.text.pipeline import SIDES, Side, TextOptions, TextPipeline

Splits = Mapping[str, Sequence[PairOfFiles]]
Shards = Mapping[str, Sequence[Shard]]


@dataclass(frozen=True)
class Workplace:
    """Where the passes run."""

    executor: Executor
    scratch: Path
    "Folder for what tasks write."
    result: Path
    "Folder of what stays."
    quiet: bool


@dataclass(frozen=True)
class Looked:
    """What the first pass tells of a split, beside its words."""

    changed: Counter[Side]
    "Lines of each side that do not come back."
    found: Counter[str]
    "Pairs that each finding holds of (`nmt.prepare.findings`)."
    shifts: list[Shift]


def cut_splits(place: Workplace, splits: Splits) -> tuple[dict[str, list[Shard]], dict[str, int]]:
    """The shards of every split: train last, since a mistake in the others shows at once.

    Returns also how many units of TMX files are left out of each split.
    """
    shards, left_out = {}, {}
    with Progress("Finding lines", quiet=place.quiet) as progress:
        for name in (*held_out(splits), "train"):
            pairs = index_pairs(splits[name], place.scratch / f"{name}.unpacked", progress)
            shards[name] = cut(name, pairs, place.executor.num_workers)
            left_out[name] = sum(pair.left_out for pair in pairs)
    return shards, left_out


def copy_raw_lines(place: Workplace, splits: Splits, checks: LineChecks) -> None:
    """The raw lines of all splits but train, each side in one file."""
    for name in held_out(splits):
        for index, side in enumerate(SIDES):
            pairs = chain.from_iterable(map(read_pairs, splits[name]))
            write_lines(place.result / raw_file(name, side), (checks.read(pair[index]) for pair in pairs))


def held_out(splits: Splits) -> list[str]:
    """All splits but train: validation sets and test."""
    return [name for name in splits if name != "train"]


def tokenize_splits(
    place: Workplace, splits: Splits, shards: Shards, options: TextOptions, checks: LineChecks
) -> tuple[WordCounts, dict[str, Looked]]:
    """First pass. A split or side without words is a UserError.

    Returns the training text's words, and what else is told of each split.
    """
    tasks = [
        TokenizeTask(shard, options, checks, name == "train", place.scratch)
        for name in shards
        for shard in shards[name]
    ]
    words = WordCounts()
    looked = {}
    with closing(_run(place, "Tokenising", tokenize_shard, tasks)) as results:
        for name in shards:
            found, shifts = Tokenized(), ShiftFinder()
            for shard, more in zip(shards[name], islice(results, len(shards[name])), strict=True):
                found.update(more)
                shifts.add(shard, *more.lengths)
            found.found["shifted"] = sum(shift.num_pairs for shift in shifts.finish())
            words, looked[name] = found.words, Looked(found.changed, found.found, shifts.shifts)
            if found.dropped and found.dropped == sum(shard.num_pairs for shard in shards[name]):
                counts = {reason: found.found[reason] for reason in checks.reasons}
                raise all_dropped(found.dropped, counts, checks.reasons)
            if not words.source or not words.target:
                raise _empty(splits[name], shards[name], "source" if not words.source else "target")
    forget_tokenizers()
    for unpacked in place.scratch.glob("*.unpacked.*"):
        unpacked.unlink()
    return words, looked


def _empty(pairs: Sequence[PairOfFiles], shards: Sequence[Shard], side: Side) -> UserError:
    files = ", ".join(str(pair.source if side == "source" else pair.target) for pair in pairs)
    num_pairs = sum(shard.num_pairs for shard in shards)
    what = "no pairs" if num_pairs == 0 else f"{num_pairs:,} lines, all of them blank"
    return UserError(f"empty: {what}", where=files, hint="check that the file is the right one")


def tokenized_files(place: Workplace, shards: Sequence[Shard]) -> list[Path]:
    """The tokenised lines of a split, the source's first."""
    return [tokenized_file(place.scratch, shard.name, side) for side in SIDES for shard in shards]


def encode_splits(
    place: Workplace, shards: Shards, rules: PairRules, numbers: PieceNumbers, shifts: Sequence[Shift] = ()
) -> dict[str, SplitStatistics]:
    """Second pass: ids of every split, provisional still; only training pairs may be dropped.

    shifts: stretches of the training text that are.
    """
    fingerprint = " ".join(sha256_of(path) for path in TextPipeline.files(place.result))
    tasks = [
        EncodeTask(
            name=shard.name,
            num_pairs=shard.num_pairs,
            folder=place.scratch,
            pipeline=place.result,
            fingerprint=fingerprint,
            rules=rules if name == "train" else None,
            shifted=tuple(stretches(shard, shifts)) if name == "train" else (),
        )
        for name in shards
        for shard in shards[name]
    ]
    statistics = {}
    with closing(_run(place, "Encoding", encode_shard, tasks)) as results:
        encoded = _load_and_remove(place, tasks, results)
        for name in shards:
            seen = SeenHashes() if name == "train" and rules.deduplicate else None
            statistics[name] = merge_shards(name, place.result, islice(encoded, len(shards[name])), numbers, seen)
    forget_encoder()
    return statistics


def _load_and_remove(
    place: Workplace, tasks: Sequence[EncodeTask], results: Iterator[Counter[str]]
) -> Iterator[tuple[EncodedShard, Counter[str]]]:
    """Encoded shards, with what was dropped from them."""
    for task, dropped in zip(tasks, results, strict=True):
        file = encoded_file(place.scratch, task.name)
        encoded = EncodedShard.load(file)
        for done in (file, *(tokenized_file(place.scratch, task.name, side) for side in SIDES)):
            done.unlink()
        marks_file(place.scratch, task.name).unlink(missing_ok=True)
        yield encoded, dropped


def _run(
    place: Workplace, label: str, function: Callable[[TaskT], Result], tasks: Sequence[TaskT]
) -> Generator[Result, None, None]:
    """Results in the order of the tasks, with progress."""
    total = sum(task.num_pairs for task in tasks)
    with Progress(label, total, unit="pairs", quiet=place.quiet) as progress:
        for task, result in zip(tasks, place.executor.map(function, tasks), strict=True):
            progress.advance(task.num_pairs)
            yield result
