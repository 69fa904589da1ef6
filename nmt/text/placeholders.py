"""Numbered placeholders: a protected string is the word `｟url:1｠`, its kind and a number, the same on both sides.

The strings that differ between the sides are text. A kind has few numbers, those that training text has often enough;
further strings of a line share the highest, and are put back in the order in which they stand in the source.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from nmt.text.protection import ALL, CLASSES, CLOSE, OPEN, Patterns, Span, first_of_overlapping

MOST_NUMBERS = 9
"Of a kind in a line; preparation keeps those that the training text has often."
OFTEN = 10
"Occurrences in the training text that a number needs. The first one of a kind needs one."
NUMBERED = re.compile(rf"{OPEN}([a-z]+[0-9]*):([0-9]+){CLOSE}")
"Matches a numbered placeholder in words or pieces. No text can spell one."
KINDS = {"placeholders": ("placeholder",), "urls": ("url",), "tags": ("tag", "end", "entity")}
"The kinds of each class of `nmt.text.protection`."
OWN = "own"
"The kind of the user's first expression; that of the second is own2."

Strings = tuple[tuple[str, str], ...]
"Numbered placeholders and the strings they stand for, in the order in which they stand in the source."


class NumberedString(NamedTuple):
    """A protected string of a line."""

    span: Span
    kind: str
    string: str
    "What is put back: what stands there, or a glossary's translation of it."


class Numbering:
    """Which strings of a line are numbered, and how.

    names: what is protected, as for `Patterns`. numbers: how many numbers each kind has. A kind that has none, since
    the training text has no such strings on both sides, takes those of the first kind that has any, in the order of
    `kinds_of`; where none has, nothing is numbered.
    """

    def __init__(self, names: Sequence[str], numbers: Mapping[str, int], where: object = "prep.protect") -> None:
        self._patterns = Patterns(names, where)
        self._own = _own_kinds(names)
        self._numbers = dict(numbers)
        self._first = next((kind for kind in kinds_of(names) if self._numbers.get(kind)), "")
        self.words = tuple(numbered(kind, number + 1) for kind, most in numbers.items() for number in range(most))
        "Every numbered placeholder there is."

    def known(self, text: str) -> str:
        """Words or pieces with numbers in place of those that there are not."""
        return NUMBERED.sub(lambda found: self._word(found[1], int(found[2])), text)

    def all(self, line: str, terms: Sequence[NumberedString] = ()) -> tuple[list[Span], Strings]:
        """Every protected string of a source line numbered. terms: of a glossary, which are numbered with them."""
        return self._numbered([*self._entries(line), *terms])

    def shared(self, source: str, target: str) -> tuple[list[Span], list[Span]]:
        """The protected strings that both lines have, each as often as the one that has it less often."""
        entries = self._entries(source)
        taken = taking(Counter(entry.string for entry in self._entries(target)))
        spans, strings = self._numbered([entry for entry in entries if taken(entry.string)])
        return spans, self.of_source(target, strings)

    def of_source(self, target: str, strings: Strings) -> list[Span]:
        """The strings of a target line that the source has, at most as often, under its numbers."""
        words = {string: word for word, string in strings}
        taken = taking(Counter(string for _, string in strings))
        return [entry.span._replace(name=words[entry.string]) for entry in self._entries(target) if taken(entry.string)]

    def term(self, span: Span, string: str) -> NumberedString:
        """An entry of a glossary's term."""
        return NumberedString(span, self._first, string)

    def _entries(self, line: str) -> list[NumberedString]:
        if not self._first:
            return []
        found = ((span, line[span.start : span.stop]) for span in self._patterns.named(line))
        return [NumberedString(span, self._kind(span.name, string), string) for span, string in found]

    def _kind(self, name: str, string: str) -> str:
        if name == "tags":
            return "end" if string.startswith("</") else "entity" if string.startswith("&") else "tag"
        return KINDS[name][0] if name in KINDS else self._own[name]

    def _numbered(self, entries: Iterable[NumberedString]) -> tuple[list[Span], Strings]:
        """Equal strings have the same number; numbers rise in the order of the line."""
        by_span = {entry.span: entry for entry in entries}
        words: dict[str, str] = {}
        counts: Counter[str] = Counter()
        spans, strings = [], []
        for span in first_of_overlapping(list(by_span)):
            entry = by_span[span]
            if entry.string not in words:
                kind = entry.kind if self._numbers.get(entry.kind) else self._first
                counts[kind] += 1
                words[entry.string] = self._word(kind, counts[kind])
            spans.append(span._replace(name=words[entry.string]))
            strings.append((words[entry.string], entry.string))
        return spans, tuple(strings)

    def _word(self, kind: str, number: int) -> str:
        kind = kind if self._numbers.get(kind) else self._first
        return numbered(kind, min(number, self._numbers.get(kind, number)))


def numbered(kind: str, number: int) -> str:
    """The word of a kind and a number."""
    return f"{OPEN}{kind}:{number}{CLOSE}"


def kinds_of(names: Sequence[str]) -> list[str]:
    """The kinds of what is protected, those first that stand where a word may stand."""
    classes = set(CLASSES if ALL in names else names)
    ordered = [("placeholders", KINDS["placeholders"]), ("", tuple(_own_kinds(names).values()))]
    ordered += [(name, KINDS[name]) for name in ("urls", "tags")]
    return [kind for name, kinds in ordered if not name or name in classes for kind in kinds]


def _own_kinds(names: Sequence[str]) -> dict[str, str]:
    own = [name for name in dict.fromkeys(names) if name not in CLASSES and name != ALL]
    return {name: f"{OWN}{number}" if number > 1 else OWN for number, name in enumerate(own, 1)}


def enough(names: Sequence[str], words: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """How many numbers each kind has in the training text. words: how often it has each word, on either side."""
    kinds = {}
    for kind in kinds_of(names):
        counts = [words.get(numbered(kind, number), 0) for number in range(1, MOST_NUMBERS + 1)]
        if counts[0]:
            kinds[kind] = max(1, sum(count >= OFTEN for count in counts))
    return tuple(kinds.items())


def put_back(words: Iterable[str], strings: Strings, spelt: Callable[[str], str]) -> list[str]:
    """Words or pieces with strings in the place of their numbers. spelt: how a word spells a string.

    Of strings with the same number each is taken in turn, the last one again where there are no more. A number that
    the source does not have stays.
    """
    left: dict[str, deque[str]] = {}
    for word, string in strings:
        left.setdefault(word, deque()).append(string)

    def string_of(found: re.Match[str]) -> str:
        own = left.get(found[0])
        if own is None:
            return found[0]
        return spelt(own.popleft() if len(own) > 1 else own[0])

    return [NUMBERED.sub(string_of, word) if OPEN in word else word for word in words]


def taking(counts: Counter[str]) -> Callable[[str], bool]:
    """A function that says as often as `counts` has it that a string is taken, and no more."""
    left = counts.copy()

    def taken(string: str) -> bool:
        left[string] -= 1
        return left[string] >= 0

    return taken
