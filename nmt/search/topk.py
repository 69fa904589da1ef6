"""The best continuations of all hypotheses of a sentence, without sorting or even adding over the vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from nmt.layers.triton.available import uses_kernels

BLOCK = 64
"Rows of the vocabulary whose maximum is looked at first."
MOST = 64
"Continuations of a sentence that a kernel can sort."


def top_continuations(scores: Tensor, log_probs: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` largest scores[b, k] + log_probs[b, k, v] of each sentence b, best first.

    Shapes: B sentences, K hypotheses, V target rows. scores: [B, K] float32. log_probs: [B, K, V].
    Returns values, hypotheses k and pieces v, each [B, min(count, K * V)].

    The vocabulary is read once, for the maximum of each block of rows; the `count` blocks with the largest maxima hold
    the `count` largest entries, and only they are looked into. Equal inputs give equal results, ties included.
    """
    sentences, hypotheses, rows = log_probs.shape
    count = min(count, hypotheses * rows)
    if rows < BLOCK or count * BLOCK * 2 > hypotheses * rows:
        values, indices = (scores[:, :, None] + log_probs).view(sentences, -1).topk(count, dim=1)
        return values, indices // rows, indices % rows
    if count <= MOST and _is_dense(log_probs) and uses_kernels(log_probs, torch.float32):
        from nmt.layers.triton import search

        return search.top_continuations(scores, log_probs, count)
    flat, width = _flat(log_probs)
    maxima = _block_maxima(log_probs)  # [B, K, blocks]
    blocks = maxima.size(2)
    chosen = (scores[:, :, None] + maxima).view(sentences, -1).topk(count, dim=1).indices  # [B, count]
    owner, first = chosen // blocks, chosen % blocks * BLOCK
    pieces = first[:, :, None] + torch.arange(BLOCK, device=flat.device)  # [B, count, BLOCK]
    outside = pieces >= rows
    indices = (owner[:, :, None] * width + pieces.clamp(max=rows - 1)).view(sentences, -1)
    inside = flat.gather(1, indices).view_as(pieces) + scores.gather(1, owner)[:, :, None]
    values, places = inside.masked_fill(outside, -torch.inf).view(sentences, -1).topk(count, dim=1)
    best = indices.gather(1, places)
    return values, best // width, best % width


def _is_dense(log_probs: Tensor) -> bool:
    """Whether nothing but columns lies between rows."""
    first, width, inner = log_probs.stride()
    return inner == 1 and first == log_probs.size(1) * width


def _flat(log_probs: Tensor) -> tuple[Tensor, int]:
    """[B, K, V], which may have columns between its rows -> [B, all], and how far apart rows are in it; not copied."""
    sentences, hypotheses, rows = log_probs.shape
    first, width, _ = log_probs.stride()
    if not _is_dense(log_probs):
        return log_probs.reshape(sentences, -1), rows
    return log_probs.as_strided((sentences, (hypotheses - 1) * width + rows), (first, 1)), width


def _block_maxima(log_probs: Tensor) -> Tensor:
    """[B, K, V] -> [B, K, ceil(V / BLOCK)]."""
    rows = log_probs.size(2)
    whole = rows - rows % BLOCK
    maxima: Tensor = log_probs[:, :, :whole].reshape(*log_probs.shape[:2], -1, BLOCK).amax(3)
    if whole == rows:
        return maxima
    return torch.cat([maxima, log_probs[:, :, whole:].amax(2, keepdim=True)], 2)
