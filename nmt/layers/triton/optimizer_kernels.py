# ruff: noqa: N803, as Triton spells what is known when a kernel is compiled
# mypy: ignore-errors
"""A step of Adadelta in one pass over a parameter and its states. Importing this imports Triton."""

import triton
import triton.language as tl


@triton.jit
def adadelta_kernel(
    parameter,
    gradient,
    squares,
    changes,
    rate,
    refused,
    scale,
    rho,
    eps,
    count,
    HAS_SCALE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Seven numbers move for each of the parameter's; none where the step is refused. scale: divides the gradient."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < tl.where(tl.load(refused) > 0, 0, count)
    g = tl.load(gradient + place, inside, 0.0)
    if HAS_SCALE:
        g = g / tl.load(scale)
    square, change = tl.load(squares + place, inside, 0.0), tl.load(changes + place, inside, 0.0)
    square = square * rho + g * g * (1 - rho)
    delta = tl.sqrt(change + eps) / tl.sqrt(square + eps) * g
    tl.store(squares + place, square, inside)
    tl.store(changes + place, change * rho + delta * delta * (1 - rho), inside)
    w = tl.load(parameter + place, inside, 0.0)
    tl.store(parameter + place, w - tl.load(rate) * delta, inside)
