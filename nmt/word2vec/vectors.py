"""Vectors of words in word2vec's text format: a line `rows size`, then a line a word, its numbers behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from bpe.errors import UserError
from bpe.textfiles import read_lines, write_lines


def write_vectors(path: Path, words: Sequence[str], vectors: np.ndarray) -> None:
    """Write [V, E] numbers, each as short as float32 allows without losing a bit."""
    assert len(words) == len(vectors), (len(words), len(vectors))
    write_lines(path, _lines(words, vectors.astype(np.float32)))


def _lines(words: Sequence[str], vectors: np.ndarray) -> Iterator[str]:
    yield f"{len(words)} {vectors.shape[1]}"
    for word, row in zip(words, vectors, strict=True):
        yield f"{word} {' '.join(map(str, row))}"


def read_vectors(path: Path, limit: int | None = None) -> tuple[tuple[str, ...], np.ndarray]:
    """The words and their vectors, float32 [V, E], of the first `limit` lines at most. Errors name the line."""
    lines = read_lines(path)
    head = next(lines, "").split()
    if len(head) != 2 or not all(part.isdecimal() for part in head) or not int(head[1]):
        raise UserError("the first line is not the number of words and their size", where=f"{path}:1")
    num_words, size = map(int, head)
    words: list[str] = []
    rows: list[np.ndarray] = []
    for number, line in enumerate(islice(lines, limit), 2):
        word, *values = line.rstrip(" ").split(" ")
        try:
            row = np.array(values, dtype=np.float32)
        except ValueError:
            raise UserError("holds something that is no number", where=f"{path}:{number}") from None
        if len(row) != size:
            raise UserError(f"{len(row)} numbers, where the first line says {size}", where=f"{path}:{number}")
        words.append(word)
        rows.append(row)
    if len(words) != (num_words if limit is None else min(num_words, limit)):
        raise UserError(f"{len(words):,} words, where the first line says {num_words:,}", where=path)
    return tuple(words), np.array(rows, dtype=np.float32).reshape(len(words), size)
