"""Products in a lower precision: inputs are rounded to `dtype`, sums and everything else stay float32.

Weights keep float32 masters; a weight is rounded once per update, not once per step of a recurrence.

On the CPU they are oneDNN's, in float32 too (`nmt.layers.onednn`), and rows are padded to one of a few numbers. What is
neither float32 nor lower is multiplied as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmt.layers.onednn import onednn_linear, padded, padded_rows, replaces_mkl


def is_prepared(dtype: torch.dtype, tensor: Tensor) -> bool:
    """Whether what is multiplied in dtype is to be `padded` and go through `multiply`."""
    if tensor.dtype != torch.float32:
        return False
    return dtype != torch.float32 or (tensor.device.type == "cpu" and replaces_mkl())


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """left [N, X] @ right [X, Y] of one dtype and any strides."""
    if left.dtype == torch.float32 and left.device.type == "cpu" and replaces_mkl():
        return onednn_linear(dense(left), dense(right).t())
    return torch.mm(left, right)


def dense(matrix: Tensor) -> Tensor:
    """The matrix with nothing between its rows or columns: a view of part of another is multiplied 500 times slower."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def product(inputs: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """inputs [..., X] @ weight [X, Y], both rounded to dtype; the result is in the inputs' own precision."""
    if not is_prepared(dtype, inputs):
        return inputs @ weight
    flat = inputs.reshape(-1, inputs.shape[-1])
    result: Tensor = PreparedProduct.apply(flat, weight, dtype)
    return result.view(*inputs.shape[:-1], weight.shape[1])


class PreparedProduct(torch.autograd.Function):
    """`product` of [N, X] and [X, Y]; what it keeps for the backward is rounded, or the inputs themselves."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """The product, [N, Y]."""
        left, right = padded(inputs, dtype), weight.to(dtype)
        ctx.save_for_backward(inputs if dtype == inputs.dtype else left, right)
        ctx.dtype = dtype
        return multiply(left, right)[: inputs.shape[0]].to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of inputs and weight."""
        left, right = ctx.saved_tensors
        left, upper = padded(left, ctx.dtype), padded(grad, ctx.dtype)
        grad_inputs = multiply(upper, right.t())[: grad.shape[0]].to(grad.dtype) if ctx.needs_input_grad[0] else None
        return grad_inputs, multiply(left.t(), upper).to(grad.dtype), None


class StepProduct:
    """One weight, [X, Y], used at every step of a recurrence with [B, X] inputs: rounded once, a buffer reused."""

    def __init__(self, weight: Tensor, batch: int, dtype: torch.dtype) -> None:
        self.prepared, self.batch = is_prepared(dtype, weight), batch
        self.weight = weight.to(dtype) if self.prepared else weight
        if self.prepared:
            self.inputs = self.weight.new_zeros(padded_rows(batch), weight.shape[0])

    def into(self, inputs: Tensor, out: Tensor) -> None:
        """out = inputs @ weight, [B, Y]."""
        if self.prepared:
            out.copy_(self._multiply(inputs))
        else:
            torch.mm(inputs, self.weight, out=out)

    def added_to(self, base: Tensor, inputs: Tensor) -> Tensor:
        """base + inputs @ weight, [B, Y], as a new tensor."""
        if self.prepared:
            return base + self._multiply(inputs)
        return torch.addmm(base, inputs, self.weight)

    def _multiply(self, inputs: Tensor) -> Tensor:
        self.inputs[: self.batch] = inputs
        return multiply(self.inputs, self.weight)[: self.batch]


def over_time(inputs: Tensor, grads: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight's gradient, summed over all steps in one product: [T, B, X], [T, B, Y] -> [X, Y]."""
    left, right = inputs.reshape(-1, inputs.shape[2]), grads.reshape(-1, grads.shape[2])
    if not is_prepared(dtype, inputs):
        return left.t() @ right
    return multiply(padded(left, dtype).t(), padded(right, dtype)).to(inputs.dtype)


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(supported and supported())
    return False
