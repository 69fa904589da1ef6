"""Products in a lower precision: inputs are rounded to `dtype`, sums and everything else stay float32.

Weights keep float32 masters; a weight is rounded once per update, not once per step of a recurrence.
"""

from __future__ import annotations

import torch
from torch import Tensor


def product(inputs: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """inputs [..., X] @ weight [X, Y] with both rounded to dtype; the result is in the inputs' own precision."""
    if inputs.dtype == dtype or dtype == torch.float32:
        return inputs @ weight
    return (inputs.to(dtype) @ weight.to(dtype)).to(inputs.dtype)


class StepProduct:
    """One weight, [X, Y], used at every step of a recurrence with [B, X] inputs: rounded once, buffers reused."""

    def __init__(self, weight: Tensor, batch: int, dtype: torch.dtype) -> None:
        self.rounded = dtype not in (torch.float32, weight.dtype)
        self.dtype = dtype if self.rounded else weight.dtype
        self.weight = weight.to(self.dtype)
        self.inputs = self.weight.new_empty(batch, weight.shape[0])
        self.outputs = self.weight.new_empty(batch, weight.shape[1])

    def into(self, inputs: Tensor, out: Tensor) -> None:
        """out = inputs @ weight, [B, Y]."""
        if self.rounded:
            torch.mm(self.inputs.copy_(inputs), self.weight, out=self.outputs)
            out.copy_(self.outputs)
        else:
            torch.mm(inputs, self.weight, out=out)

    def added_to(self, base: Tensor, inputs: Tensor) -> Tensor:
        """base + inputs @ weight, [B, Y], as a new tensor."""
        if self.rounded:
            return base + torch.mm(self.inputs.copy_(inputs), self.weight, out=self.outputs)
        return torch.addmm(base, inputs, self.weight)


def over_time(inputs: Tensor, grads: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight's gradient, summed over all steps in one product: [T, B, X], [T, B, Y] -> [X, Y]."""
    left = inputs.reshape(-1, inputs.shape[2])
    return product(left.t(), grads.reshape(-1, grads.shape[2]), dtype)


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware, so that it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(supported and supported())
    return False
