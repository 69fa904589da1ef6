"""Text files as bytes split at line feeds: U+2028, U+0085 and form feeds are characters here, not line ends."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from bpe.compressed import MAGIC_BYTES, SUFFIXES, DamagedData, compression_of, unpacked
from bpe.errors import UserError
from bpe.locks import HERE, hold, remove_abandoned

UNFINISHED = re.compile(r"\.(?P<name>.+)\.(?:(?P<machine>[0-9a-f]{8})-)?[a-z0-9_]{8}\.part", re.DOTALL)
"What `atomic_write` calls a file that is not whole yet: its name, where it is made, and something at random."


def decode_line(raw: bytes, where: object, number: int) -> str:
    """One line of UTF-8 without its line end (LF or CRLF); an invalid byte is a UserError naming file and line."""
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    if number == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"invalid UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the line",
            where=f"{where}:{number}",
            hint="convert the file to UTF-8 (iconv -f ENCODING -t UTF-8) or remove the line",
        ) from None


def open_binary(path: Path) -> BinaryIO:
    """Open plain or compressed data for reading; a file's first bytes decide, not its name (but for a pipe's).

    Reading damaged data is `bpe.compressed.DamagedData`.
    """
    try:
        plain = open(path, "rb")  # noqa: SIM115 (the caller closes it)
        waits = not path.is_file() and path.suffix not in SUFFIXES  # a pipe's first bytes may be long in coming
        compression = None if waits else compression_of(plain.peek(MAGIC_BYTES)[:MAGIC_BYTES])
    except FileNotFoundError:
        raise UserError("no such file", where=path, hint="check the path") from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    return plain if compression is None else unpacked(plain, compression, path)


def read_lines(path: Path | str) -> Iterator[str]:
    """Lines of a UTF-8 text file, plain or compressed, one at a time."""
    path = Path(path)
    number = 0
    with open_binary(path) as stream:
        try:
            for number, raw in enumerate(stream, 1):
                yield decode_line(raw, path, number)
        except DamagedData as damage:
            raise damage.at(path, f" after line {number}") from None
        except OSError as error:
            raise UserError(f"cannot be read after line {number} ({error.strerror})", where=path) from None


def no_space(error: OSError, path: Path | str) -> UserError:
    """The UserError for a failed write: a full disk by name, else the system's own word."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return UserError(
        "no space left on the device" if full else f"cannot be written ({error.strerror or error})",
        where=path,
        hint="free some space and run the command again; what was finished before is kept" if full else "",
    )


@contextlib.contextmanager
def _plain_write(path: Path | str) -> Iterator[BinaryIO]:
    try:
        with open(path, "wb") as stream:
            yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        raise no_space(error, path) from None


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """Write bytes beside `path`, flush them to disk, then rename: readers see the old file or the whole new one.

    A link stays, and what it points to is replaced. What cannot be replaced, a device or a pipe, is written to as it
    is.
    """
    if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
        with _plain_write(path) as stream:
            yield stream
        return
    path = Path(os.path.realpath(path))
    remove_leftovers(path.parent, path.name)
    name = path.parent / f".{path.name}.{HERE}-{secrets.token_hex(4)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = hold(name, wait=True)  # until it has its name: no one takes it for a dead writer's
        assert lock is not None
        with lock:
            with open(name, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            if os.name == "nt":
                lock.close()  # what is open gets no new name there
            os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise no_space(error, path) from None
        raise


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove what writers that were killed left in a folder: unfinished files of `name`, or of any.

    A living writer's file is locked, and stays, whoever it is.
    """
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            found = UNFINISHED.fullmatch(entry)
            if found and name in ("", found["name"]):
                remove_abandoned(folder / entry, found["machine"] or HERE, (folder / entry).unlink)


def check_output(path: str, inputs: Iterable[str]) -> None:
    """Find out before the work, not after it, that a result cannot be put there: in a folder's or an input's place."""
    place = Path(path)
    if place.is_dir():
        raise UserError("is a folder", where=path, hint="give the name of a file")
    if place.is_file() and any(Path(name).exists() and place.samefile(name) for name in inputs):
        raise UserError("is also an input file", where=path, hint="give the output another name")


def write_text(path: Path | str, text: str) -> None:
    """Write a whole UTF-8 text file atomically."""
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8"))


def write_lines(path: Path | str, lines: Iterable[str]) -> None:
    """Write UTF-8 lines, each ended by a line feed, atomically."""
    with atomic_write(path) as stream:
        for line in lines:
            stream.write(line.encode("utf-8") + b"\n")


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
