"""Raw text <-> words and nothing lost: fine tokens, and a mark wherever two of them had no space between.

The mark is `￭`, as OpenNMT's Tokenizer writes it: `(l'eau: 5 %)` in French is `(￭ l'￭ eau ￭: 5 % ￭)`. It stands on
punctuation and symbols and leaves words as they are, so that a word is the same piece wherever it stands. Joining is
exact. Only runs of spaces (U+0020) become one, and those around a line go; every other kind of white space is a token.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

from nmt.text.protection import CLOSE, GLUE, OPEN, Patterns, Span

JOINER = GLUE
STAND_INS = {"\u00a0": "⍽", "\u202f": "⎵", "\u3000": "〿", "\t": "␉", "\r": "␍"}
"How white space that is common in text is written. Other white space, and these signs themselves, are escaped."
SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"What str.split takes for white space, as a character class."
ELIDING = frozenset(("ca", "fr", "ga", "it", "oc"))
"Languages whose apostrophe ends a word, as in l'eau. In all others it begins one, as in he's."
LONGEST_CACHED = 40
"Longer chunks (a line of Chinese is one) seldom come again."
CACHED_CHUNKS = 200_000
"Chunks whose tokens are remembered; then the cache starts anew."

UNSPACED = (
    "\u0e01-\u0e30\u0e32-\u0e33\u0e40-\u0e46\u0e50-\u0e59\u0e81-\u0eb0\u0eb2-\u0eb3\u0ebd-\u0ec6\u0ed0-\u0edf"
    "\u0f0b-\u0f0c\u0f40-\u0f6c\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u17d7\u17dc\u17e0-\u17e9"
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"Letters of scripts that set no spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Japanese, Chinese."
SENTENCEPIECE_SPACE = "▁"
_ESCAPABLE = "".join(STAND_INS.values()) + JOINER + OPEN + CLOSE
_CODES = {f"{ord(sign):04X}": sign for sign in _ESCAPABLE + SENTENCEPIECE_SPACE + "％"} | {
    f"{code:04X}": chr(code) for code in range(0x3001) if chr(code).isspace()
}
"Hexadecimal code -> character, of all that is ever escaped."
_ALPHABETIC = re.compile("[0-9A-Za-zªµºÀ-ÖØ-öø-ʯΆ-ϿЀ-ҁҊ-ԯ]+")
"Words of scripts with spaces, to begin with: the others take longer to see."
_TO_ESCAPE = re.compile(f"[{SPACES}{_ESCAPABLE}]")
_IN_PROTECTED = re.compile(f"[{SPACES}{_ESCAPABLE}％]")
_FOUR_DIGITS = re.compile("[0-9A-F]{4}")
_TO_READ = re.compile(f" ?{JOINER} ?|％({'|'.join(_CODES)})|[{_ESCAPABLE}]")
_NOT_FOR_PIECES = re.compile(f"[{SPACES}{''.join(STAND_INS.values())}{SENTENCEPIECE_SPACE}]|％(?=[0-9A-F]{{4}})")
_NOT_FOR_PIECES_NOR_NAMES = re.compile(rf"{_NOT_FOR_PIECES.pattern}|[{OPEN}{CLOSE}]|％$")
"Text that ends in this sign may stand before a string that begins with digits."
_TO_READ_ESCAPED = re.compile(f"％({'|'.join(_CODES)})|[{''.join(STAND_INS.values())}]")
_READ = {sign: character for character, sign in STAND_INS.items()} | {OPEN: "", CLOSE: ""}


WEIGHTS = {
    "protected": (-1, -1),
    "word": (0, 0),
    "unspaced": (1, 1),
    "before": (0, 2),
    "after": (2, 0),
    "symbol": (2, 2),
    "opening": (2, 3),
    "space": (4, 4),
}
"""What the left and right ends of tokens weigh: of two that touch the heavier one is marked, the right one of equals.

