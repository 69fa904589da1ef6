"""Dropout (Srivastava et al., 2014) whose random numbers are drawn four at a time: torch's takes five times as long."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 2**16
"The probability is rounded to a multiple of 1 / LEVELS on the CPU."


class Dropout(nn.Module):
    """Zeros each number with probability `rate` in training, and scales the others up to keep the mean."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """Of any shape; the same draws for the same seed of torch's generator."""
        if not self.training or not self.rate:
            return inputs
        if inputs.device.type != "cpu":
            return functional.dropout(inputs, self.rate)
        return inputs * self._mask(inputs)

    def added(self, base: Tensor, inputs: Tensor) -> Tensor:
        """base + what `forward` makes of the inputs, in one pass."""
        if not self.training or not self.rate or inputs.device.type != "cpu":
            found: Tensor = base + self(inputs)
            return found
        return torch.addcmul(base, inputs, self._mask(inputs))

    def _mask(self, inputs: Tensor) -> Tensor:
        """0 where a number is left out, elsewhere what it is multiplied by. One draw of 64 bits makes four of 16."""
        count = inputs.numel()
        draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[:count].view(inputs.shape)
        mask = torch.empty(inputs.shape, dtype=inputs.dtype)  # comparing into numbers is much faster than torch.where
        return torch.ge(bits, round(self.rate * LEVELS) - LEVELS // 2, out=mask).mul_(1 / (1 - self.rate))
