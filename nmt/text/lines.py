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


def bounded_lines(path: Path | str) -> Iterator[str]:
    """Lines of a UTF-8 text file, plain or compressed, one at a time; one that is too long is a UserError."""
    path = Path(path)
    with open_binary(path) as stream:
        try:
            yield from lines_of(stream, path)
        except DamagedData as damage:
            raise damage.at(path, "") from None


def lines_of(stream: BinaryIO, where: object) -> Iterator[str]:
    """Lines of an open file. where: its name in errors."""
    number = 0
    while raw := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            problem = f"a line of more than {LONGEST_LINE:,} bytes"
            raise UserError(problem, where=f"{where}:{number}", hint="is it a text? put its sentences on lines")
        yield decode_line(raw, where, number)
