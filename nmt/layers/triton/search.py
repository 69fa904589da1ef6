"""What a step of beam search does between its products, as operators. What they compute stands at the kernels.

Shapes: B sentences, K hypotheses a sentence, R = B K rows, V target rows, E embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nmt.layers.triton.operators import blocks, operator, power

COLUMNS = 4096
"Scores of a row that a program reads at a time."
WIDTH, MAXIMA = 64, 32
"Target rows whose largest number is looked for first, and how many such a program makes."


def _embedded(ids: Tensor, table: Tensor, found: Tensor) -> None:
    from nmt.layers.triton.search_kernels import embedding_kernel

    size = table.shape[1]
    embedding_kernel[(ids.numel(),)](ids, table, found, SIZE=size, BLOCK=power(size))


def _read_out(first: Tensor, second: Tensor, third: Tensor, bias: Tensor, found: Tensor) -> None:
    from nmt.layers.triton.search_kernels import readout_kernel

    rows, size = found.shape
    readout_kernel[(rows,)](
        first, second, second.stride(0), third, third.stride(0), bias, found, SIZE=size, BLOCK=power(size)
    )


def _log_softmax(scores: Tensor, bias: Tensor) -> None:
    from nmt.layers.triton.search_kernels import log_softmax_kernel

    log_softmax_kernel[(len(scores),)](scores, bias, SIZE=scores.shape[1], BLOCK=COLUMNS, num_warps=8)


def _block_maxima(scores: Tensor, log_probs: Tensor, maxima: Tensor) -> None:
    from nmt.layers.triton.search_kernels import block_maxima_kernel

    count = maxima.shape[2]
    block_maxima_kernel[(scores.numel(), blocks(count, MAXIMA))](
        scores, log_probs, log_probs.stride(1), maxima, log_probs.shape[2], count, WIDTH=WIDTH, BLOCK=MAXIMA
    )


def _best_inside(
    scores: Tensor, log_probs: Tensor, chosen: Tensor, num_blocks: int, values: Tensor, parents: Tensor, columns: Tensor
) -> None:
    from nmt.layers.triton.search_kernels import best_inside_kernel

    (batch, hypotheses, rows), count = log_probs.shape, chosen.shape[1]
    best_inside_kernel[(batch,)](
        scores, log_probs, log_probs.stride(1), chosen, values, parents, columns, hypotheses, rows, num_blocks, count,
        WIDTH=WIDTH, COUNT=power(count),
    )  # fmt: skip


def _merged(old: list[Tensor], new: list[Tensor], found: list[Tensor]) -> None:
    from nmt.layers.triton.search_kernels import merged_kernel

    (batch, size), more = old[0].shape, new[0].shape[1]
    scores, log_probs, coverage, steps, parents = new
    merged_kernel[(batch,)](
        *old, scores, log_probs, coverage, steps, steps.stride(0), parents, *found, size, more,
        SIZE=power(size + more),
    )  # fmt: skip


embedded = operator("embedded(Tensor ids, Tensor table, Tensor(a!) found)", _embedded)
"Rows of a table, [V, E], that ids, [R], name, rounded to found's type, [R, E]; zeros where an id is below 0."

read_out = operator("read_out(Tensor first, Tensor second, Tensor third, Tensor bias, Tensor(a!) found)", _read_out)
"tanh of a sum of [R, E], the second and third with room between their rows, and a bias, [E]; rounded to found's type."

log_softmax_ = operator("log_softmax_(Tensor(a!) scores, Tensor bias)", _log_softmax)
"scores, [R, V], become log softmax(scores + bias). bias: [V], -inf where a column counts for nothing."

block_maxima = operator("block_maxima(Tensor scores, Tensor log_probs, Tensor(a!) maxima)", _block_maxima)
"scores: [B, K]. log_probs: [B, K, V]. maxima: [B, K, blocks of WIDTH columns], the scores added."

best_inside = operator(
    "best_inside(Tensor scores, Tensor log_probs, Tensor chosen, int num_blocks, Tensor(a!) values, Tensor(b!) parents,"
    " Tensor(c!) columns)",
    _best_inside,
)
"chosen: [B, count] blocks, counted over all of a sentence's hypotheses. Writes the best that is in them, [B, count]."

merged = operator("merged(Tensor[] old, Tensor[] new, Tensor(a!)[] found)", _merged)
"The fields of `nmt.search.frontier.Ended`, [B, K]; new ones may be [B, K'], and steps one for each sentence, expanded."


def top_continuations(scores: Tensor, log_probs: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """`nmt.search.topk.top_continuations` in three launches. Rows are dense; count: as a program can sort."""
    batch, hypotheses, rows = log_probs.shape
    number = blocks(rows, WIDTH)
    scores = scores.contiguous()
    maxima = scores.new_empty(batch, hypotheses, number)
    block_maxima(scores, log_probs, maxima)
    chosen = maxima.view(batch, -1).topk(count, dim=1).indices
    values = scores.new_empty(batch, count)
    parents, columns = torch.empty_like(chosen), torch.empty_like(chosen)
    best_inside(scores, log_probs, chosen, number, values, parents, columns)
    return values, parents, columns
