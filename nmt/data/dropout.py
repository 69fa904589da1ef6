"""BPE-dropout (Provilkov et al., 2020): the training words in other pieces every time, but for words spelt in bytes.

Only prepared ids are read: a word is spelt by a run of pieces ending in '@@' and the piece after it. Pieces are drawn
from one side's vocabulary whatever the tying mode, so that all modes of one seed learn from the same pieces.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Protocol

import numpy as np

from bpe.codes import END_OF_WORD, MergeTable
from bpe.errors import UserError
from bpe.segment import SEPARATOR, Segmenter
from nmt.data.corpus import ID_TYPE, OFFSET_TYPE, ParallelIds, PreparedCorpus
from nmt.text.pipeline import SIDES, Side, TextPipeline
from nmt.text.vocabulary import Vocabulary

KNOWN_WORDS = 500_000
"Words remembered a side; then the memory starts anew."


def check_merges(corpus: PreparedCorpus) -> None:
    """UserError where the corpus has no merges to leave out."""
    if not isinstance(corpus.text.subwords, MergeTable):
        problem = f"BPE-dropout leaves out merges, and this text has none: {corpus.text.options.subwords}"
        hint = "set training.bpe_dropout to 0, or prepare with --joint-bpe"
        raise UserError(problem, where=corpus.folder, hint=hint)


def reachable_pieces(text: TextPipeline, words: Iterable[str], side: Side) -> set[str]:
    """Every piece that leaving out merges can make from words: their characters, and the merged symbols they contain.

    A symbol's parts are symbols or characters, so it is made wherever its letters stand and the other merges are left
    out. Where the side has a frequency threshold, only pieces it allows are made, and characters.
    """
    assert isinstance(text.subwords, MergeTable)
    symbols = {first + second for first, second in text.subwords.merges}
    beginnings = {symbol[:end] for symbol in symbols for end in range(2, len(symbol) + 1)}
    characters: set[str] = set()
    merged: set[str] = set()
    for word in words:
        characters.update(letter + SEPARATOR for letter in word[:-1])
        characters.update(word[-1:])
        for start in range(len(word) - 1):
            for end in range(start + 2, len(word) + 1):
                symbol = word[start:end]
                if symbol not in beginnings:
                    break
                if end == len(word):
                    if symbol + END_OF_WORD in symbols:
                        merged.add(symbol)
                elif symbol in symbols:
                    merged.add(symbol + SEPARATOR)
    allowed = text.options.allowed(side)
    found = characters | (merged if allowed is None else merged & allowed)
    rare = frozenset(text.options.rare_characters)
    return {piece for piece in found if rare.isdisjoint(piece)} if rare else found


class SideDropout:
    """Cuts the words of one side anew, line by line. A drawn piece the side's vocabulary lacks is cut smaller."""

    def __init__(self, text: TextPipeline, vocabulary: Vocabulary, side: Side) -> None:
        assert isinstance(text.subwords, MergeTable)
        known = frozenset(vocabulary.side(side))
        allowed = text.options.allowed(side)
        self._segmenter = Segmenter(text.subwords, known if allowed is None else known & allowed)
        self._pieces = vocabulary.pieces
        self._ids = dict(zip(known, vocabulary.encode(known), strict=True))
        self._goes_on = [piece.endswith(SEPARATOR) for piece in self._pieces]
        self._words: dict[tuple[int, ...], str | None] = {}

    def cut(self, line: list[int], dropout: float, random: Random) -> list[int]:
        """Union ids of a line, its words cut anew; a word that cannot be rebuilt from its pieces stays as it is."""
        cut: list[int] = []
        start = 0
        for end, number in enumerate(line, 1):
            if self._goes_on[number]:
                continue
            ids = tuple(line[start:end])
            start = end
            word = self._words[ids] if ids in self._words else self._remember(ids)
            cut += ids if word is None else self._draw(word, dropout, random) or ids
        return cut + line[start:]

    def _draw(self, word: str, dropout: float, random: Random) -> list[int]:
        """Ids of drawn pieces; none where even the characters are not in the vocabulary."""
        try:
            return [self._ids[piece] for piece in self._segmenter.segment_word_with_dropout(word, dropout, random)]
        except KeyError:
            return []

    def _remember(self, ids: tuple[int, ...]) -> str | None:
        if len(self._words) >= KNOWN_WORDS:
            self._words.clear()
        word = self._words[ids] = self._spell(ids)
        return word

    def _spell(self, ids: tuple[int, ...]) -> str | None:
        """The word that merges make these pieces of, or None: a character, a word kept whole, one that ends in '@@'."""
        pieces = tuple(self._pieces[number] for number in ids)
        word = "".join(piece.removesuffix(SEPARATOR) for piece in pieces[:-1]) + pieces[-1]
        return word if len(word) > 1 and self._segmenter.segment_word(word) == pieces else None


class Lines(Protocol):
    """Pairs of lines as union ids."""

    def source(self, line: int) -> np.ndarray:
        """Of a source line, [pieces] int32, without </s>."""

    def target(self, line: int) -> np.ndarray:
        """Of a target line."""


class PieceDropout:
    """Training pairs in new pieces, a function of the seed, the pairs and where in training they come."""

    def __init__(
        self, corpus: PreparedCorpus, dropout: float, max_length: int, seed: int, pairs: Lines | None = None
    ) -> None:
        """dropout: how likely a merge is left out. max_length: a line cut into more pieces stays as prepared.

        pairs: in the union ids of the corpus; None: its training pairs.
        """
        self._pairs: Lines = corpus.split("train") if pairs is None else pairs
        self._sides = {side: SideDropout(corpus.text, corpus.vocabulary, side) for side in SIDES}
        self._dropout, self._max_length, self._seed = dropout, max_length, seed

    def pairs(self, rows: np.ndarray, epoch: int, block: int) -> ParallelIds:
        """The given pairs, in that order, held in memory."""
        random = Random(f"{self._seed} {epoch} {block}")
        numbers = rows.tolist()
        source = self._lines("source", (self._pairs.source(row) for row in numbers), random)
        target = self._lines("target", (self._pairs.target(row) for row in numbers), random)
        return ParallelIds(*source, *target)

    def _lines(self, side: Side, lines: Iterable[np.ndarray], random: Random) -> tuple[np.ndarray, np.ndarray]:
        cutter = self._sides[side]
        ids: list[int] = []
        offsets = [0]
        for line in lines:
            prepared = line.tolist()
            cut = cutter.cut(prepared, self._dropout, random)
            ids += cut if len(cut) <= self._max_length else prepared
            offsets.append(len(ids))
        return np.array(ids, dtype=ID_TYPE), np.array(offsets, dtype=OFFSET_TYPE)
