"""The parameter ledger: where every parameter is, which matrices are one, and what the other tying modes would cost."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from nmt.config import WAYS, ModelConfig
from nmt.layers.tying import aliases
from nmt.models.build import VocabularySizes, build_empty, ways_of
from nmt.models.interface import TrainableModel, TranslationModel
from nmt.tying import Tying


@dataclass(frozen=True)
class Size:
    """Parameters of a model, each storage counted once."""

    embedding: int
    "In the vocabulary matrices and the output bias."
    other: int
    "In the rest of the network."

    @property
    def total(self) -> int:
        """All parameters."""
        return self.embedding + self.other


def size_of(model: TranslationModel) -> Size:
    """Count a model's parameters, each storage once."""
    embedding, every = (sum(map(torch.numel, module.parameters())) for module in (model.embeddings, model))
    return Size(embedding, every - embedding)


def sizes_of_modes(config: ModelConfig, sizes: VocabularySizes) -> dict[Tying, Size]:
    """The model's size in each tying mode, counted from models built without storage."""
    meta = torch.device("meta")
    return {mode: size_of(build_empty(config.tied(mode), sizes, meta)) for mode in Tying}


def matrix_lines(model: TrainableModel) -> list[str]:
    """One line per parameter: name, shape, count; aliases name their owner and count nothing."""
    owners = aliases(model)
    lines = []
    for name, parameter in model.named_parameters(remove_duplicate=False):
        shape = " x ".join(f"{n:,}" for n in parameter.shape)
        count = f"= {owners[name]}" if name in owners else f"{parameter.numel():,}"
        lines.append(f"  {name:<38} {shape:>16}  {count:>12}")
    return lines


def way_lines(config: ModelConfig, sizes: VocabularySizes) -> list[str]:
    """What the roles do with their matrices beside what every model does, and what that adds; nothing where it is
    nothing."""
    ways, said = ways_of(config, sizes), []
    if ways.left_out:
        said.append(f"scores of the target's {sizes.target:,} rows, not of the {len(ways.left_out):,} others")
    if ways.input_scale != 1:
        said.append(f"inputs times {ways.input_scale:.4g}")
    if ways.normalized:
        said.append("scores of rows of unit length times a learned scale")
    elif ways.learned_scale or ways.output_scale != 1:
        said.append(f"scores times {ways.output_scale:.4g}" + ", a learned scale's start" * ways.learned_scale)
    if ways.projections:
        rank = f"rank {ways.rank}" if ways.rank else f"{config.embedding_size} x {config.embedding_size}"
        said.append(f"a projection ({rank}) for {', '.join(ways.projections)}")
    if not said:
        return []
    defaults: dict[str, Any] = {each.name: each.default for each in dataclasses.fields(config) if each.name in WAYS}
    plain = dataclasses.replace(config, **defaults)
    now, before = (size_of(build_empty(each, sizes, torch.device("meta"))).total for each in (config, plain))
    return [f"ways to tie: {'; '.join(said)} ({now - before:+,} parameters)"]


def mode_lines(config: ModelConfig, sizes: VocabularySizes) -> list[str]:
    """A table of the three modes: embedding and other parameters, total, ratio to untied; the chosen one marked."""
    modes = sizes_of_modes(config, sizes)
    untied = modes[Tying.UNTIED].total
    lines = [f"  {'tying':<12} {'embedding':>14} {'other':>14} {'total':>14}  of untied"]
    for mode, size in modes.items():
        mark = "  <- this model" if mode.value == config.tying else ""
        lines.append(
            f"  {mode.value:<12} {size.embedding:>14,} {size.other:>14,} {size.total:>14,}"
            f"  {100 * size.total / untied:8.1f}%{mark}"
        )
    return lines
