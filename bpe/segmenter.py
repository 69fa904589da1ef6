"""Cuts words into the pieces of a merge table, as subword-nmt's apply_bpe does, and joins them again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from random import Random
from typing import TypeVar

from bpe.codes import END_OF_WORD, MergeTable
from bpe.encode import apply_merges, apply_merges_with_dropout
from bpe.errors import UserError
from bpe.textfiles import read_lines

SEPARATOR = "@@"
"Ends every piece of a word but the last."
CACHED_WORDS = 500_000
"Words whose pieces are remembered; then the cache starts anew."
CACHED_LENGTH = 100
"Longer words are not remembered."

WordT = TypeVar("WordT", str, bytes)
PiecesT = TypeVar("PiecesT")
Merge = Callable[[list[str]], list[str]]


class Segmenter:
    """Words and lines -> pieces.

    merges: the merge table. vocabulary: pieces as they are written, separator included; a piece outside it is cut back
    into what it was merged from, as far as needed (None or empty: pieces stay). glossary: regular expressions; what
    they match is never cut. An invalid expression is a UserError. separator: ends every piece of a word but the last.
    """

    def __init__(
        self,
        merges: MergeTable,
        vocabulary: frozenset[str] | None = None,
        glossary: Sequence[str] = (),
        separator: str = SEPARATOR,
    ) -> None:
        self.merges, self.vocabulary, self.glossary = merges, vocabulary, tuple(glossary)
        self.separator = separator
        # Of equal pairs the first counts; of pairs that spell the same symbol the one subword-nmt's dict ends up with.
        self._ranks = {pair: rank for rank, pair in reversed(list(enumerate(merges.merges)))}
        self._parts = {first + second: (first, second) for first, second in self._ranks}
        try:
            self._patterns = [(re.compile(f"^{one}$"), re.compile(one)) for one in self.glossary]
            self._whole = re.compile(f"^({'|'.join(self.glossary)})$") if glossary else None
        except re.error as error:
            raise UserError(f"invalid regular expression {error.pattern!r}: {error}", where="glossary") from None
        self._cache = WordCache(self.cut)

    def __reduce__(self) -> tuple[object, ...]:
        return Segmenter, (self.merges, self.vocabulary, self.glossary, self.separator)

    def segment_word(self, word: str) -> tuple[str, ...]:
        """The pieces of one word, all but the last with '@@' at the end; none for the empty word."""
        return self._cache[word]

    def segment_word_with_dropout(self, word: str, dropout: float, random: Random) -> tuple[str, ...]:
        """The pieces of one occurrence of a word when every merge is passed over with probability `dropout` at each
        step (BPE-dropout, Provilkov et al., 2020): 0 gives what segment_word gives, 1 characters.

        The pieces of one segmenter follow from the state of `random`. Out of 0 to 1 is a UserError.
        """
        check_dropout(dropout)
        if not dropout:
            return self._cache[word]
        return self._marked(self._cut(word, lambda part: apply_merges_with_dropout(part, self._ranks, dropout, random)))

    def segment(self, line: str) -> list[str]:
        """The pieces of a line, whose words stand between spaces."""
        return list(chain.from_iterable(map(self._cache.__getitem__, line.strip("\r\n ").split(" "))))

    def segment_text(self, line: str) -> str:
        """The pieces of a line, spaces between them; white space around the line stays, as with subword-nmt."""
        text = line.strip("\r\n ")
        pieces = " ".join(chain.from_iterable(map(self._cache.__getitem__, text.split(" "))))
        if len(text) == len(line):
            return pieces
        body = line.lstrip("\r\n ")
        return line[: len(line) - len(body)] + pieces + body[len(text) :]

    def cut(self, word: str) -> tuple[str, ...]:
        """What segment_word returns, worked out anew."""
        return self._marked(self.symbols(word))

    def symbols(self, word: str) -> list[str]:
        """The pieces of one word without separators, worked out anew."""
        return self._cut(word, lambda part: apply_merges(part, self._ranks))

    def _cut(self, word: str, merge: Merge) -> list[str]:
        if not self._patterns and word:
            return self._encode(word, merge)
        return [symbol for part in self._isolate(word) if part for symbol in self._encode(part, merge)]

    def _marked(self, symbols: list[str]) -> tuple[str, ...]:
        return (*[symbol + self.separator for symbol in symbols[:-1]], *symbols[-1:])

    def _isolate(self, word: str) -> list[str]:
        """Split a word around what the glossary matches."""
        parts = [word]
        for whole, anywhere in self._patterns:
            parts = [
                piece for part in parts for piece in ([part] if whole.match(part) else _split_around(anywhere, part))
            ]
        return parts

    def _encode(self, part: str, merge: Merge) -> list[str]:
        if len(part) == 1 or (self._whole and self._whole.match(part)):
            return [part]
        ending = [END_OF_WORD] if self.merges.version == (0, 1) else []
        symbols = merge([*part, *ending] if ending else [*part[:-1], part[-1] + END_OF_WORD])
        last = symbols.pop().removesuffix(END_OF_WORD)
        if last:
            symbols.append(last)
        return self._revert(symbols) if self.vocabulary else symbols

    def _revert(self, symbols: list[str]) -> list[str]:
        """Undo merges until every piece is in the vocabulary or was never merged."""
        assert self.vocabulary is not None
        kept: list[str] = []
        waiting = [(symbol, place == 0) for place, symbol in enumerate(reversed(symbols))]
        while waiting:
            symbol, final = waiting.pop()
            known = (symbol if final else symbol + self.separator) in self.vocabulary
            parts = None if known else self.parts_of(symbol, final)
            if parts is None:
                kept.append(symbol)
                continue
            if parts[1]:
                waiting.append((parts[1], final))
            waiting.append((parts[0], False))
        return kept

    def parts_of(self, symbol: str, final: bool) -> tuple[str, str] | None:
        """The two symbols that a symbol was merged from; None where it was not. final: it ends a word.

        In files of version 0.1 the second may be empty, an end of word by itself.
        """
        parts = self._parts.get(symbol + END_OF_WORD if final else symbol)
        if parts is None or (final and not parts[1].endswith(END_OF_WORD)):
            return None
        return parts[0], parts[1].removesuffix(END_OF_WORD) if final else parts[1]


def check_dropout(dropout: float) -> None:
    """A probability that is none is a UserError."""
    if not 0 <= dropout <= 1:
        raise UserError(f"a dropout of {dropout:g} is out of range: it must be 0 to 1")


def _split_around(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The matches of a pattern and what stands between them."""
    end = 0
    for match in pattern.finditer(text):
        yield text[end : match.start()]
        yield match.group()
        end = match.end()
    yield text[end:]


