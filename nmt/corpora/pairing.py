"""From two documents with the same skeleton to clean sentence pairs: splitting, normalising and filtering."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from nmt.text.reversible import UNSPACED

MAX_WORDS = 100
MAX_LENGTH_RATIO = 3.0
UNTRANSLATED_SHARE = 0.75
"A target that keeps this share of the source's words is taken for untranslated."
SHORT_WORDS = 4
"Below this many words on the longer side the length ratio says nothing."

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'„“«(\[{*]*[A-ZÀ-ÖØ-Þ])")
NOT_TEXT = re.compile(r"\{[^{}]*\}|https?://\S+|`[^`]*`|<[^<>]*>")
WORD = re.compile(r"[^\W_]+")
UNSPACED_LETTER = re.compile(f"[{UNSPACED}]")
LIST_MARK = re.compile(r"^(?:[-*•]|\d+[.)])\s+")


def normalise(text: str) -> str:
    """NFC, with every run of white space (NBSP and line separators too) as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def align(source: str, target: str) -> Iterator[tuple[str, str]]:
    """Cut both texts at line feeds, then at sentence ends, wherever both sides have the same number of parts."""
    for source_line, target_line in _split_alike(source, target, re.compile(r"\n+")):
        yield from _split_alike(normalise(source_line), normalise(target_line), SENTENCE_END)


def _split_alike(source: str, target: str, separator: re.Pattern[str]) -> list[tuple[str, str]]:
    left = [part for part in separator.split(source.strip()) if part.strip()]
    right = [part for part in separator.split(target.strip()) if part.strip()]
    return list(zip(left, right, strict=True)) if len(left) == len(right) else [(source, target)]


def strip_list_mark(source: str, target: str) -> tuple[str, str]:
    """Remove a bullet or number in front when both sides have one."""
    if LIST_MARK.match(source) and LIST_MARK.match(target):
        return LIST_MARK.sub("", source), LIST_MARK.sub("", target)
    return source, target


def keep(source: str, target: str) -> bool:
    """Whether a pair is a translation worth training on: words on both sides, translated, of like length."""
    if source == target or not (_has_text(source) and _has_text(target)):
        return False
    left, right = _num_words(source), _num_words(target)
    longer, shorter = max(left, right), min(left, right)
    if longer > MAX_WORDS or (longer > SHORT_WORDS and longer > MAX_LENGTH_RATIO * shorter):
        return False
    return not _untranslated(source, target)


def _num_words(text: str) -> int:
    """Words between spaces; in scripts without spaces about two letters are one."""
    return len(text.split()) + len(UNSPACED_LETTER.findall(text)) // 2


def _has_text(text: str) -> bool:
    return sum(character.isalpha() for character in NOT_TEXT.sub(" ", text)) >= 2


def _untranslated(source: str, target: str) -> bool:
    """Whether the target keeps most of the source's words."""
    words = WORD.findall(NOT_TEXT.sub(" ", source).lower())
    kept = set(WORD.findall(NOT_TEXT.sub(" ", target).lower()))
    return len(words) >= 3 and sum(word in kept for word in words) >= UNTRANSLATED_SHARE * len(words)
