"""What a caller may ask of a search beyond its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Shortlist = Callable[[np.ndarray], np.ndarray]
"Source ids of a sentence, [S] without </s> -> the target ids it may use, rising and distinct, </s> among them."

Progress = Callable[[int], object]
"Called with the number of sentences that were just finished."


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The same for every search: beam search and sampling take it alike."""

    num_best: int = 1
    "Hypotheses wanted of each sentence, best first."
    attention: bool = False
    "Keep the attention of every piece."
    prefixes: Sequence[Sequence[int]] | None = None
    "For each sentence, target ids its translation must begin with; may be empty."
    shortlist: Shortlist | None = None
    "Score only the target rows it names, sentence by sentence; None: all of them."
    source_only: range = range(0)
    "Target ids of pieces that only the source side has: written only where the settings or a prefix say so."
    counted: tuple[int, ...] = ()
    "Target ids, rising, that a translation holds as often as `quotas` says: numbered placeholders."
    quotas: Sequence[Mapping[int, int]] | None = None
    "For each sentence, how often each of these ids; those that are missing not at all. None: nothing is counted."
    progress: Progress | None = None
    numbers: Sequence[int] | None = None
    """For each sentence, what its random draws follow from besides the seed: below 2**64, a different one for each.

    Its line in the whole input, so that one block of lines does not repeat another's draws. None: its place here.
    """

    def num_owed(self, sentence: int) -> int:
        """How many counted pieces the sentence's translation must still hold after its prefix."""
        if self.quotas is None:
            return 0
        given = self.prefixes[sentence] if self.prefixes else ()
        return sum(max(0, most - list(given).count(piece)) for piece, most in self.quotas[sentence].items())

    def owed(self, sentences: Sequence[int]) -> np.ndarray | None:
        """How often each counted piece is wanted of the sentences, [sentences, counted] int64; None: nothing is."""
        if self.quotas is None or not self.counted:
            return None
        rows = [[self.quotas[sentence].get(piece, 0) for piece in self.counted] for sentence in sentences]
        return np.array(rows, dtype=np.int64)

    def most_pieces(self, sentence: int, limit: int) -> int:
        """The most pieces of the sentence's translation. limit: by the settings; what must be there stands above it."""
        given = len(self.prefixes[sentence]) if self.prefixes else 0
        return max(limit, given + self.num_owed(sentence))
