"""Second pass over the text: the tokenised lines of a shard to ids, without the training pairs that a rule forbids.

Which pieces exist is known only when all training pairs are encoded, so a shard numbers its pieces itself (0 is UNK),
and says which they are.
"""

from __future__ import annotations

import threading
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from bpe.errors import UserError
from nmt.data.corpus import ID_TYPE, OFFSET_TYPE
from nmt.prepare.filtering import PairRules, hash_pair
from nmt.prepare.tokenizing import marks_file, tokenized_file
from nmt.scratch import written_whole
from nmt.text.pipeline import SIDES, SentencePieceSubwords, Side, TextPipeline
from nmt.text.placeholders import Numbering

CHUNK_LINES = 2_000
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


class LineEncoder(Protocol):
    """Tokenised lines -> provisional ids."""

    pieces: list[str]
    "The piece of each provisional id so far; the first stands for UNK."

    def encode(self, lines: list[str], side: Side) -> EncodedLines:
        """Ids of tokenised lines."""


class BpeEncoder:
    """Looks words up; a word is cut when it first occurs, its pieces numbered as they appear. Threads may share it."""

    def __init__(self, pipeline: TextPipeline) -> None:
        self.pieces: list[str] = [""]
        self._pipeline = pipeline
        self._numbers: dict[str, int] = {}
        self._numbering = threading.Lock()
        source: dict[str, tuple[int, ...]] = {}
        same = pipeline.options.source_pieces is None and pipeline.options.target_pieces is None
        self._known: dict[Side, dict[str, tuple[int, ...]]] = {"source": source, "target": source if same else {}}

    def encode(self, lines: list[str], side: Side) -> EncodedLines:
        """Ids of tokenised lines."""
        known = self._known[side]
        ids: list[int] = []
        lengths = np.empty(len(lines), dtype=OFFSET_TYPE)
        for number, line in enumerate(lines):
            before = len(ids)
            for word in line.split():
                pieces = known.get(word)
                ids += pieces if pieces is not None else self._segment(word, side)
            lengths[number] = len(ids) - before
        return EncodedLines(np.array(ids, dtype=ID_TYPE), lengths)

    def _segment(self, word: str, side: Side) -> tuple[int, ...]:
        pieces = self._pipeline.pieces_of_words([word], side)
        with self._numbering:
            for piece in pieces:
                if piece not in self._numbers:
                    self._numbers[piece] = len(self.pieces)
                    self.pieces.append(piece)
            ids = tuple(map(self._numbers.__getitem__, pieces))
        if len(self._known[side]) < CACHED_WORDS:
            self._known[side][word] = ids
        return ids


class SentencePieceEncoder:
    """sentencepiece's own numbers, whose 0 is its unknown piece, serve as provisional ids."""

    def __init__(self, models: Mapping[Side, SentencePieceSubwords], numbering: Numbering | None) -> None:
        self._numbering = numbering
        self._processor = models["source"].processor
        size = self._processor.get_piece_size()
        self.pieces: list[str] = ["", *(self._processor.id_to_piece(number) for number in range(1, size))]
        self._spelt = {side: self._others(model) for side, model in models.items()}

    def _others(self, model: SentencePieceSubwords) -> dict[int, list[int]]:
        """The pieces that are not there, and how they are spelt."""
        spelt = ((number, model.known([piece])) for number, piece in enumerate(self.pieces) if number)
        return {
            number: self._processor.piece_to_id(pieces) for number, pieces in spelt if pieces != [self.pieces[number]]
        }

    def encode(self, lines: list[str], side: Side) -> EncodedLines:
        """Ids of lines."""
        if self._numbering is not None:
            lines = list(map(self._numbering.known, lines))
        encoded: list[list[int]] = self._processor.encode(lines, out_type=int, num_threads=1)
        if spelt := self._spelt[side]:
            encoded = [[own for number in ids for own in spelt.get(number, (number,))] for ids in encoded]
        lengths = np.array([len(ids) for ids in encoded], dtype=OFFSET_TYPE)
        return EncodedLines(np.array([number for ids in encoded for number in ids], dtype=ID_TYPE), lengths)


def make_encoder(pipeline: TextPipeline) -> LineEncoder:
    """The encoder of a text pipeline's subwords."""
    if isinstance(pipeline.subwords, bytes):
        return SentencePieceEncoder({side: pipeline.sentencepiece(side) for side in SIDES}, pipeline.numbering)
    return BpeEncoder(pipeline)


@dataclass(frozen=True)
class EncodeTask:
    """A shard to encode."""

    name: str
    num_pairs: int
    folder: Path
    "Where its tokenised lines lie and its ids go."
    pipeline: Path
    "Folder of the text pipeline."
    fingerprint: str
    "Of the pipeline's files: a worker that outlives the run must not take another's for this one."
    rules: PairRules | None
    "None: every pair stays, empty ones too."
    shifted: tuple[tuple[int, int], ...] = ()
    "Stretches of its pairs, from 0, that are dropped since the sides are shifted there: first and one past the last."


