"""Counts for Prometheus. Nothing in them tells what was translated, or for whom."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"Upper bounds of the histogram of seconds; anything above is counted in the last, +Inf."
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """For one thread."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        "By path, which is one that there is or 'other', and status."
        self.characters = 0
        "Of translated texts."
        self.abandoned = 0
        "Requests whose client went away."
        self._seconds = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def translated(self, seconds: float, characters: int) -> None:
        """One request was answered."""
        self._seconds[bisect.bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds
        self.characters += characters

    def text(self, gauges: Mapping[str, float]) -> str:
        """All of them in Prometheus' text format. gauges: what is so just now, by name."""
        lines = ["# TYPE nmt_requests_total counter"]
        for (path, status), count in sorted(self.answers.items()):
            lines.append(f'nmt_requests_total{{path="{path}",status="{status}"}} {count}')
        counters = {"nmt_characters_total": self.characters, "nmt_abandoned_total": self.abandoned}
        for name, value in counters.items():
            lines += [f"# TYPE {name} counter", f"{name} {value}"]
        for name, gauge in gauges.items():
            lines += [f"# TYPE {name} gauge", f"{name} {gauge:g}"]
        lines.append("# TYPE nmt_translate_seconds histogram")
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._seconds, strict=True):
            total += count
            lines.append(f'nmt_translate_seconds_bucket{{le="{bound}"}} {total}')
        lines += [f"nmt_translate_seconds_sum {self._sum:.6f}", f"nmt_translate_seconds_count {total}"]
        return "\n".join(lines) + "\n"
