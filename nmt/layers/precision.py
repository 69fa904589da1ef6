"""Products in a lower precision: inputs are rounded to `dtype`, sums and everything else stay float32.

Weights keep float32 masters; a weight is rounded once per update, not once per step of a recurrence.

Rows are padded with zeros to a multiple of ROW_MULTIPLE: the library behind bfloat16 products on the CPU compiles a
kernel for every new shape and keeps it, so that batches of every size would cost time and hundreds of megabytes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROW_MULTIPLE = 32


def is_lower(dtype: torch.dtype, tensor: Tensor) -> bool:
    """Whether products of this tensor are to be rounded."""
    return dtype not in (torch.float32, tensor.dtype)


def rounded(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """[N, X] in dtype, padded with zero rows to a multiple of ROW_MULTIPLE."""
    count = -(-rows.shape[0] // ROW_MULTIPLE) * ROW_MULTIPLE
    result = rows.new_empty(count, rows.shape[1], dtype=dtype)
    result[: rows.shape[0]] = rows
    result[rows.shape[0] :] = 0
    return result


def product(inputs: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """inputs [..., X] @ weight [X, Y], both rounded to dtype; the result is in the inputs' own precision."""
    if not is_lower(dtype, inputs):
        return inputs @ weight
    flat = inputs.reshape(-1, inputs.shape[-1])
    result: Tensor = RoundedProduct.apply(flat, weight, dtype)
    return result.view(*inputs.shape[:-1], weight.shape[1])


class RoundedProduct(torch.autograd.Function):
    """`product` of [N, X] and [X, Y]; what it keeps for the backward is rounded, which is half as large."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """The product, [N, Y]."""
        left, right = rounded(inputs, dtype), weight.to(dtype)
        ctx.save_for_backward(left, right)
        ctx.dtype = dtype
        return torch.mm(left, right)[: inputs.shape[0]].to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of inputs and weight."""
        left, right = ctx.saved_tensors
        grad_rounded = rounded(grad, ctx.dtype)
        grad_inputs = torch.mm(grad_rounded, right.t())[: grad.shape[0]].to(grad.dtype)
        return grad_inputs, torch.mm(left.t(), grad_rounded).to(grad.dtype), None


class StepProduct:
    """One weight, [X, Y], used at every step of a recurrence with [B, X] inputs: rounded once, buffers reused."""

    def __init__(self, weight: Tensor, batch: int, dtype: torch.dtype) -> None:
        self.lower, self.batch = is_lower(dtype, weight), batch
        self.weight = weight.to(dtype) if self.lower else weight
        if self.lower:
            rows = -(-batch // ROW_MULTIPLE) * ROW_MULTIPLE
            self.inputs = self.weight.new_zeros(rows, weight.shape[0])
            self.outputs = self.weight.new_empty(rows, weight.shape[1])

    def into(self, inputs: Tensor, out: Tensor) -> None:
        """out = inputs @ weight, [B, Y]."""
        if self.lower:
            out.copy_(self._multiply(inputs))
        else:
            torch.mm(inputs, self.weight, out=out)

    def added_to(self, base: Tensor, inputs: Tensor) -> Tensor:
        """base + inputs @ weight, [B, Y], as a new tensor."""
        if self.lower:
            return base + self._multiply(inputs)
        return torch.addmm(base, inputs, self.weight)

    def _multiply(self, inputs: Tensor) -> Tensor:
        self.inputs[: self.batch] = inputs
        return torch.mm(self.inputs, self.weight, out=self.outputs)[: self.batch]


def over_time(inputs: Tensor, grads: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight's gradient, summed over all steps in one product: [T, B, X], [T, B, Y] -> [X, Y]."""
    left, right = inputs.reshape(-1, inputs.shape[2]), grads.reshape(-1, grads.shape[2])
    if not is_lower(dtype, inputs):
        return left.t() @ right
    return torch.mm(rounded(left, dtype).t(), rounded(right, dtype)).to(inputs.dtype)


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(supported and supported())
    return False
