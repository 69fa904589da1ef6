"""Futures of the searching thread, awaited in the event loop: those that are done at once wake the loop once.

`asyncio.wrap_future` wakes it for each, with a system call in the thread that searches, which then waits for its turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any


class Awaiting:
    """For one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._done: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()

    def __call__(self, future: Future[Any]) -> asyncio.Future[Any]:
        """What to await for the result of a future."""
        awaited: asyncio.Future[Any] = self._loop.create_future()
        future.add_done_callback(lambda done: self._note(awaited, done))
        return awaited

    def _note(self, awaited: asyncio.Future[Any], done: Future[Any]) -> None:
        """In whatever thread the future came to its end."""
        first = not self._done
        self._done.append((awaited, done))
        if first and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        while self._done:
            awaited, done = self._done.popleft()
            if awaited.done():
                continue
            if done.cancelled():
                awaited.cancel()
            elif error := done.exception():
                awaited.set_exception(error)
            else:
                awaited.set_result(done.result())
