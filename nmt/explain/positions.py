"""Where in a text its pieces stand.

Positions are counted in characters that are no white space: so they mean the same before and after tokenisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from nmt.text.options import Side
from nmt.text.pipeline import TextPipeline
from nmt.translate.lines import Translation


def solid(text: str) -> int:
    """How many characters are no white space."""
    return sum(map(len, text.split()))


def places_of(text: str) -> list[int]:
    """The place in the text of each character that is no white space."""
    return [place for place, character in enumerate(text) if not character.isspace()]


def piece_ends(parts: Sequence[Translation], pipeline: TextPipeline, side: Side, size: int) -> list[int]:
    """For each piece of the parts, how many of `size` solid characters there are up to its end; never falling.

    Where tokenisation changed the number of characters, they are spread over the text.
    """
    ends, before = [], 0
    for part in parts:
        pieces = part.source_pieces if side == "source" else part.pieces
        ends += [before + solid(pipeline.text(pieces[: n + 1], side, part.strings)) for n in range(len(pieces))]
        before = ends[-1] if ends else 0
    return _scaled(list(accumulate(ends, max)), size)


def _scaled(ends: Sequence[int], size: int) -> list[int]:
    total = ends[-1] if ends else 0
    return [end if total == size else round(end * size / max(total, 1)) for end in ends]
