"""The pairs a lexicon is learned from: all of a small corpus, of a large one those that show its rare pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nmt.data.corpus import ID_TYPE, OFFSET_TYPE, ParallelIds

BLOCK_PIECES = 2**22
"Pieces, or pairs of pieces, held in memory as 64-bit numbers at a time."


def blocks(sizes: np.ndarray) -> Iterator[slice]:
    """Slices of neighbours whose sizes add up to about BLOCK_PIECES, or to more where a single one does."""
    number = np.cumsum(sizes) // BLOCK_PIECES
    bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(sizes)]
    return (slice(first, last) for first, last in itertools.pairwise(bounds) if first < last)


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """lengths[0] numbers from starts[0] on, then lengths[1] numbers from starts[1] on, and so forth, int64."""
    ends = np.cumsum(lengths)
    found: np.ndarray = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    return found


def count_pieces(ids: np.ndarray, num_rows: int) -> np.ndarray:
    """How often each union id occurs, [num_rows] int64."""
    counts = np.zeros(num_rows, dtype=np.int64)
    for start in range(0, len(ids), BLOCK_PIECES):
        counts += np.bincount(ids[start : start + BLOCK_PIECES], minlength=num_rows)
    return counts


@dataclass(frozen=True)
class PieceCounts:
    """How often each union id occurs on either side, both [num_rows] int64."""

    source: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, pairs: ParallelIds, num_rows: int) -> PieceCounts:
        """Counts of all pairs."""
        return cls(count_pieces(pairs.source_ids, num_rows), count_pieces(pairs.target_ids, num_rows))


def draw(pairs: ParallelIds, counts: PieceCounts, max_pairs: int, seed: int) -> np.ndarray:
    """Line numbers of about `max_pairs` pairs, rising; of all, where there are no more.

    The chance of a pair is min(1, c / count of its rarest piece), with the c that makes their sum max_pairs: a piece
    that occurs up to c times is seen in all its sentences, and frequent ones are seen often enough beside them.
    """
    if len(pairs) <= max_pairs:
        return np.arange(len(pairs))
    rarest = np.minimum(
        rarest_counts(pairs.source_ids, pairs.source_offsets, counts.source),
        rarest_counts(pairs.target_ids, pairs.target_offsets, counts.target),
    )
    values, lines = np.unique(rarest, return_counts=True)
    low, high = 0.0, float(values[-1])
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if (lines * np.minimum(1, middle / values)).sum() > max_pairs else (middle, high)
    chance = np.random.default_rng(seed).random(len(pairs), dtype=np.float32)
    return np.flatnonzero(chance * rarest < low)


def rarest_counts(ids: np.ndarray, offsets: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The smallest count of each line's pieces, [lines] int64; an empty line has the largest count there is."""
    smallest = np.full(len(offsets) - 1, counts.max(initial=1))
    for block in blocks(np.diff(offsets)):
        starts, ends = offsets[block], offsets[block.start + 1 : block.stop + 1]
        there = starts < ends
        if there.any():
            found = counts[ids[starts[0] : ends[-1]]]
            smallest[block][there] = np.minimum.reduceat(found, starts[there] - starts[0])
    return smallest


def distinct_pieces(pairs: ParallelIds, lines: np.ndarray, rows: np.ndarray) -> ParallelIds:
    """The given lines in memory, every piece of a line once, rising.

    rows: of each union id, whether it is kept on the target side, [V] bool.
    """
    source = _distinct(pairs.source_ids, pairs.source_offsets, lines, np.ones_like(rows))
    return ParallelIds(*source, *_distinct(pairs.target_ids, pairs.target_offsets, lines, rows))


def _distinct(ids: np.ndarray, offsets: np.ndarray, lines: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    starts = offsets[lines]
    lengths = offsets[lines + 1] - starts
    found, counts = [np.empty(0, ID_TYPE)], [np.zeros(1, OFFSET_TYPE)]
    for block in blocks(lengths):
        size = block.stop - block.start
        pieces = ids[ranges(starts[block], lengths[block])]
        keys = np.repeat(np.arange(size) * len(rows), lengths[block]) + pieces
        keys = np.sort(keys[rows[pieces]])
        keys = keys[np.diff(keys, prepend=-1) > 0]  # what numpy.unique does, without its slow hash table
        found.append((keys % len(rows)).astype(ID_TYPE))
        counts.append(np.bincount(keys // len(rows), minlength=size))
    return np.concatenate(found), np.cumsum(np.concatenate(counts))
