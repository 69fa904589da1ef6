"""Configuration -> model: the only place where one becomes the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nmt.config import ModelConfig
from nmt.layers.initialization import initialize
from nmt.layers.tying import TiedEmbeddings
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
    tying = Tying(config.tying)
    source, target = (sizes.union, sizes.union) if tying.shares_source else (sizes.source, sizes.target)
    with torch.device(device):
        embeddings = TiedEmbeddings(tying, source, target, config.embedding_size)
        return NETWORKS[config.architecture].build(config, embeddings)
