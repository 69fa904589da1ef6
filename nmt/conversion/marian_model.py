"""A folder of MarianMT (see `nmt.conversion.marian`) -> a model of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmt.config import Config, ModelConfig, PrepConfig, SearchConfig
from nmt.conversion.made import Made
from nmt.conversion.marian import (
    CONFIG,
    GENERATION,
    TARGET_VOCABULARY,
    TOKENIZER,
    VOCABULARY,
    Settings,
    Texts,
    read_json,
    read_texts,
)
from nmt.conversion.marian_weights import Tensors, check_rest, embeddings, layers, learned_positions, vocabulary_of
from nmt.text.pipeline import SEPARATE_FILES, TextOptions, TextPipeline
from nmt.tying import Tying


@dataclass(frozen=True, kw_only=True)
class MarianChoices:
    """What the user says of it."""

    source: str | None = None
    "Source language; None: what the folder says."
    target: str | None = None
    "Target language."
    normalize: str = "none"
    "Of the source: transformers does nothing, the text that OPUS-MT's models are trained on has moses."
    prefix_source: str = ""
    "The model folder's search.prefix_source."


def from_marian(folder: Path, wanted: MarianChoices) -> tuple[Made, list[str]]:
    """Read a folder; returns the model, and notes for the user. What is missing or does not fit is a UserError."""
    settings = Settings.read(folder)
    texts, tensors, notes = read_texts(folder, settings), Tensors.read(folder), []
    tying = settings.tying
    if tying is Tying.THREE_WAY and not texts.shared:
        tying = Tying.DECODER
        notes.append("one matrix is tied there to two vocabularies: here the source has a copy of its own")
    weights, zero_start = embeddings(tensors, settings, texts, tying)
    positions = learned_positions(tensors, settings)
    weights |= positions | layers(tensors, settings)
    check_rest(tensors)
    longest = len(next(iter(positions.values()))) if positions else 0
    config = Config(
        prep=_prep_config(texts, wanted),
        model=_model_config(settings, tying, longest, "zero" if zero_start else "padding"),
        search=_search_config(folder, wanted),
    )
    names = (CONFIG, TOKENIZER, GENERATION, VOCABULARY, TARGET_VOCABULARY, *SEPARATE_FILES.values())
    files = (tensors.path, *(folder / name for name in names if (folder / name).exists()))
    return Made(config, vocabulary_of(texts), _pipeline(texts, config), weights, files), notes


def _prep_config(texts: Texts, wanted: MarianChoices) -> PrepConfig:
    source, target = texts.languages
    return PrepConfig(
        source=wanted.source or source or "source",
        target=wanted.target or target or "target",
        tokenizer="none",
        source_normalize=wanted.normalize,
    )


def _pipeline(texts: Texts, config: Config) -> TextPipeline:
    prep = config.prep
    options = TextOptions(
        source=str(prep.source),
        target=str(prep.target),
        tokenizer=prep.tokenizer,
        subwords="sentencepiece",
        source_normalize=prep.source_normalize,
        separate=True,
    )
    return TextPipeline(options, texts.models)


def _model_config(settings: Settings, tying: Tying, positions: int, start: str) -> ModelConfig:
    """positions: how many are learned; 0: they are sinusoids."""
    learned = {"positions": "learned", "max_positions": positions} if positions else {}
    return ModelConfig(
        architecture="transformer",
        tying=tying.value,
        embedding_size=settings.number("d_model"),
        layers=settings.number("encoder_layers"),
        decoder_layers=settings.number("decoder_layers"),
        heads=settings.number("encoder_attention_heads"),
        decoder_heads=settings.number("decoder_attention_heads"),
        feedforward_size=settings.number("encoder_ffn_dim"),
        decoder_feedforward_size=settings.number("decoder_ffn_dim"),
        norm="post",
        activation=settings.activation,
        start=start,
        scale_embeddings=settings.flag("scale_embedding"),
        dropout=settings.dropout,
        **learned,  # type: ignore[arg-type]
    )


def _search_config(folder: Path, wanted: MarianChoices) -> SearchConfig:
    """As transformers' generate searches: also config.json had its settings, in earlier years."""
    values = read_json(folder / CONFIG)
    if (folder / GENERATION).exists():
        values |= read_json(folder / GENERATION)
    return SearchConfig(
        beam=_number(values, "num_beams", SearchConfig.beam, int),
        stopping="first" if values.get("early_stopping") is True else "present",
        length_penalty=_number(values, "length_penalty", 1.0, (int, float)),
        allow_unknown=True,
        prefix_source=wanted.prefix_source,
    )


def _number(values: dict[str, Any], name: str, default: Any, kinds: Any) -> Any:
    value = values.get(name)
    return value if isinstance(value, kinds) and not isinstance(value, bool) and value > 0 else default