@dataclass(frozen=True)
class EncodedShard:
    """The pairs of a shard that the rules leave."""

    source: EncodedLines
    target: EncodedLines
    pieces: list[str]
    "The piece of each id; the first stands for UNK."
    hashes: np.ndarray
    "[pairs] uint64, of the tokenised lines; empty without deduplication."

    def save(self, path: Path) -> None:
        """Write it whole."""
        with written_whole(path) as stream:
            np.savez(
                stream,
                source_ids=self.source.ids,
                source_lengths=self.source.lengths,
                target_ids=self.target.ids,
                target_lengths=self.target.lengths,
                pieces=np.frombuffer("\n".join(self.pieces).encode("utf-8"), dtype=np.uint8),
                hashes=self.hashes,
            )

    @classmethod
    def load(cls, path: Path) -> EncodedShard:
        """Read what `save` wrote, perhaps on another machine."""
        try:
            with np.load(path) as arrays:
                source = EncodedLines(arrays["source_ids"], arrays["source_lengths"])
                target = EncodedLines(arrays["target_ids"], arrays["target_lengths"])
                return cls(source, target, arrays["pieces"].tobytes().decode("utf-8").split("\n"), arrays["hashes"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"what a worker wrote cannot be read back ({error})", where=path) from None


def encoded_file(folder: Path, shard: str) -> Path:
    """The file of an encoded shard."""
    return folder / f"{shard}.npz"


def encode_shard(task: EncodeTask) -> Counter[str]:
    """Write a shard's ids; returns how many pairs were dropped for each reason."""
    encoder = _encoder(task.pipeline, task.fingerprint)
    dropped: Counter[str] = Counter()
    kept: list[tuple[EncodedLines, EncodedLines]] = []
    hashes: list[int] = []
    marks, first = _marks(task), 0
    for source_lines, target_lines in _line_chunks(task.folder, task.name):
        source, target = encoder.encode(source_lines, "source"), encoder.encode(target_lines, "target")
        if task.rules is not None:
            here = None if marks is None else marks[first : first + len(source_lines)]
            first += len(source_lines)
            rows = task.rules.kept(source.lengths, target.lengths, dropped, here)
            source, target = source.keep(rows), target.keep(rows)
            if task.rules.deduplicate:
                hashes += [hash_pair(source_lines[row], target_lines[row]) for row in np.flatnonzero(rows)]
        kept.append((source, target))
    source, target = _joined([source for source, _ in kept]), _joined([target for _, target in kept])
    shard = _numbered(source, target, encoder.pieces, np.array(hashes, dtype=np.uint64))
    shard.save(encoded_file(task.folder, task.name))
    return dropped


def _marks(task: EncodeTask) -> np.ndarray | None:
    """Why pairs are dropped, [pairs] uint8, as `PairRules.kept` has it; None where the first pass has dropped none."""
    if task.rules is None or not task.rules.found:
        return None
    file = marks_file(task.folder, task.name)
    marks = np.fromfile(file, np.uint8) if file.exists() else np.zeros(task.num_pairs, np.uint8)
    for start, stop in task.shifted:
        stretch = marks[start:stop]
        stretch[stretch == 0] = [*task.rules.found].index("shifted") + 1
    return marks


def _joined(chunks: list[EncodedLines]) -> EncodedLines:
    return EncodedLines(
        np.concatenate([chunk.ids for chunk in chunks]), np.concatenate([chunk.lengths for chunk in chunks])
    )


def _numbered(source: EncodedLines, target: EncodedLines, pieces: list[str], hashes: np.ndarray) -> EncodedShard:
    """The shard with its pieces in order of their letters, whatever else the encoder has met."""
    used = np.flatnonzero(np.bincount(np.concatenate([source.ids, target.ids]))).tolist()
    own = sorted({0, *used}, key=pieces.__getitem__)
    table = np.zeros(max(own) + 1, dtype=ID_TYPE)
    table[own] = np.arange(len(own))
    return EncodedShard(
        source=EncodedLines(table[source.ids], source.lengths),
        target=EncodedLines(table[target.ids], target.lengths),
        pieces=[pieces[number] for number in own],
        hashes=hashes,
    )


@lru_cache(maxsize=1)
def _encoder(folder: Path, fingerprint: str) -> LineEncoder:
    """Made once in each process that works on shards."""
    return make_encoder(TextPipeline.load(folder))


def forget_encoder() -> None:
    """Give back the memory of the words that this process has encoded itself."""
    _encoder.cache_clear()


def _line_chunks(folder: Path, shard: str) -> Iterator[tuple[list[str], list[str]]]:
    """Chunks of the tokenised lines of a shard."""
    source, target = (tokenized_file(folder, shard, side) for side in SIDES)
    with open(source, encoding="utf-8", newline="\n") as first, open(target, encoding="utf-8", newline="\n") as second:
        while chunk := [line.removesuffix("\n") for line in islice(first, CHUNK_LINES)]:
            yield chunk, [line.removesuffix("\n") for line in islice(second, len(chunk))]
