"""Word similarity benchmarks: do cosines of vectors order pairs of words as people do? (Press & Wolf, 2017, Table 2)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.evaluate.rankcorrelation import centred_ranks, correlation, unit_rows

FILES = {
    "SimLex-999": "EN-SIMLEX-999.txt",
    "Verb-143": "EN-VERB-143.txt",
    "MEN": "EN-MEN-TR-3k.txt",
    "Rare Words": "EN-RW-STANFORD.txt",
    "MTurk-771": "EN-MTurk-771.txt",
}
"The paper's benchmarks in its order, and the file that each is."
LEAST_PAIRS = 3
"Fewer have no rank correlation worth the name."


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Pairs of words, and how similar people find them: the higher, the more."""

    name: str
    pairs: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Spearman's rho of cosines and people's judgements, over the pairs both of whose words have a vector."""

    rho: float | None
    "None where fewer than three pairs have vectors, or all have one cosine."
    num_pairs: int
    num_known: int


def read_benchmarks(folder: Path) -> list[Benchmark]:
    """The five of FILES, each `word word score` a line. Errors: UserError for a file or a score that is not there."""
    return [_read(name, folder / file) for name, file in FILES.items()]


def _read(name: str, path: Path) -> Benchmark:
    if not path.is_file():
        hint = f"nmt-data fetch word-similarity --corpus {path.parent}"
        raise UserError(f"{name} is not there", where=path, hint=hint)
    pairs = []
    for number, line in enumerate(read_lines(path), 1):
        if fields := line.split():
            try:
                first, second, score = fields
                pairs.append((first, second, float(score)))
            except ValueError:
                raise UserError("is not two words and a number", where=f"{path}:{number}") from None
    return Benchmark(name=name, pairs=tuple(pairs))


def word_index(words: Sequence[str]) -> dict[str, int]:
    """Word -> its row. A word in capitals stands for its small form too, where that has no row of its own."""
    index = {word: row for row, word in reversed(list(enumerate(words)))}
    for row, word in enumerate(words):
        index.setdefault(word.lower(), row)
    return index


def agreement(benchmark: Benchmark, index: Mapping[str, int], vectors: np.ndarray) -> Agreement:
    """How well the cosines of vectors [V, E] order the benchmark's pairs. A pair without vectors is left out."""
    rows = [(_row(index, first), _row(index, second), score) for first, second, score in benchmark.pairs]
    known = [(first, second, score) for first, second, score in rows if first is not None and second is not None]
    rho = None
    if len(known) >= LEAST_PAIRS:
        first, second, scores = (np.array(column) for column in zip(*known, strict=True))
        cosines = (unit_rows(vectors[first]).astype(np.float64) * unit_rows(vectors[second])).sum(axis=1)
        rho = correlation(centred_ranks(cosines), centred_ranks(scores))
    return Agreement(rho=rho, num_pairs=len(benchmark.pairs), num_known=len(known))


def _row(index: Mapping[str, int], word: str) -> int | None:
    return index.get(word, index.get(word.lower()))
