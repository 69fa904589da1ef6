"""Initialisation: each parameter once, after tying, from a generator of its own.

What a parameter starts as is its architecture's to say. A draw depends on the seed and the parameter's name alone, so
that the three tying modes start with equal values in everything that is not a vocabulary matrix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from nmt.layers.tying import unique_parameters

Start = Callable[[Tensor, torch.Generator], None]
"Fills a parameter in place; whatever is random comes from the generator."


def generator_for(seed: int, name: str) -> torch.Generator:
    """A CPU generator seeded by (seed, name)."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@torch.no_grad()
def initialize(model: nn.Module, seed: int, starts: Mapping[nn.Parameter, Start]) -> None:
    """Fill every parameter of the model as `starts` says."""
    for name, parameter in unique_parameters(model).items():
        starts[parameter](parameter, generator_for(seed, name))


def constant(value: float) -> Start:
    """The same number everywhere."""

    def fill(parameter: Tensor, generator: torch.Generator) -> None:
        parameter.fill_(value)

    return fill


def normal(deviation: float) -> Start:
    """N(0, deviation^2)."""

    def fill(parameter: Tensor, generator: torch.Generator) -> None:
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)

    return fill


def uniform(limit: float) -> Start:
    """Between -limit and limit."""

    def fill(parameter: Tensor, generator: torch.Generator) -> None:
        parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * limit)

    return fill


def glorot_normal(parameter: Tensor, generator: torch.Generator) -> None:
    """N(0, 2 / (inputs + outputs)) (Glorot and Bengio, 2010), of a matrix."""
    normal((2.0 / sum(parameter.shape)) ** 0.5)(parameter, generator)


def orthogonal_gates(parameter: Tensor, generator: torch.Generator) -> None:
    """A recurrent matrix, [H, n H]: an orthogonal one for each gate."""
    for gate in parameter.split(parameter.shape[0], 1):
        square = torch.empty(gate.shape)
        nn.init.orthogonal_(square, generator=generator)
        gate.copy_(square)
