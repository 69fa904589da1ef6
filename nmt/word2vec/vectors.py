"""Vectors of words in word2vec's text format: a line `rows size`, then a line a word, its numbers behind it."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
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


def read_vectors(
    path: Path, limit: int | None = None, *, words: Container[str] | None = None, size: int | None = None
) -> tuple[tuple[str, ...], np.ndarray]:
    """The words and their vectors, float32 [V, E], of the first `limit` lines at most. Errors name the line.

    words: those that are wanted; None: all. size: E, where it is given already: another is an error.
    """
    lines = read_lines(path)
    num_words, width = _head(next(lines, ""), f"{path}:1", size)
    found: list[str] = []
    rows: list[np.ndarray] = []
    number = 1
    for number, line in enumerate(islice(lines, limit), 2):
        word, *values = line.rstrip(" ").split(" ")
        if len(values) != width:
            problem = f"{len(values)} numbers, where the first line says {width}"
            raise UserError(problem, where=f"{path}:{number}")
        if words is None or word in words:
            found.append(word)
            rows.append(_numbers(values, f"{path}:{number}"))
    if number - 1 != (num_words if limit is None else min(num_words, limit)):
        raise UserError(f"{number - 1:,} words, where the first line says {num_words:,}", where=path)
    return tuple(found), np.array(rows, dtype=np.float32).reshape(len(found), width)


def _head(line: str, where: str, size: int | None) -> tuple[int, int]:
    """The number of words and their size."""
    head = line.split()
    if len(head) != 2 or not all(part.isdecimal() for part in head) or not int(head[1]):
        raise UserError("the first line is not the number of words and their size", where=where)
    num_words, width = map(int, head)
    if size not in (None, width):
        hint = f"--set model.embedding_size={width}, or name other vectors"
        raise UserError(f"vectors of {width:,} numbers, where rows have {size:,}", where=where, hint=hint)
    return num_words, width


def _numbers(values: Sequence[str], where: str) -> np.ndarray:
    try:
        row = np.array(values, dtype=np.float32)
    except ValueError:
        raise UserError("holds something that is no number", where=where) from None
    if not np.isfinite(row).all():
        raise UserError("holds a number that is not finite", where=where)
    return row
