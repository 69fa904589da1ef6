"""What is kept whole from raw text to pieces and back: placeholders, tags, addresses, and what the user names.

A protected string is one word in the brackets that OpenNMT's tokenizer uses: `｟placeholder:1｠`, its kind and a number
(see `nmt.text.placeholders`), or, in folders made before there were numbers, itself: `｟{name}｠`, its spaces spelt
`％0020`.
Where no space stood beside it, the word `￭` says so: `({n})` is `( ￭ ｟{n}｠ ￭ )`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bpe.errors import UserError

OPEN, CLOSE, GLUE = "｟", "｠", "￭"
PROTECTED_WORD = rf"{OPEN}\S+{CLOSE}"
"Matches a word that stands for a protected string."

_URL = r"""(?:[^\s<>"{}()«»\u2000-\U0010ffff]|\{[^{}\s]*\}|\([^()\s]*\))"""
_URL_END = r"""(?:[^\s<>"'{}()\[\].,;:!?«»\u2000-\U0010ffff]|\{[^{}\s]*\}|\([^()\s]*\))"""
_ATTRIBUTE = r"""\s+[\w:.-]+=(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>=]+)"""

CLASSES = {
    "tags": "|".join(
        (
            rf"</?[A-Za-z0-9][\w:.-]*(?:{_ATTRIBUTE})*\s*/?>",
            r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});",
        )
    ),
    "urls": "|".join(
        (
            rf"(?<![^\W_])(?:https?://|ftp://|www\.){_URL}*{_URL_END}",
            r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})*\.[^\W\d_]{2,63}",
        )
    ),
    "placeholders": "|".join(
        (
            r"\{\{[^{}]*\}\}",
            r"[$#]?\{ ?\w[\w.-]*(?:[!:,\[][^{}]*)? ?\}|\{\}",
            r"\$\(\w+\)|\$\[\w+\]",
            r"%%|%\(\w+\)[-+ #0]*[0-9]*(?:\.[0-9]+)?[diouxXeEfFgGcrsa]",
            r"(?<![0-9])%[A-Za-z_]\w{2,}%(?!\w)",
            r"(?<![0-9])%(?:[0-9]+\$)?[-+#0]*[0-9]*(?:\.[0-9]+)?(?:hh?|ll?|[qjzt])?[sdiufFxXcgGeEopS@](?![^\W\d_]{3})",
            r"(?<![0-9])%[0-9]+(?:%(?![0-9A-Za-z]))?",
        )
    ),
}
"The named classes: XML tags and entities; URLs and e-mail addresses; placeholders of format strings."
ALL = "all"

_ESCAPED = re.compile(r"[\s％]")
_ESCAPE = re.compile(r"％([0-9A-F]{4})")
_MARKS = re.compile(f"[{OPEN}{CLOSE}{GLUE}]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b]")
"ASCII control characters that are no space: no tokenizer leaves them in."
_LINE_ENDS = re.compile(r"[\x0a-\x0d\x1c-\x1f\x85\u2028\u2029]")
"Kept out of protected strings, so that text is one line for every reader."
STAND_IN = "QPROTECTEDQ"


class Span(NamedTuple):
    """Where a protected string stands in a line."""

    start: int
    stop: int
    name: str = ""
    "Its class or expression, or the word that stands for it; empty: a mark, or the string itself."


