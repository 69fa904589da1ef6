"""The model folder: everything translation needs, and nothing outside it.

config.yaml, vocabulary.json, text.json and the merges (or sentencepiece model), best.safetensors, manifest.json;
last/, metrics.jsonl and tensorboard/ belong to training.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nmt
from bpe.errors import UserError
from bpe.textfiles import atomic_write, write_text
from nmt.config import Config
from nmt.configfile import build_config, read_yaml, to_yaml
from nmt.data.corpus import PreparedCorpus
from nmt.folder.weights import load_weights, read_metadata
from nmt.models.build import VocabularySizes, build_empty
from nmt.models.interface import TranslationModel
from nmt.text.pipeline import TextPipeline
from nmt.text.vocabulary import SourceView, TargetView, Vocabulary
from nmt.tying import Tying

CONFIG, VOCABULARY, MANIFEST, BEST = "config.yaml", "vocabulary.json", "manifest.json", "best.safetensors"
EXPORT = "export.json"
"In folders that nmt-export wrote for CTranslate2, which are no model folders."
FORMAT, FORMAT_VERSION = "nmt-model", 1
TRANSLATION, LANGUAGE = "translation", "language"
"What a model was trained for, as its manifest says; one that says nothing translates."
KINDS = {TRANSLATION: ("a translation model", "nmt-translate"), LANGUAGE: ("a language model", "nmt-lm")}
"In words, and the command that reads it."


@dataclass(frozen=True)
class Bundle:
    """A loaded model folder."""

    folder: Path
    config: Config
    vocabulary: Vocabulary
    text: TextPipeline
    model: TranslationModel
    metadata: dict[str, str]
    "Of the weights file: tying, update, validation scores."

    @property
    def source_view(self) -> SourceView:
        """How the model sees source ids."""
        return self.vocabulary.source_view(self.model.embeddings.union_source)

    @property
    def target_view(self) -> TargetView:
        """How the model sees target ids."""
        return self.vocabulary.target_view(self.model.embeddings.union_target)

    def plain(self) -> Bundle:
        """The same model with plain vocabulary matrices, which other formats know."""
        tables = self.model.embeddings.plain()
        return (
            self
            if tables is self.model.embeddings
            else dataclasses.replace(self, model=self.model.with_matrices(tables))
        )


def create_folder(
    folder: Path, config: Config, corpus: PreparedCorpus, origin: Mapping[str, Any] | None = None
) -> None:
    """Write what does not change while training: configuration, vocabulary, text pipeline, manifest.

    origin: entries of the manifest that say what else the model is made from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in TextPipeline.files(corpus.folder):  # as they are: training may do without what they need
        with atomic_write(folder / path.name) as stream:
            stream.write(path.read_bytes())
    describe_folder(folder, config, corpus.vocabulary, corpus.manifest, origin)


