# ruff: noqa: N803, as Triton spells what is known when a kernel is compiled
# mypy: ignore-errors
"""The elementwise part of a GRU, forward and backward, as one kernel each. Importing this imports Triton.

A program is one row of a batch and BLOCK of its H units. Gates lie in the order r, u, n. All sums are float32; what is
stored is rounded to the type of the tensor it is stored in.
"""

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """By the logistic function; exact to a few units in the seventh digit after the point."""
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def gates_forward_kernel(
    from_input,
    input_stride,
    from_hidden,
    hidden_stride,
    input_bias,
    bias,
    hidden,
    gates,
    candidates,
    new,
    rounded,
    size,
    HAS_INPUT_BIAS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_ROUNDED: tl.constexpr,
    KEEPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """r, u = s(x + h);  n = tanh(x + r * h);  new = u * old + (1 - u) * n, with h the hidden side, its bias added.

    KEEPS: whether gates and the hidden side of n are stored for a backward.
    """
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = unit < size
    x, h = from_input + row * input_stride + unit, from_hidden + row * hidden_stride + unit
    h_r, h_u, h_n = tl.load(h, inside), tl.load(h + size, inside), tl.load(h + 2 * size, inside)
    if HAS_BIAS:
        h_r += tl.load(bias + unit, inside)
        h_u += tl.load(bias + size + unit, inside)
        h_n += tl.load(bias + 2 * size + unit, inside)
    x_r, x_u, x_n = tl.load(x, inside), tl.load(x + size, inside), tl.load(x + 2 * size, inside)
    if HAS_INPUT_BIAS:
        x_r += tl.load(input_bias + unit, inside)
        x_u += tl.load(input_bias + size + unit, inside)
        x_n += tl.load(input_bias + 2 * size + unit, inside)
    reset, update = tl.sigmoid(x_r + h_r), tl.sigmoid(x_u + h_u)
    candidate = tanh(x_n + reset * h_n)
    found = candidate + update * (tl.load(hidden + row * size + unit, inside) - candidate)
    if KEEPS:
        kept = gates + row * 3 * size + unit
        tl.store(kept, reset, inside)
        tl.store(kept + size, update, inside)
        tl.store(kept + 2 * size, candidate, inside)
        tl.store(candidates + row * size + unit, h_n, inside)
    tl.store(new + row * size + unit, found, inside)
    if HAS_ROUNDED:
        tl.store(rounded + row * size + unit, found, inside)


@triton.jit
def gates_backward_kernel(
    direct,
    from_product,
    from_output,
    gates,
    candidates,
    hidden,
    grad_input,
    grad_hidden,
    grad_hidden_stride,
    exact,
    size,
    HAS_PRODUCT: tl.constexpr,
    HAS_OUTPUT: tl.constexpr,
    HAS_EXACT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The new state's gradient is the sum of up to three; direct becomes the part of the old state's that passes by."""
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = unit < size
    here = row * size + unit
    grad = tl.load(direct + here, inside)
    if HAS_PRODUCT:
        grad += tl.load(from_product + here, inside)
    if HAS_OUTPUT:
        grad += tl.load(from_output + here, inside)
    kept = gates + row * 3 * size + unit
    reset, update = tl.load(kept, inside), tl.load(kept + size, inside)
    candidate = tl.load(kept + 2 * size, inside)
    passing = grad * update
    to_candidate = (grad - passing) * (1 - candidate * candidate)
    to_update = (tl.load(hidden + here, inside) - candidate) * passing * (1 - update)
    through_reset = to_candidate * reset
    to_reset = through_reset * tl.load(candidates + here, inside) * (1 - reset)
    tl.store(direct + here, passing, inside)
    of_input = grad_input + row * 3 * size + unit
    tl.store(of_input, to_reset, inside)
    tl.store(of_input + size, to_update, inside)
    tl.store(of_input + 2 * size, to_candidate, inside)
    of_hidden = grad_hidden + row * grad_hidden_stride + unit
    tl.store(of_hidden, to_reset, inside)
    tl.store(of_hidden + size, to_update, inside)
    tl.store(of_hidden + 2 * size, through_reset, inside)
    if HAS_EXACT:
        unrounded = exact + row * 3 * size + unit
        tl.store(unrounded, to_reset, inside)
        tl.store(unrounded + size, to_update, inside)
        tl.store(unrounded + 2 * size, through_reset, inside)
