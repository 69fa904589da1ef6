"""Telling how often a model left out or invented placeholders, which then were mended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nmt.translate.lines import Translation

HOW = "searched again, with each as often as in its source"


class MendedPlaceholders:
    """Says it once: at the first such line where lines are answered as they come, otherwise of all at the end."""

    def __init__(self, say: Callable[[str], object], *, at_once: bool) -> None:
        self.say, self.at_once = say, at_once
        self.lines, self.with_placeholders = 0, 0
        self.missing, self.invented = 0, 0

    def add(self, number: int, translations: Sequence[Translation]) -> None:
        """What is written for line `number`, from 1."""
        amiss = translations[0].amiss
        self.with_placeholders += bool(translations[0].strings)
        if not (amiss.missing or amiss.invented):
            return
        self.lines += 1
        self.missing += amiss.missing
        self.invented += amiss.invented
        if self.at_once and self.lines == 1:
            self.say(f"line {number}: the model {_what(amiss.missing, amiss.invented)}: {HOW}; others are not named")

    def end(self) -> None:
        """All lines are answered."""
        if self.at_once or not self.lines:
            return
        what, of = _what(self.missing, self.invented), f"{self.with_placeholders:,} with placeholders"
        lines = "1 line" if self.lines == 1 else f"{self.lines:,} lines"
        self.say(f"the model {what} in {lines} ({of}): {HOW}")


def _what(missing: int, invented: int) -> str:
    counts = (("left out", missing), ("invented", invented))
    return " and ".join(f"{what} {count:,} {_plural(count)}" for what, count in counts if count)


def _plural(count: int) -> str:
    return "placeholder" if count == 1 else "placeholders"
