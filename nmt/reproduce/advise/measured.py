"""What the advice goes by: of a corpus, and of each mode."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from nmt.config import ModelConfig
from nmt.models.build import VocabularySizes, build_empty
from nmt.models.interface import TranslationModel
from nmt.reproduce.intervals import Summary
from nmt.tying import Tying

SCALE_BYTES = 4
"int8 keeps a float32 scale for each row of a matrix."


@dataclass(frozen=True, kw_only=True)
class ModeMeasured:
    """One mode, over the seeds of a short training."""

    tying: Tying
    parameters: int
    float32_bytes: int
    "Of its weights file."
    int8_bytes: int
    "Counted: see `int8_bytes`."
    bleu: Summary
    "Of the validation text, in the end."
    gain: Summary | None
    "Of BLEU, minus untied's of the same seed; None for untied."
    course: tuple[float, float] | None
    "The mean gain at the first validation, half way, and at the last, as training measures BLEU; None for untied."
    pieces_per_second: Summary
    "Target pieces trained on for each second of processor time."
    training_bytes: Summary
    "Most memory held in training."
    sentences_per_second: Summary
    "Translated, of the validation text."


@dataclass(frozen=True, kw_only=True)
class MergesCounted:
    """What a number of merges gives, counted."""

    merges: int
    source_shared: float
    "Share of the source's pieces that the target has too."
    running_shared: float
    "Share of the running pieces of both sides that are in both."
    parameters: Mapping[Tying, int]
    float32_bytes: Mapping[Tying, int]
    int8_bytes: Mapping[Tying, int]
    pays: bool
    "Three-way saves a larger share of decoder tying's parameters than it adds arithmetic (Table 1's rule)."


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything."""

    source: str
    target: str
    num_pairs: int
    merges: int
    "Of the training."
    merges_why: str
    counted: tuple[MergesCounted, ...]
    "By rising merges; that of the training is one of them."
    script_overlap: float
    "Share of the running letters that the scripts have in common."
    source_script: str
    target_script: str
    "The most frequent script of each side."
    updates: int
    modes: tuple[ModeMeasured, ...]

    def mode(self, tying: Tying) -> ModeMeasured:
        """One of them."""
        return next(mode for mode in self.modes if mode.tying is tying)

    @property
    def row(self) -> MergesCounted:
        """The counts of the training's merges."""
        return next(row for row in self.counted if row.merges == self.merges)

    @property
    def seeds(self) -> int:
        """How many trainings each mode had."""
        return self.modes[0].bleu.n


def float32_bytes(model: TranslationModel) -> int:
    """Of its parameters, each storage once."""
    return 4 * sum(parameter.numel() for parameter in model.parameters())


def int8_bytes(model: TranslationModel) -> int:
    """Of its parameters with matrices in int8, a float32 scale a row, and vectors in float32."""
    total = 0
    for parameter in model.parameters():
        is_matrix = parameter.dim() > 1
        rows = parameter.numel() // parameter.shape[-1] if is_matrix else 0
        total += parameter.numel() + SCALE_BYTES * rows if is_matrix else 4 * parameter.numel()
    return total


def disk_sizes(config: ModelConfig, sizes: VocabularySizes) -> dict[Tying, tuple[int, int]]:
    """Bytes of each mode's weights in float32 and in int8, counted from models built without storage."""
    meta = torch.device("meta")
    models = {mode: build_empty(dataclasses.replace(config, tying=mode.value), sizes, meta) for mode in Tying}
    return {mode: (float32_bytes(model), int8_bytes(model)) for mode, model in models.items()}
