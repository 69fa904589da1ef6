"""The words of a translated text as /explain tells of them; places are of its characters (Unicode's, not bytes)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nmt.explain.explained import doubt
from nmt.serve.prepared import LineWords


def explained(source: str, translation: str, lines: Sequence[LineWords]) -> dict[str, Any]:
    """The source's words, and the translation's with their probabilities and attention."""
    read: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    for line in lines:
        first = len(read)
        for word in line.words.source:
            read.append(_word(source, line.source_start + word.start, line.source_start + word.end))
        for own in line.words.target:
            about = {
                "probability": float(f"{own.probability:.4g}"),
                "doubt": doubt(own.probability),
                "attention": [[first + number, round(share, 3)] for number, share in own.attention],
            }
            written.append(_word(translation, line.target_start + own.start, line.target_start + own.end) | about)
    return {"sourceWords": read, "words": written}


def _word(text: str, start: int, end: int) -> dict[str, Any]:
    return {"text": text[start:end], "start": start, "end": end}
