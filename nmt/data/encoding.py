"""Second pass over the text: tokenised lines to ids on disk. Training pairs that a rule forbids are dropped here.

Which pieces exist is known only when all training pairs are written, so ids are provisional at first (0 is UNK) and
are replaced in place once the vocabulary is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from bpe.progress import Progress
from nmt.config import PrepConfig
from nmt.data.corpus import ID_TYPE, OFFSET_TYPE, ids_file, offsets_file
from nmt.text import SIDES, SentencePieceSubwords, Side, TextPipeline

CHUNK_LINES = 10_000
REMAP_IDS = 4_000_000
RATIO_FROM = 10
"Pairs in which both sides are shorter than this are never dropped for their ratio."
CACHED_WORDS = 2_000_000


class EncodedLines(NamedTuple):
    """The pieces of some lines in a row, and how many each line has."""

    ids: np.ndarray
    "int32, provisional."
    lengths: np.ndarray
    "int64."

    def keep(self, kept: np.ndarray) -> EncodedLines:
        """The lines where kept, a boolean for each line, is True."""
        return EncodedLines(self.ids[np.repeat(kept, self.lengths)], self.lengths[kept])


class Encoder(Protocol):
    """Tokenised lines -> provisional ids."""

    pieces: list[str]
    "The piece of each provisional id so far; the first stands for UNK."

    def encode(self, lines: list[str], side: Side) -> EncodedLines:
        """Ids of tokenised lines."""


class BpeEncoder:
    """Looks words up; a word is segmented when it first occurs, and its pieces numbered as they appear."""

    def __init__(self, pipeline: TextPipeline) -> None:
        self.pieces: list[str] = [""]
        self._pipeline = pipeline
        self._numbers: dict[str, int] = {}
        source: dict[str, tuple[int, ...]] = {}
        same = pipeline.options.source_pieces is None and pipeline.options.target_pieces is None
        self._known: dict[Side, dict[str, tuple[int, ...]]] = {"source": source, "target": source if same else {}}

    def encode(self, lines: list[str], side: Side) -> EncodedLines:
        """Ids of tokenised lines."""
        known = self._known[side]
        ids: list[int] = []
        lengths = np.empty(len(lines), dtype=np.int64)
        for number, line in enumerate(lines):
            before = len(ids)
            for word in line.split():
                pieces = known.get(word)
                ids += pieces if pieces is not None else self._segment(word, side)
            lengths[number] = len(ids) - before
        return EncodedLines(np.array(ids, dtype=ID_TYPE), lengths)

    def _segment(self, word: str, side: Side) -> tuple[int, ...]:
        ids = []
        for piece in self._pipeline.pieces_of_words([word], side):
            number = self._numbers.get(piece)
            if number is None:
                number = self._numbers[piece] = len(self.pieces)
                self.pieces.append(piece)
            ids.append(number)
        if len(self._known[side]) < CACHED_WORDS:
            self._known[side][word] = tuple(ids)
        return tuple(ids)


class SentencePieceEncoder:
    """sentencepiece's own numbers, whose 0 is its unknown piece, serve as provisional ids."""

    def __init__(self, model: SentencePieceSubwords, num_threads: int) -> None:
        self._processor, self._num_threads = model.processor, num_threads
        size = self._processor.get_piece_size()
        self.pieces: list[str] = ["", *(self._processor.id_to_piece(number) for number in range(1, size))]

    def encode(self, lines: list[str], side: Side) -> EncodedLines:
        """Ids of lines."""
        encoded: list[list[int]] = self._processor.encode(lines, out_type=int, num_threads=self._num_threads)
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
        return EncodedLines(np.array([number for ids in encoded for number in ids], dtype=ID_TYPE), lengths)


def make_encoder(pipeline: TextPipeline, num_threads: int) -> Encoder:
    """The encoder of a text pipeline's subwords."""
    if isinstance(pipeline.subwords, bytes):
        return SentencePieceEncoder(SentencePieceSubwords(pipeline.subwords), num_threads)
    return BpeEncoder(pipeline)


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


