"""Inline elements of a sentence -> their places in its translation, by attention.

Positions are those of `nmt.explain.positions`. An element gets the run of target pieces that attend to its source
pieces most; what is in it stays in it; one that holds the whole sentence holds the whole translation. S source pieces,
T target pieces.
"""

from __future__ import annotations

import bisect
import html
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from nmt.explain.positions import piece_ends, places_of, solid
from nmt.text.pipeline import TextPipeline
from nmt.translate.lines import Translation

NO_BREAK = "\xa0"


@dataclass(eq=False)
class Element:
    """An inline element, a stray tag or a comment: what opens and closes it, and where in the source it stands."""

    open: str
    start: int
    name: str = ""
    close: str = ""
    end: int = -1
    children: list[Element] = field(default_factory=list)
    kept: str | None = None
    "Its content as it was, in place of a translation."
    touches: bool = False
    "Whether no white space stands before it."


def escaped(text: str) -> str:
    """Text as HTML; a no-break space as its entity, so that it is seen."""
    return html.escape(text, quote=False).replace(NO_BREAK, "&nbsp;")


class Placing:
    """One translation, and where in it source positions went."""

    def __init__(self, translation: Translation, pipeline: TextPipeline, source_size: int) -> None:
        """source_size: characters of the source that are no white space. The translation's parts, or the whole where
        it has none, come with their attention; of a translation in parts, its own is not needed."""
        self.text = translation.text
        parts = translation.parts or (translation,)
        self._sources = piece_ends(parts, pipeline, "source", source_size)
        self._targets = piece_ends(parts, pipeline, "target", solid(self.text))
        self._weights = [_weights(part) for part in parts]
        "Of each part, [its target pieces, its source pieces], rows that add up to 1."
        self._first_sources = [0, *accumulate(weights.shape[1] for weights in self._weights)]
        self._first_targets = [0, *accumulate(weights.shape[0] for weights in self._weights)]
        self._places = places_of(self.text)

    def html(self, root: Element) -> str:
        """The translation with the elements inside `root`, which is the whole sentence."""
        return self._content(root, (0, len(self._targets)), (0, len(self.text)))

    def _content(self, parent: Element, pieces: tuple[int, int], room: tuple[int, int]) -> str:
        """What is inside an element. pieces: its target pieces, [first, end). room: its characters, [first, end)."""
        placed = [(self._pieces(child, parent, pieces), child) for child in parent.children]
        placed.sort(key=lambda pair: pair[0])
        written, here = [], room[0]
        for span, child in placed:
            start, end = self._characters(span, here, room[1], child.touches)
            written.append(escaped(self.text[here:start]) + child.open)
            inside = child.kept if child.kept is not None else self._content(child, span, (start, end))
            written.append(inside + child.close)
            here = end
        return "".join(written) + escaped(self.text[here : room[1]])

    def _pieces(self, child: Element, parent: Element, within: tuple[int, int]) -> tuple[int, int]:
        """The target pieces of an element, [first, end), inside those of its parent."""
        first, last = within
        if child.start >= child.end:
            return self._point(child, parent, within)
        if (child.start, child.end) == (parent.start, parent.end) or last <= first:
            return within
        begin = bisect.bisect_right(self._sources, child.start)
        end = bisect.bisect_left(self._sources, child.end, lo=begin) + 1
        start, gains = self._attending(begin, min(end, len(self._sources)), within)
        return _best_run(gains - 0.5, start)

    def _attending(self, begin: int, end: int, within: tuple[int, int]) -> tuple[int, np.ndarray]:
        """What the target pieces give the source pieces [begin, end), and the first of them.

        Only those of parts that hold such a source piece, and within [first, end) where that leaves any.
        """
        low = bisect.bisect_right(self._first_sources, begin) - 1
        high = max(low + 1, bisect.bisect_left(self._first_sources, end))
        given = []
        for part in range(low, min(high, len(self._weights))):
            offset = self._first_sources[part]
            given.append(self._weights[part][:, max(0, begin - offset) : max(0, end - offset)].sum(1))
        first, found = self._first_targets[low], np.concatenate([np.zeros(0), *given])
        least, most = max(within[0], first), min(within[1], first + len(found))
        return (least, found[least - first : most - first]) if least < most else (within[0], np.zeros(1))

    def _point(self, child: Element, parent: Element, within: tuple[int, int]) -> tuple[int, int]:
        """Where what has no text stands: after the piece that it touches, else before the one that follows it."""
        first, last = within
        if child.start <= parent.start or last <= first:
            return first, first
        if child.start >= parent.end:
            return last, last
        following = bisect.bisect_right(self._sources, child.start)
        source = max(0, following - 1) if child.touches else min(following, len(self._sources) - 1)
        start, gains = self._attending(source, source + 1, within)
        place = start + int(gains.argmax()) + child.touches
        return place, place

    def _characters(self, pieces: tuple[int, int], least: int, most: int, touches: bool) -> tuple[int, int]:
        """The characters of target pieces, [first, end), whole words, between `least` and `most`.

        touches: where there are no pieces, after what stands before rather than before what follows.
        """
        first, last = pieces
        begin = self._targets[first - 1] if first else 0
        start = self._places[begin] if begin < len(self._places) else len(self.text)
        if first == last and touches and begin:
            start = self._places[begin - 1] + 1
        start = self._word_edge(min(max(start, least), most), least, -1)
        if first == last:
            return start, start
        end = self._places[self._targets[last - 1] - 1] + 1 if self._targets[last - 1] else 0
        return start, self._word_edge(max(min(end, most), start), most, 1)

    def _word_edge(self, place: int, limit: int, step: int) -> int:
        text = self.text
        while place != limit and 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum():
            place += step
        return place


def _weights(part: Translation) -> np.ndarray:
    """The attention to source pieces, </s> left out, [T, S] float64; each row adds up to 1."""
    assert part.attention is not None, "ask for attention"
    weights: np.ndarray = part.attention[: len(part.pieces), : len(part.source_pieces)].double().numpy()
    shares: np.ndarray = weights / np.maximum(weights.sum(1, keepdims=True), 1e-9)
    return shares


def _best_run(gains: np.ndarray, first: int) -> tuple[int, int]:
    """The run [start, end), one piece at least, with the largest sum (Kadane's algorithm); numbers begin at `first`."""
    best, found, total, start = -np.inf, (first, first), 0.0, 0
    for place, gain in enumerate(gains):
        if total <= 0:
            total, start = 0.0, place
        total += gain
        if total > best:
            best, found = total, (first + start, first + place + 1)
    return found
