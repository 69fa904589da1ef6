"""Whether text was prepared as other text was, so that the ids of one can be read as the other's."""

from __future__ import annotations

from dataclasses import fields

from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import Vocabulary

GROWS = ("source_pieces", "target_pieces", "rare_characters")
"What a vocabulary that grows changes of a text pipeline."


def misfit(text: TextPipeline, vocabulary: Vocabulary, other_text: TextPipeline, other: Vocabulary) -> str | None:
    """In words, why text does not fit other text whose pieces it must all have; None: it does."""
    for field in fields(text.options):
        here, there = (getattr(pipeline.options, field.name) for pipeline in (text, other_text))
        if field.name not in GROWS and here != there:
            return f"its text has {field.name} {here!r}, not {there!r}"
    if text.subwords != other_text.subwords:
        return f"its {text.options.subwords} subwords are others"
    for side in ("source", "target"):
        own = frozenset(vocabulary.side(side))
        missing = [piece for piece in other.side(side) if piece not in own]
        if missing:
            return f"its vocabulary lacks {len(missing):,} {side} pieces, {missing[0]!r} the first"
    return None
