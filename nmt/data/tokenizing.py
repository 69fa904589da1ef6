"""First pass over the text: raw lines to tokenised ones in a scratch file, and the counts of their words.

Lines go through worker processes in chunks and come back in order, so that the result does not depend on their number.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import wait
from typing import BinaryIO, NamedTuple

from bpe.errors import UserError
from bpe.learn import count_words
from bpe.progress import Progress
from nmt.text import SIDES, Side, TextOptions
from nmt.tokenization import Tokenizer, make_tokenizer

CHUNK_PAIRS = 2_000

Chunk = tuple[list[str], list[str]]


class TokenizedChunk(NamedTuple):
    """A chunk's tokenised lines, UTF-8 with line feeds, and its words."""

    source: bytes
    target: bytes
    source_words: Counter[str]
    target_words: Counter[str]
    num_pairs: int


@dataclass
class WordCounts:
    """How often each word occurs on a side, in order of first occurrence."""

    source: Counter[str] = field(default_factory=Counter)
    target: Counter[str] = field(default_factory=Counter)

    def joint(self) -> Counter[str]:
        """Both sides together, the source first, as if one file followed the other."""
        return self.source + self.target

    def of(self, side: Side) -> Counter[str]:
        """One side."""
        return self.source if side == "source" else self.target


class ChunkTokenizer:
    """Tokenises chunks of both sides; one lives in each worker process."""

    def __init__(self, options: TextOptions) -> None:
        self._tokenizers: dict[Side, Tokenizer] = {
            side: make_tokenizer(options.tokenizer, options.language(side)) for side in SIDES
        }

    def __call__(self, chunk: Chunk) -> TokenizedChunk:
        """Tokenise and count a chunk."""
        texts, counts = [], []
        for side, lines in zip(SIDES, chunk, strict=True):
            words = self._tokenizers[side].words
            tokenized = [" ".join(words(line)) for line in lines]
            texts.append("".join(line + "\n" for line in tokenized).encode("utf-8"))
            counts.append(count_words(tokenized))
        return TokenizedChunk(texts[0], texts[1], counts[0], counts[1], len(chunk[0]))


def tokenize(
    chunks: Iterable[TokenizedChunk], source: BinaryIO, target: BinaryIO, progress: Progress
) -> tuple[WordCounts, int]:
    """Write tokenised lines to two streams; returns the counts of their words and the number of pairs."""
    counts, num_pairs = WordCounts(), 0
    for chunk in chunks:
        source.write(chunk.source)
        target.write(chunk.target)
        counts.source.update(chunk.source_words)
        counts.target.update(chunk.target_words)
        num_pairs += chunk.num_pairs
        progress.advance(chunk.num_pairs)
    return counts, num_pairs


class Workers:
    """Maps chunks to tokenised chunks, in order: in this process, or in several."""

    def __init__(self, options: TextOptions, pool: ProcessPoolExecutor | None, num_workers: int) -> None:
        self._tokenize = ChunkTokenizer(options)  # made here too, so that a missing package is reported at once
        self._pool, self._ahead = pool, 2 * num_workers

    def map(self, chunks: Iterator[Chunk]) -> Iterator[TokenizedChunk]:
        """Tokenised chunks in the order of the chunks; only a few are in memory at a time."""
        if self._pool is None:
            yield from map(self._tokenize, chunks)
            return
        first = list(islice(chunks, 2))
        if len(first) < 2:  # not worth a process
            yield from map(self._tokenize, first)
            return
        waiting: deque[Future[TokenizedChunk]] = deque(self._pool.submit(_in_worker, chunk) for chunk in first)
        for chunk in chunks:
            waiting.append(self._pool.submit(_in_worker, chunk))
            if len(waiting) > self._ahead:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())


def _result(future: Future[TokenizedChunk]) -> TokenizedChunk:
    try:
        return future.result()
    except BrokenProcessPool:
        problem = "a worker process was killed, most likely for want of memory"
        raise UserError(problem, hint="run again with --threads 1") from None


@contextmanager
def workers(options: TextOptions, num_workers: int) -> Iterator[Workers]:
    """Worker processes for as long as the context lasts.

    Only where they are forked: a spawned one would run the caller's script again. Elsewhere this process does the work.
    """
    if num_workers < 2 or options.tokenizer == "none" or not sys.platform.startswith("linux"):
        yield Workers(options, None, 1)
        return
    pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("fork"), _start_worker, (options,))
    try:
        yield Workers(options, pool, num_workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_chunk_tokenizer: ChunkTokenizer | None = None
"The tokenizer of a worker process; None in the process that started it."


def _start_worker(options: TextOptions) -> None:
    global _chunk_tokenizer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _chunk_tokenizer = ChunkTokenizer(options)


def _leave_with_parent() -> None:
    """A killed parent cannot stop its workers; they notice and leave."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _in_worker(chunk: Chunk) -> TokenizedChunk:
    assert _chunk_tokenizer is not None
    return _chunk_tokenizer(chunk)
