"""The product of a recurrence, h U' for one step after another, with or without masks over h that stay for all steps.

Bayesian dropout (Gal and Ghahramani, 2016, section 4.1) gives every gate a mask of its own: gate g sees (h * m_g) U_g'.
Gates that share a mask share a product.

Shapes: T steps, B sequences, H state, G gates, Y = outputs of all gates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nmt.layers.precision import StepProduct, over_time, product

Masks = Tensor | None
"[M, B, H]: 0, or what a kept number is multiplied by. M divides the gates into groups that share one. None: no masks."


def masked_product(inputs: Tensor, weight: Tensor, masks: Masks, dtype: torch.dtype) -> Tensor:
    """The readable reference, and what reads the inputs of all steps: [..., B, X] -> [..., B, Y]. weight: [Y, X]."""
    if masks is None:
        return product(inputs, weight.t(), dtype)
    groups = zip(masks, weight.chunk(len(masks)), strict=True)
    return torch.cat([product(inputs * mask, rows.t(), dtype) for mask, rows in groups], -1)


class Recurrence:
    """h U' and its gradients, step after step; weights are rounded and packed once. weight: [Y, H]."""

    def __init__(self, weight: Tensor, masks: Masks, batch: int, dtype: torch.dtype) -> None:
        self.masks, self.dtype = masks, dtype
        self.rows = weight.chunk(1 if masks is None else len(masks))
        self.widths = [len(rows) for rows in self.rows]
        self.batch = batch
        self.ahead: list[StepProduct] = []
        self.back: list[StepProduct] = []

    def prepare_forward(self) -> Recurrence:
        """Before the first `step`."""
        self.ahead = [StepProduct(rows.t(), self.batch, self.dtype, always=True) for rows in self.rows]
        return self

    def prepare_backward(self) -> Recurrence:
        """Before the first `gradient`."""
        self.back = [StepProduct(rows, self.batch, self.dtype, always=True) for rows in self.rows]
        return self

    def step(self, base: Tensor, hidden: Tensor, out: Tensor) -> None:
        """out = base + h U', [B, Y]. hidden: [B, H]."""
        if self.masks is None:
            torch.add(base, self.ahead[0](hidden), out=out)
            return
        start = 0
        for times, mask, width in zip(self.ahead, self.masks, self.widths, strict=True):
            part = slice(start, start + width)
            torch.add(base[:, part], times(hidden * mask), out=out[:, part])
            start += width

    def gradient(self, grad: Tensor) -> Tensor:
        """Of h, [B, H], given that of the outputs, [B, Y]."""
        if self.masks is None:
            return self.back[0](grad)
        found = torch.zeros_like(self.masks[0])
        for times, mask, part in zip(self.back, self.masks, grad.split(self.widths, 1), strict=True):
            found.addcmul_(times(part), mask)
        return found

    def weight_gradient(self, states: Tensor, grads: Tensor) -> Tensor:
        """Of the weight, [Y, H], over all steps. states: before each step, [T, B, H]. grads: [T, B, Y]."""
        if self.masks is None:
            return over_time(grads, states, self.dtype)
        parts = zip(grads.split(self.widths, 2), self.masks, strict=True)
        return torch.cat([over_time(part, states * mask, self.dtype) for part, mask in parts])
