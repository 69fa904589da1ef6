"""Normalisation of raw text before it is tokenised: Unicode's, or Moses' of punctuation; by default there is none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import partial

from nmt.packages import import_package

NORMALIZATIONS = ("none", "nfc", "nfkc", "moses")
MOSES_WITH_NUMBERS = "moses-with-numbers"
"""Moses' rules with the one that makes `12,500` or `12.500` of two numbers with a no-break space between them.

Only folders have it that were made when nothing else was there.
"""

Normalize = Callable[[str], str]


def make_normalize(name: str, language: str) -> Normalize | None:
    """The function of one of NORMALIZATIONS for a language; None where nothing is to be done.

    language: the code that rules know it by (`nmt.text.languages.code_of`).
    """
    if name in ("moses", MOSES_WITH_NUMBERS):
        return MosesNormalizer(language, numbers=name == MOSES_WITH_NUMBERS)
    return None if name == "none" else partial(unicodedata.normalize, name.upper())  # type: ignore[arg-type]


class MosesNormalizer:
    """Punctuation and spaces as Moses' normalize-punctuation.perl leaves them, by sacremoses' rules.

    A rule runs where a line holds the characters it is about. numbers: with the rule that changes numbers.
    """

    def __init__(self, language: str, *, numbers: bool) -> None:
        sacremoses = import_package("sacremoses", "Moses' normalisation")
        rules = sacremoses.MosesPunctNormalizer(language).substitutions
        if not numbers:
            rules = [(pattern, replacement) for pattern, replacement in rules if not _joins_numbers(pattern)]
        self._rules = [(_needle(pattern), re.compile(pattern).sub, replacement) for pattern, replacement in rules]
        self._ascii_rules = [rule for rule, (pattern, _) in zip(self._rules, rules, strict=True) if pattern.isascii()]

    def __call__(self, line: str) -> str:
        """The line, normalised."""
        for needle, substitute, replacement in self._ascii_rules if line.isascii() else self._rules:
            if needle in line:
                line = substitute(replacement, line)
        return line.strip()


def _joins_numbers(pattern: str) -> bool:
    return re.compile(pattern).fullmatch("1\u00a02") is not None


def _needle(pattern: str) -> str:
    """Characters that stand in every match of a rule that changes something; '' where that is not plain to see."""
    if pattern == " +":
        return "  "
    bare = re.sub(r"(?<!\\)\((?:\\.|[^()\\])*\)", "", pattern).replace(r"\r", "\r")
    return re.sub(r"\\(.)", r"\1", bare) if re.fullmatch(r"(?:\\\W|[^\\^$.|?*+{}\[\]()])+", bare) else ""
