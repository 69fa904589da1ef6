"""A language model as training sees it: a prepared running text and a model of the section `lm`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import torch

from nmt.config import Config, TrainingConfig
from nmt.data.position import Position
from nmt.data.running_text import RunningText
from nmt.data.streams import Streams, TextBatch, check_streams
from nmt.folder.bundle import LANGUAGE
from nmt.folder.language import create_language_folder
from nmt.folder.ledger import matrix_lines
from nmt.models.language import LanguageModel
from nmt.models.language_build import build_empty_language_model, build_language_model
from nmt.tasks.interface import Task, check_foreign
from nmt.tasks.language.objective import LanguageObjective
from nmt.tasks.language.validation import LanguageValidator
from nmt.tying import WordTying

FOREIGN: dict[str, object] = {
    "label_smoothing": 0.0,
    "normalization": TrainingConfig.normalization,
    "batch_tokens": TrainingConfig.batch_tokens,
    "batch_sentences": TrainingConfig.batch_sentences,
    "max_length": TrainingConfig.max_length,
    "bpe_dropout": TrainingConfig.bpe_dropout,
    "tie_gradient_scale": (),
    "untie_at": 0.0,
    "tie_at": 0.0,
    "tie_keep": "mean",
    "validation_metric": "cost",
    "validation_beam": TrainingConfig.validation_beam,
    "shortlist": TrainingConfig.shortlist,
    "mix": TrainingConfig.mix,
    "validation_set": TrainingConfig.validation_set,
    "record_tying": TrainingConfig.record_tying,
    "record_tying_against": TrainingConfig.record_tying_against,
}
"Keys of translation, with the values that do nothing here."


class LanguageTask(Task):
    """Learns to predict the next word of a prepared text."""

    kind = LANGUAGE
    reader = "nmt-lm score"

    def __init__(self, config: Config) -> None:
        self.text = RunningText.open(config.paths.prepared)
        super().__init__(config, LanguageObjective(config.lm.streams, config.lm.weight_decay))

    @property
    def fingerprint(self) -> str:
        """See Task.fingerprint."""
        return self.text.fingerprint

    @cached_property
    def streams(self) -> Streams:
        """The training text."""
        return self._streams("train")

    def _streams(self, split: str) -> Streams:
        return Streams(self.text.split(split), self.config.lm.streams, self.config.lm.unroll)

    def check(self) -> None:
        """See Task.check."""
        check_foreign(self.settings, FOREIGN, "translation")
        for split in ("train", "valid"):
            words, where = len(self.text.split(split)), f"{split} of {self.text.folder}"
            check_streams(words, self.config.lm.streams, self.config.lm.unroll, where)

    def build(self) -> LanguageModel:
        """See Task.build."""
        return build_language_model(self.config.lm, self.text.vocabulary.size, seed=self.settings.seed)

    def introduction(self, *, matrices: bool) -> list[str]:
        """See Task.introduction."""
        lm, settings, rows = self.config.lm, self.settings, self.text.vocabulary.size
        unit = "pieces" if self.text.vocabulary.subwords else "words"
        lines = [f"{lm.architecture}, {lm.tying}, {rows:,} {unit} in the vocabulary, in {settings.precision}"]
        if matrices:
            lines.append("parameters (= NAME: the same storage, counted once):")
            lines += matrix_lines(build_empty_language_model(lm, rows, torch.device("meta")))
        lines += ["size in each tying mode:", *mode_lines(self.config, rows)]
        lines.append(
            f"{len(self.text.split('train')):,} {unit} in {lm.streams} streams, {lm.unroll} steps an update: "
            f"{len(self.streams):,} updates an epoch; the cost is summed over the steps and averaged over the streams"
        )
        return lines

    def create_folder(self, folder: Path) -> None:
        """See Task.create_folder."""
        create_language_folder(folder, self.config, self.text)

    def stream(self, start: Position) -> Iterator[tuple[Position, TextBatch]]:
        """See Task.stream."""
        return self.streams.forever(start)

    def after(self, place: Position) -> Position:
        """See Task.after."""
        return self.streams.after(place)

    def largest(self) -> TextBatch:
        """Any: all are of one size."""
        return self.streams.batch(0)

    def validator(self, say: Callable[[str], None]) -> LanguageValidator:
        """See Task.validator."""
        return LanguageValidator(self._streams("valid"), "pieces" if self.text.vocabulary.subwords else "words")

    def after_training(self, folder: Path, *, quiet: bool) -> None:
        """Nothing."""


def mode_lines(config: Config, rows: int) -> list[str]:
    """The size in both modes; the chosen one marked."""
    sizes = {mode: size_of_mode(config, mode, rows) for mode in WordTying}
    untied, mark = sizes[WordTying.UNTIED], {config.lm.tying: "  <- this model"}
    return [
        f"  {mode.value:<12} {size:>14,}  {100 * size / untied:8.1f}%{mark.get(mode.value, '')}"
        for mode, size in sizes.items()
    ]


def size_of_mode(config: Config, mode: WordTying, rows: int) -> int:
    """Parameters, each storage counted once, of a model built without storage."""
    model = build_empty_language_model(dataclasses.replace(config.lm, tying=mode.value), rows, torch.device("meta"))
    return sum(parameter.numel() for parameter in model.parameters())
