"""Search: the section search."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nmt.config.checks import choice, require


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Translation: beam search or sampling, their limits, and what makes them faster."""

    beam: int = 5
    "Hypotheses kept for each sentence; 1 is greedy search."
    stopping: str = "exact"
    """What becomes of the place in the beam of a hypothesis that ends, and when a search is over.

    exact: the beam is narrower by it; over when no living hypothesis can win any more. present, first: the next best
    takes it, as in Hugging Face and CTranslate2; over when `beam` have ended and, present, no living one would win as
    long as it is.
    """
    length_penalty: float = 1.0
    "Exponent of the length that log-probabilities are divided by; 0: plain log-probability."
    length_normalization: str = "length"
    "length: divide by length**length_penalty. gnmt: by ((5 + length) / 6)**length_penalty (Wu et al., 2016)."
    coverage_penalty: float = 0.0
    "Weight of GNMT's coverage: the sum over source pieces of log(min(1, all attention the piece got))."
    min_length: int = 0
    "A translation has at least this many pieces."
    max_length: int = 0
    "A translation has at most this many pieces; 0: max_length_ratio alone."
    max_length_ratio: float = 3.0
    "A translation has at most this times the source's pieces, plus 10."
    no_repeat_ngram: int = 0
    "No sequence of this many pieces comes twice in a translation; 0: any may."
    repetition_penalty: float = 1.0
    """Log-probabilities of pieces that were written already are multiplied by this: above 1 they become less likely.

    The penalty of CTRL (Keskar et al., 2019, section 4.1) for scores that are never positive. 1: none.
    """
    allow_unknown: bool = False
    "Write <unk> too. It is also written with replace_unknown, which puts a word in its place."
    allow_source_pieces: bool = False
    "Write pieces too that only the source side has: a three-way model scores them with the others."
    sampling: bool = False
    "Draw translations at random instead of searching for the best."
    temperature: float = 1.0
    "Sampling: below 1 likely pieces become likelier, above 1 the others do."
    top_k: int = 0
    "Sampling draws from this many of the likeliest pieces; 0: from all."
    top_p: float = 1.0
    "Sampling draws from the fewest likeliest pieces that have this much probability together (nucleus sampling)."
    seed: int = 1
    "Seed of sampling."
    precision: str = "float32"
    "Of what matrix products multiply in search: float32, bf16 or int8 (CPU); float32, and said, where it is not there."
    shortlist: bool = False
    "Score only target pieces that the source's pieces suggest (see nmt-shortlist), and frequent ones."
    language_model: str | None = None
    "Model folder of nmt-lm train that joins in search (shallow fusion: `nmt.models.fusion`); None: none does."
    language_model_weight: float = 0.1
    "Of its log-probabilities beside those of the translation model; 0: none."
    replace_unknown: bool = False
    "Write the source word that an unknown piece attends to most in its place."
    prefix_source: str = ""
    "Pieces before those of every source, such as `>>fra<<`, which tells a model of many languages the one to write."
    split_sentences: bool = False
    "Translate each sentence of a line by itself, and put the line together again."
    batch_tokens: int = 4096
    "Source pieces, padding included, translated together."

    def __post_init__(self) -> None:
        choice("search.stopping", self.stopping, ("exact", "present", "first"))
        choice("search.length_normalization", self.length_normalization, ("length", "gnmt"))
        choice("search.precision", self.precision, ("float32", "bf16", "int8"))
        require(self.max_length_ratio > 0, "search.max_length_ratio", self.max_length_ratio, "above 0")
        finite = 0 < self.repetition_penalty < math.inf
        require(finite, "search.repetition_penalty", self.repetition_penalty, "above 0 and finite")
        finite = 0 < self.temperature < math.inf
        require(finite, "search.temperature", self.temperature, "above 0 and finite")
        require(0 < self.top_p <= 1, "search.top_p", self.top_p, "above 0 and at most 1")
        finite = 0 <= self.language_model_weight < math.inf
        require(finite, "search.language_model_weight", self.language_model_weight, "0 or more and finite")
        limited = self.max_length == 0 or self.min_length <= self.max_length
        require(limited, "search.min_length", self.min_length, f"at most search.max_length ({self.max_length})")
        for name in ("beam", "batch_tokens"):
            require(getattr(self, name) >= 1, f"search.{name}", getattr(self, name), "1 or more")
        names = ("length_penalty", "coverage_penalty", "min_length", "max_length", "no_repeat_ngram", "top_k", "seed")
        for name in names:
            require(getattr(self, name) >= 0, f"search.{name}", getattr(self, name), "0 or more")
