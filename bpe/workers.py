"""Rewrites chunks of text in several processes; results come in the order of the chunks, only a few are in memory."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bpe.chunks import Chunk, ChunkReader, split_at_bad_line
from bpe.errors import UserError
from bpe.rewriting import Rewriter

ALONE_SECONDS = 0.1
"Work that this process does before it starts others: they cost some time too, and take over the words it has met."
AHEAD = 2
"Chunks in memory for each worker: one is rewritten, the others wait for their turn to be written."

Result = tuple[Chunk, bytes]


def rewrite_all(rewrite: Rewriter, chunks: ChunkReader, num_workers: int) -> Generator[Result, None, None]:
    """Chunks and what they become, in order; nothing more is read before what can be given was given.

    A chunk that is not UTF-8 is given as far as it is, followed by a UserError; so are chunks before a read error.
    num_workers: processes that do the work; this one does short texts alone.
    """
    started = time.process_time()
    for chunk in chunks:
        yield from _rewritten(rewrite, chunk)
        if num_workers > 1 and time.process_time() - started > ALONE_SECONDS:
            break
    else:
        return
    workers: list[_Worker] = []
    try:
        for _ in range(num_workers):
            workers.append(_start(rewrite, workers))
        yield from _in_order(rewrite, chunks, workers)
    finally:
        for worker in workers:
            worker.stop()


def _rewritten(rewrite: Rewriter, chunk: Chunk) -> Iterator[Result]:
    try:
        result = rewrite(chunk)
    except UnicodeDecodeError:
        before, error = split_at_bad_line(chunk)
        yield before, rewrite(before)
        raise error from None
    yield chunk, result


@dataclass
class _Task:
    """A chunk on its way. result: None as long as a worker is at it."""

    chunk: Chunk
    result: bytes | None = None


def _in_order(rewrite: Rewriter, chunks: ChunkReader, workers: list[_Worker]) -> Iterator[Result]:
    idle, busy = list(workers), dict[int, tuple[_Worker, _Task]]()
    tasks: deque[_Task] = deque()
    more, problem = True, None
    while more or tasks:
        while more and idle and len(tasks) < AHEAD * len(workers) and not (tasks and chunks.would_wait()):
            try:
                chunk = next(chunks, None)
            except UserError as error:
                chunk, problem = None, error
            if chunk is None:
                more = False
                break
            task, worker = _Task(chunk), idle.pop()
            worker.send(chunk)
            tasks.append(task)
            busy[worker.fileno()] = worker, task
        while tasks and tasks[0].result is not None:
            task = tasks.popleft()
            # No bytes stand for a failure, which this process then finds out about itself.
            yield from [(task.chunk, task.result)] if task.result else _rewritten(rewrite, task.chunk)
        if busy:
            for ready in select.select(list(busy), [], [])[0]:
                worker, task = busy.pop(ready)
                task.result = worker.receive()
                idle.append(worker)
    if problem:
        raise problem


class _Worker:
    """A process that rewrites one chunk after the other, and leaves when this process does.

    others: workers started before, whose pipes the new process must not keep open.
    """

    def __init__(self, rewrite: Rewriter, others: list[_Worker]) -> None:
        theirs, ours = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                for end in (theirs[1], ours[0]):
                    os.close(end)
                for other in others:
                    other.close()
                _serve(rewrite, os.fdopen(theirs[0], "rb"), os.fdopen(ours[1], "wb"))
            finally:
                os._exit(0)  # whatever happened: from here on the code belongs to the process that started this one
        for end in (theirs[0], ours[1]):
            os.close(end)
        self._tasks, self._results = os.fdopen(theirs[1], "wb"), os.fdopen(ours[0], "rb")

    def fileno(self) -> int:
        """Readable once there is a result, or the process was killed."""
        return self._results.fileno()

    def send(self, chunk: Chunk) -> None:
        """Give a chunk to an idle worker."""
        try:
            header = json.dumps([len(chunk.text), *chunk[1:]])
            self._tasks.write(header.encode("ascii") + b"\n" + chunk.text)
            self._tasks.flush()
        except BrokenPipeError:
            raise _killed() from None

    def receive(self) -> bytes:
        """Wait for the result; none where rewriting failed."""
        size = self._results.readline()
        result = self._results.read(int(size)) if size.endswith(b"\n") else b""
        if not size.endswith(b"\n") or len(result) < int(size):
            raise _killed()
        return result

    def close(self) -> None:
        """Close the pipes; the process leaves when it notices."""
        for end in (self._tasks, self._results):
            with contextlib.suppress(OSError):  # what was meant for a killed worker cannot be sent any more
                end.close()

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _start(rewrite: Rewriter, others: list[_Worker]) -> _Worker:
    try:
        return _Worker(rewrite, others)
    except OSError as error:
        problem = f"worker process {len(others) + 1} cannot be started ({error.strerror})"
        raise UserError(problem, hint="run again with fewer --workers") from None


def _killed() -> UserError:
    return UserError("a worker process was killed, most likely for want of memory", hint="run again with --workers 1")


def _serve(rewrite: Rewriter, tasks: BinaryIO, results: BinaryIO) -> None:
    """What a worker does, until the pipes are closed: Ctrl-C is for the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(EOFError, OSError):
        while True:
            header = tasks.readline()
            if not header:
                return
            size, where, number, line = json.loads(header)
            chunk = Chunk(tasks.read(size), where, number, line)
            try:
                result = rewrite(chunk)
            except Exception:
                result = b""
            results.write(b"%d\n" % len(result) + result)
            results.flush()
