"""oneDNN's matrix products, called by name.

It makes a kernel for every shape and keeps it (0.6 MB and half a millisecond each): rows are padded to one of a few
numbers. Where it is there, and when it is the faster way, `nmt.layers.processor` knows.

Shapes: R rows, X inputs, Y outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

EXACT_ROWS = 16
"Up to here rows are not padded: one sentence's beam has its own few numbers."
ROW_BLOCK = 8
"Above it they are padded to multiples of this at least; a product takes as long as its rows are many."


def padded_rows(rows: int) -> int:
    """The next number of rows that kernels are made for: at most 16 between a power of two and the next."""
    if rows <= EXACT_ROWS:
        return rows
    multiple = max(ROW_BLOCK, 1 << rows.bit_length() - 5)
    return -(-rows // multiple) * multiple


def padded_to_eights(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """[R, X] in dtype, with rows of zeros up to `padded_rows`."""
    count, size = len(rows), padded_rows(len(rows))
    if count == size:
        return rows.to(dtype)
    result = rows.new_empty(size, rows.shape[1], dtype=dtype)
    result[:count] = rows
    result[count:] = 0
    return result


def packed(weight: Tensor) -> Tensor:
    """A weight, [Y, X], laid out for `onednn_linear`."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, None)  # type: ignore[no-any-return]


def onednn_linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    """activation(rows @ weight.T + bias), [R, Y]; weight packed or plain, of any strides; activation: none or relu."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], "")  # type: ignore[no-any-return]


def pack_int8(weight: Tensor) -> Tensor:
    """A weight, [Y, X] int8, laid out for `int8_product`."""
    return torch.ops.onednn.qlinear_prepack(weight, None)  # type: ignore[no-any-return]


def signed_sums(levels: Tensor, weight: Tensor) -> Tensor:
    """levels @ weight, [R, X] and [X, Y] int8 -> [R, Y] int32."""
    return torch._int_mm(levels, weight)


def int8_product(levels: Tensor, zero: int, step: float, weight: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """step * levels @ (scales * weight).T + bias, [R, Y] float32, summed in whole numbers.

    levels: [R, X] int8, at most as far from 0 as `zero` allows. weight: packed. scales, bias: [Y] float32.
    """
    shifted = levels.view(torch.uint8) + zero  # wraps around; much faster than a conversion to unsigned
    zeros = torch.zeros(len(scales), dtype=torch.int32)
    return torch.ops.onednn.qlinear_pointwise(  # type: ignore[no-any-return]
        shifted, step, zero, weight, scales, zeros, bias, 1.0, 0, torch.float32, "none", [], "",
    )  # fmt: skip
