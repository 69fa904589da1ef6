"""Lines in and out as bytes, for commands that stand in pipes: what has come is answered before waiting for more."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bpe.compressed import DamagedData
from bpe.errors import UserError
from bpe.textfiles import atomic_write, decode_line, no_space, open_binary

BLOCK_LINES = 1024
"Lines translated together at most."
READ_BYTES = 1 << 16
WAITING_READS = 64
"Reads from a pipe held in memory at most while a block is being translated."


def is_regular(file: int | Path) -> bool:
    """Whether a descriptor or path is an ordinary file, whose lines are all there already."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)
    except OSError:
        return False


def blocks_of_path(path: Path) -> Iterator[list[bytes]]:
    """Blocks of the lines of a file, plain or compressed, or of a named pipe."""
    if not is_regular(path) and path.exists() and not path.is_dir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield from blocks_of_descriptor(descriptor, path)
        finally:
            os.close(descriptor)
    else:
        with open_binary(path) as stream:
            yield from _blocks_of_lines(stream, path)


def blocks_of_descriptor(descriptor: int, name: object) -> Iterator[list[bytes]]:
    """Blocks of the lines of an open file, pipe or terminal.

    From a pipe a block is what has come so far, at least one line and at most BLOCK_LINES: a slow writer has each line
    answered at once, a fast one gets whole blocks. A line counts when its line feed, or the end of the input, has come.
    """
    if is_regular(descriptor):
        with open(descriptor, "rb", closefd=False) as stream:
            yield from _blocks_of_lines(stream, name)
        return
    reads: queue.Queue[bytes | OSError] = queue.Queue(WAITING_READS)
    threading.Thread(target=_pump, args=(descriptor, reads), daemon=True).start()
    lines: list[bytes] = []
    for line in _lines_of_reads(reads, name):
        if line is not None:
            lines.append(line)
        if lines and (line is None or len(lines) == BLOCK_LINES):
            yield lines
            lines = []
    if lines:
        yield lines


def _pump(descriptor: int, reads: queue.Queue[bytes | OSError]) -> None:
    try:
        while data := os.read(descriptor, READ_BYTES):
            reads.put(data)
        reads.put(b"")
    except OSError as error:
        reads.put(error)


def _lines_of_reads(reads: queue.Queue[bytes | OSError], name: object) -> Iterator[bytes | None]:
    """Lines as they come; None before each wait for more."""
    unfinished: list[bytes] = []
    while True:
        if reads.empty():
            yield None
        data = reads.get()
        if isinstance(data, OSError):
            raise UserError(f"cannot be read ({data.strerror})", where=name)
        if not data:
            break
        first, *rest = data.split(b"\n")
        unfinished.append(first)
        for part in rest:
            yield b"".join(unfinished)
            unfinished = [part]
    if any(unfinished):
        yield b"".join(unfinished)


def _blocks_of_lines(stream: Iterable[bytes], name: object) -> Iterator[list[bytes]]:
    """Blocks of BLOCK_LINES. What could be read of a damaged file comes before the UserError."""
    source = iter(stream)
    failure: UserError | None = None
    while failure is None:
        lines: list[bytes] = []
        try:
            lines.extend(itertools.islice(source, BLOCK_LINES))
        except DamagedData as damage:
            failure = damage.at(name)
        except OSError as error:
            failure = UserError(f"cannot be read ({error.strerror})", where=name)
        if lines:
            yield lines
        elif failure is None:
            return
    raise failure


def answer(
    blocks: Iterable[list[bytes]],
    name: object,
    function: Callable[[list[str]], list[str]],
    write: Callable[[bytes], object],
) -> int:
    """Write function(lines) for each block, one line for each line; returns their number.

    Lines before one that is not UTF-8 are answered first; then the UserError names it.
    """
    number = 0
    for block in blocks:
        lines: list[str] = []
        failure: UserError | None = None
        for raw in block:
            try:
                lines.append(decode_line(raw, name, number + 1))
            except UserError as error:
                failure = error
                break
            number += 1
        write(b"".join(line.encode("utf-8") + b"\n" for line in function(lines)))
        if failure:
            raise failure
    return number


@contextlib.contextmanager
def open_output(path: str | Path) -> Iterator[Callable[[bytes], object]]:
    """A function that writes to a file: all or nothing for an ordinary one, at once to a device or a named pipe."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with open(path, "wb", buffering=0) as stream:
            yield lambda data: write_all(stream.fileno(), data, str(path))
    else:
        with atomic_write(path) as stream:
            yield stream.write


def write_all(descriptor: int, data: bytes, name: str = "standard output") -> None:
    """Write every byte at once, without a buffer that could fail again at exit. A full disk is a UserError."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise no_space(error, name) from None
