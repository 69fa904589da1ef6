"""What a piece is made of: the smaller pieces that spell it where there is no such piece."""

from __future__ import annotations

from collections.abc import Iterator

from bpe.codes import MergeTable
from bpe.fallback import BYTE_PIECES, END_PIECE
from bpe.segmenter import SEPARATOR, Segmenter
from nmt.text.pipeline import SENTENCEPIECE_BYTES, TextPipeline


class PieceParts:
    """Known parts of pieces. known: the pieces there are.

    BPE: what a piece was merged from, as far down as needed. Where there is no merge: the same letters at the other
    place of a word (with `@@` or without), or each by itself, at last its bytes. sentencepiece: characters, or their
    bytes. Nothing where no part is known, and where words are pieces.
    """

    def __init__(self, text: TextPipeline, known: frozenset[str]) -> None:
        self._known = known
        self._segmenter = Segmenter(text.subwords) if isinstance(text.subwords, MergeTable) else None
        self._by_characters = isinstance(text.subwords, bytes)

    def of(self, piece: str) -> list[str]:
        """The parts, from left to right; the piece itself if it is known."""
        if piece in self._known:
            return [piece]
        if self._segmenter is not None:
            return list(self._merged(piece.removesuffix(SEPARATOR), not piece.endswith(SEPARATOR)))
        if self._by_characters:
            return [part for letter in piece for part in self._letter(letter)]
        return []

    def _merged(self, symbol: str, final: bool) -> Iterator[str]:
        """Parts of a symbol. final: it ends a word."""
        assert self._segmenter is not None
        here, elsewhere = (symbol, symbol + SEPARATOR) if final else (symbol + SEPARATOR, symbol)
        if here in self._known:
            yield here
        elif parts := self._segmenter.parts_of(symbol, final):
            yield from self._merged(parts[0], False)
            if parts[1]:
                yield from self._merged(parts[1], final)
        elif elsewhere in self._known:
            yield elsewhere
        elif len(symbol) > 1:
            for place, letter in enumerate(symbol, 1):
                yield from self._merged(letter, final and place == len(symbol))
        else:
            spelt = [BYTE_PIECES[value] for value in symbol.encode("utf-8")] + [END_PIECE] * final
            yield from filter(self._known.__contains__, spelt)

    def _letter(self, letter: str) -> list[str]:
        if letter in self._known:
            return [letter]
        return [part for part in (SENTENCEPIECE_BYTES[byte] for byte in letter.encode("utf-8")) if part in self._known]
