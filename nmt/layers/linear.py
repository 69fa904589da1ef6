"""Affine maps and the Transformer's feed-forward, with bias and activation inside the product where a library has that.

Inputs are rounded to the dtype of the products as in `nmt.layers.precision`; between the two maps of a feed-forward in
bfloat16 numbers stay bfloat16, so that the widest tensor of the model is half as large.

Shapes: N rows, X inputs, Y outputs, F width of the feed-forward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nmt.layers.onednn import onednn_linear
from nmt.layers.precision import dense, is_prepared, multiply, prepared, rounded
from nmt.layers.processor import names_onednn

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "swish": functional.silu,
}
"By the names that configurations use. swish(x) is x sigmoid(x)."
DERIVATIVES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gelu": torch.ops.aten.gelu_backward,
    "swish": torch.ops.aten.silu_backward,
}
"(gradient, input of the activation) -> gradient of the input. That of relu is told by its output."


class Linear(nn.Module):
    """x W' + b. weight: [Y, X]. bias: [Y]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, inputs: Tensor, dtype: torch.dtype = torch.float32, *, keep: bool = False) -> Tensor:
        """[..., X] -> [..., Y]. dtype: of the product. keep: leave the result in it, for another product."""
        return linear(inputs, self.weight, self.bias, dtype, keep=keep)


def linear(
    inputs: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype = torch.float32, *, keep: bool = False
) -> Tensor:
    """`Linear` with weights that lie elsewhere."""
    if not is_prepared(dtype, weight):
        return functional.linear(inputs, weight, bias)
    flat = inputs.reshape(-1, inputs.shape[-1])
    found: Tensor = PreparedLinear.apply(flat, weight, bias, dtype, keep)
    return found.view(*inputs.shape[:-1], len(bias))


class PreparedLinear(torch.autograd.Function):
    """`Linear` of [N, X]; what it keeps for the backward is rounded, or the inputs themselves."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype, keep: bool) -> Tensor:
        """[N, Y]."""
        kept, right = inputs.to(dtype), rounded(weight, dtype)
        ctx.save_for_backward(kept, right)
        ctx.dtype, ctx.inputs_dtype = dtype, inputs.dtype
        function = fused_rows if keep else affine_rows
        return function(prepared(kept, dtype), right, bias)[: len(inputs)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of inputs, weight and bias."""
        kept, right = ctx.saved_tensors
        upper = prepared(grad, ctx.dtype)
        grad_inputs = None
        if ctx.needs_input_grad[0]:
            function = multiply if ctx.inputs_dtype == torch.float32 else same_multiply
            grad_inputs = function(upper, right)[: len(grad)]
        return grad_inputs, weight_gradient(upper, prepared(kept, ctx.dtype)), column_sums(grad), None, None


class FeedForward(nn.Module):
    """activation(x W1' + b1) W2' + b2, position by position (Vaswani et al., 2017, section 3.3)."""

    def __init__(self, size: int, inner_size: int, activation: str) -> None:
        super().__init__()
        self.inner = Linear(size, inner_size)
        self.outer = Linear(inner_size, size)
        self.activation = activation

    def forward(
        self,
        inputs: Tensor,
        dtype: torch.dtype = torch.float32,
        dropout: Callable[[Tensor], Tensor] | None = None,
        *,
        fast: bool = True,
    ) -> Tensor:
        """[..., X] -> [..., X]. dropout: of the inner activations. fast: one function with its own backward."""
        if not fast or dropout is not None or not is_prepared(dtype, inputs):
            inner = ACTIVATIONS[self.activation](self.inner(inputs, dtype))
            return self.outer(inner if dropout is None else dropout(inner), dtype)  # type: ignore[no-any-return]
        flat = inputs.reshape(-1, inputs.shape[-1])
        weights = (self.inner.weight, self.inner.bias, self.outer.weight, self.outer.bias)
        found: Tensor = PreparedFeedForward.apply(flat, *weights, self.activation, dtype)
        return found.view_as(inputs)


class PreparedFeedForward(torch.autograd.Function):
    """`FeedForward` of [N, X], whose inner numbers stay in the dtype of the products."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        inner: Tensor,
        inner_bias: Tensor,
        outer: Tensor,
        outer_bias: Tensor,
        activation: str,
        dtype: torch.dtype,
    ) -> Tensor:
        """[N, X]."""
        kept, first, second = inputs.to(dtype), rounded(inner, dtype), rounded(outer, dtype)
        rows = prepared(kept, dtype)
        if activation == "relu":
            raw = active = fused_rows(rows, first, inner_bias, relu=True)
        else:
            raw = fused_rows(rows, first, inner_bias)
            active = ACTIVATIONS[activation](raw)
        ctx.save_for_backward(kept, raw, active, first, second)
        ctx.activation, ctx.dtype = activation, dtype
        return affine_rows(active, second, outer_bias)[: len(inputs)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs and of both maps."""
        kept, raw, active, first, second = ctx.saved_tensors
        upper = prepared(grad, ctx.dtype)
        inside = same_multiply(upper, second)
        if ctx.activation == "relu":
            inside = torch.ops.aten.threshold_backward(inside, active, 0)
        else:
            inside = DERIVATIVES[ctx.activation](inside, raw)
        grad_outer = weight_gradient(upper, active)
        grad_inner = weight_gradient(inside, prepared(kept, ctx.dtype))
        grad_inner_bias = column_sums(inside[: len(grad)])
        grad_inputs = multiply(inside, first)[: len(grad)] if ctx.needs_input_grad[0] else None
        return grad_inputs, grad_inner, grad_inner_bias, grad_outer, column_sums(grad), None, None


def column_sums(rows: Tensor) -> Tensor:
    """[N, Y] -> [Y] float32, the gradient of a bias: in float32 as a product, in a third of the time of torch's sum."""
    if rows.dtype != torch.float32:
        return rows.sum(0, dtype=torch.float32)
    return (rows.new_ones(1, len(rows)) @ rows)[0]


def weight_gradient(upper: Tensor, rows: Tensor) -> Tensor:
    """upper [N, Y], rows [N, X], both prepared -> [Y, X] float32.

    oneDNN, called by name, is the faster in float32 the fewer rows the result has beside its columns.
    """
    by_name = upper.dtype == torch.float32 and upper.device.type == "cpu" and names_onednn()
    if by_name and upper.shape[1] >= rows.shape[1]:
        return multiply(rows.t(), upper).t().contiguous()
    return multiply(upper.t(), rows)


def affine_rows(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`fused_rows` as float32; on CUDA the product's own float32 sums."""
    if rows.is_cuda and rows.dtype == torch.bfloat16:
        return multiply(rows, weight.t()).add_(bias)
    return fused_rows(rows, weight, bias).float()


def fused_rows(rows: Tensor, weight: Tensor, bias: Tensor, *, relu: bool = False) -> Tensor:
    """rows [N, X] @ weight.T + bias of prepared rows and a rounded weight, [N, Y] in their own dtype.

    relu: negative numbers are made zero.
    """
    bias = bias.to(rows.dtype)
    if rows.device.type == "cpu" and (rows.dtype == torch.bfloat16 or names_onednn()):
        return onednn_linear(dense(rows), dense(weight), bias, activation="relu" if relu else "none")
    found = functional.linear(rows, weight, bias)
    return found.relu_() if relu else found


def same_multiply(left: Tensor, right: Tensor) -> Tensor:
    """left [N, X] @ right [X, Y] in their own dtype."""
    return torch.mm(left, right) if left.dtype == torch.bfloat16 else multiply(left, right)
