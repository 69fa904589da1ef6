"""The order of an epoch: pairs sorted by length with random ties, cut to the budget, the batches shuffled.

An epoch of more pairs than a block holds is first drawn into blocks at random; each is sorted and shuffled when it is
reached. In memory are the lengths, two bytes a pair (more above a limit of 254 pieces), and the order of one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np

from nmt.data.corpus import ParallelIds
from nmt.data.cutting import Budget, LengthCode, cut_to_budget

BLOCK_PAIRS = 1 << 22
"Pairs that are sorted and cut together, at most but for chance."
CHUNK_PAIRS = 1 << 20
"Pairs whose lengths are looked at together."
LONGEST = 1 << 24
"Longer lines are left out, whatever the limit."


class PairLengths:
    """The lengths of a corpus's pairs, those without an empty side and within a limit; line starts are read once."""

    def __init__(self, pairs: ParallelIds, max_length: int) -> None:
        """max_length: pieces a side."""
        self.code = LengthCode(min(max_length, LONGEST) + 1)
        self._codes = np.zeros(len(pairs), dtype=self.code.type)
        for start, codes in zip(range(0, len(pairs), CHUNK_PAIRS), self.chunks(), strict=True):
            there = slice(start, start + CHUNK_PAIRS + 1)
            source, target = np.diff(pairs.source_offsets[there]), np.diff(pairs.target_offsets[there])
            usable = (np.minimum(source, target) > 0) & (np.maximum(source, target) < self.code.longest)
            codes[usable] = self.code.encode(source[usable] + 1, target[usable] + 1)
        self.num_pairs = int(np.count_nonzero(self._codes))
        "Pairs that take part."

    def chunks(self) -> Iterator[np.ndarray]:
        """The codes of all pairs' lengths in chunks, 0 for pairs that take no part."""
        for start in range(0, len(self._codes), CHUNK_PAIRS):
            yield self._codes[start : start + CHUNK_PAIRS]

    def of(self, rows: np.ndarray | slice) -> np.ndarray:
        """The codes of the lengths of the pairs with these numbers."""
        codes: np.ndarray = self._codes[rows]
        return codes

    def rows(self) -> np.ndarray:
        """[num_pairs] the numbers of the pairs that take part."""
        return numbers_of(codes > 0 for codes in self.chunks())

    def longest(self, count: int) -> np.ndarray:
        """The numbers of the pairs with the longest sides, the longest last."""
        rows, sides = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        for number, codes in enumerate(self.chunks()):
            inside = np.flatnonzero(codes)
            rows = np.append(rows, inside + number * CHUNK_PAIRS)
            sides = np.append(sides, np.maximum(*self.code.decode(codes[inside])))
            best = np.argsort(sides, kind="stable")[-count:]
            rows, sides = rows[best], sides[best]
        return rows


@dataclass(frozen=True)
class _Block:
    """The batches of one block. rows: its pairs' numbers, sorted by length. order: its cuts, shuffled."""

    number: int
    rows: np.ndarray
    order: np.ndarray


class Batches(Sequence[np.ndarray]):
    """The batches of one epoch, each an array of pair numbers; a block is sorted and shuffled when it is reached."""

    def __init__(self, lengths: PairLengths, budget: Budget, draws: tuple[int, ...]) -> None:
        """draws: the numbers that random draws are a function of."""
        self._lengths, self._draws = lengths, draws
        self._num_blocks = max(1, -(-lengths.num_pairs // BLOCK_PAIRS))
        self._cuts = [cut_to_budget(*lengths.code.decode(codes), counts, budget) for codes, counts in self._classes()]
        self._ends = np.cumsum([len(cut) for cut in self._cuts])
        self._block: _Block | None = None

    def __len__(self) -> int:
        return int(self._ends[-1])

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        places = range(len(self))[index]
        return self._batch(places) if isinstance(places, int) else [self._batch(place) for place in places]

    def largest(self) -> np.ndarray:
        """The batch with the most source x target positions, the first of equal ones."""
        number = int(np.argmax([cut.areas.max(initial=0) for cut in self._cuts]))
        block, areas = self._planned(number), self._cuts[number].areas
        return self._slice(block, int(np.argmax(areas[block.order])))

    def padding(self) -> float:
        """Share of target and source positions that are padding."""
        positions = sum(cut.positions for cut in self._cuts)
        return 1 - sum(cut.tokens for cut in self._cuts) / positions if positions else 0.0

    def _batch(self, place: int) -> np.ndarray:
        number = int(np.searchsorted(self._ends, place, side="right"))
        before = int(self._ends[number - 1]) if number else 0
        return self._slice(self._planned(number), place - before)

    def _slice(self, block: _Block, place: int) -> np.ndarray:
        ends, at = self._cuts[block.number].ends, block.order[place]
        return block.rows[ends[at] : ends[at + 1]]

    def _planned(self, number: int) -> _Block:
        """The block of that number, kept until another is asked for."""
        if self._block is None or self._block.number != number:
            self._block = None  # its memory first
            rows = self._rows(number)
            # numpy takes a 0 at the end for nothing, and these are the draws that make blocks.
            random = _generator(*self._draws, *([number + 1] if self._num_blocks > 1 else []))
            order = np.arange(len(rows), dtype=rows.dtype)
            random.shuffle(order)
            order = order[np.argsort(self._lengths.of(rows[order]), kind="stable")]
            self._block = _Block(number, rows[order], random.permutation(len(self._cuts[number])))
        return self._block

    def _drawn(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Chunk by chunk: the number of the block that each pair is drawn into, and the code of its lengths."""
        random = _generator(*self._draws)
        for codes in self._lengths.chunks():
            yield random.integers(self._num_blocks, size=len(codes)), codes

    def _rows(self, block: int) -> np.ndarray:
        """The numbers of a block's pairs, in the order in which they lie on disk."""
        return numbers_of((blocks == block) & (codes > 0) for blocks, codes in self._drawn())

    def _classes(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each block the codes of its pairs' lengths, sorted, and how many pairs have each."""
        size = self._lengths.code.size
        found = [
            np.unique((blocks * size + codes)[codes > 0], return_counts=True) for blocks, codes in self._drawn()
        ] or [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))]
        codes, places = np.unique(np.concatenate([codes for codes, _ in found]), return_inverse=True)
        counts = np.zeros(len(codes), dtype=np.int64)
        np.add.at(counts, places, np.concatenate([counts for _, counts in found]))
        bounds = np.searchsorted(codes, size * np.arange(self._num_blocks + 1))
        for start, end in pairwise(bounds.tolist()):
            yield codes[start:end] % size, counts[start:end]


def _generator(*draws: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(draws))


def numbers_of(chosen: Iterable[np.ndarray]) -> np.ndarray:
    """[pairs] bool in chunks -> the numbers of the true ones, int32 as long as that holds them."""
    found: list[np.ndarray] = [np.empty(0, dtype=np.int32)]
    start = 0
    for chunk in chosen:
        start += len(chunk)
        numbers = np.flatnonzero(chunk) + (start - len(chunk))
        found.append(numbers.astype(np.int32) if start <= 1 << 31 else numbers)
    return np.concatenate(found)
