"""Pairs of other prepared folders mixed into the epochs of the training data.

WEIGHT pairs of a folder come for every pair of the training data: an epoch of N pairs has round(WEIGHT x N) more. They
are taken from endless permutations of the folder's pairs, one after the other, so that each comes once before any comes
again; a permutation is a function of the seed and its number, and an epoch of the seed and the epoch. All pairs of an
epoch are sorted, cut into batches and shuffled together.

The pairs of all folders have one numbering: the training data first, then each folder's, once for every permutation
that an epoch may touch. Ids of a folder whose vocabulary has grown since are turned into those of the training data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bpe.errors import UserError
from nmt.data.batching import Batch, BatchMaker, Budget, EpochPlan
from nmt.data.corpus import ID_TYPE, OFFSET_TYPE, ParallelIds, PreparedCorpus, read_manifest
from nmt.data.cutting import LengthCode
from nmt.data.order import Batches, PairLengths
from nmt.text.fitting import misfit
from nmt.text.vocabulary import NUM_SPECIALS, SourceView, TargetView, Vocabulary

KEY = "training.mix"
DRAWS = 0x6D6978
"Sets these random draws apart from those of batches."


@dataclass(frozen=True)
class Share:
    """A folder to mix in. weight: its pairs for every pair of the training data."""

    folder: Path
    weight: float

    @classmethod
    def parse(cls, text: str) -> Share:
        """FOLDER=WEIGHT, or a UserError."""
        folder, equals, number = text.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not equals or not folder or not (0 < weight < math.inf):
            hint = "for example --mix prepared-before=0.5: one old pair for two new ones"
            raise UserError(f"{text!r} is not FOLDER=WEIGHT with a weight above 0", where=KEY, hint=hint)
        return cls(Path(folder), weight)


class MixedFolder:
    """The training pairs of one folder, in the union ids of the training data."""

    def __init__(self, share: Share, corpus: PreparedCorpus) -> None:
        """corpus: the training data; a folder whose text does not fit it is a UserError."""
        self.share, other = share, PreparedCorpus.open(share.folder)
        if problem := misfit(corpus.text, corpus.vocabulary, other.text, other.vocabulary):
            hint = "prepare both with nmt-prep --like the same model"
            raise UserError(f"{corpus.folder} cannot take its text in: {problem}", where=share.folder, hint=hint)
        self.fingerprint, self.pairs = other.fingerprint, other.split("train")
        same = corpus.vocabulary.fingerprint == other.vocabulary.fingerprint
        self._ids = None if same else ids_in(corpus.vocabulary, other.vocabulary)

    def own_ids(self, ids: np.ndarray) -> np.ndarray:
        """Ids of the folder -> ids of the training data."""
        return ids if self._ids is None else self._ids[ids]


def ids_in(vocabulary: Vocabulary, other: Vocabulary) -> np.ndarray:
    """[other.size] int32: the union id in a vocabulary of each row of another, all of whose pieces it has."""
    rows = vocabulary.encode(other.pieces[NUM_SPECIALS:])
    return np.array([*range(NUM_SPECIALS), *rows], dtype=ID_TYPE)


def describe_mix(texts: Sequence[str]) -> list[dict[str, Any]]:
    """For a manifest: which data is mixed in, and how much of it. texts: FOLDER=WEIGHT each."""
    shares = map(Share.parse, texts)
    return [
        {"folder": share.folder.name, "weight": share.weight, "fingerprint": read_manifest(share.folder)["fingerprint"]}
        for share in shares
    ]


class JoinedPairs:
    """The training data's pairs and, behind them, those of other folders, each so many times as it has copies."""

    def __init__(self, own: ParallelIds, folders: Sequence[MixedFolder], copies: Sequence[int]) -> None:
        self._own, self._folders = own, folders
        sizes = [len(folder.pairs) * number for folder, number in zip(folders, copies, strict=True)]
        self.starts = np.cumsum([len(own), *sizes])
        "Where each folder's pairs begin, and where the last one's end."

    def __len__(self) -> int:
        return int(self.starts[-1])

    def source(self, row: int) -> np.ndarray:
        """Union ids of a source line, [pieces] int32, without </s>."""
        folder, place = self._place(row)
        return self._own.source(place) if folder is None else folder.own_ids(folder.pairs.source(place))

    def target(self, row: int) -> np.ndarray:
        """Union ids of a target line, [pieces] int32, without </s>."""
        folder, place = self._place(row)
        return self._own.target(place) if folder is None else folder.own_ids(folder.pairs.target(place))

    def take(self, rows: Sequence[int]) -> ParallelIds:
        """Some pairs, in that order, held in memory."""
        source, target = ([line(row) for row in rows] for line in (self.source, self.target))
        return ParallelIds(*_flat(source), *_flat(target))

    def _place(self, row: int) -> tuple[MixedFolder | None, int]:
        number = int(np.searchsorted(self.starts, row, side="right"))
        if number == 0:
            return None, row
        folder = self._folders[number - 1]
        return folder, (row - int(self.starts[number - 1])) % len(folder.pairs)


