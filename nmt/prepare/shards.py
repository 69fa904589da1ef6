"""The text in shards: runs of pairs that tasks work on, here or on other machines.

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
from nmt.prepare.bitext import Pair, read_bitext
from nmt.prepare.files import PairOfFiles
from nmt.prepare.pairs import unequal

STRIDE = 2_000
"Pairs in the smallest shard; shards begin at multiples of it."
LARGEST_PART = 10_000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PARTS_PER_WORKER = 8
"Enough that no worker waits long for the last shard."


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
class LinesOfFile:
    """Where one side of a shard lies."""

    name: str
    "The file as the user calls it."
    path: str
    start: int
    "Its first byte in the file."


@dataclass(frozen=True)
class Shard:
    """A run of pairs of two files."""

    name: str
    "Distinct among the shards of a run, as train.00012."
    source: LinesOfFile
    target: LinesOfFile
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


def cut(split: str, pairs: Sequence[IndexedPair], num_workers: int) -> list[Shard]:
    """The shards of a split in the order of its text, of a size that keeps so many workers busy."""
    total = sum(pair.num_pairs for pair in pairs)
    step = min(total // (num_workers * PARTS_PER_WORKER * STRIDE), LARGEST_PART // STRIDE) or 1
    shards: list[Shard] = []
    for pair in pairs:
        for index in range(0, len(pair.source.starts), step):
            first = index * STRIDE
            shards.append(
                Shard(
                    name=f"{split}.{len(shards):05}",
                    source=_lines_from(pair.source, index),
                    target=_lines_from(pair.target, index),
                    first_line=first + 1,
                    num_pairs=min(step * STRIDE, pair.num_pairs - first),
                )
            )
    return shards


def _lines_from(file: IndexedFile, index: int) -> LinesOfFile:
    return LinesOfFile(str(file.name), str(file.path), file.starts[index])


def read_shard(shard: Shard) -> Iterator[Pair]:
    """Pairs of raw lines of a shard. Invalid UTF-8 is a UserError with file and line."""
    number = 0
    both = zip(_raw_lines(shard.source, shard.num_pairs), _raw_lines(shard.target, shard.num_pairs), strict=False)
    for number, (source, target) in enumerate(both, 1):
        line = shard.first_line + number - 1
        yield decode_line(source, shard.source.name, line), decode_line(target, shard.target.name, line)
    if number != shard.num_pairs:
        problem = f"{shard.source.name} or {shard.target.name} changed while it was being read"
        raise UserError(problem, hint="run nmt-prep again when the text is complete")


def _raw_lines(lines: LinesOfFile, count: int) -> Iterator[bytes]:
    with _readable(lines.name), open(lines.path, "rb") as stream:
        stream.seek(lines.start)
        yield from islice(stream, count)


@contextmanager
def _readable(name: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=name, hint="check the file") from None
