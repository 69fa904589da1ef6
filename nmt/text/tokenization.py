"""Raw text <-> words: the reversible tokeniser, Moses' through sacremoses, or plain splitting at spaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any, Protocol

from nmt.packages import import_package
from nmt.text.languages import read_tag
from nmt.text.normalization import Normalize, make_normalize
from nmt.text.protection import (
    GLUE,
    Patterns,
    ProtectedString,
    Span,
    find_parts,
    first_of_overlapping,
    marks,
    put_back,
    take_out,
    take_out_spans,
    unused,
)
from nmt.text.reversible import EscapingTokenizer, ReversibleTokenizer

CONTROL = re.compile(r"[\x00-\x1f]")
"What Moses' tokenizer removes before it splits."
OTHER_RULES = re.compile(r"[.,'\x00-\x1f]|MULTI")
"What rules other than the one for symbols look at; MULTI is in Moses' own stand-in for several full stops."
PLAIN = re.compile("[0-9A-Za-zÀ-ÖØ-öø-ɏ]+(?:,? [0-9A-Za-zÀ-ÖØ-öø-ɏ]+)*[.!?]?")
PLAIN_WORD = re.compile("[^,.!? ]+|[,.!?]")
"Lines of words, and commas and a full stop after them; and what is a token of Moses there."
LONGEST_CACHED = 40
"Longer chunks (a line of Chinese is one) seldom come again."
CACHED_CHUNKS = 200_000
"Chunks whose tokens are remembered; then the cache starts anew."


class Tokenizer(Protocol):
    """Words of a line and back. Words hold no whitespace and are never empty."""

    def words(self, line: str) -> list[str]:
        """A raw line's words; none for a blank line."""

    def text(self, words: list[str]) -> str:
        """Raw text of words, on one line."""


class NumberingTokenizer(Tokenizer, Protocol):
    """One that takes words for strings of a line, see `nmt.text.placeholders`."""

    def words(self, line: str, spans: Sequence[Span] = ()) -> list[str]:
        """A raw line's words. spans: what stands in it for words that they name, from left to right."""

    def spelt(self, string: str) -> str:
        """A word that `text` writes as a string."""


def clean(line: str) -> str:
    """One space between words whatever the whitespace was (tabs, NBSP, U+2028), ASCII control characters removed."""
    words = " ".join(line.split())
    return words if words.isprintable() else " ".join(CONTROL.sub("", words).split())


def comes_back(tokenizer: Tokenizer, line: str, words: list[str] | None = None) -> bool:
    """Whether the words of a line (if given, these) give it again, runs of spaces and those at its ends left aside."""
    words = tokenizer.words(line) if words is None else words
    if isinstance(tokenizer, MosesTokenizer) and PLAIN.fullmatch(line) and words == PLAIN_WORD.findall(line):
        return True  # joining such words, which takes Moses long, is no guess
    text = tokenizer.text(words)
    return text == line or text == " ".join(filter(None, line.split(" ")))


class SpaceTokenizer:
    """Text that is tokenised already: words are what stands between whitespace."""

    def __init__(self, normalize: Normalize | None = None) -> None:
        self._normalize = normalize

    def words(self, line: str) -> list[str]:
        """Words of a line after `clean`."""
        return clean(line if self._normalize is None else self._normalize(line)).split()

    def text(self, words: list[str]) -> str:
        """The words with a space between each two."""
        return " ".join(words)


