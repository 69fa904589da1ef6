# ruff: noqa: N803, as Triton spells what is known when a kernel is compiled
# mypy: ignore-errors
"""Additive attention of one decoder step, forward and backward, as kernels. Importing this imports Triton.

    e_s = v . tanh(k_s + q);  a = softmax(e) over real positions;  c = sum_s a_s x_s

The tanh of every position, [B, S, C], is never stored, neither forward nor for the backward, which computes it again.
Keys k and annotations x may be bfloat16; all sums are float32.

Grids: sentences x blocks of BLOCK_S source positions, or sentences x blocks of BLOCK_C of the C numbers. LENGTH is a
power of two that holds all S. What loops run over is known when a kernel is compiled, or a while loop: the interpreter
of Triton 3.6 has no others with NumPy 2.4.
"""

import triton
import triton.language as tl


@triton.jit
def energies_kernel(
    keys,
    query,
    query_stride,
    weight,
    mask,
    energies,
    queries,
    length,
    SIZE: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The energies, [B, S], -inf at padding. With several queries a sentence, [B queries, S]."""
    asked = tl.program_id(0).to(tl.int64)
    sentence = asked // queries
    position = tl.program_id(1) * BLOCK_S + tl.arange(0, BLOCK_S)
    here = sentence * length + position
    real = tl.load(mask + here, position < length, 0) != 0
    sums = tl.zeros([BLOCK_S, BLOCK_C], tl.float32)
    for start in range(0, SIZE, BLOCK_C):
        column = start + tl.arange(0, BLOCK_C)
        inside = column < SIZE
        q = tl.load(query + asked * query_stride + column, inside, 0.0)
        v = tl.load(weight + column, inside, 0.0)
        k = tl.load(keys + here[:, None] * SIZE + column[None, :], real[:, None] & inside[None, :], 0.0)
        z = k.to(tl.float32) + q[None, :]
        sums += (2 * tl.sigmoid(2 * z) - 1) * v[None, :]
    found = tl.where(real, tl.sum(sums, 1), float("-inf"))
    tl.store(energies + asked * length + position, found, position < length)


@triton.jit
def context_kernel(
    energies,
    annotations,
    weights,
    contexts,
    rounded,
    queries,
    length,
    size,
    HAS_ROUNDED: tl.constexpr,
    LENGTH: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The weights, [B, S], and the contexts, [B, C]; of all queries, as `energies_kernel` has them."""
    asked = tl.program_id(0).to(tl.int64)
    sentence = asked // queries
    all_positions = tl.arange(0, LENGTH)
    row = energies + asked * length
    every = tl.load(row + all_positions, all_positions < length, float("-inf"))
    largest = tl.max(every, 0)
    shares = tl.exp(every - largest)
    total = tl.sum(shares, 0)
    if tl.program_id(1) == 0:
        tl.store(weights + asked * length + all_positions, shares / total, all_positions < length)
    column = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = column < size
    sums = tl.zeros([BLOCK_S, BLOCK_C], tl.float32)
    for start in range(0, LENGTH, BLOCK_S):
        position = start + tl.arange(0, BLOCK_S)
        share = tl.exp(tl.load(row + position, position < length, float("-inf")) - largest) / total
        there = annotations + (sentence * length + position)[:, None] * size + column[None, :]
        x = tl.load(there, (share > 0)[:, None] & inside[None, :], 0.0)
        sums += share[:, None] * x.to(tl.float32)
    found = tl.sum(sums, 0)
    tl.store(contexts + asked * size + column, found, inside)
    if HAS_ROUNDED:
        tl.store(rounded + asked * size + column, found, inside)


@triton.jit
def weights_backward_kernel(
    grad_context,
    from_product,
    annotations,
    mask,
    total,
    grad_weights,
    length,
    SIZE: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The context's gradient, [B, C], which is the sum of two, and the weights', [B, S], 0 at padding."""
    sentence = tl.program_id(0).to(tl.int64)
    position = tl.program_id(1) * BLOCK_S + tl.arange(0, BLOCK_S)
    here = sentence * length + position
    real = tl.load(mask + here, position < length, 0) != 0
    sums = tl.zeros([BLOCK_S, BLOCK_C], tl.float32)
    for start in range(0, SIZE, BLOCK_C):
        column = start + tl.arange(0, BLOCK_C)
        inside = column < SIZE
        place = sentence * SIZE + column
        grad = tl.load(grad_context + place, inside, 0.0) + tl.load(from_product + place, inside, 0.0)
        if tl.program_id(1) == 0:
            tl.store(total + place, grad, inside)
        x = tl.load(annotations + here[:, None] * SIZE + column[None, :], real[:, None] & inside[None, :], 0.0)
        sums += grad[None, :] * x.to(tl.float32)
    tl.store(grad_weights + here, tl.sum(sums, 1), position < length)


@triton.jit
def query_backward_kernel(
    keys,
    query,
    query_stride,
    weight,
    weights,
    grad_weights,
    grad_energies,
    grad_query,
    grad_query_stride,
    length,
    size,
    LENGTH: tl.constexpr,
    BLOCK_S: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The energies' gradient, [B, S]: a (da - sum a da); and the query's, [B, C]: v sum_s de_s (1 - tanh^2)."""
    sentence = tl.program_id(0).to(tl.int64)
    all_positions = tl.arange(0, LENGTH)
    inside_row = all_positions < length
    row = sentence * length
    a = tl.load(weights + row + all_positions, inside_row, 0.0)
    da = tl.load(grad_weights + row + all_positions, inside_row, 0.0)
    mean = tl.sum(a * da, 0)
    if tl.program_id(1) == 0:
        tl.store(grad_energies + row + all_positions, a * (da - mean), inside_row)
    column = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = column < size
    q = tl.load(query + sentence * query_stride + column, inside, 0.0)
    sums = tl.zeros([BLOCK_S, BLOCK_C], tl.float32)
    for start in range(0, LENGTH, BLOCK_S):
        position = start + tl.arange(0, BLOCK_S)
        share = tl.load(weights + row + position, position < length, 0.0)
        slope = share * (tl.load(grad_weights + row + position, position < length, 0.0) - mean)
        there = keys + (row + position)[:, None] * size + column[None, :]
        k = tl.load(there, (share > 0)[:, None] & inside[None, :], 0.0)
        g = tl.sigmoid(2 * (k.to(tl.float32) + q[None, :]))
        sums += slope[:, None] * (4 * g * (1 - g))
    v = tl.load(weight + column, inside, 0.0)
    tl.store(grad_query + sentence * grad_query_stride + column, tl.sum(sums, 0) * v, inside)


@triton.jit
def keys_backward_kernel(
    keys,
    queries,
    weight,
    grad_energies,
    grad_keys,
    grad_weight,
    steps,
    length,
    size,
    BLOCK_S: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Over all T steps at once: of the keys, [B, S, C], and of v, [B, blocks of S, C], to be summed over both.

    queries: [T, B, C]. grad_energies: [T, B, S].
    """
    sentence, sentences = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    position = tl.program_id(1) * BLOCK_S + tl.arange(0, BLOCK_S)
    column = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = column < size
    both = (position < length)[:, None] & inside[None, :]
    place = (sentence * length + position)[:, None] * size + column[None, :]
    k = tl.load(keys + place, both, 0.0).to(tl.float32)
    of_keys = tl.zeros([BLOCK_S, BLOCK_C], tl.float32)
    of_weight = tl.zeros([BLOCK_S, BLOCK_C], tl.float32)
    step = 0
    while step < steps:
        at = step * sentences + sentence
        q = tl.load(queries + at * size + column, inside, 0.0)
        slope = tl.load(grad_energies + at * length + position, position < length, 0.0)
        g = tl.sigmoid(2 * (k + q[None, :]))
        of_keys += slope[:, None] * (4 * g * (1 - g))
        of_weight += slope[:, None] * (2 * g - 1)
        step += 1
    v = tl.load(weight + column, inside, 0.0)
    tl.store(grad_keys + place, of_keys * v[None, :], both)
    block = sentence * tl.num_programs(1) + tl.program_id(1)
    tl.store(grad_weight + block * size + column, tl.sum(of_weight, 0), inside)
