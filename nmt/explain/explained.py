"""What a page says of one translation; the content, without its looks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from nmt.text.vocabulary import EOS, SPECIAL_NAMES

END = SPECIAL_NAMES[EOS]
DOUBTS = {0.9: "90% or more", 0.5: "50 to 90%", 0.2: "20 to 50%", 0.0: "under 20%"}
"Levels of doubt: the least probability of each, and its name."


def doubt(probability: float) -> int:
    """The level, from 0, of a piece or word that was written with this probability."""
    return next(level for level, least in enumerate(DOUBTS) if probability >= least)


@dataclass(frozen=True, kw_only=True)
class Written:
    """One step of the model: the piece it wrote, or the end."""

    piece: str
    log_prob: float
    runners_up: tuple[tuple[str, float], ...]
    "The likeliest pieces and their log-probabilities, best first, this one perhaps among them."
    weights: tuple[float, ...]
    "Attention to each source piece and, last, to the source's end; empty where there is none to show."
    taken: bool = True
    "False for the end of a translation that did not come to it."

    @property
    def probability(self) -> float:
        """Of the piece, given what stands before it."""
        return math.exp(self.log_prob)


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One sentence with T pieces of translation and S of source. Texts are plain, pieces as the model knows them."""

    source: str
    text: str
    source_pieces: tuple[str, ...]
    pieces: tuple[str, ...]
    log_probs: tuple[float, ...]
    "Of each piece and, last, of </s>, which may be left out."
    runners_up: tuple[tuple[tuple[str, float], ...], ...] = ()
    "For each of these the likeliest pieces and their log-probabilities, best first; or nothing at all."
    attention: Tensor | None = None
    "[T or T + 1, S + 1], each row's last weight that of the source's </s>."
    score: float
    finished: bool
    "False where the length limit cut it: the log-probability of </s> is then no part of the total."
    alternatives: tuple[tuple[str, float], ...] = ()
    "Other translations and their scores, best first."
    unknown: tuple[int, ...] = ()
    "Positions of source pieces that the model does not know."
    subwords: str | None = None
    "How pieces make words (bpe, sentencepiece or none); None: do not align words."

    def __post_init__(self) -> None:
        steps = len(self.pieces), len(self.pieces) + 1
        assert len(self.log_probs) in steps, "a log-probability for each piece, and perhaps for the end"
        assert len(self.runners_up) in (0, *steps), "runners-up for each piece, or none"
        if self.attention is not None:
            assert self.attention.shape[0] in steps, "attention of each piece"
            assert self.attention.shape[1] == len(self.source_pieces) + 1, "attention to each source piece and the end"

    @property
    def log_prob(self) -> float:
        """Of the whole translation, with its end where it came to it."""
        return math.fsum(self.log_probs[: self.length])

    @property
    def length(self) -> int:
        """Steps that count: pieces and, where it was written, the end."""
        return len(self.pieces) + self.finished

    @property
    def mean_probability(self) -> float:
        """Of a piece: the geometric mean."""
        return math.exp(self.log_prob / max(self.length, 1))

    def written(self) -> Iterator[Written]:
        """Every step whose log-probability is given."""
        weights = [] if self.attention is None else self.attention.double().tolist()
        for index, log_prob in enumerate(self.log_probs):
            yield Written(
                piece=[*self.pieces, END][index],
                log_prob=log_prob,
                runners_up=self.runners_up[index] if index < len(self.runners_up) else (),
                weights=tuple(weights[index]) if index < len(weights) else (),
                taken=index < len(self.pieces) or self.finished,
            )
