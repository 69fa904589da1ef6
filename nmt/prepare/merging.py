"""The encoded shards become one split: pieces numbered across shards, repeated pairs dropped, everything counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nmt.data.corpus import ID_TYPE, OFFSET_TYPE, ids_file, offsets_file
from nmt.prepare.encoding import EncodedLines, EncodedShard
from nmt.prepare.filtering import SeenHashes
from nmt.text.pipeline import SIDES, Side

REMAP_IDS = 1_000_000


class PieceNumbers:
    """Provisional ids of the pieces of all shards, in the order in which the shards bring them; 0 stands for UNK."""

    def __init__(self) -> None:
        self.pieces: list[str] = [""]
        self._numbers = {"": 0}

    def of(self, pieces: list[str]) -> np.ndarray:
        """Their ids, [pieces] int32."""
        numbers, known = self._numbers, self.pieces
        for piece in pieces:
            if piece not in numbers:
                numbers[piece] = len(known)
                known.append(piece)
        return np.fromiter(map(numbers.__getitem__, pieces), ID_TYPE, len(pieces))


@dataclass
class SplitStatistics:
    """What one split holds after it is written. Arrays are indexed by provisional id, or by length in pieces."""

    pairs_read: int = 0
    pairs: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    piece_counts: dict[Side, np.ndarray] = field(
        default_factory=lambda: {side: np.zeros(0, np.int64) for side in SIDES}
    )
    lengths: dict[Side, np.ndarray] = field(default_factory=lambda: {side: np.zeros(0, np.int64) for side in SIDES})

    def add(self, side: Side, lines: EncodedLines) -> None:
        """Count the pieces and lengths of lines that were kept."""
        self.piece_counts[side] = _add(self.piece_counts[side], np.bincount(lines.ids))
        self.lengths[side] = _add(self.lengths[side], np.bincount(lines.lengths))


def _add(total: np.ndarray, more: np.ndarray) -> np.ndarray:
    if len(more) > len(total):
        total, more = more.copy(), total
    total[: len(more)] += more
    return total


class SideFiles:
    """Writes the ids and offsets of one side of one split."""

    def __init__(self, ids: BinaryIO, offsets: BinaryIO) -> None:
        self._ids, self._offsets, self._end = ids, offsets, 0
        self._offsets.write(np.zeros(1, dtype=OFFSET_TYPE).tobytes())

    def append(self, lines: EncodedLines) -> None:
        """Append lines."""
        self._ids.write(lines.ids.astype(ID_TYPE, copy=False).tobytes())
        ends = self._end + np.cumsum(lines.lengths)
        self._offsets.write(ends.astype(OFFSET_TYPE).tobytes())
        self._end += int(lines.lengths.sum())


def merge_shards(
    split: str,
    folder: Path,
    shards: Iterable[tuple[EncodedShard, Counter[str]]],
    numbers: PieceNumbers,
    seen: SeenHashes | None,
) -> SplitStatistics:
    """Write a split's ids and offsets.

    shards: in the order of the text, each with how many pairs were dropped for which reason. seen: the pairs so far,
    where repeated ones are dropped.
    """
    statistics = SplitStatistics()
    with ExitStack() as stack:
        files = {side: stack.enter_context(_side_files(split, folder, side)) for side in SIDES}
        for shard, dropped in shards:
            sides = {"source": shard.source, "target": shard.target}
            for reason, count in dropped.items():  # not update(): reasons that never held are listed too
                statistics.dropped[reason] += count
            statistics.pairs_read += len(shard.source.lengths) + dropped.total()
            if seen is not None:
                new = seen.add(shard.hashes)
                sides = {side: lines.keep(new) for side, lines in sides.items()}
                statistics.dropped["duplicate"] += int((~new).sum())
            table = numbers.of(shard.pieces)
            for side in SIDES:
                lines = EncodedLines(table[sides[side].ids], sides[side].lengths)
                files[side].append(lines)
                statistics.add(side, lines)
            statistics.pairs += len(sides["source"].lengths)
    return statistics


@contextmanager
def _side_files(split: str, folder: Path, side: Side) -> Iterator[SideFiles]:
    with open(folder / ids_file(split, side), "wb") as ids, open(folder / offsets_file(split, side), "wb") as offsets:
        yield SideFiles(ids, offsets)


def replace_ids(path: Path, table: np.ndarray) -> None:
    """Replace every id of a file by table[id], in place."""
    with open(path, "r+b") as stream:  # not mapped: the pages would count as this process's memory
        while data := stream.read(REMAP_IDS * ID_TYPE.itemsize):
            replaced = table[np.frombuffer(data, dtype=ID_TYPE)]
            stream.seek(-len(data), os.SEEK_CUR)
            stream.write(replaced.astype(ID_TYPE, copy=False).tobytes())
