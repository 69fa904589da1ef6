"""What a caller may ask of a search beyond its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    progress: Progress | None = None
    numbers: Sequence[int] | None = None
    """For each sentence, what its random draws follow from besides the seed: below 2**64, a different one for each.

    Its line in the whole input, so that one block of lines does not repeat another's draws. None: its place here.
    """
