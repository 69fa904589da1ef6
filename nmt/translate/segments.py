"""Lines that are translated in segments: sentences by option, and pieces of a line too long for the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bpe.errors import UserError
from nmt.config import SearchConfig
from nmt.text.pipeline import TARGET_CODE, Reading, TextPipeline
from nmt.text.placeholders import Strings
from nmt.text.reversible import JOINER
from nmt.text.sentences import gap_after, split_sentences
from nmt.text.vocabulary import Vocabulary
from nmt.translate.glossary import Glossary

MAX_SOURCE_PIECES = 256
"""Sources with more pieces are cut, translated one by one, and joined by spaces.

Parts end after a full stop or the like where there is one in their second half, else after a comma or the like, else
after any word; a single word longer than this is cut anywhere.
"""
MAX_CODES = 12
"So many are named where one is not known."
SENTENCE_ENDS, CLAUSE_ENDS = frozenset(".?!…。？！؟।"), frozenset(",;:、，；：،–—")


@dataclass(frozen=True)
class Segment:
    """What is translated at once."""

    pieces: tuple[str, ...]
    after: str
    "What stands between its translation and that of the next segment."
    strings: Strings = ()
    "What its numbered placeholders stand for."


def segments_of(
    text: TextPipeline,
    line: str,
    *,
    sentences: bool = False,
    glossary: Glossary | None = None,
    prefix: Sequence[str] = (),
) -> list[Segment]:
    """One segment for nearly every line; an empty one for a blank line.

    sentences: each of them is a segment. prefix: pieces before those of every segment; a line's own target code goes
    before them all instead.
    """
    language = text.options.source
    code, line = text.target_code(line)
    before = (code,) if code else tuple(prefix)
    found: list[Segment] = []
    for sentence in _whole(text, split_sentences(line, language)) if sentences else [line]:
        terms = glossary.terms(text, sentence) if glossary else ()
        reading = Reading([]) if sentence.isspace() else text.read(sentence, terms)
        cut = split_source(text, reading)
        strings = _strings_of(cut, reading.strings, text.placeholders)
        after = [*[" "] * (len(cut) - 1), gap_after(sentence, text.options.target)]
        segments = [(*before, *pieces) if pieces else () for pieces in cut]
        found += [Segment(*each) for each in zip(segments, after, strings, strict=True)]
    return found or [Segment((), "")]


def source_prefix(vocabulary: Vocabulary, config: SearchConfig) -> tuple[str, ...]:
    """The pieces of `search.prefix_source`; one that the model does not have is a UserError that names some it has."""
    pieces, known = tuple(config.prefix_source.split()), vocabulary.side("source")
    for piece in pieces:
        if piece not in known:
            codes = [other for other in known if TARGET_CODE.fullmatch(other)]
            more = f" and {len(codes) - MAX_CODES} more" if len(codes) > MAX_CODES else ""
            hint = f"there are {', '.join(codes[:MAX_CODES])}{more}" if codes else "its vocabulary has no target codes"
            raise UserError(f"the model does not know the piece {piece!r}", where="search.prefix_source", hint=hint)
    return pieces


def _whole(text: TextPipeline, sentences: list[str]) -> list[str]:
    """The sentences, joined where a protected string goes from one into the next."""
    if text.numbering is None or len(sentences) == 1:
        return sentences
    spans, _ = text.numbering.all("".join(sentences))
    joined, end = [""], 0
    for sentence in sentences:
        if end and not any(span.start < end < span.stop for span in spans):
            joined.append("")
        joined[-1] += sentence
        end += len(sentence)
    return joined


def _strings_of(segments: Sequence[Sequence[str]], strings: Strings, placeholders: Sequence[str]) -> list[Strings]:
    """What each segment's numbered placeholders stand for, from that of all of them."""
    if not strings:
        return [()] * len(segments)
    numbered, start, found = frozenset(placeholders), 0, []
    for segment in segments:
        count = sum(piece in numbered for piece in segment)
        found.append(strings[start : start + count])
        start += count
    return found


def split_source(text: TextPipeline, reading: Reading, limit: int = MAX_SOURCE_PIECES) -> list[tuple[str, ...]]:
    """A line's pieces in segments of at most `limit`: one for nearly every line, an empty one for a blank line."""
    pieces = text.pieces_of_words(reading.words, "source")
    if len(pieces) <= limit:
        return [tuple(pieces)]
    words = [tuple(text.pieces_of_words([word], "source")) for word in reading.words]
    cut = [word[start : start + limit] for word in words for start in range(0, len(word), limit)]
    segments = []
    while cut:
        taken = _part_size(cut, limit)
        segments.append(tuple(piece for word in cut[:taken] for piece in word))
        cut = cut[taken:]
    return segments


def _part_size(words: Sequence[tuple[str, ...]], limit: int) -> int:
    """How many of the words the next segment takes: at least one, at most `limit` pieces."""
    sizes = np.cumsum([len(word) for word in words[: limit + 1]])
    fitting = int(np.searchsorted(sizes, limit, side="right"))
    if fitting == len(words):
        return fitting
    for ends in (SENTENCE_ENDS, CLAUSE_ENDS):
        for count in range(fitting, 0, -1):
            if sizes[count - 1] * 2 < limit:
                break
            if words[count - 1][-1].rstrip(JOINER)[-1:] in ends:
                return count
    return fitting
