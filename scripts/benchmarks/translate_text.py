"""Source sentences for search benchmarks, whose pieces are all in a vocabulary of a given size."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import write_lines

MEDIAN_LENGTH, SPREAD, SHORTEST, LONGEST = 14, 0.5, 3, 60
"Of made-up sentences, in pieces: lengths are log-normal, as those of real text nearly are."
OFFSET = 2.7
"The piece of rank r is drawn in proportion to 1 / (r + OFFSET)."
MAX_PIECES = 250
"Longer sentences are not translated whole by every tool."


@dataclass(frozen=True, kw_only=True)
class SourceText:
    """Two files: the pieces of the vocabulary, one a line, and sentences of them, the longest first.

    Sorted, since a tool that does not sort by length would search more padding than another.
    """

    words: Path
    sentences: Path
    num_words: int
    num_sentences: int
    num_pieces: int
    longest: int
    "Pieces of the longest sentence."


def made_up(folder: Path, num_words: int, num_sentences: int) -> SourceText:
    """Made-up pieces and sentences; the same arguments give the same text."""
    words, draw = [f"w{number}" for number in range(num_words)], random.Random(1)
    weights = list(accumulate(1 / (rank + OFFSET) for rank in range(1, num_words + 1)))
    sentences = []
    for _ in range(num_sentences):
        length = round(MEDIAN_LENGTH * draw.lognormvariate(0, SPREAD))
        sentences.append(draw.choices(words, cum_weights=weights, k=min(max(length, SHORTEST), LONGEST)))
    return _write(folder, words, sentences)


def of_file(folder: Path, num_words: int, num_sentences: int, path: Path) -> SourceText:
    """The first sentences of a file of pieces between spaces; made-up pieces fill the vocabulary up."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").split("\n")]
    sentences = [line for line in lines if 0 < len(line) <= MAX_PIECES][:num_sentences]
    words = list(dict.fromkeys(piece for sentence in sentences for piece in sentence))
    if not words:
        raise UserError("no sentence in it", where=path)
    if len(words) > num_words:
        problem = f"{len(words):,} different pieces in {len(sentences):,} sentences, the vocabulary has {num_words:,}"
        raise UserError(problem, where=path, hint="raise --vocabulary or lower --sentences")
    known = set(words)
    others = (piece for number in range(2 * num_words) if (piece := f"w{number}") not in known)
    return _write(folder, [*words, *(next(others) for _ in range(num_words - len(words)))], sentences)


def _write(folder: Path, words: Sequence[str], sentences: Sequence[Sequence[str]]) -> SourceText:
    lengths = sorted(map(len, sentences))
    write_lines(folder / "words", words)
    write_lines(folder / "sentences", map(" ".join, sorted(sentences, key=len, reverse=True)))
    return SourceText(
        words=folder / "words",
        sentences=folder / "sentences",
        num_words=len(words),
        num_sentences=len(sentences),
        num_pieces=sum(lengths),
        longest=lengths[-1],
    )
