"""A translation as search sees it: target ids and their probability."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One translation of one source sentence."""

    pieces: tuple[int, ...]
    "Ids of the model's target view, </s> left out."
    log_prob: float
    "Natural log-probability of the pieces, </s> included where `finished`."
    score: float
    "What hypotheses are ranked by: see `normalized`."
    finished: bool = True
    "Whether the model ended it with </s>; False: it was cut at the length limit."
    attention: Tensor | None = None
    "One row of source weights for each piece, [pieces, S] on the CPU, the last column </s>; None unless asked for."


def normalized(log_prob: float, length: int, length_penalty: float) -> float:
    """log_prob / length**length_penalty; length is in pieces and counts </s>."""
    return log_prob / float(max(length, 1) ** length_penalty)


def ranked(hypotheses: Iterable[Hypothesis], num_best: int) -> list[Hypothesis]:
    """The best first: finished before unfinished, then by score; equal ones keep their order. At most `num_best`.

    An unfinished hypothesis with the pieces of a finished one is left out.
    """
    best = sorted(hypotheses, key=lambda hypothesis: (not hypothesis.finished, -hypothesis.score))
    unique = {hypothesis.pieces: hypothesis for hypothesis in reversed(best)}
    return [hypothesis for hypothesis in best if unique[hypothesis.pieces] is hypothesis][:num_best]
