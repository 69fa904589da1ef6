"""The networks of `nmt.models.architectures`, under the same names. Nothing else outside their folders names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from nmt.config import ModelConfig
from nmt.layers.initialization import Start
from nmt.layers.transformer import LayerOptions
from nmt.layers.tying import TiedEmbeddings
from nmt.models.interface import SearchModel, TranslationModel
from nmt.models.rnn.initial import rnn_starts
from nmt.models.rnn.model import RNNModel
from nmt.models.rnn.search import copy_for_search
from nmt.models.transformer.initial import transformer_starts
from nmt.models.transformer.model import TransformerModel, TransformerOptions
from nmt.models.transformer.search import FixedTransformer


@dataclass(frozen=True, kw_only=True)
class Network:
    """How a model of an architecture is made."""

    build: Callable[[ModelConfig, TiedEmbeddings], TranslationModel]
    "Sizes from the configuration, vocabulary matrices given; the weights have no values yet."
    starts: Callable[[Any, str], Mapping[nn.Parameter, Start]]
    "(model, model.initialization) -> what each parameter starts as."
    for_search: Callable[[Any, str], SearchModel]
    "(model, precision that the device has) -> a copy made for search; to be made again when the weights changed."


def build_rnn(config: ModelConfig, embeddings: TiedEmbeddings) -> RNNModel:
    """See Network.build."""
    return RNNModel(embeddings, config.embedding_size, config.hidden_size, config.dropout)


def build_transformer(config: ModelConfig, embeddings: TiedEmbeddings) -> TransformerModel:
    """See Network.build."""
    encoder_layer = LayerOptions(
        size=config.width or config.embedding_size,
        heads=config.heads,
        feedforward_size=config.feedforward_size,
        activation=config.activation,
        norm=config.norm,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        feedforward_dropout=config.feedforward_dropout,
    )
    decoder_layer = replace(
        encoder_layer,
        heads=config.decoder_heads or config.heads,
        feedforward_size=config.decoder_feedforward_size or config.feedforward_size,
    )
    options = TransformerOptions(
        embedding_size=config.embedding_size,
        layer=encoder_layer,
        decoder_layer=decoder_layer,
        layers=config.layers,
        decoder_layers=config.decoder_layers or config.layers,
        positions=config.positions,
        max_positions=config.max_positions,
        start=config.start,
        scale_embeddings=config.scale_embeddings,
        attention_layer=config.attention_layer,
    )
    return TransformerModel(embeddings, options)


NETWORKS: Mapping[str, Network] = {
    "rnn": Network(build=build_rnn, starts=rnn_starts, for_search=copy_for_search),
    "transformer": Network(build=build_transformer, starts=transformer_starts, for_search=FixedTransformer),
}
