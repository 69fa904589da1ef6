"""Rows of the vocabulary matrices from vectors in word2vec's text format.

The first line holds the number of words and of numbers a word; each other line a word and its numbers, spaces between.
A row is its piece's vector, as it is, in every matrix that has the piece; a tied matrix is one. BPE's pieces are looked
up as they are written (`house`, `hou@@`), sentencepiece's also without the sign of the space before them. Special rows,
and those of pieces without a vector, start as they would.

Source: github.com/tmikolov/word2vec, word2vec.c, TrainModel (`binary` 0).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.layers.tying import TiedEmbeddings
from nmt.text.pipeline import SPACE
from nmt.text.vocabulary import NUM_SPECIALS, Vocabulary

SHOWN = 40
"Characters of a line that an error shows."


@dataclass(frozen=True)
class Filled:
    """What came of filling a matrix."""

    found: int
    rows: int
    "Of pieces of text."


def read_vectors(path: Path, words: frozenset[str], size: int) -> dict[str, np.ndarray]:
    """The vectors of those of the words that a file has, [size] float32 each, the first of equal ones.

    A file that is damaged, of another width, or without any of the words is a UserError with its line.
    """
    lines = read_lines(path)
    count = _header(path, next(lines, ""), size)
    found: dict[str, np.ndarray] = {}
    number = 1
    for number, (word, values) in enumerate(_rows(path, lines, size), 2):
        if word in words and word not in found:
            found[word] = _numbers(values, f"{path}:{number}")
    if number - 1 != count:
        problem = f"{number - 1:,} vectors, where the first line says {count:,}"
        raise UserError(problem, where=path, hint="it may be truncated: restore it from a copy")
    if not found:
        raise UserError("has no word that is a piece of the vocabulary", where=path, hint="is it in these languages?")
    return found


def _header(path: Path, line: str, size: int) -> int:
    try:
        count, width = map(int, line.split())
    except ValueError:
        problem = f"{line[:SHOWN]!r} is not the number of words and of numbers a word"
        raise UserError(problem, where=f"{path}:1", hint="word2vec's text format begins with it") from None
    if width != size:
        problem = f"vectors of {width:,} numbers, where model.embedding_size is {size:,}"
        raise UserError(problem, where=f"{path}:1", hint=f"--set model.embedding_size={width}, or name other vectors")
    return count


def _rows(path: Path, lines: Iterator[str], size: int) -> Iterator[tuple[str, Sequence[str]]]:
    """Words and their numbers. A word may hold spaces of Unicode's, and word2vec ends its lines in a space."""
    for number, line in enumerate(lines, 2):
        parts = line.rstrip(" \r").rsplit(" ", size)
        if len(parts) != size + 1:
            problem = f"{line[:SHOWN]!r} ... is not a word and {size:,} numbers"
            raise UserError(problem, where=f"{path}:{number}", hint="the file is damaged")
        yield parts[0], parts[1:]


def _numbers(values: Sequence[str], where: str) -> np.ndarray:
    try:
        numbers = np.array([float(value) for value in values], dtype=np.float32)
    except ValueError:
        raise UserError("a vector holds what is no number", where=where, hint="the file is damaged") from None
    if not np.isfinite(numbers).all():
        raise UserError("a vector holds a number that is not finite", where=where, hint="the file is damaged")
    return numbers


def names_of(piece: str) -> tuple[str, ...]:
    """The words a piece is looked up as, the first that there is counts."""
    bare = piece.removeprefix(SPACE)
    return (piece, bare) if bare and bare != piece else (piece,)


def fill_rows(matrices: TiedEmbeddings, vocabulary: Vocabulary, vectors: Mapping[str, np.ndarray]) -> dict[str, Filled]:
    """Put vectors into the rows of their pieces; for each view (`union`, or `source` and `target`) what came of it."""
    both = [matrices.target_input, matrices.output]
    if matrices.tying.shares_source:
        return {"union": _fill([matrices.output], vocabulary.pieces[NUM_SPECIALS:], vectors)}
    source = _fill([matrices.source_input], vocabulary.side("source"), vectors)
    return {"source": source, "target": _fill(both, vocabulary.side("target"), vectors)}


def _fill(tables: Sequence[Tensor], pieces: Sequence[str], vectors: Mapping[str, np.ndarray]) -> Filled:
    """The rows of text in tables that have the same pieces."""
    rows, values = [], []
    for row, piece in enumerate(pieces, NUM_SPECIALS):
        name = next((name for name in names_of(piece) if name in vectors), None)
        if name is not None:
            rows.append(row)
            values.append(vectors[name])
    if rows:
        with torch.no_grad():
            for table in tables:
                table[rows] = torch.from_numpy(np.stack(values)).to(table)
    return Filled(len(rows), len(pieces))


def root_mean_square(vectors: Sequence[np.ndarray]) -> float:
    """Of all numbers of some vectors."""
    return math.sqrt(float(np.mean(np.square(np.stack(vectors), dtype=np.float64))))
