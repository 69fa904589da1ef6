# ruff: noqa: N803, as Triton spells what is known when a kernel is compiled
# mypy: ignore-errors
"""Cross entropy of a chunk of scores, and its gradient, as one kernel. Importing this imports Triton."""

import triton
import triton.language as tl


@triton.jit
def cross_entropy_kernel(
    scores,
    bias,
    labels,
    costs,
    grads,
    smoothing,
    FIRST: tl.constexpr,
    SIZE: tl.constexpr,
    HAS_GRADS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A program is one row of scores, [N, SIZE]; rows below FIRST of the target are no classes.

    Writes what `Costs` sums, [N, 2], and the gradient of the first with respect to the scores, [N, SIZE]; both zero
    where the label is no class. The scores are read twice and never written, unless grads is their own place.
    """
    row = tl.program_id(0).to(tl.int64)
    label = tl.load(labels + row)
    real = label >= FIRST
    here = scores + row * SIZE
    best = tl.full([BLOCK], -1e30, tl.float32)
    total, sums = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for start in range(0, SIZE, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = (column >= FIRST) & (column < SIZE)
        x = tl.load(here + column, inside, float("-inf")) + tl.load(bias + column, inside, 0.0)
        before = best
        best = tl.maximum(best, x)
        total = total * tl.exp(before - best) + tl.exp(x - best)
        sums += tl.where(inside, x, 0.0)
    largest = tl.max(best, 0)
    log_total = largest + tl.log(tl.sum(total * tl.exp(best - largest), 0))
    answer = tl.load(here + label) + tl.load(bias + label)
    plain, spread = log_total - answer, log_total - tl.sum(sums, 0) / (SIZE - FIRST)
    tl.store(costs + 2 * row, tl.where(real, (1 - smoothing) * plain + smoothing * spread, 0.0))
    tl.store(costs + 2 * row + 1, tl.where(real, plain, 0.0))
    if HAS_GRADS:
        share = smoothing / (SIZE - FIRST)
        for start in range(0, SIZE, BLOCK):
            column = start + tl.arange(0, BLOCK)
            inside = (column >= FIRST) & (column < SIZE)
            x = tl.load(here + column, inside, float("-inf")) + tl.load(bias + column, inside, 0.0)
            grad = tl.exp(x - log_total) - tl.where(column == label, 1 - smoothing, 0.0) - share
            tl.store(grads + row * SIZE + column, tl.where(inside & real, grad, 0.0), column < SIZE)
