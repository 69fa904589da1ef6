"""Text as HTML, whatever is in it: nothing of it is markup, and nothing of it is invisible."""

from __future__ import annotations

import html
import unicodedata

from nmt.text.vocabulary import SPECIAL_NAMES

LONGEST_PIECE = 32
"Longer pieces are cut where they are labels."
HIDDEN = frozenset("\u200e\u200f\u061c\u2028\u2029\ufeff").union(
    map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
"Characters without a picture of their own that turn other text round or break lines."
NAMES = {"<pad>": "padding", "<unk>": "a piece the model does not know", "</s>": "the end"}


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


def escaped(text: str) -> str:
    """Text as the content of an element or of an attribute in double quotes."""
    return html.escape(visible(text))


def clipped(text: str, length: int = LONGEST_PIECE) -> str:
    """Text of at most `length` characters, the last one an ellipsis where some are left out."""
    return text if len(text) <= length else text[: length - 1] + "…"


def piece_label(piece: str, *, unknown: bool = False) -> str:
    """A piece as HTML in a direction of its own. unknown: the model read it as an unknown one."""
    known = unicodedata.category(piece[:1] or "x")[0] != "M"
    shown = escaped(clipped(piece if known else f"◌{piece}"))  # a mark needs something to stand on
    name = NAMES["<unk>"] if unknown else NAMES.get(piece) if piece in SPECIAL_NAMES else None
    if name is None:
        return f"<bdi>{shown}</bdi>"
    return f'<bdi class="special" title="{name}">{shown}</bdi>'


def percent(share: float) -> str:
    """A probability or weight for people: 100%, 83%, 4.2%, 0.42%, <0.01% (not yet HTML)."""
    hundredths = 100 * share
    if hundredths >= 9.95:
        return f"{hundredths:.0f}%"
    if hundredths >= 0.995:
        return f"{hundredths:.1f}%"
    return f"{hundredths:.2f}%" if hundredths >= 0.01 else "<0.01%"


def document(title: str, style: str, body: str) -> str:
    """A whole HTML document that loads nothing. style: CSS. body: HTML that follows the heading."""
    name = escaped(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>\n{style}\n</style>\n</head>\n<body>\n<h1>{name}</h1>\n{body}\n</body>\n</html>\n"
    )
