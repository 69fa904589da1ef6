"""Reading text out of archives: tar as a stream (plain, gzip-compressed or WMT's SGML members), and zip."""

from __future__ import annotations

import gzip
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO

from bpe.errors import UserError

DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
SEGMENT = re.compile(r"<seg\b[^>]*>(.*)</seg>", re.IGNORECASE)
ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
ENTITY = re.compile("|".join(ENTITIES))


@dataclass(frozen=True)
class ArchiveMember:
    """One side of a bitext: the archive's name among the downloads, and the path in it."""

    archive: str
    path: str


def parallel(
    left: ArchiveMember, right: ArchiveMember, paths: Mapping[str, Path], *, drop_blank: bool = False
) -> Iterator[tuple[str, str]]:
    """The pairs of two members of equal length. drop_blank: leave out pairs that lack a side.

    Errors: UserError for a member that is missing, a damaged archive, or sides of unequal length.
    """
    count = 0
    sides = (lines(paths[left.archive], left.path), lines(paths[right.archive], right.path))
    for count, (source, target) in enumerate(zip_longest(*sides), 1):
        if source is None or target is None:
            shorter, longer = (left, right) if source is None else (right, left)
            raise UserError(
                f"{shorter.path} ends after {count - 1:,} lines, {longer.path} goes on", where=paths[shorter.archive]
            )
        if not (drop_blank and (not source or not target)):
            yield source, target


def lines(archive: Path, path: str) -> Iterator[str]:
    """Stripped lines of a member, split at line feeds only; of SGML the text of its segments.

    Bytes that are not UTF-8 become U+FFFD: one bad line among millions must not cost the rest.
    """
    try:
        with open_member(archive, path) as stream:
            if path.endswith(".sgm"):
                yield from segments(stream)
            else:
                yield from (raw.decode("utf-8", "replace").strip(" \t\r\n\ufeff") for raw in stream)
    except DAMAGED as error:
        raise UserError(f"damaged archive, reading {path} ({error})", where=archive) from None


def segments(stream: IO[bytes]) -> Iterator[str]:
    """The segments of WMT's SGML, which no SGML parser can read: ampersands stand there as they are."""
    for raw in stream:
        if match := SEGMENT.search(raw.decode("utf-8", "replace")):
            yield ENTITY.sub(lambda entity: ENTITIES[entity[0]], match[1]).strip(" \t\r")


@contextmanager
def open_member(archive: Path, path: str) -> Iterator[IO[bytes]]:
    """A member of a tar archive as a stream, unpacked where its name ends in .gz; stops reading at its end."""
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            if member.name.removeprefix("./") == path and member.isfile():
                stream = tar.extractfile(member)
                assert stream is not None
                with gzip.GzipFile(fileobj=stream) if path.endswith(".gz") else stream as unpacked:
                    yield unpacked  # type: ignore[misc]
                return
    raise UserError(f"the archive has no member {path}", where=archive)


def zip_lines(archive: Path, path: str) -> Iterator[tuple[str]]:
    """Lines of a member of a zip archive as they are, but for the line ends, one of each.

    Errors: UserError for a member that is missing and for a damaged archive.
    """
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(path) as stream:
            for raw in stream:
                yield (raw.removesuffix(b"\n").decode("utf-8"),)
    except KeyError:
        raise UserError(f"the archive has no member {path}", where=archive) from None
    except (*DAMAGED, UnicodeDecodeError) as error:
        raise UserError(f"damaged archive, reading {path} ({error})", where=archive) from None


def zip_documents(archive: Path, pattern: re.Pattern[str]) -> dict[str, bytes]:
    """Name -> content of the members whose names the pattern matches, by their names."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = sorted(name for name in opened.namelist() if pattern.fullmatch(name))
            return {name: opened.read(name) for name in names}
    except DAMAGED as error:
        raise UserError(f"damaged archive ({error})", where=archive) from None


def tar_documents(archive: Path, pattern: re.Pattern[str]) -> dict[str, bytes]:
    """The same of a tar archive, which is read once from its beginning to its end."""
    found = {}
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isfile() and pattern.fullmatch(name):
                    stream = tar.extractfile(member)
                    assert stream is not None
                    found[name] = stream.read()
    except DAMAGED as error:
        raise UserError(f"damaged archive ({error})", where=archive) from None
    return dict(sorted(found.items()))


def decoded(raw: bytes) -> str:
    """UTF-8, or where it is not, Windows-1252, as old English pages are; what neither knows becomes U+FFFD."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
