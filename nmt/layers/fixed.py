"""Affine maps whose weights no longer change, rounded and laid out once for the library that multiplies them.

float32: oneDNN with packed weights, which on AMD's processors is two to four times as fast as MKL. bf16: inputs and
weights rounded to bfloat16. int8: weights rounded to 8 bits with a scale for each output, inputs to 8 bits between
fixed bounds, so that no row's numbers depend on the rows beside it; sums are whole numbers.

Shapes: R rows, X inputs, Y outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bpe.errors import UserError
from nmt.layers.onednn import has_onednn, onednn_linear, packed, padded

Affine = Callable[[Tensor], Tensor]
"rows, [R, X] float32 -> rows @ weight.T + bias, [R, Y] float32. Keeps nothing between calls."

PRECISIONS = ("float32", "bf16", "int8")
PACKED_BYTES = 2**25
"A larger float32 weight is used where it lies: a packed copy gains little once there are many rows."
ZERO = 128
"What stands for 0 in unsigned 8-bit inputs."


def affine(weight: Tensor, bias: Tensor, precision: str, *, bound: float = 1.0) -> Affine:
    """The map of weight, [Y, X], and bias, [Y]; bound: the largest magnitude of an input, which int8 cuts to it.

    A float32 weight above PACKED_BYTES is shared, everything else copied.
    """
    weight, bias = weight.detach().contiguous(), bias.detach()
    if precision == "int8":
        return Int8Affine(weight, bias, bound)
    if precision == "bf16":
        return BFloat16Affine(weight, bias)
    if has_onednn(weight.device):
        return PackedAffine(weight, bias)
    return PlainAffine(weight, bias)


def check_precision(precision: str, device: torch.device) -> None:
    """Raise UserError where the device cannot multiply in this precision."""
    assert precision in PRECISIONS, precision
    if precision == "int8" and not has_onednn(device):
        raise UserError(
            f"no int8 products on this machine's {device.type}", where="search.precision", hint="use bf16 or float32"
        )


class PlainAffine:
    """As torch does it, in float32."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        return functional.linear(rows, self.weight, self.bias)


class PackedAffine:
    """oneDNN in float32."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        small = weight.numel() * weight.element_size() <= PACKED_BYTES
        self.weight = packed(weight) if small else weight
        self.bias = bias

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        return onednn_linear(padded(rows, torch.float32), self.weight, self.bias)[: len(rows)]


class BFloat16Affine:
    """Inputs, weights and results in bfloat16; sums inside a product in float32."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.bfloat16(), bias.bfloat16()
        self.linear: Callable[[Tensor, Tensor, Tensor], Tensor] = functional.linear
        if has_onednn(weight.device):
            self.weight, self.linear = packed(self.weight), onednn_linear

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        return self.linear(padded(rows, torch.bfloat16), self.weight, self.bias)[: len(rows)].float()


class Int8Affine:
    """oneDNN: unsigned 8-bit inputs, signed 8-bit weights, 32-bit sums, float32 results.

    Without instructions for it (VNNI) the sum of two products has 16 bits, which 7-bit inputs do not overflow.
    """

    def __init__(self, weight: Tensor, bias: Tensor, bound: float) -> None:
        self.scales = (weight.abs().amax(1) / 127).clamp_(min=torch.finfo(torch.float32).tiny)
        self.weight = torch.ops.onednn.qlinear_prepack((weight / self.scales[:, None]).round_().to(torch.int8), None)
        self.zeros = torch.zeros(len(bias), dtype=torch.int32)
        self.bias = bias
        self.limit = 127 if torch.cpu._is_vnni_supported() else 63
        self.step = bound / self.limit

    def __call__(self, rows: Tensor) -> Tensor:
        """See Affine."""
        levels = rows.mul(1 / self.step).clamp_(-self.limit, self.limit).round_().to(torch.int8)
        shifted = padded(levels, torch.int8).view(torch.uint8) + ZERO  # much faster than a conversion to unsigned
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            shifted, self.step, ZERO, self.weight, self.scales, self.zeros, self.bias,
            1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        return result[: len(rows)]
