"""The two passes over all splits, as tasks on parts: raw lines to tokenised ones and word counts, then to ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from bpe.errors import UserError
from bpe.progress import Progress
from bpe.textfiles import read_lines, sha256_of, write_lines
from nmt.data.corpus import raw_file
from nmt.data.encoding import EncodedPart, EncodeTask, encode_part, encoded_file, forget_encoder
from nmt.data.executors import Executor, Result, TaskT
from nmt.data.files import PairOfFiles
from nmt.data.filtering import PairRules, SeenHashes
from nmt.data.joining import PieceNumbers, SplitStatistics, join_parts
from nmt.data.parts import Part, cut, index_pairs
from nmt.data.tokenizing import Tokenized, TokenizeTask, WordCounts, forget_tokenizers, tokenize_part, tokenized_file
from nmt.text import SIDES, Side, TextOptions, TextPipeline

Splits = Mapping[str, Sequence[PairOfFiles]]
Parts = Mapping[str, Sequence[Part]]


@dataclass(frozen=True)
class Workplace:
    """Where the passes run."""

    executor: Executor
    scratch: Path
    "Folder for what tasks write."
    result: Path
    "Folder of what stays."
    quiet: bool


def cut_splits(place: Workplace, splits: Splits) -> dict[str, list[Part]]:
    """The parts of every split: valid and test first, since a mistake in them shows at once."""
    parts = {}
    with Progress("Finding lines", quiet=place.quiet) as progress:
        for name in ("valid", "test", "train"):
            if name in splits:
                pairs = index_pairs(splits[name], place.scratch / f"{name}.unpacked", progress)
                parts[name] = cut(name, pairs, place.executor.num_workers)
    return parts


def copy_raw_lines(place: Workplace, splits: Splits) -> None:
    """The raw lines of valid and test, each side in one file."""
    for name in ("valid", "test"):
        for index, side in enumerate(SIDES):
            if name in splits:
                lines = chain.from_iterable(read_lines(pair.paths()[index]) for pair in splits[name])
                write_lines(place.result / raw_file(name, side), lines)


def tokenize_splits(
    place: Workplace, splits: Splits, parts: Parts, options: TextOptions
) -> tuple[WordCounts, dict[str, Counter[Side]]]:
    """First pass. A split or side without words is a UserError.

    Returns the training text's words, and how many lines of each split and side do not come back.
    """
    tasks = [TokenizeTask(part, options, place.scratch) for name in parts for part in parts[name]]
    words = WordCounts()
    changed = {}
    with closing(_run(place, "Tokenising", tokenize_part, tasks)) as results:
        for name in parts:
            found = Tokenized()
            for more in islice(results, len(parts[name])):
                found.update(more)
            words, changed[name] = found.words, found.changed
            if not words.source or not words.target:
                raise _empty(splits[name], parts[name], "source" if not words.source else "target")
    forget_tokenizers()
    for unpacked in place.scratch.glob("*.unpacked.*"):
        unpacked.unlink()
    return words, changed


def _empty(pairs: Sequence[PairOfFiles], parts: Sequence[Part], side: Side) -> UserError:
    files = ", ".join(str(pair.source if side == "source" else pair.target) for pair in pairs)
    num_pairs = sum(part.num_pairs for part in parts)
    what = "no pairs" if num_pairs == 0 else f"{num_pairs:,} lines, all of them blank"
    return UserError(f"empty: {what}", where=files, hint="check that the file is the right one")


def tokenized_files(place: Workplace, parts: Sequence[Part]) -> list[Path]:
    """The tokenised lines of a split, the source's first."""
    return [tokenized_file(place.scratch, part.name, side) for side in SIDES for part in parts]


def encode_splits(
    place: Workplace, parts: Parts, rules: PairRules, numbers: PieceNumbers
) -> dict[str, SplitStatistics]:
    """Second pass: ids of every split, provisional still; only training pairs may be dropped."""
    fingerprint = " ".join(sha256_of(path) for path in TextPipeline.files(place.result))
    tasks = [
        EncodeTask(
            name=part.name,
            num_pairs=part.num_pairs,
            folder=place.scratch,
            pipeline=place.result,
            fingerprint=fingerprint,
            rules=rules if name == "train" else None,
        )
        for name in parts
        for part in parts[name]
    ]
    statistics = {}
    with closing(_run(place, "Encoding", encode_part, tasks)) as results:
        encoded = _load_and_remove(place, tasks, results)
        for name in parts:
            seen = SeenHashes() if name == "train" and rules.deduplicate else None
            statistics[name] = join_parts(name, place.result, islice(encoded, len(parts[name])), numbers, seen)
    forget_encoder()
    return statistics


def _load_and_remove(
    place: Workplace, tasks: Sequence[EncodeTask], results: Iterator[Counter[str]]
) -> Iterator[tuple[EncodedPart, Counter[str]]]:
    """Encoded parts, with what was dropped from them."""
    for task, dropped in zip(tasks, results, strict=True):
        file = encoded_file(place.scratch, task.name)
        encoded = EncodedPart.load(file)
        for done in (file, *(tokenized_file(place.scratch, task.name, side) for side in SIDES)):
            done.unlink()
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
