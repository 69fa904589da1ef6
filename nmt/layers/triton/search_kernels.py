# ruff: noqa: N803, as Triton spells what is known when a kernel is compiled
# mypy: ignore-errors
"""What a step of beam search does between its products, as kernels. Importing this imports Triton."""

import triton
import triton.language as tl


@triton.jit
def embedding_kernel(ids, table, embedded, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """Row ids[r] of the table for each r; zeros where that is below 0."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < SIZE
    number = tl.load(ids + row)
    found = tl.load(table + tl.where(number < 0, 0, number) * SIZE + column, inside, 0.0)
    tl.store(embedded + row * SIZE + column, tl.where(number < 0, 0.0, found), inside)


@triton.jit
def readout_kernel(
    first, second, second_stride, third, third_stride, bias, readout, SIZE: tl.constexpr, BLOCK: tl.constexpr
):
    """tanh of the sum of three and a bias, [R, SIZE]."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < SIZE
    total = tl.load(first + row * SIZE + column, inside, 0.0) + tl.load(bias + column, inside, 0.0)
    total += tl.load(second + row * second_stride + column, inside, 0.0)
    total += tl.load(third + row * third_stride + column, inside, 0.0)
    tl.store(readout + row * SIZE + column, 2 * tl.sigmoid(2 * total) - 1, inside)


@triton.jit
def log_softmax_kernel(scores, bias, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """log softmax(scores + bias) of each row, [R, SIZE], in place. A bias of -inf takes a column out."""
    row = tl.program_id(0).to(tl.int64)
    here = scores + row * SIZE
    best, total = tl.full([BLOCK], -1e30, tl.float32), tl.zeros([BLOCK], tl.float32)
    for start in range(0, SIZE, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = column < SIZE
        x = tl.load(here + column, inside, float("-inf")) + tl.load(bias + column, inside, 0.0)
        before = best
        best = tl.maximum(best, x)
        total = total * tl.exp(before - best) + tl.exp(x - best)
    largest = tl.max(best, 0)
    log_total = largest + tl.log(tl.sum(total * tl.exp(best - largest), 0))
    for start in range(0, SIZE, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = column < SIZE
        x = tl.load(here + column, inside, 0.0) + tl.load(bias + column, inside, 0.0)
        tl.store(here + column, x - log_total, inside)


@triton.jit
def ranked_number(x):
    """What a number is compared by: NaN above all, so that it is not lost."""
    return tl.where(x == x, x, float("inf"))


@triton.jit
def block_maxima_kernel(scores, log_probs, stride, maxima, rows, blocks, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """scores[h] + the largest of each WIDTH numbers of a hypothesis's row, [B K, blocks]. stride: from row to row."""
    hypothesis = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    column = block[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    x = tl.load(log_probs + hypothesis * stride + column, column < rows, float("-inf"))
    found = tl.max(ranked_number(x), 1) + tl.load(scores + hypothesis)
    tl.store(maxima + hypothesis * blocks + block, found, block < blocks)


@triton.jit
def best_inside_kernel(
    scores,
    log_probs,
    stride,
    chosen,
    values,
    parents,
    columns,
    hypotheses,
    rows,
    blocks,
    count,
    WIDTH: tl.constexpr,
    COUNT: tl.constexpr,
):
    """The best `count` of the numbers in a sentence's chosen blocks, best first: value, hypothesis and column.

    COUNT: a power of two, from count on.
    """
    sentence = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, COUNT)
    block = tl.load(chosen + sentence * count + place, place < count, 0)
    owner = block // blocks
    column = (block % blocks)[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]
    inside = (place < count)[:, None] & (column < rows)
    row = sentence * hypotheses + owner
    x = tl.load(log_probs + row[:, None] * stride + column, inside, float("-inf"))
    x = ranked_number(x + tl.load(scores + row, place < count, float("-inf"))[:, None])
    left = tl.reshape(x, [COUNT * WIDTH])
    number = tl.arange(0, COUNT * WIDTH)
    found = tl.full([COUNT], float("-inf"), tl.float32)
    where = tl.zeros([COUNT], tl.int32)
    taken = 0
    while taken < count:
        best = tl.max(left, 0)
        first = tl.min(tl.where(left == best, number, COUNT * WIDTH), 0)
        found = tl.where(place == taken, best, found)
        where = tl.where(place == taken, first, where)
        left = tl.where(number == first, float("-inf"), left)
        taken += 1
    own = tl.load(chosen + sentence * count + where // WIDTH, place < count, 0)
    out = sentence * count + place
    tl.store(values + out, tl.where(found == float("inf"), float("nan"), found), place < count)
    tl.store(parents + out, own // blocks, place < count)
    tl.store(columns + out, own % blocks * WIDTH + where % WIDTH, place < count)


@triton.jit
def merged_kernel(
    scores,
    log_probs,
    coverage,
    steps,
    parents,
    new_scores,
    new_log_probs,
    new_coverage,
    new_steps,
    new_steps_stride,
    new_parents,
    found_scores,
    found_log_probs,
    found_coverage,
    found_steps,
    found_parents,
    size,
    more,
    SIZE: tl.constexpr,
):
    """The best `size` of those there were, [B, size], and of the new ones, [B, more].

    SIZE: a power of two that holds both. Equal ones stay in their order.
    """
    sentence = tl.program_id(0).to(tl.int64)
    entry = tl.arange(0, SIZE)
    other = tl.arange(0, SIZE)
    old, new = entry < size, entry - size
    is_new = (entry >= size) & (new < more)
    there, here = sentence * size + entry, sentence * more + new
    score = tl.load(scores + there, old, float("-inf"))
    score = tl.where(old, score, tl.load(new_scores + here, is_new, float("-inf")))
    others = tl.load(scores + sentence * size + other, other < size, float("-inf"))
    is_other = (other >= size) & (other - size < more)
    others = tl.where(
        other < size, others, tl.load(new_scores + sentence * more + other - size, is_other, float("-inf"))
    )
    mine, theirs = ranked_number(score)[:, None], ranked_number(others)[None, :]
    before = (theirs > mine) | ((theirs == mine) & (other[None, :] < entry[:, None]))
    rank = tl.sum(before.to(tl.int32), 1)
    kept = (rank < size) & (entry < size + more)
    out = sentence * size + rank
    tl.store(found_scores + out, score, kept)
    value = tl.load(log_probs + there, old, 0.0)
    tl.store(found_log_probs + out, tl.where(old, value, tl.load(new_log_probs + here, is_new, 0.0)), kept)
    value = tl.load(coverage + there, old, 0.0)
    tl.store(found_coverage + out, tl.where(old, value, tl.load(new_coverage + here, is_new, 0.0)), kept)
    number = tl.load(steps + there, old, 0)
    step = tl.load(new_steps + sentence * new_steps_stride + entry * 0, is_new, 0)
    tl.store(found_steps + out, tl.where(old, number, step), kept)
    number = tl.load(parents + there, old, 0)
    tl.store(found_parents + out, tl.where(old, number, tl.load(new_parents + here, is_new, 0)), kept)
