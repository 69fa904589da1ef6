"""Telling of translations that the length limit cut, which look like any other in text output."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nmt.translate.lines import Translation

NAMED = 5
"Lines that are named; of the others their number is said."
WHY = "cut at the length limit (--max-length-ratio, --max-length): its end is missing, or it repeats itself"


class CutLines:
    """Says it once: at the first such line where lines are answered as they come, otherwise of all at the end."""

    def __init__(self, say: Callable[[str], object], *, at_once: bool) -> None:
        self.say, self.at_once = say, at_once
        self.count, self.first = 0, list[int]()

    def add(self, number: int, translations: Sequence[Translation]) -> None:
        """What is written for line `number`, from 1."""
        if all(translation.finished for translation in translations):
            return
        self.count += 1
        if self.count <= NAMED:
            self.first.append(number)
        if self.at_once and self.count == 1:
            self.say(f"line {number}: a translation was {WHY}; other such lines are not named")

    def end(self) -> None:
        """All lines are answered."""
        if self.at_once or not self.count:
            return
        if self.count == 1:
            self.say(f"line {self.first[0]}: a translation was {WHY}")
            return
        named = ", ".join(f"{number}" for number in self.first)
        others = f" and {self.count - NAMED:,} more" if self.count > NAMED else ""
        self.say(f"{self.count:,} lines have a translation {WHY}: lines {named}{others}")
