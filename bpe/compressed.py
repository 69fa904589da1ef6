"""Compressed text files: which compression their first bytes show, and reading through it.

gzip, bzip2 and xz are the standard library's. Zstandard is from Python 3.14 on; before it is the package zstandard.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from bpe.errors import UserError

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
"How the names of compressed files end. What decides is their content."
MAGIC_BYTES = 10
"As many of a file's first bytes show its compression."
READ_BYTES = 1 << 17
ENDS_EARLY = "Compressed file ended before the end-of-stream marker was reached"


class DamagedData(Exception):
    """Compressed data that ends too early or cannot be unpacked."""

    def __init__(self, compression: str, error: Exception) -> None:
        super().__init__(str(error))
        self._what = f"truncated or damaged {compression} data"

    def at(self, where: object, after: str = "") -> UserError:
        """What a user is told. after: how far the file could be read, as ' after line 3'."""
        return UserError(f"{self._what}{after} ({self})", where=where)


def compression_of(start: bytes) -> str | None:
    """The compression of a file with these first bytes (MAGIC_BYTES are enough); None: none that is known."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith(b"BZh") and start[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):  # a block, or the end of an empty file
        return "bzip2"
    if start.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    return "zstd" if start.startswith(b"\x28\xb5\x2f\xfd") else None


def unpacked(packed: BinaryIO, compression: str, where: object) -> BinaryIO:
    """The content of a compressed stream, which is closed with it. Reading damaged data is DamagedData.

    Zstandard without its package is a UserError.
    """
    openers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: gzip.GzipFile(fileobj=packed),
        "bzip2": lambda: bz2.BZ2File(packed),
        "xz": lambda: lzma.LZMAFile(packed),  # noqa: SIM115 (closed with what reads it)
        "zstd": lambda: _zstd(packed, where),
    }
    return io.BufferedReader(_Unpacked(openers[compression](), packed, compression), READ_BYTES)


class _Unpacked(io.RawIOBase):
    """Unpacks a stream, with one kind of error for all kinds of damage."""

    def __init__(self, content: Any, packed: BinaryIO, compression: str) -> None:
        self._content, self._packed, self._compression = content, packed, compression

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._packed.fileno()

    def readinto(self, buffer: Any) -> int:
        try:
            part = self._content.read1(len(buffer))
        except Exception as error:  # the libraries' own kinds, and bzip2's OSError
            if getattr(error, "errno", None) is not None:
                raise
            raise DamagedData(self._compression, error) from None
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._content.close()
            self._packed.close()
        super().close()


def _zstd(packed: BinaryIO, where: object) -> Any:
    if sys.version_info >= (3, 14):
        return importlib.import_module("compression.zstd").ZstdFile(packed)
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError as error:
        problem = f"is Zstandard data, which needs the package zstandard ({error})"
        raise UserError(problem, where=where, hint="pip install zstandard, or unpack the file") from None
    return _ZstdFrames(packed, zstandard.ZstdDecompressor())


class _ZstdFrames:
    """All frames of a Zstandard stream; an unfinished last one is an EOFError, which the package itself overlooks."""

    def __init__(self, packed: BinaryIO, decompressor: Any) -> None:
        self._packed, self._new_frame = packed, decompressor.decompressobj
        self._frame: Any = None
        self._content = io.BytesIO()

    def read1(self, size: int) -> bytes:
        """At most size bytes; none at the end."""
        while not (part := self._content.read(size)) and self._more():
            pass
        return part

    def close(self) -> None:
        """Nothing to close."""

    def _more(self) -> bool:
        """Unpack what follows; False at the end."""
        finished = self._frame is None or self._frame.eof
        packed = (self._frame.unused_data if self._frame and finished else b"") or self._packed.read(READ_BYTES)
        if not packed and not finished:
            raise EOFError(ENDS_EARLY)
        if finished:
            self._frame = self._new_frame()
        self._content = io.BytesIO(self._frame.decompress(packed) if packed else b"")
        return bool(packed)
