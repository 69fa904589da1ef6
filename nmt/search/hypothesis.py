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
    "The model's natural log-probability of the pieces, </s> included where `finished`."
    score: float
    "What hypotheses are ranked by: see `nmt.search.scoring`."
    penalty: float = 0.0
    "What the repetition penalty added to log_prob where `score` was made of it."
    language_log_prob: float = 0.0
    "What a language model that joined in search says of the same pieces; 0: there was none."
    finished: bool = True
    "Whether the model ended it with </s>; False: it was cut at the length limit."
    attention: Tensor | None = None
    "One row of source weights for each piece, [pieces, S] on the CPU, the last column </s>; None unless asked for."
    log_probs: tuple[float, ...] | None = None
    "Natural log-probability of each piece and, where `finished`, of </s>; None unless attention is asked for."


def ranked(hypotheses: Iterable[Hypothesis], num_best: int) -> list[Hypothesis]:
    """The best first: finished before unfinished, then by score; equal ones keep their order. At most `num_best`.

    An unfinished hypothesis with the pieces of a finished one is left out.
    """
    best = sorted(hypotheses, key=lambda hypothesis: (not hypothesis.finished, -hypothesis.score))
    unique = {hypothesis.pieces: hypothesis for hypothesis in reversed(best)}
    return [hypothesis for hypothesis in best if unique[hypothesis.pieces] is hypothesis][:num_best]
