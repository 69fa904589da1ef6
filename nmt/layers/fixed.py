"""Affine maps whose weights no longer change, rounded and laid out once for the library that multiplies them.

float32: oneDNN with packed weights, which on AMD's processors is up to four times as fast as MKL. bf16: inputs, weights
and results rounded to bfloat16. int8: weights rounded to 8 bits with a scale for each output, inputs to 8 bits (7 where
the processor's products would overflow) between fixed bounds or each row's own, so that no row's numbers depend on the
rows beside it; sums are whole numbers. `nmt.layers.processor` says which of them there are.

Shapes: R rows, X inputs, Y outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from nmt.layers.onednn import (
    int8_product,
    onednn_linear,
    pack_int8,
    packed,
    padded_rows,
    padded_to_eights,
    signed_sums,
)
from nmt.layers.processor import has_onednn, int8_inputs, names_onednn, sums_signed

Affine = Callable[[Tensor], Tensor]
"rows, [R, X] float32 -> rows @ weight.T + bias, [R, Y] float32. Keeps nothing between calls."

PRECISIONS = ("float32", "bf16", "int8")
PACKED_BYTES = 2**25
"A larger float32 weight is used where it lies: a packed copy gains little once there are many rows."
SIGNED_OUTPUTS, SIGNED_WEIGHTS = 2048, 2**20
"Of int8, at most, where sums are scaled in a pass of their own: more sums take longer so, and so do more weights."


def affine(weight: Tensor, bias: Tensor, precision: str, *, bound: float | None = 1.0, relu: bool = False) -> Affine:
    """The map of weight, [Y, X], and bias, [Y]; bound: the largest magnitude of an input, which int8 cuts to it; None:
    each row's own, which costs a little more. relu: results below zero are made zero.

    A float32 weight above PACKED_BYTES is shared, everything else copied. The precision must be one that
    `nmt.layers.processor.usable_precision` lets pass.
    """
    assert precision in PRECISIONS, precision
    weight, bias = weight.detach().contiguous(), bias.detach()
    onednn = has_onednn(weight.device)
    if precision == "float32" and onednn and (is_small(weight) or names_onednn()):
        return PackedAffine(weight, bias, relu=relu)
    if precision == "bf16" and onednn:
        return PackedBFloat16Affine(weight, bias, relu=relu)
    found: Affine
    if precision == "int8":
        found = Int8Affine(weight, bias, bound) if bound is not None else RowwiseInt8Affine(weight, bias)
    else:
        found = BFloat16Affine(weight, bias) if precision == "bf16" else PlainAffine(weight, bias)
    return (lambda rows: found(rows).relu_()) if relu else found


def is_small(weight: Tensor) -> bool:
    """Whether a packed copy is worth its memory."""
    return weight.numel() * weight.element_size() <= PACKED_BYTES


class PlainAffine:
    """As torch does it, in float32."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        return functional.linear(rows, self.weight, self.bias)


class PackedAffine:
    """oneDNN in float32."""

    def __init__(self, weight: Tensor, bias: Tensor, *, relu: bool) -> None:
        self.weight, self.bias = packed(weight) if is_small(weight) else weight, bias
        self.activation = "relu" if relu else "none"

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        count = len(rows)
        if count == padded_rows(count):
            return onednn_linear(rows, self.weight, self.bias, self.activation)
        return onednn_linear(padded_to_eights(rows, torch.float32), self.weight, self.bias, self.activation)[:count]


class BFloat16Affine:
    """Inputs, weights and results in bfloat16; sums inside a product in float32."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.bfloat16(), bias.bfloat16()

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        return functional.linear(padded_to_eights(rows, torch.bfloat16), self.weight, self.bias)[: len(rows)].float()


class PackedBFloat16Affine:
    """The same by oneDNN."""

    def __init__(self, weight: Tensor, bias: Tensor, *, relu: bool) -> None:
        self.weight, self.bias = packed(weight.bfloat16()), bias.bfloat16()
        self.activation = "relu" if relu else "none"

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        found = onednn_linear(padded_to_eights(rows, torch.bfloat16), self.weight, self.bias, self.activation)
        return found[: len(rows)].float()


class Int8Weight:
    """Signed 8-bit weights, each output with its scale; whole sums, which are the same in both ways to make them.

    oneDNN by name takes unsigned inputs and a packed weight, and scales its sums. torch takes signed inputs and the
    weight as it is, which for few rows and weights is several times as fast, and leaves the scaling to a further pass.
    """

    def __init__(self, weight: Tensor, bound: float | None = None) -> None:
        """bound: the magnitude of the largest level of inputs; None: levels are whole numbers."""
        inputs = int8_inputs()
        assert inputs is not None, "no int8 products here"
        self.inputs = inputs
        self.scales = (weight.abs().amax(1) / 127).clamp_(min=torch.finfo(torch.float32).tiny)
        levels = (weight / self.scales[:, None]).round_().to(torch.int8)
        if bound is not None:
            self.scales *= bound / inputs.limit
        self.signed = len(weight) <= SIGNED_OUTPUTS and weight.numel() <= SIGNED_WEIGHTS and sums_signed()
        self.weight = levels.t().contiguous() if self.signed else pack_int8(levels)

    def product(self, numbers: Tensor, bias: Tensor | None) -> Tensor:
        """inputs @ weight.T + bias, [R, Y]. numbers: the inputs' levels, not yet rounded, [R, X]; written over."""
        count, levels = len(numbers), padded_to_eights(numbers.round_().to(torch.int8), torch.int8)
        if not self.signed:
            return int8_product(levels, self.inputs.zero, 1.0, self.weight, self.scales, bias)[:count]
        sums = signed_sums(levels, self.weight)[:count]
        return sums * self.scales if bias is None else torch.addcmul(bias, sums, self.scales)


class Int8Affine:
    """Inputs are cut into levels between fixed bounds."""

    def __init__(self, weight: Tensor, bias: Tensor, bound: float) -> None:
        self.weight, self.bias = Int8Weight(weight, bound), bias
        self.limit = self.weight.inputs.limit
        self.per_unit = self.limit / bound

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        return self.weight.product(rows.mul(self.per_unit).clamp_(-self.limit, self.limit), self.bias)


class RowwiseInt8Affine:
    """Each row is cut into levels up to its own largest magnitude, where no bound is known before."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = Int8Weight(weight), bias
        self.limit = self.weight.inputs.limit

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        steps = rows.abs().amax(1, keepdim=True).mul_(1 / self.limit).clamp_(min=torch.finfo(torch.float32).tiny)
        return torch.addcmul(self.bias, self.weight.product(rows / steps, None), steps)