class MosesTokenizer:
    """sacremoses' MosesTokenizer (no XML escapes) and MosesDetokenizer for one language.

    The words are exactly sacremoses'; only the way there is shorter: what stands between two spaces is tokenised once
    and then remembered. Languages that Moses has no rules for get the English abbreviations, as in Moses itself.
    Joining is a guess that is often wrong: docs/text.md has figures.
    """

    def __init__(self, language: str, normalize: Normalize | None = None) -> None:
        sacremoses = import_package("sacremoses", "--tokenizer moses")
        self._tokenizer = _make(sacremoses.MosesTokenizer, language)
        self._detokenizer = sacremoses.MosesDetokenizer(language)
        self._plain_detokenizer = sacremoses.MosesDetokenizer("en")
        self._normalize = normalize
        self._lower = frozenset(self._tokenizer.IsLower)
        self._chunks = {
            (first, after): _Chunks(self._tokenizer, first, after)
            for first in (True, False)
            for after in ("Z", "z", "0", "")
        }

    def words(self, line: str) -> list[str]:
        """Moses' tokens of a line."""
        chunks = (line if self._normalize is None else self._normalize(line)).split()
        text = " ".join(chunks)
        if not text:
            return []
        if "' '" in text or (not text.isprintable() and CONTROL.search(text)):  # the two that look further
            return list(self._tokenizer.tokenize(text, escape=False))
        if len(chunks) == 1:
            return list(self._chunks[True, ""][text])
        words = [*self._chunks[True, self._after(chunks[0], chunks[1])][chunks[0]]]
        if ". " in text:
            for chunk, following in pairwise(chunks[1:]):
                words += self._chunks[False, self._after(chunk, following)][chunk]
        else:
            words += chain.from_iterable(map(self._chunks[False, "Z"].__getitem__, chunks[1:-1]))
        words += self._chunks[False, ""][chunks[-1]]
        return words

    def text(self, words: list[str]) -> str:
        """Moses' detokenised text."""
        try:
            return str(self._detokenizer.detokenize(words, unescape=False))
        except TypeError:  # sacremoses 0.2.0 fails on a Czech "-li" after an apostrophe
            return str(self._plain_detokenizer.detokenize(words, unescape=False))

    def _after(self, chunk: str, following: str) -> str:
        """A letter or digit that stands for the next word: a full stop depends on how that begins."""
        if not chunk.endswith("."):
            return "Z"
        return "z" if following[0] in self._lower else "0" if following[0] in "0123456789" else "Z"


class _Chunks(dict[str, tuple[str, ...]]):
    """Moses' tokens of what stands between two spaces; looking up a new one makes them.

    Moses' rules see the neighbours of a character and no more, and next to a chunk that is a space, so a chunk gives
    the same tokens wherever it stands. Three things are seen further off: the ends of the line, what follows a full
    stop, and, in two apostrophes with a space between them, the space. Hence one cache for each surrounding, and words
    that stand in for it.
    """

    def __init__(self, tokenizer: Any, first: bool, after: str) -> None:
        """first: no word stands before. after: a word to stand for the next one, '' where there is none."""
        super().__init__()
        self._tokenizer, self._after = tokenizer, after
        self._skipped = 0 if first else 1
        self._frame = f"{'' if first else 'Z '}{{}}{' ' if after else ''}{after}"
        self._pad = tokenizer.PAD_NOT_ISALNUM[0].sub
        self._abbreviations = tokenizer.NONBREAKING_PREFIXES | tokenizer.NUMERIC_ONLY_PREFIXES

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        words = self._simple(chunk) or self._any(chunk)
        if len(chunk) <= LONGEST_CACHED:
            if len(self) >= CACHED_CHUNKS:
                self.clear()
            self[chunk] = words
        return words

    def _simple(self, chunk: str) -> tuple[str, ...]:
        """Tokens where one rule decides, the one that sets symbols apart; none where others may have a say."""
        body = chunk[:-1] if chunk[-1] in ".," else chunk
        if not body or OTHER_RULES.search(body):
            return ()
        words = self._pad(_apart, body).split()
        if body is chunk:
            return tuple(words)
        if chunk[-1] == "." and (self._after == "z" or words[-1] in self._abbreviations):
            return ()
        return (*words, chunk[-1])

    def _any(self, chunk: str) -> tuple[str, ...]:
        words = self._tokenizer.tokenize(self._frame.format(chunk), escape=False)
        return tuple(words[self._skipped : len(words) - len(self._after)])


def _apart(symbol: re.Match[str]) -> str:
    return f" {symbol[0]} "


class ProtectedTokenizer:
    """A tokenizer round protected strings: each is a word of its own, and text has it where and as it was.

    The tokenizer sees a word of letters in the place of each, apart from what it touches. It touches an apostrophe,
    if the tokenizer then still takes it for a word: Moses treats "l'{name}" and "{name}'s" by what is beside it.
    """

    def __init__(self, tokenizer: Tokenizer, patterns: Patterns | None) -> None:
        """patterns: of what is protected; None: marks alone, and the spans that `words` is given."""
        self._tokenizer, self._patterns = tokenizer, patterns

    def words(self, line: str, spans: Sequence[Span] = ()) -> list[str]:
        """Words of a line. spans: what stands in it for words that they name, from left to right."""
        if self._patterns is None:
            between, parts = take_out_spans(line, first_of_overlapping([*spans, *marks(line)]))
        else:
            between, parts = take_out(line, self._patterns)
        if not parts:
            return self._tokenizer.words(line)
        word = unused("".join(between))
        words = self._tokenizer.words(_with_word(between, word, apostrophes=True))
        if words.count(word) != len(parts):
            words = self._tokenizer.words(_with_word(between, word, apostrophes=False))
        assert words.count(word) == len(parts)
        return _with_parts(words, word, parts)

    def text(self, words: list[str]) -> str:
        """Text of words."""
        rest, parts = find_parts(words)
        word = unused(" ".join(words))
        text = self._tokenizer.text([word if one is None else one for one in rest])
        return put_back(text.split(word), parts)

    def spelt(self, string: str) -> str:
        """A word that gives a string back."""
        return ProtectedString(string, False, False).word


