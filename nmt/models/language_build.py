"""Configuration -> language model: the only place where one becomes the other, and the table of their networks.

The table has the names of `nmt.models.architectures.LANGUAGE_ARCHITECTURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from nmt.config import LanguageConfig
from nmt.layers.bayesian import BayesianRates
from nmt.layers.initialization import Start, constant, initialize, uniform
from nmt.layers.linear import Linear
from nmt.layers.lstm import LSTM
from nmt.layers.rhn import RHN
from nmt.layers.tied_words import TiedWords
from nmt.layers.tying import unique_parameters
from nmt.models.language import LanguageModel
from nmt.models.lstm.model import LSTMLanguageModel
from nmt.models.recurrent import Regularization
from nmt.models.rhn.model import RHNLanguageModel
from nmt.tying import WordTying

Build = Callable[[LanguageConfig, TiedWords, Linear | None], LanguageModel]
"Sizes from the configuration, embeddings and projection given; the weights have no values yet."


def build_language_model(config: LanguageConfig, num_words: int, *, seed: int = 1) -> LanguageModel:
    """A model with fresh weights on the CPU: built, tied, then initialised once. num_words: rows of the vocabulary."""
    model = build_empty_language_model(config, num_words, torch.device("cpu"))
    initialize(model, seed, language_starts(model, config))
    model.embeddings.assert_tied()
    return model


def build_empty_language_model(config: LanguageConfig, num_words: int, device: torch.device) -> LanguageModel:
    """A model whose weights have no values yet; on the meta device it has sizes only and costs nothing."""
    with torch.device(device):
        embeddings = TiedWords(WordTying(config.tying), num_words, config.embedding_size)
        projection = Linear(hidden_size(config), config.embedding_size) if config.projection else None
        return LANGUAGE_NETWORKS[config.architecture](config, embeddings, projection)


def hidden_size(config: LanguageConfig) -> int:
    """Width of the layers."""
    return config.hidden_size or config.embedding_size


def build_lstm(config: LanguageConfig, embeddings: TiedWords, projection: Linear | None) -> LSTMLanguageModel:
    """See Build."""
    lstm = LSTM(config.embedding_size, hidden_size(config), config.layers, two_biases=config.two_biases)
    return LSTMLanguageModel(embeddings, lstm, projection, regularization(config))


def build_rhn(config: LanguageConfig, embeddings: TiedWords, projection: Linear | None) -> RHNLanguageModel:
    """See Build."""
    rhn = RHN(config.embedding_size, hidden_size(config), config.depth)
    return RHNLanguageModel(embeddings, rhn, projection, regularization(config))


LANGUAGE_NETWORKS: Mapping[str, Build] = {"lstm": build_lstm, "rhn": build_rhn}


def regularization(config: LanguageConfig) -> Regularization:
    """What a configuration says of it."""
    rates = BayesianRates(
        word=config.word_dropout,
        input=config.input_dropout,
        hidden=config.hidden_dropout,
        output=config.output_dropout,
        by_word=config.word_masks == "word",
    )
    return Regularization(
        dropout=config.dropout,
        bayesian=rates,
        projection_penalty=config.projection_penalty,
        weight_penalty=config.weight_penalty,
        weight_decay=config.weight_decay,
    )


def language_starts(model: LanguageModel, config: LanguageConfig) -> Mapping[nn.Parameter, Start]:
    """What each parameter starts as: matrices uniform; biases zero or uniform, an RHN's transform gates' apart."""
    drawn = uniform(config.initialization)
    biases = drawn if config.uniform_biases else constant(0.0)
    parameters = unique_parameters(model)
    starts = {each: biases if "bias" in name else drawn for name, each in parameters.items()}
    if isinstance(model, RHNLanguageModel):
        starts[model.rhn.bias] = transform_biases(biases, config.transform_bias)
    return starts


def transform_biases(others: Start, value: float) -> Start:
    """An RHN's biases, [D, 2H]: those of the transform gates, the second half, all the same."""

    def fill(parameter: torch.Tensor, generator: torch.Generator) -> None:
        others(parameter, generator)
        parameter[:, parameter.shape[1] // 2 :] = value

    return fill
