"""Lines of a text that is not in memory, none longer than memory can be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bpe.compressed import DamagedData
from bpe.errors import UserError
from bpe.textfiles import decode_line, open_binary

LONGEST_LINE = 2**26
"Bytes; a line that has more is no line of text."
PORTION = 2**20
"Bytes of a line of words that are read at a time."


def bounded_lines(path: Path | str) -> Iterator[str]:
    """Lines of a UTF-8 text file, plain or compressed, one at a time; one that is too long is a UserError."""
    path = Path(path)
    with open_binary(path) as stream:
        try:
            yield from lines_of(stream, path)
        except DamagedData as damage:
            raise damage.at(path, "") from None


def word_portions(path: Path | str) -> Iterator[tuple[str, bool]]:
    """Lines of words between spaces, a long one in portions, so that it never lies in memory whole (text8 is one line).

    Yields a portion and whether the line ends with it. A word that is too long is a UserError.
    """
    path = Path(path)
    with open_binary(path) as stream:
        try:
            yield from _portions_of(stream, path)
        except DamagedData as damage:
            raise damage.at(path, "") from None


def _portions_of(stream: BinaryIO, where: object) -> Iterator[tuple[str, bool]]:
    number, rest, ended = 1, b"", True
    while raw := stream.readline(PORTION):
        raw = rest + raw
        ended = raw.endswith(b"\n")
        portion, rest = (raw, b"") if ended else _cut(raw)
        if len(rest) > LONGEST_LINE:
            problem = f"a word of more than {LONGEST_LINE:,} bytes"
            raise UserError(problem, where=f"{where}:{number}", hint="is it a text? put spaces between its words")
        if portion:
            yield decode_line(portion, where, number), ended
        number += ended
    if rest or not ended:
        yield decode_line(rest, where, number), True


def _cut(raw: bytes) -> tuple[bytes, bytes]:
    """At the last space: what is before it, and what is behind it."""
    before, space, behind = raw.rpartition(b" ")
    return before + space, behind


def lines_of(stream: BinaryIO, where: object) -> Iterator[str]:
    """Lines of an open file. where: its name in errors."""
    number = 0
    while raw := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            problem = f"a line of more than {LONGEST_LINE:,} bytes"
            raise UserError(problem, where=f"{where}:{number}", hint="is it a text? put its sentences on lines")
        yield decode_line(raw, where, number)
