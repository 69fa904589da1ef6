"""Rank correlations of the similarities of rows, of all pairs of several models' matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from bpe.errors import UserError
from nmt.evaluate.rankcorrelation import (
    BYTES_RANKS,
    BYTES_SORTING,
    MIN_PIECES,
    centred_ranks,
    correlation,
    num_pairs,
    pair_cosines,
)
from nmt.reproduce.embeddings import DOMAINS, Matrix, common_domain

MEMORY_LIMIT = 4 << 30
"Bytes that the ranks of all matrices and the one being sorted may take."


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Spearman's rho of two matrices over the pieces that both have."""

    first_model: str
    first_matrix: str
    second_model: str
    second_matrix: str
    rho: float | None
    "None where it is undefined: too few pieces, or all similarities of a matrix are equal."
    num_pieces: int
    domain: str
    "Which pieces: both (in source and target), source view, target view or union."
    same_start: bool
    "The two began training with equal values, which alone makes them alike."


def check_memory(num_pieces: int, num_matrices: int, flag: str = "--pieces") -> None:
    """A UserError where ranking so many pieces takes more than MEMORY_LIMIT. flag: what says how many."""
    per_pair = BYTES_RANKS * num_matrices + BYTES_SORTING
    needed = num_pairs(num_pieces) * per_pair
    if needed > MEMORY_LIMIT:
        fits = int((2 * MEMORY_LIMIT / per_pair) ** 0.5)
        raise UserError(
            f"the pairs of {num_pieces:,} pieces in {num_matrices} matrices take {needed / 2**30:.1f} GiB, "
            f"the limit is {MEMORY_LIMIT / 2**30:.0f}",
            where=flag,
            hint=f"{fits:,} fit, or name fewer models",
        )


def correlations(matrices: Sequence[Matrix]) -> list[Correlation]:
    """Of all pairs of matrices, in their order; a matrix is ranked once for each set of pieces."""
    pairs = list(combinations(range(len(matrices)), 2))
    domains = {pair: common_domain(*(matrices[index].domain for index in pair)) for pair in pairs}
    rhos: dict[tuple[int, int], float | None] = {}
    for domain in DOMAINS:
        wanted = [pair for pair in pairs if domains[pair] == domain]
        rows = {index: matrices[index].rows[domain] for index in sorted({index for pair in wanted for index in pair})}
        if any(len(found) < MIN_PIECES for found in rows.values()):
            rhos |= dict.fromkeys(wanted)
            continue
        ranks = {index: centred_ranks(pair_cosines(found)) for index, found in rows.items()}
        rhos |= {(first, second): correlation(ranks[first], ranks[second]) for first, second in wanted}
    return [_described(matrices[a], matrices[b], domains[a, b], rhos[a, b]) for a, b in pairs]


def _described(first: Matrix, second: Matrix, domain: str, rho: float | None) -> Correlation:
    return Correlation(
        first_model=first.model.name,
        first_matrix=first.name,
        second_model=second.model.name,
        second_matrix=second.name,
        rho=rho,
        num_pieces=len(first.rows[domain]),
        domain=domain,
        same_start=first.started_like(second),
    )
