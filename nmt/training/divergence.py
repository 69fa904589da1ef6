"""Tells from the training cross entropy that a run is lost, which nobody may be watching."""

from __future__ import annotations

import math

SPAN_UPDATES = 50
"Updates whose mean is looked at: few batches of short or hard sentences say nothing."
RISE = 1.0
"Nats above the best span so far that are no noise: a model that has forgotten all it learned rises by several."
SPANS = 2
"That many spans in a row."


class DivergenceWatch:
    """Looks at spans of updates; once it has told of a rise, it is silent until the cross entropy has come down."""

    def __init__(self) -> None:
        self.total, self.tokens, self.updates = 0.0, 0, 0
        self.best, self.high = math.inf, 0

    def look(self, cross_entropy: float, tokens: int, updates: int) -> str:
        """Add the updates of a progress line, costs and pieces summed; returns what there is to tell, or ''.

        Updates that were left out count among `updates` alone.
        """
        self.total, self.tokens, self.updates = self.total + cross_entropy, self.tokens + tokens, self.updates + updates
        if self.updates < SPAN_UPDATES:
            return ""
        mean = self.total / self.tokens if self.tokens else math.nan
        self.total, self.tokens, self.updates = 0.0, 0, 0
        if math.isfinite(mean) and mean <= self.best + RISE:
            self.best, self.high = min(self.best, mean), 0
            return ""
        self.high += 1
        if self.high != SPANS:
            return ""
        before = f", after {self.best:.2f} at best" if math.isfinite(self.best) else ""
        return (
            f"training diverges: cross entropy {mean:.2f}{before}; stop it, lower training.learning_rate or raise "
            "training.warmup_updates, and start over with --force"
        )