class WordCache(dict[WordT, PiecesT]):
    """Words and their pieces; looking up a new word cuts it. Takes a bounded amount of memory."""

    def __init__(self, cut: Callable[[WordT], PiecesT]) -> None:
        super().__init__()
        self._pieces: Callable[[WordT], PiecesT] = cut

    def __missing__(self, word: WordT) -> PiecesT:
        pieces = self._pieces(word)
        if len(word) <= CACHED_LENGTH:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = pieces
        return pieces


def desegment(pieces: Sequence[str]) -> str:
    """Join pieces into a line of words; a '@@' that nothing follows is dropped.

    The inverse of `Segmenter.segment` for words that do not themselves end in '@@'.
    """
    return (" ".join(pieces) + " ").replace(SEPARATOR + " ", "").removesuffix(" ")


def read_vocabulary(path: Path | str, threshold: int = 0) -> frozenset[str]:
    """Pieces counted at least `threshold` times, from a file of lines 'piece count' (subword-nmt's get-vocab).

    A line of another form, or no piece left, is a UserError.
    """
    kept = set()
    for number, line in enumerate(read_lines(path), 1):
        parts = line.strip("\r\n ").split(" ")
        if len(parts) != 2 or not re.fullmatch(r"-?[0-9]+", parts[1]):
            raise UserError(
                f"not a piece and its count: {line[:60]!r}",
                where=f"{path}:{number}",
                hint="make the file with subword-nmt get-vocab",
            )
        if int(parts[1]) >= threshold:
            kept.add(parts[0])
    if not kept:
        raise UserError(f"no piece with a count of {threshold} or more", where=path, hint="lower the threshold")
    return frozenset(kept)
