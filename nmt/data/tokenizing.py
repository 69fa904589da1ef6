"""First pass over the text: a part's raw lines to tokenised ones in scratch files, and the counts of its words.

Pairs are looked at (`nmt.data.findings`). Training pairs that are dropped for what is found leave blank lines and a
mark each in one more file, their words uncounted. Every other line is put together again from its words, and those are
counted that do not come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from bpe.learn import count_words
from nmt.data.findings import LineChecks, inspector
from nmt.data.pairs import chunks
from nmt.data.parts import Part, read_part
from nmt.scratch import written_whole
from nmt.text import SIDES, Side, TextOptions
from nmt.tokenization import Tokenizer, comes_back

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
    "Of the part's lines on both sides, as they were read. `update` does not keep them."

    def update(self, more: Tokenized) -> None:
        """Add what the text that follows gave."""
        self.words.update(more.words)
        self.changed.update(more.changed)
        self.found.update(more.found)
        self.dropped += more.dropped


@dataclass(frozen=True)
class TokenizeTask:
    """A part to tokenise."""

    part: Part
    options: TextOptions
    checks: LineChecks
    train: bool
    "Whether the pairs are training text, the only ones that may be dropped."
    folder: Path
    "Where tokenised lines go."

    @property
    def num_pairs(self) -> int:
        """Pairs to work on."""
        return self.part.num_pairs


def tokenized_file(folder: Path, part: str, side: Side) -> Path:
    """The file of a part's tokenised lines, UTF-8 with line feeds."""
    return folder / f"{part}.{side}.tokenized"


def marks_file(folder: Path, part: str) -> Path:
    """The file of the marks of a part's pairs, a byte each, as `Inspector.marks` makes them; none dropped: no file."""
    return folder / f"{part}.marks"


def tokenize_part(task: TokenizeTask) -> Tokenized:
    """Write a part's tokenised lines."""
    tokenizers = _tokenizers(task.options)
    found, marks, lengths = Tokenized(), [], []
    source, target = (tokenized_file(task.folder, task.part.name, side) for side in SIDES)
    with written_whole(source) as first, written_whole(target) as second:
        for chunk in chunks(read_part(task.part), CHUNK_PAIRS):
            marks.append(_looked_at(chunk, task, found))
            lengths.append([np.fromiter(map(len, lines), np.int32, len(lines)) for lines in chunk])
            for row in np.flatnonzero(marks[-1]).tolist():
                chunk[0][row] = chunk[1][row] = ""
            for side, lines, stream in zip(SIDES, chunk, (first, second), strict=True):
                words = list(map(tokenizers[side].words, lines))
                tokenized = list(map(" ".join, words))
                stream.write("".join(line + "\n" for line in tokenized).encode("utf-8"))
                found.words.of(side).update(count_words(tokenized))
                pairs = zip(lines, words, strict=True)
                found.changed[side] += sum(not comes_back(tokenizers[side], line, own) for line, own in pairs)
    sides = zip(*lengths, strict=True)
    found.lengths = tuple(map(np.concatenate, sides))  # type: ignore[assignment]
    if found.dropped:
        with written_whole(marks_file(task.folder, task.part.name)) as stream:
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


@lru_cache(maxsize=1)
def _tokenizers(options: TextOptions) -> dict[Side, Tokenizer]:
    """Made once in each process that works on parts."""
    return {side: options.make_tokenizer(side) for side in SIDES}


def check_tokenizer(options: TextOptions, checks: LineChecks) -> None:
    """Report a missing package at once, and here."""
    _tokenizers(options)
    inspector(checks)


def forget_tokenizers() -> None:
    """Give back the memory of the words that this process has tokenised itself."""
    _tokenizers.cache_clear()
    inspector.cache_clear()
