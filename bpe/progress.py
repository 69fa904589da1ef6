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

    label: what is going on. total: steps expected, or None. unit: what a step is. quiet: print nothing. patience:
    seconds before anything is printed on a terminal; what is done before then says nothing.
    """

    def __init__(
        self, label: str, total: int | None = None, *, unit: str = "lines", quiet: bool = False, patience: float = 0
    ) -> None:
        self.label, self.total, self.unit, self.quiet, self.patience = label, total, unit, quiet, patience
        self.done, self.started = 0, time.monotonic()
        self.share: float | None = None
        if sys.stderr is None or sys.stderr.closed:  # None: the process was started with 2>&-
            self.quiet = True
        self.terminal = not self.quiet and sys.stderr.isatty()
        self.printed_at = self.started

    def advance(self, steps: int = 1, share: float | None = None) -> None:
        """Count `steps` more; print when it is time to. share: how much of everything is done, 0 to 1, where that is
        known but the number of steps is not."""
        self.done += steps
        self.share = share
        now = time.monotonic()
        if self.quiet or now - self.started < self.patience:
            return
        if now - self.printed_at >= (TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS):
            self.printed_at = now
            self._print("\r" if self.terminal else "", "\x1b[K" if self.terminal else "\n")

    def _print(self, before: str, after: str) -> None:
        elapsed = max(time.monotonic() - self.started, 1e-9)
        rate = self.done / elapsed
        share = self.done / self.total if self.total else self.share
        of = f" of {self.total:,}" if self.total else ""
        percent = f" ({100 * share:.0f}%)" if share is not None else ""
        left = f", {duration(elapsed / share - elapsed)} left" if share and share < 1 else ""
        text = f"{self.label}: {self.done:,}{of} {self.unit}{percent}"
        sys.stderr.write(f"{before}{text}, {rate:,.0f}/s{left}{after}")
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        impatient = self.terminal and not self.patience
        if not self.quiet and (impatient or self.printed_at > self.started):
            self._print("\r" if self.terminal else "", "\x1b[K\n" if self.terminal else "\n")
