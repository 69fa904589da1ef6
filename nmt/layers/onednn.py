"""oneDNN's matrix products, called by name.

Where torch calls MKL for float32, oneDNN is about twice as fast on AMD's processors (`scripts/bench step`), and no
slower on Intel's. It makes a kernel for every shape and keeps it (0.6 MB and half a millisecond each): rows are padded
to one of a few numbers.

Shapes: R rows, X inputs, Y outputs.
"""

from __future__ import annotations

import functools
import platform

import torch
from torch import Tensor

EXACT_ROWS = 16
"Up to here rows are not padded: one sentence's beam has its own few numbers."


def has_onednn(device: torch.device) -> bool:
    """Whether oneDNN multiplies on this device."""
    return device.type == "cpu" and torch.backends.mkldnn.is_available()


@functools.cache
def replaces_mkl() -> bool:
    """Whether torch's float32 products on the CPU are MKL's, which oneDNN's are at least as fast as."""
    return torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")


def padded_rows(rows: int) -> int:
    """The next number of rows that kernels are made for: at most 16 between a power of two and the next."""
    if rows <= EXACT_ROWS:
        return rows
    multiple = max(EXACT_ROWS, 1 << rows.bit_length() - 5)
    return -(-rows // multiple) * multiple


def padded(rows: Tensor, dtype: torch.dtype) -> Tensor:
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


def onednn_linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """rows @ weight.T + bias, [R, Y]; weight packed or plain, of any strides."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")  # type: ignore[no-any-return]
