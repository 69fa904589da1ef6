"""Log-probabilities of lines, one after the other, and the perplexity of them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nmt.folder.language import LanguageBundle
from nmt.models.language import LanguageState
from nmt.models.montecarlo import next_word_log_probs
from nmt.text.words import END

STEPS = 256
"Words read at a time: memory does not grow with a line."


@dataclass(frozen=True)
class ScoredLine:
    """A line with its end."""

    text: str
    words: int
    "That were predicted, <eos> counted."
    log_prob: float
    "Of them all, in nats."


class LineScorer:
    """Reads lines in order. Each word is predicted from all that came before: from earlier lines too, or not.

    carried: whether the state goes from line to line; the first word of the first line is then only read, as in the
    perplexity of a text. Otherwise every line begins as if <eos> of a line before had just been read.
    draws: of Monte Carlo dropout; 0: no dropout.
    """

    def __init__(self, bundle: LanguageBundle, *, carried: bool = True, draws: int = 0, seed: int = 1) -> None:
        self.bundle, self.carried, self.draws = bundle, carried, draws
        bundle.model.train(draws > 0)
        torch.manual_seed(seed)

    def lines(self, lines: Iterable[tuple[str, object]]) -> Iterator[ScoredLine]:
        """lines: each with its place, for errors."""
        states, before = self._start(), None if self.carried else END
        for line, where in lines:
            rows = [*self.bundle.rows(line, where), END]
            if not self.carried:
                states, before = self._start(), END
            read, labels = ([before, *rows[:-1]], rows) if before is not None else (rows[:-1], rows[1:])
            log_prob, states = self._score(read, labels, states)
            before = rows[-1]
            yield ScoredLine(line, len(labels), log_prob)

    def _start(self) -> list[LanguageState]:
        return [self.bundle.model.initial_state(1) for _ in range(self.draws or 1)]

    def _score(
        self, read: Sequence[int], labels: Sequence[int], states: list[LanguageState]
    ) -> tuple[float, list[LanguageState]]:
        """The log-probability of the labels, and the states after what was read."""
        model, total = self.bundle.model, 0.0
        with torch.inference_mode(), model.in_float32():
            for start in range(0, len(labels), STEPS):
                part = slice(start, start + STEPS)
                found, states = next_word_log_probs(model, self._column(read[part]), self._column(labels[part]), states)
                total += float(found.double().sum())
        return total, states

    def _column(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor(rows, dtype=torch.int64, device=self.bundle.model.device)[:, None]