class Patterns:
    """What to protect. names: names of CLASSES, "all", or regular expressions; a wrong one is a UserError."""

    def __init__(self, names: Sequence[str], where: object = "prep.protect") -> None:
        named = dict.fromkeys(one for name in names for one in (CLASSES if name == ALL else [name]))
        self._patterns = {name: _compiled(CLASSES.get(name, name), where) for name in named}

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Where protected strings begin and end, from left to right; of two that overlap the first, then the longer.

        The marks themselves are protected too, so that text cannot be taken for them.
        """
        return [(span.start, span.stop) for span in first_of_overlapping([*self._all(line), *marks(line)])]

    def named(self, line: str) -> list[Span]:
        """The same without the marks; each with the class or expression that it matched."""
        return first_of_overlapping(self._all(line))

    def _all(self, line: str) -> list[Span]:
        return [
            Span(match.start(), match.end(), name)
            for name, pattern in self._patterns.items()
            for match in pattern.finditer(line)
            if match[0]
        ]


def marks(line: str) -> list[Span]:
    """The brackets and the sign of what touches, where text has them."""
    return [Span(match.start(), match.end()) for match in _MARKS.finditer(line)]


def first_of_overlapping(spans: Sequence[Span]) -> list[Span]:
    """From left to right; of two that overlap the first, then the longer, then the one given first."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.stop)):
        if not kept or span.start >= kept[-1].stop:
            kept.append(span)
    return kept


def _compiled(expression: str, where: object) -> re.Pattern[str]:
    hint = f"a name ({', '.join([*CLASSES, ALL])}) or a regular expression of Python"
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UserError(f"invalid regular expression {expression!r}: {error}", where=where, hint=hint) from None
    if pattern.match(""):
        raise UserError(f"{expression!r} matches the empty string", where=where, hint=hint)
    return pattern


@dataclass(frozen=True)
class ProtectedString:
    """A protected string of a line, and whether it touches what stands before and after it."""

    text: str
    touches_left: bool
    touches_right: bool
    name: str = ""
    "The word that stands for it; empty: itself in brackets."

    @property
    def word(self) -> str:
        """The word that stands for it."""
        return self.name or f"{OPEN}{_ESCAPED.sub(lambda match: f'％{ord(match[0]):04X}', self.text)}{CLOSE}"


def is_protected(word: str) -> bool:
    """Whether a word stands for a protected string."""
    return len(word) > 2 and word[0] == OPEN and word[-1] == CLOSE


def take_out(line: str, patterns: Patterns) -> tuple[list[str], list[ProtectedString]]:
    """What stands between protected strings, one text more than there are of these, and the strings."""
    line = _CONTROL.sub("", line)
    return take_out_spans(line, [Span(*span) for span in patterns.spans(line)])


def take_out_spans(line: str, spans: Sequence[Span]) -> tuple[list[str], list[ProtectedString]]:
    """The same for spans that are found already, named by the words that stand for them."""
    between: list[str] = []
    parts: list[ProtectedString] = []
    end = 0
    for start, stop, name in spans:
        left, right = line[:start][-1:], line[stop : stop + 1]
        text = _LINE_ENDS.sub(" ", line[start:stop])
        parts.append(ProtectedString(text, bool(left.strip()), bool(right.strip()), name))
        between.append(_CONTROL.sub("", line[end:start]))
        end = stop
    return [*between, _CONTROL.sub("", line[end:])], parts


def find_parts(words: Sequence[str]) -> tuple[list[str | None], list[ProtectedString]]:
    """The words without the marks, None for each protected string, and the strings."""
    rest: list[str | None] = []
    parts = []
    for place, word in enumerate(words):
        if is_protected(word):
            text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), word[1:-1])
            parts.append(
                ProtectedString(text, words[place - 1 : place] == [GLUE], words[place + 1 : place + 2] == [GLUE])
            )
            rest.append(None)
        elif word != GLUE:
            rest.append(word)
    return rest, parts


def put_back(between: Sequence[str], parts: Sequence[ProtectedString]) -> str:
    """A line of what stands between protected strings, one text more than there are of these, and the strings."""
    line = between[0].strip()
    touches = not line
    for part, after in zip(parts, between[1:], strict=True):
        line += ("" if touches or part.touches_left else " ") + part.text
        touches, after = part.touches_right, after.strip()
        if after:
            line += ("" if touches else " ") + after
            touches = False
    return line


def unused(text: str) -> str:
    """A word of letters that a text does not hold, whatever is removed from it, to stand for what is taken out."""
    word, letters = STAND_IN, re.sub(r"\W", "", text)
    while word in letters:
        word += "Q"
    return word
