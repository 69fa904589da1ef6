"""First pass over the text: a shard's raw lines to tokenised ones in scratch files, and the counts of its words.

Pairs are looked at (`nmt.prepare.findings`). Training pairs that are dropped for what is found leave blank lines and a
mark each in one more file, their words uncounted. Every other line is put together again from its words, and those are
counted that do not come back. Protected strings that both lines of a pair have are numbered
(see `nmt.text.placeholders`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from bpe.learn import count_words
from nmt.prepare.findings import LineChecks, inspector
from nmt.prepare.pairs import chunks
from nmt.prepare.shards import Shard, read_shard
from nmt.scratch import written_whole
from nmt.text.pipeline import SIDES, Side, TextOptions
from nmt.text.placeholders import MOST_NUMBERS, enough, kinds_of, put_back
from nmt.text.protection import Span
from nmt.text.tokenization import NumberingTokenizer, Tokenizer, comes_back

CHUNK_PAIRS = 2_000


@dataclass
class WordCounts:
    """How often each word occurs on a side, in order of first occurrence."""

    source: Counter[str] = field(default_factory=Counter)
    target: Counter[str] = field(default_factory=Counter)

    def joint(self) -> Counter[str]:
        """Both sides together, the source first, as if one file followed the other."""
        return self.source + self.target

    def of(self, side: Side) -> Counter[str]:
        """One side."""
        return self.source if side == "source" else self.target

    def remove(self, unwanted: Callable[[str], bool]) -> None:
        """Forget words."""
        for words in (self.source, self.target):
            for word in [word for word in words if unwanted(word)]:
                del words[word]

    def rename(self, name: Callable[[str], str]) -> None:
        """Call words otherwise."""
        for words in (self.source, self.target):
            for word in [word for word in words if name(word) != word]:
                words[name(word)] += words.pop(word)

    def update(self, more: WordCounts) -> None:
        """Add the counts of the text that follows."""
        self.source.update(more.source)
        self.target.update(more.target)


Lengths = tuple[np.ndarray, np.ndarray]
"[pairs] int32: characters of each line of source and target."


@dataclass
class Tokenized:
    """What tokenising gave."""

    words: WordCounts = field(default_factory=WordCounts)
    changed: Counter[Side] = field(default_factory=Counter)
    "Lines of each side that their words do not give again, runs of spaces left aside."
    found: Counter[str] = field(default_factory=Counter)
    "Pairs that each finding holds of."
    dropped: int = 0
    "Pairs that were dropped."
    lengths: Lengths = field(default_factory=lambda: (np.empty(0, np.int32), np.empty(0, np.int32)))
    "Of the shard's lines on both sides, as they were read. `update` does not keep them."

    def update(self, more: Tokenized) -> None:
        """Add what the text that follows gave."""
        self.words.update(more.words)
        self.changed.update(more.changed)
        self.found.update(more.found)
        self.dropped += more.dropped


@dataclass(frozen=True)
class TokenizeTask:
    """A shard to tokenise."""

    shard: Shard
    options: TextOptions
    checks: LineChecks
    train: bool
    "Whether the pairs are training text, the only ones that may be dropped."
    folder: Path
    "Where tokenised lines go."

    @property
    def num_pairs(self) -> int:
        """Pairs to work on."""
        return self.shard.num_pairs


def tokenized_file(folder: Path, shard: str, side: Side) -> Path:
    """The file of a shard's tokenised lines, UTF-8 with line feeds."""
    return folder / f"{shard}.{side}.tokenized"


def marks_file(folder: Path, shard: str) -> Path:
    """The file of the marks of a shard's pairs, a byte each, as `Inspector.marks` makes them; none dropped: no file."""
    return folder / f"{shard}.marks"


def tokenize_shard(task: TokenizeTask) -> Tokenized:
    """Write a shard's tokenised lines."""
    tokenizer = _tokenizer(task.options)
    found, marks, lengths = Tokenized(), [], []
    source, target = (tokenized_file(task.folder, task.shard.name, side) for side in SIDES)
    with written_whole(source) as first, written_whole(target) as second:
        for chunk in chunks(read_shard(task.shard), CHUNK_PAIRS):
            marks.append(_looked_at(chunk, task, found))
            lengths.append([np.fromiter(map(len, lines), np.int32, len(lines)) for lines in chunk])
            for row in np.flatnonzero(marks[-1]).tolist():
                chunk[0][row] = chunk[1][row] = ""
            for side, own, stream in zip(SIDES, tokenizer.words(*chunk), (first, second), strict=True):
                tokenized = list(map(" ".join, own.words))
                stream.write("".join(line + "\n" for line in tokenized).encode("utf-8"))
                found.words.of(side).update(count_words(tokenized))
                found.changed[side] += tokenizer.changed(own, side)
    sides = zip(*lengths, strict=True)
    found.lengths = tuple(map(np.concatenate, sides))  # type: ignore[assignment]
    if found.dropped:
        with written_whole(marks_file(task.folder, task.shard.name)) as stream:
            stream.write(np.concatenate(marks).tobytes())
    return found


