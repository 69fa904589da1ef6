"""Rows of the vocabulary matrices from vectors of words.

A row is its piece's vector, as it is, in every matrix that has the piece; a tied matrix is one. BPE's pieces are looked
up as they are written (`house`, `hou@@`), sentencepiece's also without the sign of the space before them. Special rows,
and those of pieces without a vector, start as they would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nmt.layers.tying import TiedEmbeddings
from nmt.text.pipeline import SPACE
from nmt.text.vocabulary import NUM_SPECIALS, Vocabulary


@dataclass(frozen=True)
class Filled:
    """What came of filling a matrix."""

    found: int
    rows: int
    "Of pieces of text."


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
