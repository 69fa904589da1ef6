"""A translation word by word: where each stands in its text, how sure the model was of it, what it looked at.

Words are those of `nmt.translate.alignment`: the tokenizer's tokens, so that punctuation is one. Places are of
characters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from nmt.explain.matrix import LEAST
from nmt.explain.positions import piece_ends, places_of, solid
from nmt.text.options import Side
from nmt.text.pipeline import TextPipeline
from nmt.translate.alignment import word_attention, words_of_pieces
from nmt.translate.lines import Translation


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of the source."""

    start: int
    end: int
    "The first place after it; the same as the first where none of its characters is in the text."


@dataclass(frozen=True, kw_only=True)
class WrittenWord(Word):
    """A word of the translation."""

    probability: float
    "Of all its pieces, given what stands before them."
    attention: tuple[tuple[int, float], ...]
    "Numbers of source words and the share of its attention that each got, most first; small shares are left out."


@dataclass(frozen=True, kw_only=True)
class Words:
    """Of a translation and its source; places in their texts."""

    source: tuple[Word, ...]
    target: tuple[WrittenWord, ...]


def words_of(found: Translation, source: str, pipeline: TextPipeline) -> Words:
    """The words of a translation of `source`. The translation's parts, or the whole where it has none, come with their
    attention."""
    parts = found.parts or (found,)
    read, written = _spans(parts, pipeline, "source", source), _spans(parts, pipeline, "target", found.text)
    return Words(
        source=tuple(Word(start=start, end=end) for start, end in read),
        target=tuple(
            WrittenWord(start=start, end=end, probability=probability, attention=attention)
            for (start, end), (probability, attention) in zip(written, _rows(parts), strict=True)
        ),
    )


def _spans(parts: Sequence[Translation], pipeline: TextPipeline, side: Side, text: str) -> list[tuple[int, int]]:
    """The places [first, end) of each word of a side of the parts."""
    places, ends = places_of(text), [0, *piece_ends(parts, pipeline, side, solid(text))]
    spans: list[tuple[int, int]] = []
    first = 0  # piece of all parts
    for part in parts:
        words = words_of_pieces(part.source_pieces if side == "source" else part.pieces, part.subwords)
        for _, word in groupby(words):
            last = first + len(list(word))
            spans.append(_between(places, ends[first], ends[last]))
            first = last
    return spans


def _between(places: Sequence[int], first: int, last: int) -> tuple[int, int]:
    """Solid characters [first, last) as places in the text."""
    if first < last:
        return places[first], places[last - 1] + 1
    here = places[first] if first < len(places) else places[-1] + 1 if places else 0
    return here, here


def _rows(parts: Sequence[Translation]) -> Iterator[tuple[float, tuple[tuple[int, float], ...]]]:
    """The probability and the attention of each word of the translation."""
    first_source = 0
    for part in parts:
        assert part.attention is not None, "ask for attention"
        assert part.log_probs is not None, "ask for attention"
        words = words_of_pieces(part.pieces, part.subwords)
        table = word_attention(part.source_pieces, part.pieces, part.attention, part.subwords)
        log_probs = np.zeros(len(table))
        np.add.at(log_probs, np.array(words, dtype=np.int64), part.log_probs[: len(words)])
        for log_prob, shares in zip(log_probs.tolist(), table[:, :-1], strict=True):
            best = np.argsort(-shares, kind="stable")
            kept = tuple((first_source + int(n), float(shares[n])) for n in best if shares[n] >= LEAST)
            yield math.exp(log_prob), kept
        first_source += table.shape[1] - 1
