"""What hypotheses are ranked by: log-probability, length normalisation and coverage (Wu et al., 2016, section 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from nmt.config import SearchConfig

LEAST_ATTENTION = 1e-6
"A source piece that got less attention than this in all counts as having got this much, so that its log is finite."


class Scoring:
    """log_prob / scale(length) + coverage_penalty * coverage; the length is in pieces and counts </s>."""

    def __init__(self, config: SearchConfig) -> None:
        self.exponent, self.gnmt = config.length_penalty, config.length_normalization == "gnmt"
        self.coverage_penalty = config.coverage_penalty

    def scale(self, length: int) -> float:
        """What a log-probability is divided by. Never falls with the length."""
        length = max(length, 1)
        return float(((5 + length) / 6 if self.gnmt else length) ** self.exponent)

    def score(self, log_prob: float, length: int, coverage: float = 0.0) -> float:
        """The score of a hypothesis; coverage: as `coverage` gives it."""
        return log_prob / self.scale(length) + self.coverage_penalty * coverage


def coverage(total: Tensor, inner: Tensor) -> Tensor:
    """Sum over source pieces of log(min(1, attention)), never above 0: [B, W, S] and [B, S] -> [B, W].

    total: attention summed over the steps, that of </s> among them. inner: True at source pieces, </s> not one of them.
    """
    return total.clamp(LEAST_ATTENTION, 1).log().masked_fill(~inner[:, None], 0).sum(2)


def inner_pieces(mask: Tensor) -> Tensor:
    """[B, S], True at real source positions -> the same without the last of each row, which is </s>."""
    return torch.cat([mask[:, 1:], mask.new_zeros(len(mask), 1)], 1)
