"""Where a piece stands: sinusoids (Vaswani et al., 2017, section 3.5), or learned vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoids(positions: Tensor, size: int) -> Tensor:
    """[...] int64 from 0 -> [..., size] float32: sin(p / 10000^(2i / size)), and behind all sines the cosines.

    As in Marian, fairseq and Hugging Face's MarianMT; the paper has the same numbers in another order.
    """
    waves = torch.arange(-(-size // 2), device=positions.device)
    angles = positions[..., None] * torch.exp(waves * (-2 * math.log(10_000) / size))
    return torch.cat([torch.sin(angles), torch.cos(angles)], -1)[..., :size]


class LearnedPositions(nn.Module):
    """A vector for each of the first positions; later ones share the last."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, size))

    def forward(self, positions: Tensor) -> Tensor:
        """[...] int64 from 0 -> [..., size]."""
        return torch.nn.functional.embedding(positions.clamp(max=len(self.weight) - 1), self.weight)
