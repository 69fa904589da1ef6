"""Characters without a piece of their own are spelt in bytes of UTF-8, as sentencepiece's byte fallback spells them.

The byte 0xC5 is the piece `<0xC5>@@`: bytes always go on, so that 256 pieces do. A word whose last character is spelt
in bytes ends in the piece `</0x>`, which is nothing else. So pieces join as they do everywhere: a word is a run of
pieces that end in `@@`, and the one after it. A word of the text that reads like one of these pieces is cut smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from bpe.codes import MergeTable
from bpe.segmenter import SEPARATOR, Segmenter, WordCache

BYTE_PIECES = tuple(f"<0x{value:02X}>{SEPARATOR}" for value in range(256))
END_PIECE = "</0x>"
FALLBACK_PIECES = frozenset((*BYTE_PIECES, END_PIECE))
"All that a vocabulary needs to spell any character."
_VALUES = {piece: value for value, piece in enumerate(BYTE_PIECES)}


class FallbackSegmenter:
    """Words -> pieces, all of them known.

    allowed: the pieces there are; None: all that merges make, and every character. rare: characters that have no piece
    and are in none. is_whole: words that are never cut, unless `allowed` lacks them. A piece that is not there is cut
    back into what it was merged from, as far as needed, at last into bytes.
    """

    def __init__(
        self,
        merges: MergeTable,
        allowed: frozenset[str] | None,
        rare: Collection[str],
        is_whole: Callable[[str], bool] = lambda word: False,
    ) -> None:
        self._segmenter = Segmenter(merges)
        self._allowed, self._rare, self._is_whole = allowed, frozenset(rare), is_whole
        self._cache = WordCache(self.cut)

    def segment_word(self, word: str) -> tuple[str, ...]:
        """The pieces of one word."""
        return self._cache[word]

    def cut(self, word: str) -> tuple[str, ...]:
        """What segment_word returns, worked out anew."""
        if self._is_whole(word):
            whole = self._allowed is None or word in self._allowed
            return (word,) if whole else tuple(self._spell_characters(word, True))
        *begin, end = self._segmenter.symbols(word)
        pieces = [piece for symbol in begin for piece in self._spell(symbol, False)]
        return (*pieces, *self._spell(end, True))

    def _spell(self, symbol: str, final: bool) -> Iterator[str]:
        """Known pieces of a symbol. final: the word ends with it."""
        piece = symbol if final else symbol + SEPARATOR
        if self._is_known(symbol, piece):
            yield piece
        elif parts := self._segmenter.parts_of(symbol, final):
            yield from self._spell(parts[0], False)
            yield from self._spell(parts[1], final)
        elif len(symbol) > 1:
            yield from self._spell_characters(symbol, final)
        else:
            yield from (BYTE_PIECES[value] for value in symbol.encode("utf-8"))
            if final:
                yield END_PIECE

    def _spell_characters(self, symbol: str, final: bool) -> Iterator[str]:
        for character in symbol[:-1]:
            yield from self._spell(character, False)
        yield from self._spell(symbol[-1], final)

    def _is_known(self, symbol: str, piece: str) -> bool:
        if piece in FALLBACK_PIECES or not self._rare.isdisjoint(symbol):
            return False
        return self._allowed is None or piece in self._allowed


def spelt_out(pieces: Sequence[str]) -> list[str]:
    """The pieces with characters in place of bytes, to be joined as any others. What is not UTF-8 becomes U+FFFD."""
    if FALLBACK_PIECES.isdisjoint(pieces):
        return list(pieces)
    found: list[str] = []
    spelt = bytearray()
    for piece in [*pieces, ""]:
        if piece in _VALUES:
            spelt.append(_VALUES[piece])
            continue
        if spelt:
            text = spelt.decode("utf-8", "replace")
            found.append(text if piece == END_PIECE else text + SEPARATOR)
            spelt.clear()
        if piece and piece != END_PIECE:
            found.append(piece)
    return found
