"""The products of a recurrence on CUDA: inputs of the precision that is multiplied, float32 results, no copies between.

Weights are rounded once before a loop, and what goes into a product is written in its precision by the kernel that
makes it. Elsewhere than on CUDA, where tests run the interpreter, results are rounded as a CPU rounds them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nmt.layers.precision import KEEPS_SUMS


def times(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """[..., N, X] @ [..., X, Y] of one type -> float32, written into out where that is given. Two or three dimensions,
    the same of both."""
    function = torch.mm if left.dim() == 2 else torch.bmm
    if left.dtype == torch.float32:
        return function(left, right, out=out)
    if left.is_cuda and KEEPS_SUMS:
        found: Tensor = function(left, right, out_dtype=torch.float32, out=out)
        return found
    found = function(left, right).float()
    return found if out is None else out.copy_(found)


def summed_over_time(inputs: Tensor, grads: Tensor) -> Tensor:
    """A weight's gradient over all steps: [T, B, X], [T, B, Y] -> [X, Y]; or [T, D, B, ...] -> [D, X, Y]."""
    if inputs.dim() == 3:
        return times(inputs.flatten(0, 1).t(), grads.flatten(0, 1))
    left, right = (each.transpose(0, 1).flatten(1, 2) for each in (inputs, grads))
    return times(left.transpose(1, 2), right)


def empty_twin(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Room for the tensor's numbers in another type; the tensor itself where it has that type."""
    return tensor if tensor.dtype == dtype else torch.empty_like(tensor, dtype=dtype)
