"""Ctrl-C and SIGTERM: the update at hand is finished, the state saved, then the process leaves."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(Exception):
    """Raised once a signal has come; carries its number."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interruption:
    """A context manager that notes SIGINT and SIGTERM; a second Ctrl-C acts at once.

    repeated: torchrun, too, sends what was pressed once, and ends all workers soon after one: a second signal means
    nothing, nor does one after the end, while the last line is written.
    """

    def __init__(self, *, repeated: bool = False) -> None:
        self.repeated = repeated
        self.received: int | None = None
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.repeated:
            return
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        elif number == signal.SIGINT and not self.repeated:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self.received is not None:
            raise Interrupted(self.received)
