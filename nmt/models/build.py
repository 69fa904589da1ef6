"""Configuration -> model: the only place where one becomes the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nmt.config import ModelConfig
from nmt.layers.initialization import initialize
from nmt.layers.tying import TiedEmbeddings
from nmt.layers.tying_ways import TiedInWays, Ways
from nmt.models.interface import TranslationModel
from nmt.models.table import NETWORKS
from nmt.text.vocabulary import Vocabulary
from nmt.tying import Tying


@dataclass(frozen=True)
class VocabularySizes:
    """Rows of the source view Cs, of the target view Ct, and of the union C, specials included."""

    source: int
    target: int
    union: int

    @staticmethod
    def of(vocabulary: Vocabulary) -> VocabularySizes:
        """The sizes of a vocabulary."""
        return VocabularySizes(vocabulary.source_size, vocabulary.target_size, vocabulary.size)


def build_model(config: ModelConfig, sizes: VocabularySizes, *, seed: int = 1) -> TranslationModel:
    """A model with fresh weights on the CPU: built, tied, then initialised once."""
    model = build_empty(config, sizes, torch.device("cpu"))
    initialize(model, seed, NETWORKS[config.architecture].starts(model, config.initialization))
    model.embeddings.assert_tied()
    return model


def build_empty(config: ModelConfig, sizes: VocabularySizes, device: torch.device) -> TranslationModel:
    """A model whose weights have no values yet; on the meta device it has sizes only and costs nothing."""
    with torch.device(device):
        return NETWORKS[config.architecture].build(config, vocabulary_matrices(config, sizes))


def vocabulary_matrices(config: ModelConfig, sizes: VocabularySizes) -> TiedEmbeddings:
    """The matrices of a model, without values; where no way to tie is on, the plain ones."""
    tying, width = Tying(config.tying), config.embedding_size
    source, target = (sizes.union, sizes.union) if tying.shares_source else (sizes.source, sizes.target)
    ways = ways_of(config, sizes)
    if ways == Ways():
        return TiedEmbeddings(tying, source, target, width)
    return TiedInWays(tying, source, target, width, ways)


def ways_of(config: ModelConfig, sizes: VocabularySizes) -> Ways:
    """The ways to tie that a configuration asks for."""
    root = config.embedding_size**0.5
    first = sizes.source + sizes.target - sizes.union  # behind the pieces of both
    return Ways(
        left_out=range(first, sizes.source) if config.output_rows == "target" else range(0),
        input_scale=config.input_scale or root,
        output_scale=config.output_scale or 1 / root,
        learned_scale=config.learned_output_scale,
        normalized=config.normalized_rows,
        projections=config.role_projections,
        rank=config.projection_rank,
    )
