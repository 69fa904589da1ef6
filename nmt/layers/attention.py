"""Additive attention (Bahdanau et al., 2015, A.1.2).

Shapes: B batch, K queries a sentence, S source length, H hidden, C annotation size (2H).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nmt.layers.precision import product


class AdditiveAttention(nn.Module):
    """e_i = tanh(ctx_i Wc_att + b_att + h1 W_comb_att) U_att + c_tt;  a = softmax(e);  c = sum_i a_i ctx_i."""

    def __init__(self, query_size: int, annotation_size: int) -> None:
        super().__init__()
        self.key_weight = nn.Parameter(torch.empty(annotation_size, annotation_size))
        self.key_bias = nn.Parameter(torch.empty(annotation_size))
        self.query_weight = nn.Parameter(torch.empty(query_size, annotation_size))
        self.energy_weight = nn.Parameter(torch.empty(annotation_size, 1))
        self.energy_bias = nn.Parameter(torch.empty(1))

    def keys(self, annotations: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The query-independent part, once per sentence: [..., C] -> [..., C]."""
        return product(annotations, self.key_weight, dtype) + self.key_bias

    def forward(self, query: Tensor, keys: Tensor, annotations: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """query: projected decoder states, [B, K, C]. keys, annotations: [B, S, C]. mask: True at real tokens, [B, S].

        Returns the contexts, [B, K, C], and the weights, [B, K, S], zero at padding.
        """
        energies = (keys[:, None] + query[:, :, None]).tanh_() @ self.energy_weight + self.energy_bias
        weights = torch.softmax(energies.squeeze(-1).masked_fill(~mask[:, None], -torch.inf), -1)
        return weights @ annotations, weights
