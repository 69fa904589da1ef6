"""Rewrites chunks of whole lines: words to pieces, with or without dropout, and pieces back to words.

Works on bytes. Spaces and line ends are ASCII, so a text is UTF-8 exactly where all its words are, and only a word that
has not been met before is decoded. A text that is not UTF-8 raises UnicodeDecodeError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from random import Random

from bpe.chunks import Chunk
from bpe.errors import UserError
from bpe.segmenter import Segmenter, WordCache, check_dropout

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Rewriter = Callable[[Chunk], bytes]


class PieceWriter:
    """Words to pieces, all merges applied: the bytes that subword-nmt writes.

    As there, one space stands between pieces, and spaces and carriage returns around a line stay. A byte order mark
    at the beginning of a file is dropped.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter, self._between = segmenter, segmenter.separator + " "
        self._cache = WordCache(self._pieces)

    def __call__(self, chunk: Chunk) -> bytes:
        """Rewrite a chunk."""
        text, find = _without_mark(chunk), self._cache.__getitem__
        if b"  " in text or b"\r" in text:
            return b"\n".join([_between_spaces(line, lambda words: map(find, words)) for line in text.split(b"\n")])
        # An empty word has empty pieces: that keeps single spaces around a line.
        join = b" ".join
        return b"\n".join([join(map(find, line.split(b" "))) for line in text.split(b"\n")])

    def _pieces(self, word: bytes) -> bytes:
        pieces = self._between.join(self._segmenter.symbols(word.decode("utf-8"))).encode("utf-8")
        return word if pieces == word else pieces


class DropoutPieceWriter:
    """Words to pieces with BPE-dropout. Each line has random numbers of its own, which follow from the seed and the
    number of the line, so that chunks can be rewritten anywhere and in any order."""

    def __init__(self, segmenter: Segmenter, dropout: float, seed: int) -> None:
        check_dropout(dropout)
        self._segmenter, self._dropout, self._seed = segmenter, dropout, seed
        self._random = Random()

    def __call__(self, chunk: Chunk) -> bytes:
        """Rewrite a chunk."""
        lines = enumerate(_without_mark(chunk).split(b"\n"), chunk.line)
        return b"\n".join([self._line(line, number) for number, line in lines])

    def _line(self, line: bytes, number: int) -> bytes:
        self._random.seed(f"{self._seed} {number}")
        return _between_spaces(line, lambda words: map(self._pieces, words))

    def _pieces(self, word: bytes) -> bytes:
        pieces = self._segmenter.segment_word_with_dropout(word.decode("utf-8"), self._dropout, self._random)
        return " ".join(pieces).encode("utf-8")


class PieceJoiner:
    """Pieces to words: the bytes of sed -r 's/(@@ )|(@@ ?$)//g', whatever the bytes are. An empty separator is a
    UserError."""

    def __init__(self, separator: str) -> None:
        if not separator:
            raise UserError("pieces cannot be joined: the separator is empty")
        between = re.escape(separator.encode("utf-8"))
        self._pattern = re.compile(between + rb"(?: |$)", re.MULTILINE)

    def __call__(self, chunk: Chunk) -> bytes:
        """Rewrite a chunk."""
        return self._pattern.sub(b"", chunk.text)


def _without_mark(chunk: Chunk) -> bytes:
    return chunk.text.removeprefix(BYTE_ORDER_MARK) if chunk.number == 1 else chunk.text


def _between_spaces(line: bytes, cut: Callable[[Iterable[bytes]], Iterable[bytes]]) -> bytes:
    """A line with its words cut; white space around it stays, as with subword-nmt."""
    body = line.strip(b"\r ")
    if not body:
        return line
    start = line.find(body)
    return line[:start] + b" ".join(cut(filter(None, body.split(b" ")))) + line[start + len(body) :]
