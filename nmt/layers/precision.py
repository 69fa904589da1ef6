"""Products in a lower precision: inputs are rounded to `dtype`, sums and everything else stay float32.

Weights keep float32 masters; a weight is rounded once per update, not once per step of a recurrence.

Where the device multiplies bfloat16, that is what it gets. On CUDA the results are the float32 sums; a CPU's library
rounds each result to bfloat16 once more, since it has no other product. A CPU without bfloat16 multiplies the rounded
inputs in float32, at the speed of float32: a run that began elsewhere goes on as the same kind of run.

On the CPU float32 products take the way that `nmt.layers.processor` names. What is neither float32 nor lower is
multiplied as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmt.layers.onednn import onednn_linear, packed, padded_rows, padded_to_eights
from nmt.layers.processor import names_onednn, native_bfloat16, packs_repeated

KEEPS_SUMS = hasattr(torch.ops.aten.mm, "dtype")
"Whether this torch can give the float32 sums of bfloat16 inputs on CUDA."


def wants_gradient(*tensors: Tensor) -> bool:
    """Whether a backward may come; inside an autograd function this cannot be told any more."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def carrier(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """In what numbers rounded to dtype are multiplied: themselves where the device can, else float32."""
    return dtype if dtype == torch.float32 or native_bfloat16(device) else torch.float32


def is_prepared(dtype: torch.dtype, tensor: Tensor) -> bool:
    """Whether what is multiplied in dtype is to be `prepared` and go through `multiply`."""
    if tensor.dtype != torch.float32:
        return False
    return dtype != torch.float32 or (tensor.device.type == "cpu" and names_onednn())


def rounded(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """The matrix in the numbers of dtype, as `multiply` takes it."""
    return matrix.to(dtype).to(carrier(dtype, matrix.device))


def prepared(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """[N, X] rounded; with rows of zeros after them where oneDNN is to see few numbers of rows."""
    kind = carrier(dtype, rows.device)
    if rows.device.type == "cpu" and (kind != torch.float32 or names_onednn()):
        return padded_to_eights(rows if kind == dtype else rows.to(dtype), kind)
    return rounded(rows, dtype)


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """left [N, X] @ right [X, Y] of one dtype and any strides; float32 from bfloat16."""
    if left.dtype == torch.bfloat16:
        if left.is_cuda and KEEPS_SUMS:
            return torch.mm(left, right, out_dtype=torch.float32)
        return torch.mm(left, right).float()
    if left.dtype == torch.float32 and left.device.type == "cpu" and names_onednn():
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
        kept, right = inputs.to(dtype), rounded(weight, dtype)
        ctx.save_for_backward(kept, right)
        ctx.dtype = dtype
        return multiply(prepared(kept, dtype), right)[: inputs.shape[0]]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of inputs and weight."""
        kept, right = ctx.saved_tensors
        left, upper = prepared(kept, ctx.dtype), prepared(grad, ctx.dtype)
        grad_inputs = multiply(upper, right.t())[: grad.shape[0]] if ctx.needs_input_grad[0] else None
        return grad_inputs, multiply(left.t(), upper) if ctx.needs_input_grad[1] else None, None


LARGE_BYTES = 2**22
"A float32 weight above this does not stay in a core's own cache from one step to the next."


class StepProduct:
    """One weight, [X, Y], used at every step of a recurrence with [B, X] inputs: rounded and packed once.

    always: whether B is the same in all of training. Then rows are not padded, since there is one kernel to be made,
    and a large weight is packed, which pays where few rows share it.
    """

    def __init__(self, weight: Tensor, batch: int, dtype: torch.dtype, *, always: bool = False) -> None:
        on_cpu = weight.dtype == torch.float32 and weight.device.type == "cpu"
        self.batch, self.dtype = batch, dtype if weight.dtype == torch.float32 else weight.dtype
        self.weight = rounded(weight, self.dtype) if weight.dtype == torch.float32 else weight
        pays = always and names_onednn() and 4 * weight.numel() > LARGE_BYTES
        self.packed = on_cpu and self.weight.dtype == torch.float32 and (packs_repeated() or pays)
        self.plain = not self.packed and not is_prepared(dtype, weight)
        size = padded_rows(batch) if on_cpu and not (self.plain or always) else batch
        self.rows: Tensor | None = None
        "Where inputs are rounded and padded_to_eights, step after step."
        if not self.plain and (size != batch or self.dtype != torch.float32):
            self.rows = self.weight.new_zeros(size, weight.shape[0])
        if self.packed:
            self.weight = packed(self.weight.t())

    def __call__(self, inputs: Tensor) -> Tensor:
        """inputs @ weight, [B, Y], as a new tensor."""
        if self.plain:
            return torch.mm(inputs, self.weight)
        if self.rows is not None:
            self.rows[: self.batch] = inputs if self.rows.dtype == self.dtype else inputs.to(self.dtype)
            inputs = self.rows
        found = onednn_linear(inputs, self.weight) if self.packed else multiply(inputs, self.weight)
        return found[: self.batch]

    def added_to(self, base: Tensor, inputs: Tensor) -> Tensor:
        """base + inputs @ weight, [B, Y], as a new tensor."""
        return torch.addmm(base, inputs, self.weight) if self.plain else self(inputs).add_(base)


def over_time(inputs: Tensor, grads: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight's gradient, summed over all steps in one product: [T, B, X], [T, B, Y] -> [X, Y]."""
    left, right = inputs.reshape(-1, inputs.shape[2]), grads.reshape(-1, grads.shape[2])
    if not is_prepared(dtype, inputs):
        return left.t() @ right
    return multiply(prepared(left, dtype).t(), prepared(right, dtype))
