"""Running English text -> lines for language models: a sentence a line, its words apart, in small letters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nmt.corpora.pairing import SENTENCE_END, normalise

WORD = re.compile(r"\w+(?:[.,:'’/&-]\w+)*|[^\w\s]")
"A word with what may stand between its letters or digits (don't, 3.5, well-known), or one other character."
LINE_BREAK = re.compile(r"(?:<br\s*/?>|\n)+")


def sentences_of(text: str) -> Iterator[str]:
    """The sentences of a document, cut at line breaks and sentence ends; words and marks between single spaces."""
    for paragraph in LINE_BREAK.split(text):
        for sentence in SENTENCE_END.split(normalise(paragraph)):
            if words := WORD.findall(sentence.lower()):
                yield " ".join(words)
