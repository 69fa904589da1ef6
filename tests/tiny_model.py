"""A model folder that takes a moment to make: random weights, a few pieces."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from bpe.codes import MergeTable
from nmt.config import Config, LanguageConfig, ModelConfig, PrepConfig, SearchConfig
from nmt.configfile import build_config, flatten
from nmt.data.corpus import PreparedCorpus
from nmt.data.running_text import RunningText
from nmt.folder.bundle import BEST, create_folder
from nmt.folder.language import create_language_folder
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.models.build import VocabularySizes, build_model
from nmt.models.language_build import build_language_model
from nmt.prepare.target_text import TargetText
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.text.vocabulary import Vocabulary

LETTERS = "abcdefghijklmnopqrstuvwxyz.,"


MODEL: dict[str, object] = {"embedding_size": 6, "dropout": 0.1}
SIZES: dict[str, dict[str, object]] = {
    "rnn": {"hidden_size": 8},
    "transformer": {"layers": 2, "heads": 2, "feedforward_size": 8, "width": 8},
}


def make_model_folder(
    folder: Path,
    *,
    tying: str = "three-way",
    seed: int = 1,
    architecture: str = "rnn",
    sizes: Mapping[str, object] | None = None,
    search: SearchConfig | None = None,
) -> Path:
    """Write a model folder for raw text of small letters, through the functions nmt-train uses.

    sizes: keys of the section `model` beside or instead of the usual ones.
    """
    pieces = [*LETTERS, *(f"{letter}@@" for letter in LETTERS)]
    vocabulary = Vocabulary.from_counts(
        dict.fromkeys([*pieces, "only", "source"], 5), dict.fromkeys([*pieces, "one", "two", "three"], 5)
    )
    text = TextPipeline(TextOptions(source="en", target="de", tokenizer="none"), MergeTable(()))
    config = Config(
        prep=PrepConfig(source="en", target="de", tokenizer="none"),
        model=ModelConfig(**{**MODEL, **SIZES[architecture], **(sizes or {})}, architecture=architecture, tying=tying),  # type: ignore[arg-type]
        search=search or SearchConfig(beam=3, max_length_ratio=0.5),
    )
    with tempfile.TemporaryDirectory() as prepared:
        text.save(prepared)
        create_folder(folder, config, PreparedCorpus(Path(prepared), {}, vocabulary))
    model = build_model(config.model, VocabularySizes.of(vocabulary), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7, generator=generator)
    save_tensors(folder / BEST, weight_tensors(model), weight_metadata(model))
    return folder


def make_language_folder(folder: Path, like: Path, *, architecture: str = "lstm", seed: int = 1) -> Path:
    """Write the folder of a language model of a translation model's targets, with random weights."""
    pattern = TargetText.read(like)
    config = Config(lm=LanguageConfig(architecture=architecture, embedding_size=5))
    with tempfile.TemporaryDirectory() as prepared:
        pattern.copy_text(Path(prepared))
        create_language_folder(folder, config, RunningText(Path(prepared), {}, pattern.vocabulary))
    model = build_language_model(config.lm, pattern.vocabulary.size, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7, generator=generator)
    save_tensors(folder / BEST, weight_tensors(model), weight_metadata(model))
    return folder


def make_model_of(
    prepared: Path, folder: Path, *, tying: str = "three-way", architecture: str = "rnn", seed: int = 1
) -> Path:
    """Write a model folder with random weights for prepared data, as if it had been trained on it."""
    corpus = PreparedCorpus.open(prepared)
    config = Config(
        prep=build_config(flatten({"prep": corpus.manifest["options"]}, "manifest")).prep,
        model=ModelConfig(architecture=architecture, tying=tying, embedding_size=6, dropout=0.1, **SIZES[architecture]),
        search=SearchConfig(beam=3, max_length_ratio=0.5),
    )
    create_folder(folder, config, corpus)
    model = build_model(config.model, VocabularySizes.of(corpus.vocabulary), seed=seed)
    save_tensors(folder / BEST, weight_tensors(model), weight_metadata(model, update=7))
    return folder
