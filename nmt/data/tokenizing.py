"""First pass over the text: a part's raw lines to tokenised ones in scratch files, and the counts of its words.

Every line is put together again from its words, and those are counted that do not come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from bpe.learn import count_words
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


@dataclass
class Tokenized:
    """What tokenising gave."""

    words: WordCounts = field(default_factory=WordCounts)
    changed: Counter[Side] = field(default_factory=Counter)
    "Lines of each side that their words do not give again, runs of spaces left aside."

    def update(self, more: Tokenized) -> None:
        """Add what the text that follows gave."""
        self.words.update(more.words)
        self.changed.update(more.changed)


@dataclass(frozen=True)
class TokenizeTask:
    """A part to tokenise."""

    part: Part
    options: TextOptions
    folder: Path
    "Where tokenised lines go."

    @property
    def num_pairs(self) -> int:
        """Pairs to work on."""
        return self.part.num_pairs


def tokenized_file(folder: Path, part: str, side: Side) -> Path:
    """The file of a part's tokenised lines, UTF-8 with line feeds."""
    return folder / f"{part}.{side}.tokenized"


def tokenize_part(task: TokenizeTask) -> Tokenized:
    """Write a part's tokenised lines."""
    tokenizers = _tokenizers(task.options)
    found = Tokenized()
    source, target = (tokenized_file(task.folder, task.part.name, side) for side in SIDES)
    with written_whole(source) as first, written_whole(target) as second:
        for chunk in chunks(read_part(task.part), CHUNK_PAIRS):
            for side, lines, stream in zip(SIDES, chunk, (first, second), strict=True):
                words = list(map(tokenizers[side].words, lines))
                tokenized = list(map(" ".join, words))
                stream.write("".join(line + "\n" for line in tokenized).encode("utf-8"))
                found.words.of(side).update(count_words(tokenized))
                pairs = zip(lines, words, strict=True)
                found.changed[side] += sum(not comes_back(tokenizers[side], line, own) for line, own in pairs)
    return found


@lru_cache(maxsize=1)
def _tokenizers(options: TextOptions) -> dict[Side, Tokenizer]:
    """Made once in each process that works on parts."""
    return {side: options.make_tokenizer(side) for side in SIDES}


def check_tokenizer(options: TextOptions) -> None:
    """Report a missing package at once, and here."""
    _tokenizers(options)


def forget_tokenizers() -> None:
    """Give back the memory of the words that this process has tokenised itself."""
    _tokenizers.cache_clear()
