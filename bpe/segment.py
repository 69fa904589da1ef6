"""Cuts words into the pieces of a merge table, as subword-nmt's apply_bpe does, and joins them again."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

from bpe.codes import END_OF_WORD, MergeTable
from bpe.command import Parser, run
from bpe.encode import apply_merges
from bpe.errors import UserError
from bpe.textfiles import decode_line, read_lines

SEPARATOR = "@@"
"Ends every piece of a word but the last."
CACHED_WORDS = 500_000
"Words whose pieces are remembered; then the cache starts anew."
CHUNK_BYTES = 1 << 18


class Segmenter:
    """Words and lines -> pieces.

    merges: the merge table. vocabulary: pieces as they are written, separator included; a piece outside it is cut back
    into what it was merged from, as far as needed (None or empty: pieces stay). glossary: regular expressions; what
    they match is never cut. An invalid expression is a UserError.
    """

    def __init__(
        self, merges: MergeTable, vocabulary: frozenset[str] | None = None, glossary: Sequence[str] = ()
    ) -> None:
        self.merges, self.vocabulary, self.glossary = merges, vocabulary, tuple(glossary)
        # Of equal pairs the first counts; of pairs that spell the same symbol the one subword-nmt's dict ends up with.
        self._ranks = {pair: rank for rank, pair in reversed(list(enumerate(merges.merges)))}
        self._parts = {first + second: (first, second) for first, second in self._ranks}
        try:
            self._patterns = [(re.compile(f"^{one}$"), re.compile(one)) for one in self.glossary]
            self._whole = re.compile(f"^({'|'.join(self.glossary)})$") if glossary else None
        except re.error as error:
            raise UserError(f"invalid regular expression {error.pattern!r}: {error}", where="glossary") from None
        self._cache = _Cache(self)

    def __reduce__(self) -> tuple[object, ...]:
        return Segmenter, (self.merges, self.vocabulary, self.glossary)

    def segment_word(self, word: str) -> tuple[str, ...]:
        """The pieces of one word, all but the last with '@@' at the end; none for the empty word."""
        return self._cache[word]

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
        symbols = [symbol for part in self._isolate(word) if part for symbol in self._encode(part)]
        return (*(symbol + SEPARATOR for symbol in symbols[:-1]), *symbols[-1:])

    def _isolate(self, word: str) -> list[str]:
        """Split a word around what the glossary matches."""
        parts = [word]
        for whole, anywhere in self._patterns:
            parts = [
                piece for part in parts for piece in ([part] if whole.match(part) else _split_around(anywhere, part))
            ]
        return parts

    def _encode(self, part: str) -> list[str]:
        if len(part) == 1 or (self._whole and self._whole.match(part)):
            return [part]
        ending = [END_OF_WORD] if self.merges.version == (0, 1) else []
        symbols = apply_merges([*part, *ending] if ending else [*part[:-1], part[-1] + END_OF_WORD], self._ranks)
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
            parts = self._parts.get(symbol + END_OF_WORD if final else symbol)
            known = (symbol if final else symbol + SEPARATOR) in self.vocabulary
            if known or parts is None or (final and not parts[1].endswith(END_OF_WORD)):
                kept.append(symbol)
                continue
            right = parts[1].removesuffix(END_OF_WORD) if final else parts[1]
            if right:
                waiting.append((right, final))
            waiting.append((parts[0], False))
        return kept


def _split_around(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The matches of a pattern and what stands between them."""
    end = 0
    for match in pattern.finditer(text):
        yield text[end : match.start()]
        yield match.group()
        end = match.end()
    yield text[end:]


class _Cache(dict[str, tuple[str, ...]]):
    """Words and their pieces; looking up a new word cuts it."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self._segmenter = segmenter

    def __missing__(self, word: str) -> tuple[str, ...]:
        if len(self) >= CACHED_WORDS:
            self.clear()
        pieces = self[word] = self._segmenter.cut(word)
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


def raw_chunks(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Complete lines of a stream, line ends included, as soon as they can be read; the last may lack its end."""
    waiting: list[bytes] = []
    while chunk := stream.read1(CHUNK_BYTES):  # type: ignore[attr-defined]
        head, found, rest = chunk.rpartition(b"\n")
        if not found:
            waiting.append(chunk)
            continue
        yield [line + b"\n" for line in b"".join([*waiting, head]).split(b"\n")]
        waiting = [rest] if rest else []
    if waiting:
        yield [b"".join(waiting)]


def segment_stream(segmenter: Segmenter, source: BinaryIO, target: BinaryIO) -> None:
    """Segment UTF-8 lines of `source` to `target`, one for one; what was read is written before more is waited for.

    Invalid UTF-8 is a UserError naming the line, after the lines before it were written.
    """
    numbers = count(1)
    for lines in raw_chunks(source):
        done: list[str] = []
        try:
            for raw, number in zip(lines, numbers, strict=False):  # lines first: they end without using up a number
                text = raw.removesuffix(b"\n")
                ending = ("\r" if text.endswith(b"\r") else "") + ("\n" if raw.endswith(b"\n") else "")
                done.append(segmenter.segment_text(decode_line(raw, "standard input", number)) + ending)
        finally:
            target.write("".join(done).encode("utf-8"))
            target.flush()


def main(argv: Sequence[str]) -> None:
    """The command: standard input to standard output."""
    parser = Parser(prog="python -m bpe.segment", description=__doc__, allow_abbrev=False)
    parser.add_argument("--codes", required=True, metavar="FILE", help="merges, as python -m bpe.learn writes them")
    parser.add_argument("--vocabulary", metavar="FILE", help="pieces and counts; other pieces are cut smaller")
    parser.add_argument(
        "--vocabulary-threshold", type=int, metavar="N", help="leave pieces rarer than this out of the vocabulary"
    )
    parser.add_argument(
        "--glossaries", nargs="+", default=[], metavar="REGEX", help="what is never cut; quote each expression"
    )
    options = parser.parse_args(argv)
    if options.vocabulary_threshold is not None and options.vocabulary is None:
        raise UserError("--vocabulary-threshold needs --vocabulary FILE")
    vocabulary = read_vocabulary(options.vocabulary, options.vocabulary_threshold or 0) if options.vocabulary else None
    segmenter = Segmenter(MergeTable.load(options.codes), vocabulary, options.glossaries)
    segment_stream(segmenter, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    sys.exit(run("python -m bpe.segment", main))
