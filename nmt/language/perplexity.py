"""Perplexity by the protocol of the paper, which every number is told with: others' numbers differ by it.

The text is read in streams whose state begins at zero and is carried to the end; <eos> is a word as others are; the
first word of each stream is only read. One stream reads the whole text in order, as the paper's test does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from nmt.data.streams import Streams
from nmt.layers.word_cross_entropy import word_cross_entropy
from nmt.models.language import LanguageModel


@dataclass(frozen=True)
class Perplexity:
    """What was measured, and how."""

    cross_entropy: float
    "Nats per word that is predicted."
    words: int
    "So many."
    streams: int
    unit: str = "words"
    "words or pieces."

    @property
    def perplexity(self) -> float:
        """e to the cross entropy; infinite where that is too large for a number."""
        return math.exp(self.cross_entropy) if self.cross_entropy < 700 else math.inf

    @property
    def protocol(self) -> str:
        """How it was measured, for people."""
        streams = "1 stream" if self.streams == 1 else f"{self.streams} streams"
        return f"{streams}, state carried from zero, <eos> counted, no dropout, {self.words:,} {self.unit} predicted"

    def describe(self) -> str:
        """For people, in a line."""
        return f"perplexity {self.perplexity:,.2f} ({self.protocol})"


@torch.inference_mode()
def measure(
    model: LanguageModel, streams: Streams, tick: Callable[[], None] = lambda: None, *, unit: str = "words"
) -> Perplexity:
    """Read all of a text. The model is left in evaluation mode. tick: called between batches; may raise."""
    model.eval()
    state = model.initial_state(streams.number)
    total, words = 0.0, 0
    matrices = model.embeddings
    with model.in_float32():
        for batch in streams:
            tick()
            batch = batch.to(model.device)
            rows, state = model.features(batch.words, state)
            flat, labels = rows.flatten(0, 1), batch.labels.flatten()
            total += float(word_cross_entropy(flat, matrices.output, matrices.output_bias, labels))
            words += labels.numel()
    return Perplexity(total / words if words else math.nan, words, streams.number, unit)