unspaced: letters of a script without spaces. before, after: with an apostrophe (l', 's). opening: a symbol that belongs
to what follows it. Where neither is heavier than a word, the mark is a word of its own between them.
"""


class Token(NamedTuple):
    """A token and what it weighs at its ends."""

    text: str
    left: int
    right: int


class ReversibleTokenizer:
    """Words of a line, and exactly the line again.

    Apart are: punctuation and symbols, each by itself (dots and hyphens in a row are one); a word's part before or
    after an apostrophe; letters of scripts without spaces and what stands beside them. Together stay: letters and
    digits, with a hyphen or full stop inside and a comma between digits; marks and format characters with what they
    stand on; emoji that are joined, and flags.

    language: the code that rules know it by (`nmt.text.languages.code_of`); decides where an apostrophe belongs, and
    nothing else. patterns: what is one word, never marked and never normalised. normalize: of the rest, first.
    """

    def __init__(
        self, language: str, patterns: Patterns | None = None, normalize: Callable[[str], str] | None = None
    ) -> None:
        self._tokens = _token_expression(language in ELIDING)
        self._patterns, self._normalize = patterns, normalize
        self._chunks = _Chunks(self._tokens)

    def words(self, line: str, spans: Sequence[Span] = ()) -> list[str]:
        """Words of a line. spans: what stands in it for words that they name, from left to right."""
        if self._patterns is not None:
            found = self._patterns.spans(line)
            spans = [Span(start, stop, protected_word(line[start:stop])) for start, stop in found]
        if spans:
            return list(self._around(line, spans))
        if self._normalize is not None:
            line = self._normalize(line)
        return list(chain.from_iterable(map(self._chunks.__getitem__, line.split(" "))))

    def text(self, words: list[str]) -> str:
        """The line of words. Any sequence of words gives one."""
        return _TO_READ.sub(_read, " ".join(words))

    def spelt(self, string: str) -> str:
        """A word that gives a string back, whatever is in it."""
        return protected_word(string)

    def _around(self, line: str, spans: Sequence[Span]) -> Iterator[str]:
        """Words of a line with protected strings."""
        touching: list[Token] = []
        end = 0
        for start, stop, word in [*spans, Span(len(line), len(line))]:
            first, *others = _around_normalized(self._normalize, line[end:start]).split(" ")
            touching += tokenize(self._tokens, first, after_word=bool(touching))
            for chunk in others:
                yield from marked(touching)
                touching = tokenize(self._tokens, chunk)
            if start < stop:
                touching.append(Token(word, *WEIGHTS["protected"]))
            end = stop
        yield from marked(touching)


def _around_normalized(normalize: Callable[[str], str] | None, text: str) -> str:
    """Text beside protected strings, normalised; the spaces at its ends stay."""
    if normalize is None:
        return text
    left, right = " " if text[:1] == " " else "", " " if text[-1:] == " " else ""
    return left + normalize(text) + right


class EscapingTokenizer:
    """Text that is cut by sentencepiece alone: words are what stands between spaces, and come back as they were.

    In them white space, which no piece may hold, and sentencepiece's own sign for a space are written as
    `ReversibleTokenizer` writes them. numbered: so are brackets, since they stand round the names of strings.
    """

    def __init__(self, normalize: Callable[[str], str] | None = None, *, numbered: bool = False) -> None:
        self._normalize = normalize
        self._escaped = _NOT_FOR_PIECES_NOR_NAMES if numbered else _NOT_FOR_PIECES

    def words(self, line: str, spans: Sequence[Span] = ()) -> list[str]:
        """Words of a line. spans: what stands in it for text without spaces that they name, from left to right."""
        if spans:
            return self._around(line, spans)
        if self._normalize is not None:
            line = self._normalize(line)
        return [word if word.isalnum() else self._escaped.sub(_sign, word) for word in line.split(" ") if word]

    def text(self, words: list[str]) -> str:
        """The line of words."""
        return _TO_READ_ESCAPED.sub(_read, " ".join(words))

    def spelt(self, string: str) -> str:
        """Text without spaces that gives a string back, whatever is in it."""
        return _NOT_FOR_PIECES_NOR_NAMES.sub(_sign, string)

    def _around(self, line: str, spans: Sequence[Span]) -> list[str]:
        """Words of a line with protected strings, which are parts of words."""
        found, end = "", 0
        for start, stop, name in [*spans, Span(len(line), len(line))]:
            between = _around_normalized(self._normalize, line[end:start])
            found += " ".join(self._escaped.sub(_sign, word) for word in between.split(" ")) + name
            end = stop
        return [word for word in found.split(" ") if word]


class _Chunks(dict[str, tuple[str, ...]]):
    """Words of what stands between two spaces; looking up a new chunk makes them."""

    def __init__(self, expression: re.Pattern[str]) -> None:
        super().__init__()
        self._expression = expression

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        words = _simple(chunk) or tuple(marked(tokenize(self._expression, chunk)))
        if len(chunk) <= LONGEST_CACHED:
            if len(self) >= CACHED_CHUNKS:
                self.clear()
            self[chunk] = words
        return words


def _simple(chunk: str) -> tuple[str, ...]:
    """Words where they are plain to see: of letters and digits alone, and perhaps one sign after them."""
    body = chunk if chunk.isalnum() else chunk[:-1]
    if not body.isalnum() or not (body.isascii() or _ALPHABETIC.fullmatch(body)):
        return ()
    if body is chunk:
        return (chunk,)
    return (body, JOINER + chunk[-1]) if chunk[-1] in '.,;:!?)"' else ()


def tokenize(expression: re.Pattern[str], chunk: str, *, after_word: bool = False) -> list[Token]:
    """The tokens of text without spaces (U+0020). after_word: a word stands right before it."""
    text = "x" + chunk if after_word else chunk
    matches = list(expression.finditer(text, 1 if after_word else 0))
    first_word = next((place for place, found in enumerate(matches) if found.lastgroup != "symbol"), 0)
    tokens: list[Token] = []
    for place, found in enumerate(matches):
        kind = str(found.lastgroup)
        if kind != "symbol":
            tokens.append(Token(found[0], *WEIGHTS[kind]))
        elif found[0][0].isspace():
            tokens.append(Token(_escaped(found[0]), *WEIGHTS["space"]))
        else:
            begins = place < first_word and not after_word
            touches_word = tokens[-1].right < WEIGHTS["symbol"][1] if tokens else after_word
            kind = "opening" if begins or _opens(found[0][0], touches_word) else "symbol"
            tokens.append(Token(_escaped(found[0], text[found.start() + 1 :]), *WEIGHTS[kind]))
    return tokens


def _opens(symbol: str, touches_word: bool) -> bool:
    """Whether a symbol that stands after a word belongs to what follows."""
    category = unicodedata.category(symbol)
    return category == "Ps" or (category == "Pi" and not touches_word)


def marked(tokens: Sequence[Token]) -> list[str]:
    """Words of tokens that touch each other: each two have one mark between them."""
    words = [token.text for token in tokens]
    apart: list[int] = []
    for place, (before, after) in enumerate(pairwise(tokens), 1):
        if max(before.right, after.left) <= 0:  # neither is to be marked
            apart.append(place)
        elif before.right > after.left:
            words[place - 1] += JOINER
        else:
            words[place] = JOINER + words[place]
    for place in reversed(apart):
        words.insert(place, JOINER)
    return words


def protected_word(text: str) -> str:
    """The word that stands for a protected string, which may hold anything."""
    return f"{OPEN}{_IN_PROTECTED.sub(_escape, text)}{CLOSE}"


def _escaped(symbol: str, after: str = "") -> str:
    """A symbol as it is written. after: the text that follows its first character."""
    escaped = _TO_ESCAPE.sub(_sign, symbol)
    if symbol[0] == "％" and _FOUR_DIGITS.match(after):  # or it would be read as an escape
        return "％FF05" + escaped[1:]
    return escaped


def _sign(character: re.Match[str]) -> str:
    return STAND_INS.get(character[0]) or _escape(character)


def _escape(character: re.Match[str]) -> str:
    return f"％{ord(character[0]):04X}"


def _read(found: re.Match[str]) -> str:
    return _CODES[found[1]] if found[1] else _READ.get(found[0], "")


@lru_cache
def _extending() -> str:
    """A character class of what is never parted from what it stands on: marks, format characters, skin tones."""
    planes = chain(range(0x20000), range(0xE0000, 0xE1000))
    ranges: list[list[int]] = []
    for code in planes:
        if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me", "Cf") or 0x1F3FB <= code <= 0x1F3FF:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@lru_cache
def _token_expression(eliding: bool) -> re.Pattern[str]:
    """Matches one token; every character of a chunk is in one. The group that matched says of which kind it is."""
    extending, letter = f"[{_extending()}]", rf"[^\W_{UNSPACED}]"
    run = f"{letter}+(?:{extending}+{letter}*)*"
    word = rf"{run}(?:(?:[-.](?={letter})|(?<=\d),(?=\d)){run})*"
    apostrophe = rf"['’](?=[^\W\d_{UNSPACED}])"
    if eliding:
        apostrophes = f"(?P<before>{extending}*{word}(?<!\\d){apostrophe})"
    else:
        apostrophes = f"(?P<after>(?<={letter[:-1]}]){apostrophe}{word})"
    unspaced = f"[{UNSPACED}]+(?:{extending}+[{UNSPACED}]*)*"
    # What a format character stands on may itself be one, at the beginning of a chunk.
    symbol = rf"(?:[\U0001f1e6-\U0001f1ff]{{2}}|\.{{2,}}|-{{2,}}|[\s\S]){extending}*(?:(?<=\u200d)\W{extending}*)*"
    return re.compile(
        rf"{apostrophes}|(?P<word>{extending}*{word})|(?P<unspaced>{extending}*{unspaced})|(?P<symbol>{symbol})"
    )