def _with_word(between: list[str], word: str, *, apostrophes: bool) -> str:
    """A line in which a word stands for each protected string, spaces round it or, if so asked, apostrophes."""
    line = between[0]
    for after in between[1:]:
        left = "" if apostrophes and line.endswith(("'", "’")) else " "
        right = "" if apostrophes and after.startswith(("'", "’")) else " "
        line += left + word + right + after
    return line


def _with_parts(words: list[str], stand_in: str, parts: list[ProtectedString]) -> list[str]:
    """Words with the protected ones in their places, and a mark on each side where there was no space."""
    found: list[str] = []
    remaining = iter(parts)
    for word in words:
        if word != stand_in:
            found.append(word)
            continue
        part = next(remaining)
        if part.touches_left and found[-1:] != [GLUE]:
            found.append(GLUE)
        found.append(part.word)
        if part.touches_right:
            found.append(GLUE)
    return found


def make_numbering_tokenizer(name: str, language: str, normalize: str = "none") -> NumberingTokenizer:
    """The tokenizer of `make_tokenizer` that takes numbered words for strings; it protects nothing by itself.

    "cleaning" leaves words to sentencepiece too, and knows of no white space but spaces.
    """
    function = make_normalize(normalize, language)
    if name == "reversible":
        return ReversibleTokenizer(language, None, function)
    if name == "escaping":
        return EscapingTokenizer(function, numbered=True)
    if name == "cleaning":
        return EscapingTokenizer(lambda text: clean(text if function is None else function(text)), numbered=True)
    tokenizer: Tokenizer = MosesTokenizer(language, function) if name == "moses" else SpaceTokenizer(function)
    return ProtectedTokenizer(tokenizer, None)


def make_tokenizer(
    name: str, language: str, protect: Sequence[str] = (), *, normalize: str = "none", where: object = "prep.protect"
) -> Tokenizer:
    """The tokenizer of `prep.tokenizer`; "escaping" leaves words to sentencepiece.

    language: the code that rules know it by (`nmt.text.languages.code_of`). protect: what is to be kept whole.
    normalize: of the rest (see `nmt.text.normalization`). where: the place in an error about `protect`.
    """
    function = make_normalize(normalize, language)
    patterns = Patterns(protect, where) if protect else None
    if name == "reversible":
        return ReversibleTokenizer(language, patterns, function)
    if name == "escaping":
        return EscapingTokenizer(function)
    tokenizer: Tokenizer = MosesTokenizer(language, function) if name == "moses" else SpaceTokenizer(function)
    return tokenizer if patterns is None else ProtectedTokenizer(tokenizer, patterns)


def moses_knows(language: str) -> bool:
    """Whether Moses has a list of abbreviations for a language (the code that rules know it by)."""
    import_package("sacremoses", "Moses' list of languages")
    from sacremoses.corpus import NonbreakingPrefixes

    return language in NonbreakingPrefixes().available_langs.values()


def without_rules(name: str, tag: str) -> str:
    """What to tell of a tokenizer for a language that it has no rules for; '' where it has all that it needs."""
    language = read_tag(tag)
    if not language.known:
        return f"{tag} is no known language tag (BCP 47, ISO 639, FLORES): general rules tokenise it"
    if name == "moses" and not moses_knows(language.code):
        return f"Moses has no abbreviations for {language}: the English ones tokenise it"
    return ""


def _make(tokenizer_class: Any, code: str) -> Any:
    """A sacremoses tokenizer whose character tests do not build a set of 100,000 characters at each call."""
    tokenizer = tokenizer_class(code)
    lower, alpha = frozenset(tokenizer.IsLower), frozenset(tokenizer.IsAlpha)
    tokenizer.islower = lower.issuperset
    tokenizer.isanyalpha = lambda text: not alpha.isdisjoint(text)
    tokenizer.NONBREAKING_PREFIXES = frozenset(tokenizer.NONBREAKING_PREFIXES)
    tokenizer.NUMERIC_ONLY_PREFIXES = frozenset(tokenizer.NUMERIC_ONLY_PREFIXES)
    return tokenizer