class PairFilter:
    """Decides which training pairs stay, and counts why the others go: the first of the reasons that holds."""

    def __init__(self, prep: PrepConfig) -> None:
        self._prep = prep
        self._seen = SeenHashes() if prep.deduplicate else None
        self.reasons = {
            "empty": "a side is empty",
            "too_long": f"more than {prep.max_length:,} pieces on a side",
            "ratio": f"one side more than {prep.max_ratio:g} times the other",
        } | ({"duplicate": "seen before"} if prep.deduplicate else {})

    def kept(
        self, lengths: tuple[np.ndarray, np.ndarray], lines: Sequence[list[str]], dropped: Counter[str]
    ) -> np.ndarray:
        """[pairs] bool, from the lengths in pieces and the lines of both sides."""
        shorter, longer = np.minimum(*lengths), np.maximum(*lengths)
        ratio = (longer >= RATIO_FROM) & (longer > self._prep.max_ratio * shorter)
        kept = np.ones(len(shorter), dtype=bool)
        for reason, forbidden in (
            ("empty", shorter == 0),
            ("too_long", longer > self._prep.max_length),
            ("ratio", ratio),
        ):
            dropped[reason] += int((kept & forbidden).sum())
            kept &= ~forbidden
        if self._seen is not None:
            hashes = np.array([hash_pair(*pair) for pair in zip(*lines, strict=True)], dtype=np.uint64)
            new = self._seen.add(hashes[kept])
            dropped["duplicate"] += int((~new).sum())
            kept[np.flatnonzero(kept)[~new]] = False
        return kept


def hash_pair(source: str, target: str) -> int:
    """64 bits of a pair of tokenised lines, the same on every run."""
    return int.from_bytes(blake2b(f"{source}\n{target}".encode(), digest_size=8).digest(), "little")


class SeenHashes:
    """A set of 64-bit hashes in sorted arrays, each at least twice as long as the next: 8 bytes a hash."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []

    def add(self, hashes: np.ndarray) -> np.ndarray:
        """Add hashes; [len] bool, True for each that was not there, the first of equal ones."""
        distinct, first = np.unique(hashes, return_index=True)
        unknown = np.ones(len(distinct), dtype=bool)
        for array in self._arrays:
            place = np.minimum(np.searchsorted(array, distinct), len(array) - 1)
            unknown &= array[place] != distinct
        new = np.zeros(len(hashes), dtype=bool)
        new[first[unknown]] = True
        if unknown.any():
            self._insert(distinct[unknown])
        return new

    def _insert(self, array: np.ndarray) -> None:
        while self._arrays and len(self._arrays[-1]) < 2 * len(array):
            array = np.sort(np.concatenate([self._arrays.pop(), array]), kind="stable")
        self._arrays.append(array)


@dataclass(frozen=True)
class SplitFiles:
    """Where a split's tokenised lines lie, and the folder its ids go to."""

    name: str
    source: Path
    target: Path
    folder: Path
    num_pairs: int


def encode_split(
    split: SplitFiles, encoder: Encoder, pair_filter: PairFilter | None, progress: Progress
) -> SplitStatistics:
    """Write a split's ids and offsets; without a filter every pair stays, empty ones too."""
    statistics = SplitStatistics()
    names = [split.folder / name(split.name, side) for side in SIDES for name in (ids_file, offsets_file)]
    with open(names[0], "wb") as a, open(names[1], "wb") as b, open(names[2], "wb") as c, open(names[3], "wb") as d:
        files = {"source": SideFiles(a, b), "target": SideFiles(c, d)}
        for lines in _line_chunks(split.source, split.target):
            encoded = {side: encoder.encode(lines[number], side) for number, side in enumerate(SIDES)}
            statistics.pairs_read += len(lines[0])
            if pair_filter is not None:
                lengths = (encoded["source"].lengths, encoded["target"].lengths)
                kept = pair_filter.kept(lengths, lines, statistics.dropped)
                encoded = {side: encoded[side].keep(kept) for side in SIDES}
            statistics.pairs += len(encoded["source"].lengths)
            for side in SIDES:
                files[side].append(encoded[side])
                statistics.add(side, encoded[side])
            progress.advance(len(lines[0]))
    return statistics


def replace_ids(path: Path, table: np.ndarray) -> None:
    """Replace every id of a file by table[id], in place."""
    if path.stat().st_size == 0:
        return
    ids = np.memmap(path, dtype=ID_TYPE, mode="r+")
    for start in range(0, len(ids), REMAP_IDS):
        ids[start : start + REMAP_IDS] = table[ids[start : start + REMAP_IDS]]
    ids.flush()


def _line_chunks(source: Path, target: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Chunks of tokenised lines of our own scratch files."""
    with open(source, encoding="utf-8", newline="\n") as first, open(target, encoding="utf-8", newline="\n") as second:
        while chunk := [line.removesuffix("\n") for line in islice(first, CHUNK_LINES)]:
            yield chunk, [line.removesuffix("\n") for line in islice(second, len(chunk))]
