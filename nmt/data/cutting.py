"""Where pairs sorted by length are cut into batches: worked out from how many pairs there are of each pair of lengths.

Pairs of the same two lengths are alike here, so that the cuts of forty million pairs take as long as those of the few
thousand pairs of lengths among them, and neither the order within these nor the pairs themselves are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Budget:
    """The limits of a batch: padded tokens a side, </s> counted, and pairs; 0 is no limit.

    max_length: pieces a side; longer pairs are left out.
    """

    tokens: int
    sentences: int
    max_length: int

    def most_pairs(self, longest: int) -> int:
        """Pairs that a batch holds whose longest side is so long; one over the limit has a batch of its own."""
        by_tokens = self.tokens // longest if self.tokens else _NO_LIMIT
        return max(1, min(by_tokens, self.sentences or _NO_LIMIT))


_NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class LengthCode:
    """The two lengths of a pair as one number, above 0. Sorted by it, like lengths are neighbours.

    Pairs come by target length; within one target length sources go up and down in turn, so that neighbours stay alike
    at the borders. longest: the highest length, </s> counted.
    """

    longest: int

    @property
    def size(self) -> int:
        """All codes are below it."""
        return (self.longest + 1) ** 2

    @property
    def type(self) -> np.dtype:
        """The smallest that holds every code; two bytes are sorted several times faster than four."""
        return np.dtype(np.uint16 if self.size <= 1 << 16 else np.uint32 if self.size <= 1 << 32 else np.int64)

    def encode(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Lengths, </s> counted -> codes, int64."""
        return target * (self.longest + 1) + np.where(target % 2 == 0, source, self.longest - source)

    def decode(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes -> source and target lengths, int64."""
        target, rest = np.divmod(codes.astype(np.int64), self.longest + 1)
        return np.where(target % 2 == 0, rest, self.longest - rest), target


@dataclass(frozen=True)
class Cut:
    """N batches of pairs that lie sorted by length."""

    ends: np.ndarray
    "[N + 1] int64: batch i holds the sorted pairs from ends[i] to before ends[i + 1]."
    source: np.ndarray
    "[N] int64: the longest source of each batch, </s> counted."
    target: np.ndarray
    "[N] int64: the longest target of each."
    tokens: int
    "Of all pairs, both sides, </s> counted; the rest of the batches is padding."

    def __len__(self) -> int:
        return len(self.source)

    @property
    def positions(self) -> int:
        """Source and target positions of all batches, padding counted."""
        return int((np.diff(self.ends) * (self.source + self.target)).sum())

    @property
    def areas(self) -> np.ndarray:
        """[N] int64: source times target positions of each batch, which memory goes by."""
        areas: np.ndarray = np.diff(self.ends) * self.source * self.target
        return areas


def cut_to_budget(source: np.ndarray, target: np.ndarray, counts: np.ndarray, budget: Budget) -> Cut:
    """source, target, counts: [K] the lengths of pairs, in sorted order, and how many pairs there are of each."""
    starts = _starts(np.maximum(source, target), counts, budget)
    class_ends = np.cumsum(counts)
    ends = np.append(starts, counts.sum())
    # A batch spans the classes from `first` to `last`; the reduction goes up to the one after it, so there is a spare.
    first = np.searchsorted(class_ends, ends[:-1], side="right")
    last = np.searchsorted(class_ends, ends[1:] - 1, side="right")
    spans = np.stack([first, last + 1], axis=1).ravel()
    longest = [
        np.maximum.reduceat(np.append(lengths, 0), spans)[::2] if len(spans) else lengths
        for lengths in (source, target)
    ]
    return Cut(ends, longest[0], longest[1], int((counts * (source + target)).sum()))


def _starts(lengths: np.ndarray, counts: np.ndarray, budget: Budget) -> np.ndarray:
    """Where batches begin: each takes pairs as long as they fit, a class of equal lengths at a time."""
    found: list[np.ndarray] = []
    begun, held, longest = 0, 0, 0  # of the batch that is open: its first pair, its pairs, its longest side
    for length, count in zip(lengths.tolist(), counts.tolist(), strict=True):
        joining = min(count, max(0, budget.most_pairs(max(longest, length)) - held)) if held else 0
        if joining:
            held, longest = held + joining, max(longest, length)
        if joining == count:
            continue
        begun, left = begun + held, count - joining
        most = budget.most_pairs(length)
        found.append(np.arange(begun, begun + left, most))
        begun = int(found[-1][-1])
        held, longest = left - (len(found[-1]) - 1) * most, length
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
