"""Spearman's rank correlation of the cosine similarities of all pairs of rows (Press & Wolf, 2017, Table 4).

n rows have n (n - 1) / 2 pairs: 4,000 rows have 8 million. Per pair a matrix's ranks take 4 bytes, and the matrix being
sorted 30 more for the moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

BLOCK_ROWS = 256
BLOCK_PAIRS = 1 << 20
BYTES_RANKS, BYTES_SORTING = 4, 30
"Per pair: what the ranks of a matrix take, and what sorting takes on top of it."
MIN_PIECES = 3
"Fewer have fewer than two pairs to rank."


def num_pairs(num_rows: int) -> int:
    """n (n - 1) / 2."""
    return num_rows * (num_rows - 1) // 2


def unit_rows(matrix: np.ndarray) -> np.ndarray:
    """[n, E] -> the rows at length one in float32; a row of zeros stays one, its cosine with anything is 0."""
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
    unit: np.ndarray = (matrix / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return unit


def pair_cosines(matrix: np.ndarray) -> np.ndarray:
    """[n, E] -> cosines of rows (0, 1), (0, 2) ... (n - 2, n - 1): float32, [n (n - 1) / 2]."""
    unit = unit_rows(matrix)
    found = np.empty(num_pairs(len(unit)), dtype=np.float32)
    end = 0
    for start in range(0, len(unit), BLOCK_ROWS):
        block = unit[start : start + BLOCK_ROWS] @ unit[start:].T
        for row, cosines in enumerate(block):
            count = len(cosines) - row - 1
            found[end : end + count] = cosines[row + 1 :]
            end += count
    return found


def centred_ranks(values: np.ndarray) -> np.ndarray:
    """Twice each value's rank, minus the mean of that: int32, so exact; equal values share the mean of their ranks.

    A rank counts from 1; of P values the result is 2 rank - (P + 1), from 1 - P to P - 1.
    """
    order = np.argsort(values)
    ordered = values[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, len(values)).astype(np.int32)
    del ordered
    sizes = np.diff(ends, prepend=np.int32(0))  # of the groups of equal values
    doubled = 2 * ends - sizes - np.int32(len(values))  # a group holds the ranks end - size + 1 ... end
    ranks = np.empty(len(values), dtype=np.int32)
    ranks[order] = np.repeat(doubled, sizes)
    return ranks


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's correlation of two vectors of centred ranks; None where all values of one are equal."""
    squares = _product(first, first) * _product(second, second)
    if squares == 0:
        return None
    return float(np.clip(_product(first, second) / np.sqrt(squares), -1.0, 1.0))


def _product(first: np.ndarray, second: np.ndarray) -> float:
    """The dot product in float64, block by block."""
    starts = range(0, len(first), BLOCK_PAIRS)
    blocks = ((first[start : start + BLOCK_PAIRS], second[start : start + BLOCK_PAIRS]) for start in starts)
    return sum(float(a.astype(np.float64) @ b.astype(np.float64)) for a, b in blocks)


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rho of two matrices of the same pieces, row by row: [n, E] and [n, E'].

    None where it is undefined: all cosines of one matrix are equal, or fewer than two pairs.
    """
    assert len(first) == len(second), (len(first), len(second))
    if len(first) < MIN_PIECES:
        return None
    return correlation(centred_ranks(pair_cosines(first)), centred_ranks(pair_cosines(second)))


def pairwise(matrices: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float | None]:
    """`spearman` of each two of some matrices of the same pieces, by their names in order; each is ranked once."""
    if any(len(matrix) < MIN_PIECES for matrix in matrices.values()):
        return dict.fromkeys(combinations(matrices, 2))
    ranks = {name: centred_ranks(pair_cosines(matrix)) for name, matrix in matrices.items()}
    return {(first, second): correlation(ranks[first], ranks[second]) for first, second in combinations(matrices, 2)}
