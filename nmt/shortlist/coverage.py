"""How good a shortlist is: how many target pieces it lets a sentence use, and how many of those needed are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nmt.data.corpus import ParallelIds
from nmt.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Coverage:
    """Over the pairs of a split."""

    candidates: float
    "Target pieces a sentence may use, on average."
    pieces: float
    "Share of the references' pieces that are among their sentence's, 0 to 1."
    sentences: float
    "Share of the references all of whose pieces are."


def measure(candidates: Callable[[np.ndarray], np.ndarray], pairs: ParallelIds, vocabulary: Vocabulary) -> Coverage:
    """Coverage of the references. candidates: of union ids, that is for the view of a three-way model."""
    numbers, needed, there, whole = 0, 0, 0, 0
    allowed = np.zeros(vocabulary.size, dtype=bool)
    for line in range(len(pairs)):
        ids = candidates(pairs.source(line))
        allowed[ids] = True
        covered = allowed[pairs.target(line)]
        allowed[ids] = False
        numbers, needed = numbers + len(ids), needed + len(covered)
        there, whole = there + int(covered.sum()), whole + bool(covered.all())
    lines = max(1, len(pairs))
    return Coverage(numbers / lines, there / max(1, needed), whole / lines)
