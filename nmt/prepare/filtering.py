"""Which training pairs stay: rules that look at one pair, and the memory of pairs seen before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from bpe.errors import UserError

RATIO_FROM = 10
"Pairs in which both sides are shorter than this are never dropped for their ratio."


@dataclass(frozen=True)
class PairRules:
    """The limits of `prep`."""

    max_length: int
    max_ratio: float
    deduplicate: bool
    min_length: int = 1
    found: Mapping[str, str] = field(default_factory=dict)
    "Reasons that the first pass has marked pairs for, in the order of their numbers, which begin at 1."

    @property
    def reasons(self) -> dict[str, str]:
        """Why pairs are dropped, for people, in the order in which the reasons are tried."""
        too_short = {"too_short": f"fewer than {self.min_length:,} pieces on a side"} if self.min_length > 1 else {}
        return {
            **self.found,
            "empty": "a side is empty",
            **too_short,
            "too_long": f"more than {self.max_length:,} pieces on a side",
            "ratio": f"one side more than {self.max_ratio:g} times the other",
        } | ({"duplicate": "seen before"} if self.deduplicate else {})

    def kept(
        self, source: np.ndarray, target: np.ndarray, dropped: Counter[str], marks: np.ndarray | None = None
    ) -> np.ndarray:
        """[pairs] bool, from the lengths in pieces; the others are counted under the first reason that holds.

        marks: [pairs] uint8, the number of each pair's reason in `found`; 0, and None for all: none.
        """
        shorter, longer = np.minimum(source, target), np.maximum(source, target)
        rules = {
            "empty": shorter == 0,
            "too_short": shorter < self.min_length,
            "too_long": longer > self.max_length,
            "ratio": (longer >= RATIO_FROM) & (longer > self.max_ratio * shorter),
        }
        none = np.zeros(len(shorter), dtype=bool)
        marked = {reason: none if marks is None else marks == number for number, reason in enumerate(self.found, 1)}
        kept = ~none
        for reason, forbidden in (marked | rules).items():
            if reason in self.reasons:
                dropped[reason] += int((kept & forbidden).sum())
                kept &= ~forbidden
        return kept


def all_dropped(num_pairs: int, dropped: Mapping[str, int], reasons: Mapping[str, str]) -> UserError:
    """The error of training text of which nothing is left. dropped: how many pairs for each reason."""
    counts = ", ".join(f"{count:,}: {reasons[reason]}" for reason, count in dropped.items() if count)
    hint = "check that line n of one side translates line n of the other, and prep.max_length and prep.max_ratio"
    return UserError(f"all {num_pairs:,} training pairs were dropped ({counts})", hint=hint)


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