def _looked_at(chunk: tuple[list[str], list[str]], task: TokenizeTask, tokenized: Tokenized) -> np.ndarray:
    """The marks of some pairs, whose lines are read in place; what is found is counted."""
    looks = inspector(task.checks)
    found = looks.look(*chunk, train=task.train)
    tokenized.found.update({finding: sum(pairs) for finding, pairs in found.items()})
    marks = looks.marks(found) if task.train else np.zeros(len(chunk[0]), np.uint8)
    tokenized.dropped += int(np.count_nonzero(marks))
    return marks


@dataclass(frozen=True)
class SideLines:
    """Lines of a side."""

    raw: list[str]
    words: list[list[str]]
    spans: list[list[Span]] | None
    "What their numbered words stand for; None: nothing is numbered."


class PairTokenizer:
    """Words of both sides of raw pairs."""

    def __init__(self, options: TextOptions) -> None:
        self._numbering = options.make_numbering()
        self._numbering_tokenizers: Mapping[Side, NumberingTokenizer] = (
            {side: options.make_numbering_tokenizer(side) for side in SIDES} if self._numbering else {}
        )
        self._tokenizers: Mapping[Side, Tokenizer] = self._numbering_tokenizers or {
            side: options.make_tokenizer(side) for side in SIDES
        }

    def words(self, source: list[str], target: list[str]) -> tuple[SideLines, SideLines]:
        """The words of source and target lines."""
        if self._numbering is None:
            return self._plain("source", source), self._plain("target", target)
        spans = [self._numbering.shared(*pair) for pair in zip(source, target, strict=True)]
        first, second = ([own[index] for own in spans] for index in (0, 1))
        return self._numbered("source", source, first), self._numbered("target", target, second)

    def _plain(self, side: Side, lines: list[str]) -> SideLines:
        return SideLines(lines, list(map(self._tokenizers[side].words, lines)), None)

    def _numbered(self, side: Side, lines: list[str], spans: list[list[Span]]) -> SideLines:
        return SideLines(lines, list(map(self._numbering_tokenizers[side].words, lines, spans)), spans)

    def changed(self, lines: SideLines, side: Side) -> int:
        """How many lines their words do not give again."""
        tokenizer = self._tokenizers[side]
        if lines.spans is None:
            return sum(not comes_back(tokenizer, *both) for both in zip(lines.raw, lines.words, strict=True))
        spelt = self._numbering_tokenizers[side].spelt
        changed = 0
        for line, words, spans in zip(lines.raw, lines.words, lines.spans, strict=True):
            strings = tuple((span.name, line[span.start : span.stop]) for span in spans)
            changed += not comes_back(tokenizer, line, put_back(words, strings, spelt))
        return changed


@lru_cache(maxsize=1)
def _tokenizer(options: TextOptions) -> PairTokenizer:
    """Made once in each process that works on shards."""
    return PairTokenizer(options)


def with_numbers(options: TextOptions) -> TextOptions:
    """The options where what is protected is numbered, as far as training text may go."""
    if not options.protect:
        return options
    return replace(options, numbers=tuple((kind, MOST_NUMBERS) for kind in kinds_of(options.protect)))


def counted_numbers(options: TextOptions, words: WordCounts) -> TextOptions:
    """The options with the numbers that the training text has often enough; its words are renamed to these."""
    if options.numbers is None:
        return options
    options = replace(options, numbers=enough(options.protect, words.target))
    numbering = options.make_numbering()
    assert numbering is not None
    words.rename(numbering.known)
    return options


def check_tokenizer(options: TextOptions, checks: LineChecks) -> None:
    """Report a missing package at once, and here."""
    _tokenizer(options)
    inspector(checks)


def forget_tokenizers() -> None:
    """Give back the memory of the words that this process has tokenised itself."""
    _tokenizer.cache_clear()
    inspector.cache_clear()
