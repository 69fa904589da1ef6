"""Batches made and copied to the device while it computes. Their order and content are those of the stream."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

import torch

from nmt.data.batching import Batch
from nmt.data.feed import Position

DEPTH = 4
"Batches that are ready at most."

Item = TypeVar("Item")
Placed = tuple[Position, Batch]


class Prefetcher(Iterator[Placed]):
    """The batches of a feed's stream, on a device.

    For CUDA a thread makes them ahead and copies them from pinned memory on a CUDA stream of their own. Elsewhere each
    is made when it is asked for: a thread would take its time from the cores that compute.
    """

    def __init__(self, stream: Iterator[Placed], device: torch.device) -> None:
        self._items = copied_ahead(stream, CudaCopies(device)) if device.type == "cuda" else moved(stream, device)

    def __next__(self) -> Placed:
        return next(self._items)

    def close(self) -> None:
        """End the thread; what it has made is dropped."""
        self._items.close()


def moved(stream: Iterator[Placed], device: torch.device) -> Generator[Placed, None, None]:
    """Each batch copied when it is asked for."""
    for position, batch in stream:
        yield position, batch.to(device)


@dataclass(frozen=True)
class Copy:
    """A batch on its way to the device. arrived: tells when it is there."""

    batch: Batch
    arrived: torch.cuda.Event


class CudaCopies:
    """Copies that run beside the computation."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.side = device, torch.cuda.Stream(device)

    def start(self, batch: Batch) -> Copy:
        """Begin to copy; called by the thread."""
        with torch.cuda.stream(self.side):
            return Copy(batch.to(self.device), self.side.record_event())

    def finish(self, copy: Copy) -> Batch:
        """The batch, for whatever comes next on the current stream; no waiting here, but on the device."""
        current = torch.cuda.current_stream(self.device)
        current.wait_event(copy.arrived)
        batch = copy.batch
        # Allocated on the side stream, their memory is not to be used again before this stream is done with them.
        for tensor in (batch.source, batch.source_lengths, batch.target, batch.target_lengths, batch.target_positions):
            tensor.record_stream(current)
        return batch


def copied_ahead(stream: Iterator[Placed], copies: CudaCopies) -> Generator[Placed, None, None]:
    """Batches that a thread made and began to copy."""
    started = ((position, copies.start(batch)) for position, batch in stream)
    with closing(ahead(started)) as items:
        for position, copy in items:
            yield position, copies.finish(copy)


def ahead(items: Iterator[Item], depth: int = DEPTH) -> Generator[Item, None, None]:
    """The same items, made by a thread that stays at most `depth` ahead; its exception is raised here.

    The thread ends with the items, at an exception, or when this generator is closed.
    """
    ready: Queue[tuple[Item | None, BaseException | None]] = Queue(depth)
    closed = Event()

    def work() -> None:
        try:
            for item in items:
                ready.put((item, None))
                if closed.is_set():
                    return
            end: BaseException = StopIteration()
        except BaseException as error:
            end = error
        ready.put((None, end))

    thread = Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            item, end = ready.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item  # type: ignore[misc]
    finally:
        closed.set()
        while thread.is_alive():  # it may be waiting for room
            with suppress(Empty):
                ready.get_nowait()
            thread.join(0.01)
