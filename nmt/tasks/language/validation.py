"""Validation of a language model: the perplexity of the valid split."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from bpe.errors import UserError
from nmt.data.streams import Streams
from nmt.device import enough_memory
from nmt.language.perplexity import Perplexity, measure
from nmt.models.language import LanguageModel


@dataclass(frozen=True)
class LanguageScores:
    """The outcome of one validation."""

    found: Perplexity

    @property
    def finite(self) -> bool:
        """Whether the cross entropy is a number."""
        return math.isfinite(self.found.cross_entropy)

    def score(self, metric: str) -> float:
        """Minus the cross entropy, whatever the metric."""
        return -self.found.cross_entropy

    def figures(self) -> dict[str, float | None]:
        """See Validation.figures."""
        return {"cross_entropy": self.found.cross_entropy, "perplexity": self.found.perplexity}

    def metadata(self) -> dict[str, float | None]:
        """See Validation.metadata."""
        return {"cross_entropy": self.found.cross_entropy}

    def describe(self) -> str:
        """Perplexity and protocol."""
        return self.found.describe()

    def examples(self) -> list[str]:
        """None."""
        return []


class LanguageValidator:
    """Measures perplexity on a split in as many streams as training has, as the paper's code does."""

    def __init__(self, streams: Streams, unit: str) -> None:
        self.streams, self.unit = streams, unit

    def run(self, model: LanguageModel, tick: Callable[[], None]) -> LanguageScores:
        """See Validator.run."""
        return LanguageScores(measure(model, self.streams, tick, unit=self.unit))

    def try_largest(self, model: LanguageModel) -> None:
        """One batch."""
        refused = UserError(
            "the validation does not fit in memory",
            where="validation",
            hint=f"lower lm.unroll, or choose a smaller model ({model.how_to_shrink()})",
        )
        model.eval()
        with enough_memory(refused), torch.inference_mode(), model.in_float32():
            batch = self.streams.batch(0).to(model.device)
            rows, _ = model.features(batch.words, model.initial_state(self.streams.number))
            model.embeddings.scores(rows[-1])
