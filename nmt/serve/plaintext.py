"""Plain text as lines to translate, and back: line ends and the white space around lines stay as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from nmt.translate.lines import Translation

SPACE = re.compile(r"\s+")
LINE_ENDS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")


class Document(Protocol):
    """A text in its format."""

    @property
    def lines(self) -> Sequence[str]:
        """What is translated, each by itself; none of them blank."""

    @property
    def attention(self) -> bool:
        """Whether `text` needs the attention."""

    def text(self, translations: Sequence[Translation]) -> str:
        """The whole with a translation of each line."""


class PlainText:
    """A text without markup."""

    attention = False

    def __init__(self, text: str) -> None:
        self.lines: list[str] = []
        "Its lines, without the white space around them; blank ones are left out."
        self._between: list[str] = []
        "What stands before each line, and after the last."
        start = between = 0
        for space in SPACE.finditer(text):
            ends = space.start() == 0 or space.end() == len(text)
            if ends or not LINE_ENDS.isdisjoint(space[0]):
                self._add(text, between, start, space.start())
                between, start = space.start(), space.end()
        self._add(text, between, start, len(text))
        self._between.append(text[between:] if start == len(text) else "")

    def _add(self, text: str, between: int, start: int, end: int) -> None:
        if start < end:
            self._between.append(text[between:start])
            self.lines.append(text[start:end])

    def starts(self, lines: Sequence[str]) -> list[int]:
        """Where each line begins in the text that has these lines in place of its own."""
        starts, here = [], 0
        for between, line in zip(self._between, lines, strict=False):
            starts.append(here + len(between))
            here = starts[-1] + len(line)
        return starts

    def text(self, translations: Sequence[Translation]) -> str:
        """The text with the translations in the lines' places."""
        pairs = zip(self._between, (each.text for each in translations), strict=False)
        return "".join(part for pair in pairs for part in pair) + self._between[-1]
