"""The model folder of a language model: all that scoring and drawing text need, as `nmt.folder.bundle` has it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from bpe.errors import UserError
from bpe.textfiles import atomic_write, write_text
from nmt.config import Config
from nmt.configfile import to_yaml
from nmt.data.running_text import RunningText
from nmt.folder.bundle import (
    CONFIG,
    FORMAT,
    FORMAT_VERSION,
    LANGUAGE,
    MANIFEST,
    VOCABULARY,
    read_config,
    read_manifest,
    versions,
    weights_in,
)
from nmt.folder.weights import load_weights
from nmt.models.language import LanguageModel
from nmt.models.language_build import build_empty_language_model
from nmt.text.pipeline import Side, TextPipeline
from nmt.text.words import UnknownWord, WordVocabulary


@dataclass(frozen=True)
class LanguageBundle:
    """A loaded model folder."""

    folder: Path
    config: Config
    vocabulary: WordVocabulary
    text: TextPipeline | None
    "What cuts a line into pieces; None: words stand between white space."
    model: LanguageModel
    metadata: dict[str, str]
    "Of the weights file: tying, update, validation score."

    @property
    def unit(self) -> str:
        """What is predicted: words or pieces."""
        return "pieces" if self.vocabulary.subwords else "words"

    def cut(self, line: str) -> list[str]:
        """A raw line's words or pieces."""
        if self.vocabulary.target and self.text is not None:
            return self.text.pieces_of_target_alone(line)
        return line.split() if self.text is None else self.text.pieces(line, "source")

    def join(self, words: list[str]) -> str:
        """Raw text of words or pieces."""
        side: Side = "target" if self.vocabulary.target else "source"
        return " ".join(words) if self.text is None else self.text.text(words, side)

    def rows(self, line: str, where: object) -> list[int]:
        """Rows of a raw line, without the end of the line. where: its name in an error."""
        try:
            return self.vocabulary.encode(self.cut(line))
        except UnknownWord as error:
            raise UserError(
                f"the model does not know the word {error.word[:60]!r}, and its vocabulary has no <unk>",
                where=where,
                hint="prepare with --vocabulary N, which makes <unk> of rare words, and train again",
            ) from None


def create_language_folder(folder: Path, config: Config, text: RunningText) -> None:
    """Write what does not change while training: configuration, vocabulary, text pipeline, manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in TextPipeline.files(text.folder):
        with atomic_write(folder / path.name) as stream:
            stream.write(path.read_bytes())
    text.vocabulary.save(folder / VOCABULARY)
    write_text(folder / CONFIG, to_yaml(config))
    manifest = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "task": LANGUAGE,
        "tying": config.lm.tying,
        "vocabulary": text.vocabulary.fingerprint,
        "data": text.manifest,
        "versions": versions(),
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def load_language_bundle(folder: Path | str, device: torch.device) -> LanguageBundle:
    """Load a model folder, or a weights file in one: the model is in evaluation mode, on `device`, its tie checked."""
    folder, weights = weights_in(Path(folder))
    manifest = read_manifest(folder, LANGUAGE)
    config = read_config(folder)
    vocabulary = WordVocabulary.load(folder / VOCABULARY)
    if vocabulary.fingerprint != manifest["vocabulary"]:
        raise UserError("this vocabulary does not belong to the model", where=folder / VOCABULARY, hint="restore it")
    if not (folder / weights).exists():
        hint = "run nmt-lm train again; it continues"
        raise UserError("no weights yet: training has not reached its first validation", where=folder, hint=hint)
    model = build_empty_language_model(config.lm, vocabulary.size, torch.device("cpu"))
    metadata = load_weights(folder / weights, model, key="lm.tying")
    model = model.to(device).eval().requires_grad_(False)
    model.embeddings.assert_tied()
    text = TextPipeline.load(folder) if vocabulary.subwords else None
    return LanguageBundle(folder, config, vocabulary, text, model, metadata)
