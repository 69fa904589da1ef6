"""Reads text as chunks of whole lines, as soon as they come: files one after the other, or standard input."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bpe.compressed import DamagedData
from bpe.errors import UserError
from bpe.textfiles import decode_line, open_binary

CHUNK_BYTES = 1 << 18
STANDARD_INPUT = "-"


class Chunk(NamedTuple):
    """Whole lines. where: their file. number: the first one's number there. line: its number in all inputs."""

    text: bytes
    where: str
    number: int
    line: int


def split_at_bad_line(chunk: Chunk) -> tuple[Chunk, UserError]:
    """Of a chunk that is not UTF-8: the lines before the first bad one, and what is wrong with that one."""
    lines = chunk.text.split(b"\n")
    for offset, line in enumerate(lines):
        try:
            decode_line(line, chunk.where, chunk.number + offset)
        except UserError as error:
            return chunk._replace(text=b"".join(line + b"\n" for line in lines[:offset])), error
    raise AssertionError("the chunk is UTF-8")


class ChunkReader(Iterator[Chunk]):
    """The chunks of some inputs, one after the other; a last line without its end is ended where more inputs follow.

    paths: plain or compressed files; '-' is standard input. A missing file is a UserError at once, a damaged one
    after the lines before the damage.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._sizes = [_size(path) for path in paths]
        self._opened = 0
        self._stream: BinaryIO | None = None
        self._chunks = self._read()

    def __next__(self) -> Chunk:
        return next(self._chunks)

    def would_wait(self) -> bool:
        """Whether more can only be read once the other end of a pipe, or somebody who types, gives it."""
        return self._stream is not None and not select.select([self._stream.fileno()], [], [], 0)[0]

    def share(self) -> float | None:
        """How much has been read, 0 to 1; None where the size of an input is unknown."""
        sizes = [size for size in self._sizes if size is not None]
        if len(sizes) < len(self._sizes) or not sum(sizes):
            return None
        here = os.lseek(self._stream.fileno(), 0, os.SEEK_CUR) if self._stream else 0
        return min(1.0, (sum(sizes[: self._opened - bool(self._stream)]) + here) / sum(sizes))

    def _read(self) -> Iterator[Chunk]:
        line = 1
        for opened, path in enumerate(self._paths, 1):
            self._opened = opened
            where, number = ("standard input" if path == STANDARD_INPUT else path), 1
            try:
                with _open(path) as self._stream:
                    for text in self._whole_lines(self._stream):
                        ended = text.endswith(b"\n") or opened == len(self._paths)
                        yield Chunk(text if ended else text + b"\n", where, number, line)
                        num_lines = text.count(b"\n") + (not ended)
                        number, line = number + num_lines, line + num_lines
            except DamagedData as damage:
                raise damage.at(where, f" after line {number - 1}") from None
            except OSError as error:
                raise UserError(f"cannot be read after line {number - 1} ({error})", where=where) from None
            finally:
                self._stream = None

    def _whole_lines(self, stream: BinaryIO) -> Iterator[bytes]:
        """About CHUNK_BYTES at a time, less where more would have to be waited for; only the last may lack its end."""
        waiting: list[bytes] = []
        size, found, data = 0, False, b"-"
        problem: Exception | None = None
        while data:
            try:
                data = stream.read1(CHUNK_BYTES)  # type: ignore[attr-defined]
            except (DamagedData, OSError) as error:
                data, problem = b"", error
            waiting.append(data)
            size, found = size + len(data), found or b"\n" in data
            if data and (not found or (size < CHUNK_BYTES and not self.would_wait())):
                continue
            text = b"".join(waiting)
            end = text.rfind(b"\n") + 1 if data or problem else len(text)
            if end:
                yield text[:end]
            waiting, size, found = [text[end:]], len(text) - end, False
        if problem:
            raise problem


def _open(path: str) -> BinaryIO:
    # Not sys.stdin.buffer itself: it would be closed after reading.
    return open(sys.stdin.fileno(), "rb", closefd=False) if path == STANDARD_INPUT else open_binary(Path(path))


def _size(path: str) -> int | None:
    """The bytes of a regular file, as it lies on the disk; None for what is none, such as a pipe."""
    try:
        status = os.fstat(sys.stdin.fileno()) if path == STANDARD_INPUT else os.stat(path)
    except AttributeError:
        raise UserError("is closed", where="standard input", hint="give --input FILE") from None
    except FileNotFoundError:
        raise UserError("no such file", where=path, hint="check the path") from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
