"""Raw text <-> words: Moses' normalisation and tokenisation through sacremoses, or plain splitting at spaces."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any, Protocol

from bpe.errors import UserError

CONTROL = re.compile(r"[\x00-\x1f]")
"What Moses' tokenizer removes before it splits."


class MissingPackage(UserError):
    """A package that the text needs is not installed."""


class Tokenizer(Protocol):
    """Words of a line and back. Words hold no whitespace and are never empty."""

    def words(self, line: str) -> list[str]:
        """A raw line's words; none for a blank line."""

    def text(self, words: list[str]) -> str:
        """Raw text of words, on one line."""


def clean(line: str) -> str:
    """One space between words whatever the whitespace was (tabs, NBSP, U+2028), ASCII control characters removed."""
    words = " ".join(line.split())
    return words if words.isprintable() else " ".join(CONTROL.sub("", words).split())


class SpaceTokenizer:
    """Text that is tokenised already: words are what stands between whitespace."""

    def words(self, line: str) -> list[str]:
        """Words of a line after `clean`."""
        return clean(line).split()

    def text(self, words: list[str]) -> str:
        """The words with a space between each two."""
        return " ".join(words)


class MosesTokenizer:
    """sacremoses' MosesPunctNormalizer, MosesTokenizer (no XML escapes) and MosesDetokenizer for one language.

    The words are exactly sacremoses'; only the ways there are shorter: compiled patterns, rules that need a non-ASCII
    character skipped on ASCII lines, character classes held as sets. Languages that Moses has no rules for get the
    English abbreviations, as in Moses itself.
    """

    def __init__(self, language: str) -> None:
        sacremoses = import_package("sacremoses", "--tokenizer moses")
        code = re.split("[-_]", language.lower())[0]
        self._tokenizer = _make(sacremoses.MosesTokenizer, code)
        self._detokenizer = sacremoses.MosesDetokenizer(code)
        self._plain_detokenizer = sacremoses.MosesDetokenizer("en")
        rules = sacremoses.MosesPunctNormalizer(code).substitutions
        self._rules = [(re.compile(pattern).sub, replacement) for pattern, replacement in rules]
        self._ascii_rules = [
            (re.compile(pattern).sub, replacement) for pattern, replacement in rules if pattern.isascii()
        ]

    def normalize(self, line: str) -> str:
        """Punctuation and spaces as Moses' normalize-punctuation.perl leaves them."""
        for substitute, replacement in self._ascii_rules if line.isascii() else self._rules:
            line = substitute(replacement, line)
        return line.strip()

    def words(self, line: str) -> list[str]:
        """Moses' tokens of a line."""
        words: list[str] = self._tokenizer.tokenize(self.normalize(line), escape=False)
        return words

    def text(self, words: list[str]) -> str:
        """Moses' detokenised text."""
        try:
            return str(self._detokenizer.detokenize(words, unescape=False))
        except TypeError:  # sacremoses 0.2.0 fails on a Czech "-li" after an apostrophe
            return str(self._plain_detokenizer.detokenize(words, unescape=False))


def make_tokenizer(name: str, language: str) -> Tokenizer:
    """The tokenizer of `prep.tokenizer` ("moses" or "none") for a language code."""
    return MosesTokenizer(language) if name == "moses" else SpaceTokenizer()


def import_package(name: str, needed_for: str) -> ModuleType:
    """Import an optional package, or a MissingPackage that says how to get it."""
    try:
        return __import__(name)
    except ImportError as error:
        hint = f"pip install {name}"
        raise MissingPackage(f"{needed_for} needs the package {name} ({error})", hint=hint) from None


def _make(tokenizer_class: Any, code: str) -> Any:
    """A sacremoses tokenizer whose character tests do not build a set of 100,000 characters at each call."""
    tokenizer = tokenizer_class(code)
    lower, alpha = frozenset(tokenizer.IsLower), frozenset(tokenizer.IsAlpha)
    tokenizer.islower = lower.issuperset
    tokenizer.isanyalpha = lambda text: not alpha.isdisjoint(text)
    tokenizer.NONBREAKING_PREFIXES = frozenset(tokenizer.NONBREAKING_PREFIXES)
    tokenizer.NUMERIC_ONLY_PREFIXES = frozenset(tokenizer.NUMERIC_ONLY_PREFIXES)
    return tokenizer
