"""Text as people see it: nothing of it is invisible, nothing too long for a label; shares in per cent."""

from __future__ import annotations

import unicodedata

LONGEST_LABEL = 32
"Longer pieces are cut where they are labels."
HIDDEN = frozenset("\u200e\u200f\u061c\u2028\u2029\ufeff").union(
    map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
"Characters without a picture of their own that turn other text round or break lines."


def visible(text: str) -> str:
    """Text with control characters and the like shown as what they are; all of it can be encoded and printed."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    code, category = ord(character), unicodedata.category(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if category in ("Cc", "Cs", "Cn", "Co") or character in HIDDEN:
        return f"[U+{code:04X}]"
    return character


def clipped(text: str, length: int = LONGEST_LABEL) -> str:
    """Text of at most `length` characters, the last one an ellipsis where some are left out."""
    return text if len(text) <= length else text[: length - 1] + "…"


def percent(share: float) -> str:
    """A probability or weight for people: 100%, 83%, 4.2%, 0.42%, <0.01%."""
    hundredths = 100 * share
    if hundredths >= 9.95:
        return f"{hundredths:.0f}%"
    if hundredths >= 0.995:
        return f"{hundredths:.1f}%"
    return f"{hundredths:.2f}%" if hundredths >= 0.01 else "<0.01%"
