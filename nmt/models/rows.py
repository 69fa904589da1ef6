"""Rows of padded sentences put together, and rows of hypotheses chosen."""

from __future__ import annotations

import torch
from torch import Tensor


def places(sentences: Tensor | None, hypotheses: Tensor) -> tuple[Tensor, Tensor]:
    """The index of [B, K, ...] that `State.select` means."""
    if sentences is None:
        sentences = torch.arange(len(hypotheses), device=hypotheses.device)
    return sentences[:, None], hypotheses


def joined_rows(first: Tensor, second: Tensor) -> Tensor:
    """[B, S, ...] and [B', S', ...] -> [B + B', max(S, S'), ...], padded with zeros (False)."""
    size = max(first.shape[1], second.shape[1])
    result = first.new_zeros(len(first) + len(second), size, *first.shape[2:])
    result[: len(first), : first.shape[1]] = first
    result[len(first) :, : second.shape[1]] = second
    return result