def describe_folder(
    folder: Path,
    config: Config,
    vocabulary: Vocabulary,
    data: dict[str, Any],
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write configuration, vocabulary and manifest. data: what the model was made from. origin: further entries."""
    vocabulary.save(folder / VOCABULARY)
    write_text(folder / CONFIG, to_yaml(config))
    manifest = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "tying": config.model.tying,
        "languages": {"source": config.prep.source, "target": config.prep.target},
        "vocabulary": vocabulary.fingerprint,
        "data": data,
        **(origin or {}),
        "versions": versions(),
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def versions() -> dict[str, str]:
    """The versions that decide about numbers."""
    return {
        "nmt": nmt.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def weights_in(place: Path, weights: str = BEST) -> tuple[Path, str]:
    """The model folder that is meant, and the name of its weights: place is the folder, or a weights file in one."""
    if place.is_file():
        owner = next((parent for parent in place.parents if (parent / MANIFEST).exists()), place.parent)
        return owner, str(place.relative_to(owner))
    return place, weights


def check_model_folder(folder: Path, hint: str) -> None:
    """Raise a UserError with this hint unless a model folder is there: for one that is not named with --model."""
    if not (folder / MANIFEST).is_file():
        problem = f"not a model folder (no {MANIFEST} in it)" if folder.is_dir() else "no such folder"
        raise UserError(problem, where=folder, hint=hint)


def read_manifest(folder: Path, kind: str | None = TRANSLATION) -> dict[str, Any]:
    """The model folder's manifest; a folder without one is no model folder.

    kind: what it must have been trained for; None: anything.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise UserError("no such folder", where=folder, hint="train a model with nmt-train, or name one with --model")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / EXPORT).exists():
            hint = "nmt-serve --export reads it; other commands want the model folder it was made from"
            raise UserError("an export for CTranslate2, not a model folder", where=folder, hint=hint) from None
        raise UserError("not a model folder (no manifest.json in it)", where=folder, hint="check --model") from None
    except (ValueError, OSError) as error:
        raise UserError(f"damaged ({error})", where=path, hint="restore it from a copy") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(
            f"not a model folder: {MANIFEST} does not say so", where=folder, hint="nmt-train writes model folders"
        )
    if manifest.get("version") != FORMAT_VERSION:
        raise UserError(
            f"model format {manifest.get('version')}, this program reads {FORMAT_VERSION}",
            where=path,
            hint="use the version that wrote it",
        )
    for key in ("vocabulary", "data", "versions"):
        if not isinstance(manifest.get(key), str if key == "vocabulary" else dict):
            raise UserError(f"damaged (it lacks {key!r})", where=path, hint="restore it from a copy")
    found = manifest.get("task", TRANSLATION)
    if kind not in (None, found):
        what, reader = KINDS.get(found, (f"a model of {found!r}", "another command"))
        raise UserError(f"holds {what}, not {KINDS[kind][0]}", where=folder, hint=f"{reader} reads it")
    return manifest


def read_config(folder: Path) -> Config:
    """The resolved configuration the model was trained with."""
    return build_config(read_yaml(folder / CONFIG))


def config_of(folder: Path, weights: str = BEST) -> Config:
    """The configuration of the model that weights in the folder are: where a run's matrices are tied part of the time,
    as they are tied in these, and no more to be changed."""
    config = read_config(folder)
    settings = config.training
    if not (settings.untie_at or settings.tie_at) or not (folder / weights).exists():
        return config
    mode = read_metadata(folder / weights).get("tying")
    plain = dataclasses.replace(settings, untie_at=0.0, tie_at=0.0, tie_keep="mean", tie_gradient_scale=())
    tied = config.model.tied(Tying.UNTIED) if mode == Tying.UNTIED.value else config.model
    return dataclasses.replace(config, model=tied, training=plain)


def load_bundle(folder: Path | str, device: torch.device, weights: str = BEST) -> Bundle:
    """Load a model folder for translation: the model is in evaluation mode, on `device`, its tie checked.

    folder: may also be a weights file in one, as of an earlier checkpoint, which is then read in place of `weights`.
    """
    folder, weights = weights_in(Path(folder), weights)
    manifest = read_manifest(folder)
    config = config_of(folder, weights)
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    if vocabulary.fingerprint != manifest.get("vocabulary"):
        raise UserError("this vocabulary does not belong to the model", where=folder / VOCABULARY, hint="restore it")
    if not (folder / weights).exists():
        raise UserError(
            "no weights yet: training has not reached its first validation",
            where=folder / weights,
            hint="run nmt-train again; it continues",
        )
    model = build_empty(config.model, VocabularySizes.of(vocabulary), torch.device("cpu"))
    metadata = load_weights(folder / weights, model)
    model = model.to(device).eval().requires_grad_(False)
    model.embeddings.assert_tied()
    assert model.embeddings.tying is Tying(config.model.tying)
    return Bundle(folder, config, vocabulary, TextPipeline.load(folder), model, metadata)
