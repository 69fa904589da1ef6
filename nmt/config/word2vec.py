"""Word vectors: the section word2vec."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nmt.config.checks import require


@dataclass(frozen=True, kw_only=True)
class Word2VecConfig:
    """nmt-reproduce table2: skip-gram with negative sampling, with the options of the original program's example."""

    size: int = 200
    "Numbers of a vector."
    window: int = 8
    "Words to each side of a word at most; how many is drawn for each word, from 1 to this."
    negatives: int = 25
    "Noise words of a pair."
    subsample: float = 1e-4
    "A word whose share of the text is above this is left out at random, the more often the larger it is; 0: never."
    passes: int = 15
    "How often the text is read."
    learning_rate: float = 0.025
    "At the beginning; it falls linearly to a ten-thousandth of this."
    min_count: int = 5
    "Words seen less often are left out of the text."
    lowercase: bool = False
    "Make all letters small."

    def __post_init__(self) -> None:
        for name in ("size", "window", "negatives", "passes", "min_count"):
            require(getattr(self, name) >= 1, f"word2vec.{name}", getattr(self, name), "1 or more")
        finite = 0 < self.learning_rate < math.inf
        require(finite, "word2vec.learning_rate", self.learning_rate, "above 0 and finite")
        require(0 <= self.subsample < math.inf, "word2vec.subsample", self.subsample, "0 or more and finite")
