"""Batches made and copied to the device while it computes. Their order and content are those of the stream."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from nmt.data.position import Position

DEPTH = 4
"Batches that are ready at most."

Item = TypeVar("Item")


class Movable(Protocol):
    """A batch of any task: tensors that can be copied to a device."""

    def to(self, device: torch.device) -> Self:
        """The same batch on a device; from pinned memory, without waiting, to CUDA."""

    def tensors(self) -> Iterable[Tensor]:
        """All it holds."""


Placed = tuple[Position, Any]
"Where a batch stands, and the batch, which is Movable."


def prefetched(stream: Iterator[Placed], device: torch.device) -> Generator[Placed, None, None]:
    """The batches of a stream, on a device. To be closed in the end; what was made ahead is dropped.

    For CUDA a thread makes them ahead and copies them from pinned memory on a CUDA stream of their own. Elsewhere each
    is made when it is asked for: a thread would take its time from the cores that compute.
    """
    return copied_ahead(stream, CudaCopies(device)) if device.type == "cuda" else moved(stream, device)


def moved(stream: Iterator[Placed], device: torch.device) -> Generator[Placed, None, None]:
    """Each batch copied when it is asked for."""
    for position, batch in stream:
        yield position, batch.to(device)


@dataclass(frozen=True)
class Copy:
    """A batch on its way to the device. arrived: tells when it is there."""

    batch: Movable
    arrived: torch.cuda.Event


class CudaCopies:
    """Copies that run beside the computation."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.side = device, torch.cuda.Stream(device)

    def start(self, batch: Movable) -> Copy:
        """Begin to copy; called by the thread."""
        with torch.cuda.stream(self.side):
            return Copy(batch.to(self.device), self.side.record_event())

    def finish(self, copy: Copy) -> Movable:
        """The batch, for whatever comes next on the current stream; no waiting here, but on the device."""
        current = torch.cuda.current_stream(self.device)
        current.wait_event(copy.arrived)
        batch = copy.batch
        # Allocated on the side stream, their memory is not to be used again before this stream is done with them.
        for tensor in batch.tensors():
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
