"""Initialisation: each parameter once, after tying, from a generator of its own.

A draw depends on the seed and the parameter's name alone, so that the three tying modes start with equal values in
everything that is not a vocabulary matrix.
"""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from nmt.layers.tying import unique_parameters

SMALL = 0.01
"Standard deviation of DL4MT's non-recurrent matrices and embeddings. As a softmax row it starts at ln V."


def generator_for(seed: int, name: str) -> torch.Generator:
    """A CPU generator seeded by (seed, name)."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@torch.no_grad()
def initialize(model: nn.Module, seed: int, rule: str = "dl4mt") -> None:
    """Fill every parameter of the model.

    dl4mt: square recurrent matrices orthogonal, gate by gate; other matrices N(0, 0.01^2); biases zero (Press & Wolf's
    baseline). scaled: N(0, 1 / E) for embeddings of width E, which suits both roles of a tied matrix (inputs of unit
    length, scores of unit variance at most), and Glorot's normal for the other matrices.
    """
    for name, parameter in unique_parameters(model).items():
        generator = generator_for(seed, name)
        if parameter.dim() < 2:
            parameter.zero_()
        elif name.endswith("hidden_weight"):
            for gate in parameter.split(parameter.shape[0], 1):
                square = torch.empty(gate.shape)
                nn.init.orthogonal_(square, generator=generator)
                gate.copy_(square)
        else:
            vocabulary = name.startswith("embeddings.")
            variance = 1.0 / parameter.shape[1] if vocabulary else 2.0 / sum(parameter.shape)
            scale = variance**0.5 if rule == "scaled" else SMALL
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
