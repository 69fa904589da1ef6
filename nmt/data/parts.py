"""The text in parts: runs of pairs that tasks work on, here or on other machines.

Both sides of a pair of files are cut at the same lines, plain files where they lie, compressed ones after unpacking.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bpe.compressed import MAGIC_BYTES, DamagedData, compression_of
from bpe.errors import UserError
from bpe.progress import Progress
from bpe.textfiles import decode_line, open_binary
from nmt.data.bitext import Pair, read_bitext
from nmt.data.files import PairOfFiles
from nmt.data.pairs import unequal

STRIDE = 2_000
"Pairs in the smallest part; parts begin at multiples of it."
LARGEST_PART = 10_000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PARTS_PER_WORKER = 8
"Enough that no worker waits long for the last part."


@dataclass(frozen=True)
class IndexedFile:
    """A text file and where its lines begin."""

    name: Path
    "As the user calls it."
    path: Path
    "Where its plain text lies, absolute."
    starts: tuple[int, ...]
    "The first byte of lines 1, STRIDE + 1, 2 STRIDE + 1 ..."
    num_lines: int


@dataclass(frozen=True)
class IndexedPair:
    """Two files with as many lines each."""

    source: IndexedFile
    target: IndexedFile
    left_out: int = 0
    "Units of a TMX file that lack a side."

    @property
    def num_pairs(self) -> int:
        """Lines of each side."""
        return self.source.num_lines


@dataclass(frozen=True)
class Lines:
    """Where one side of a part lies."""

    name: str
    "The file as the user calls it."
    path: str
    start: int
    "Its first byte in the file."


@dataclass(frozen=True)
class Part:
    """A run of pairs of two files."""

    name: str
    "Distinct among the parts of a run, as train.00012."
    source: Lines
    target: Lines
    first_line: int
    "Number of its first line in both files, from 1."
    num_pairs: int


def index_pairs(files: Sequence[PairOfFiles], unpacked: Path, progress: Progress) -> list[IndexedPair]:
    """Find the lines of all files; unequal numbers are a UserError with both.

    unpacked: compressed files, and both sides of those that are in one file, are unpacked to this path with a number
    and the side behind it.
    """
    pairs = []
    for number, pair in enumerate(files):
        places = [unpacked.with_name(f"{unpacked.name}.{number}.{side}") for side in ("source", "target")]
        left_out: Counter[str] = Counter()
        if pair.form is None:
            paths = [_plain(name, place) for name, place in zip(pair.paths(), places, strict=True)]
        else:
            paths = places
            _part_sides(read_bitext(pair.source, pair.form, left_out), *places)
        source, target = (_index_file(name, path, progress) for name, path in zip(pair.paths(), paths, strict=True))
        if source.num_lines != target.num_lines:
            raise unequal(pair, source.num_lines, target.num_lines)
        pairs.append(IndexedPair(source, target, left_out.total()))
    return pairs


def _plain(name: Path, place: Path) -> Path:
    """Where the plain text of a file lies: the file itself, or what is unpacked of it to a place."""
    path = name.resolve()
    with _readable(name), open(path, "rb") as stream:
        compressed = compression_of(stream.read(MAGIC_BYTES)) is not None
    if compressed:
        path = place
        _unpack(name, path)
    return path


def _part_sides(pairs: Iterator[Pair], source: Path, target: Path) -> None:
    """Write both sides of a text in files of their own, in the form in which `decode_line` reads the same again."""
    with open(source, "wb") as first, open(target, "wb") as second:
        begin = BYTE_ORDER_MARK
        for pair in pairs:
            for line, stream in zip(pair, (first, second), strict=True):
                stream.write(begin + line.encode("utf-8") + (b"\r\n" if line.endswith("\r") else b"\n"))
            begin = b""


def _index_file(name: Path, path: Path, progress: Progress) -> IndexedFile:
    starts, num_lines, end = [], 0, 0
    with _readable(name), open(path, "rb") as stream:
        while lengths := [len(line) for line in islice(stream, STRIDE)]:
            starts.append(end)
            num_lines += len(lengths)
            end += sum(lengths)
            progress.advance(len(lengths))
    return IndexedFile(name, path, tuple(starts), num_lines)


def _unpack(name: Path, path: Path) -> None:
    try:
        with open_binary(name) as packed, open(path, "wb") as plain:
            shutil.copyfileobj(packed, plain)
    except DamagedData as damage:
        raise damage.at(name) from None


def cut(split: str, pairs: Sequence[IndexedPair], num_workers: int) -> list[Part]:
    """The parts of a split in the order of its text, of a size that keeps so many workers busy."""
    total = sum(pair.num_pairs for pair in pairs)
    step = min(total // (num_workers * PARTS_PER_WORKER * STRIDE), LARGEST_PART // STRIDE) or 1
    parts: list[Part] = []
    for pair in pairs:
        for index in range(0, len(pair.source.starts), step):
            first = index * STRIDE
            parts.append(
                Part(
                    name=f"{split}.{len(parts):05}",
                    source=_lines_from(pair.source, index),
                    target=_lines_from(pair.target, index),
                    first_line=first + 1,
                    num_pairs=min(step * STRIDE, pair.num_pairs - first),
                )
            )
    return parts


def _lines_from(file: IndexedFile, index: int) -> Lines:
    return Lines(str(file.name), str(file.path), file.starts[index])


def read_part(part: Part) -> Iterator[Pair]:
    """Pairs of raw lines of a part. Invalid UTF-8 is a UserError with file and line."""
    number = 0
    both = zip(_raw_lines(part.source, part.num_pairs), _raw_lines(part.target, part.num_pairs), strict=False)
    for number, (source, target) in enumerate(both, 1):
        line = part.first_line + number - 1
        yield decode_line(source, part.source.name, line), decode_line(target, part.target.name, line)
    if number != part.num_pairs:
        problem = f"{part.source.name} or {part.target.name} changed while it was being read"
        raise UserError(problem, hint="run nmt-prep again when the text is complete")


def _raw_lines(lines: Lines, count: int) -> Iterator[bytes]:
    with _readable(lines.name), open(lines.path, "rb") as stream:
        stream.seek(lines.start)
        yield from islice(stream, count)


@contextmanager
def _readable(name: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=name, hint="check the file") from None
