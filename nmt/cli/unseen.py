"""Telling of characters in the input that the training text did not have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import groupby

from bpe.segmenter import SEPARATOR
from nmt.folder.bundle import Bundle
from nmt.translate.lines import Translation

NAMED = 5
"Characters that are named; of the others their number is said."
_BYTE = re.compile(rf"<0x([0-9A-F]{{2}})>(?:{SEPARATOR})?")


class UnseenCharacters:
    """Says it once: at the first one where lines are answered as they come, otherwise of all at the end.

    Protected strings that are numbered are not read by the model, so that their characters do not count.
    """

    def __init__(self, bundle: Bundle, say: Callable[[str], object], *, at_once: bool) -> None:
        self.bundle, self.say, self.at_once = bundle, say, at_once
        self.characters: Counter[str] = Counter()
        self.lines = 0
        self._with_bytes = bundle.text.options.byte_fallback
        self._how = "spelt in bytes" if self._with_bytes else "unknown to the model"

    def add(self, number: int, translations: Sequence[Translation]) -> None:
        """What is written for line `number`, from 1."""
        found = self._unseen(translations[0].source_pieces)
        if not found:
            return
        self.lines += 1
        if self.at_once and self.lines == 1:
            self.say(f"line {number}: {found[0]!r} is not in the training text: {self._how}; others are not named")
        self.characters.update(found)

    def end(self) -> None:
        """All lines are answered."""
        if self.at_once or not self.lines:
            return
        count = len(self.characters)
        named = ", ".join(f"{character!r} ({times:,})" for character, times in self.characters.most_common(NAMED))
        more = f" and {count - NAMED:,} more" if count > NAMED else ""
        what = "1 character is" if count == 1 else f"{count:,} characters are"
        lines = "1 line" if self.lines == 1 else f"{self.lines:,} lines"
        self.say(f"{what} not in the training text: {named}{more}, in {lines}: {self._how}")

    def _unseen(self, pieces: Sequence[str]) -> list[str]:
        characters = _spelt(pieces) if self._with_bytes else "".join(self._unknown(pieces))
        return [character for character in characters if character not in self._seen]

    def _unknown(self, pieces: Sequence[str]) -> list[str]:
        return [piece.removesuffix(SEPARATOR) for piece in pieces if piece not in self._known]

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.bundle.vocabulary.side("source"))

    @cached_property
    def _seen(self) -> frozenset[str]:
        """The characters of the source's pieces, and those that training text spelt in bytes."""
        pieces = (piece.removesuffix(SEPARATOR) for piece in self._known if not _BYTE.fullmatch(piece))
        return frozenset().union(*pieces, self.bundle.text.options.rare_characters)


def _spelt(pieces: Sequence[str]) -> str:
    """The characters that are spelt in bytes."""
    found = (_BYTE.fullmatch(piece) for piece in pieces)
    runs = groupby(found, key=lambda match: match is not None)
    values = (bytes(int(match[1], 16) for match in run if match) for spelt, run in runs if spelt)
    return "".join(own.decode("utf-8", "replace") for own in values)
