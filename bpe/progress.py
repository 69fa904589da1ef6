"""Progress on standard error: one line rewritten on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import sys
import time

TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 10.0


def duration(seconds: float) -> str:
    """Seconds as people say them: 42s, 3m05s, 2h10m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class Progress:
    """Counts steps and says how far and how fast; a context manager.

    label: what is going on. total: steps expected, or None. unit: what a step is. quiet: print nothing.
    """

    def __init__(self, label: str, total: int | None = None, *, unit: str = "lines", quiet: bool = False) -> None:
        self.label, self.total, self.unit, self.quiet = label, total, unit, quiet
        self.done, self.started = 0, time.monotonic()
        if sys.stderr is None or sys.stderr.closed:  # None: the process was started with 2>&-
            self.quiet = True
        self.terminal = not self.quiet and sys.stderr.isatty()
        self.printed_at = self.started

    def advance(self, steps: int = 1) -> None:
        """Count `steps` more; print when it is time to."""
        self.done += steps
        now = time.monotonic()
        if not self.quiet and now - self.printed_at >= (TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS):
            self.printed_at = now
            self._print("\r" if self.terminal else "", "\x1b[K" if self.terminal else "\n")

    def _print(self, before: str, after: str) -> None:
        elapsed = max(time.monotonic() - self.started, 1e-9)
        rate = self.done / elapsed
        text = f"{self.label}: {self.done:,}"
        if self.total:
            text += f" of {self.total:,} {self.unit} ({100 * self.done / self.total:.0f}%)"
            left = f", {duration((self.total - self.done) / rate)} left" if rate and self.done < self.total else ""
        else:
            text, left = f"{text} {self.unit}", ""
        sys.stderr.write(f"{before}{text}, {rate:,.0f}/s{left}{after}")
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.quiet and (self.terminal or self.printed_at > self.started):
            self._print("\r" if self.terminal else "", "\x1b[K\n" if self.terminal else "\n")
