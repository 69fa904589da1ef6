"""HTML's and Moses' entities in text, as &apos; and &#124;, and the characters they stand for."""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from html.entities import html5

ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
OLD_MOSES = {"&bar;": "|", "&bra;": "[", "&ket;": "]"}
"What Moses wrote for its own signs before it wrote numbers."


def has_entity(line: str) -> bool:
    """Whether a line holds one. Only what ends in a semicolon is one: AT&T is not, nor is &copy=2 in an address."""
    return "&" in line and any(_character(found) is not None for found in ENTITY.findall(line))


def unescaped(line: str) -> str:
    """The line with each entity as its character, once: &amp;lt; becomes &lt;. For a line feed stands a space."""
    return ENTITY.sub(_of_match, line) if "&" in line else line


def _of_match(match: re.Match[str]) -> str:
    character = _character(match[0])
    return match[0] if character is None else character


@lru_cache(maxsize=4096)
def _character(entity: str) -> str | None:
    """What an entity stands for; None for a name that is none."""
    if entity[1] != "#" and entity[1:] not in html5:
        return OLD_MOSES.get(entity)
    return re.sub(r"[\r\n]", " ", unescape(entity))