def _flat(lines: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lines in a row, and where each begins."""
    offsets = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(OFFSET_TYPE)
    return np.concatenate([*lines, np.empty(0, ID_TYPE)]).astype(ID_TYPE), offsets


class MixedMaker:
    """Makes batches of joined pairs for one tying mode's views of the vocabulary."""

    def __init__(self, pairs: JoinedPairs, source_view: SourceView, target_view: TargetView) -> None:
        self.pairs, self.views = pairs, (source_view, target_view)

    def make(self, rows: Sequence[int] | np.ndarray) -> Batch:
        """The batch of the given pair numbers, in that order."""
        numbers = np.asarray(rows, dtype=np.int64).tolist()
        maker = BatchMaker(self.pairs.take(numbers), *self.views)
        return replace(maker.make(range(len(numbers))), pairs=tuple(numbers))


class ChosenLengths(PairLengths):
    """The lengths of pairs some of which are chosen. codes: of every pair, 0 for those that take no part."""

    def __init__(self, code: LengthCode, codes: np.ndarray) -> None:
        self.code, self._codes = code, codes
        self.num_pairs = int(np.count_nonzero(codes))


class MixedPlan(EpochPlan):
    """Which pairs of the training data and of other folders go into which batch, epoch by epoch."""

    def __init__(self, own: ParallelIds, folders: Sequence[MixedFolder], budget: Budget, seed: int) -> None:
        super().__init__(own, budget, seed)
        self._codes = [PairLengths(folder.pairs, budget.max_length).of(slice(None)) for folder in folders]
        self._usable = [np.flatnonzero(codes) for codes in self._codes]
        for folder, rows in zip(folders, self._usable, strict=True):
            if not len(rows):
                problem = f"no pair has at most {budget.max_length} pieces on both sides"
                raise UserError(problem, where=folder.share.folder, hint="raise training.max_length")
        self.taken = [max(1, round(folder.share.weight * self.num_pairs)) for folder in folders]
        "Pairs of each folder in an epoch."
        self.copies = [(count - 1) // len(rows) + 2 for count, rows in zip(self.taken, self._usable, strict=True)]
        self.pairs = JoinedPairs(own, folders, self.copies)

    def lengths_in(self, epoch: int) -> PairLengths:
        """Of the pairs of an epoch, by the joined numbering."""
        codes = [self.lengths.of(slice(None))]
        for number, own in enumerate(self._codes):
            chosen = np.zeros((self.copies[number], len(own)), dtype=own.dtype)
            for copy, rows in enumerate(self._drawn(number, epoch)):
                chosen[copy, rows] = own[rows]
            codes.append(chosen.ravel())
        return ChosenLengths(self.lengths.code, np.concatenate(codes))

    @property
    def every(self) -> PairLengths:
        """Of all pairs, each once, by the joined numbering."""
        codes = [self.lengths.of(slice(None))]
        for own, copies in zip(self._codes, self.copies, strict=True):
            codes += [own, np.zeros((copies - 1) * len(own), dtype=own.dtype)]
        return ChosenLengths(self.lengths.code, np.concatenate(codes))

    def largest(self) -> np.ndarray:
        """The batch that needs the most memory if all pairs came together."""
        return Batches(self.every, self.budget, (self.seed, 0)).largest()

    def _drawn(self, number: int, epoch: int) -> list[np.ndarray]:
        """The pairs of a folder in an epoch, one array for each permutation that it touches."""
        rows, count = self._usable[number], self.taken[number]
        start, end, found = epoch * count, (epoch + 1) * count, []
        for turn in range(start // len(rows), (end - 1) // len(rows) + 1):
            random = np.random.Generator(np.random.PCG64((self.seed, DRAWS, number + 1, turn + 1)))
            first = turn * len(rows)
            found.append(rows[random.permutation(len(rows))[max(0, start - first) : end - first]])
        return found
