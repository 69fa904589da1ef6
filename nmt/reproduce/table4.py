"""Table 4: is a tied embedding more like the untied model's output embedding or its input embedding?

For each two of the three matrices, Spearman's rank correlation of the cosine similarities of all pairs of words:
word2vec's vectors as `nmt-reproduce table2` wrote them, language models as `table6` and `table5` trained them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from bpe.errors import UserError
from nmt.evaluate.rankcorrelation import pairwise
from nmt.reproduce import paper
from nmt.reproduce.correlations import check_memory
from nmt.reproduce.intervals import Summary, summarize
from nmt.reproduce.language.paper import LARGE_PAIR, SMALL_PAIR
from nmt.reproduce.language.rows import open_experiment, pair_of, word_rows
from nmt.reproduce.provenance import Provenance
from nmt.reproduce.rowscores import KINDS, verdict
from nmt.reproduce.table2 import finished_seeds, seed_rows

FORMAT, FORMAT_VERSION = "nmt-table4", 1
MODELS = {"word2vec": "word2vec", "small": "LSTM, small", "large": "LSTM, large"}
"The paper's columns and their names."
PAIRS = tuple(combinations(KINDS, 2))
WORDS = 10_000
"The most frequent words that are compared: all of the Penn Treebank's vocabulary."
SeedRows = Iterator[tuple[int, dict[str, np.ndarray]]]
"Seed and rows by role, one seed after the other."


@dataclass(frozen=True, kw_only=True)
class Table4Column:
    """What was found of one kind of model."""

    model: str
    "Key of MODELS."
    folder: str
    words: int
    "Words whose pairs are compared."
    seeds: tuple[int, ...]
    rhos: dict[str, list[float]]
    "'output, tied' and the like -> rho, seed by seed."
    missing: tuple[str, ...]
    "Models that are not there, or not finished."

    def summary(self, pair: tuple[str, str]) -> Summary | None:
        """Of two matrices, over the seeds; None where there is none."""
        found = self.rhos[", ".join(pair)]
        return summarize(found) if found else None

    @property
    def difference(self) -> Summary | None:
        """How much more the tied matrix is like the output's than like the input's, seed by seed."""
        pairs = zip(self.rhos["output, tied"], self.rhos["input, tied"], strict=True)
        found = [as_output - as_input for as_output, as_input in pairs]
        return summarize(found) if found else None

    @property
    def printed(self) -> float:
        """The same of the paper's figures."""
        figures = paper.TABLE_4[self.model]
        return round(figures[paper.OUTPUT_TIED] - figures[paper.INPUT_TIED], 2)

    def reading(self) -> str:
        """The paper's claim, by the rule of Table 8's report."""
        found, name = self.difference, MODELS[self.model]
        claim = f"{name}: the tied embedding is more like the output embedding than like the input embedding"
        printed = f"the paper: {self.printed:+.2f}"
        if found is None:
            return f"{claim}: open; no seed has both models ({printed})"
        if found.margin is None:
            return f"{claim}: open at one seed; rho {found.mean:+.3f} ({printed})"
        interval = f"95% interval {found.mean - found.margin:+.3f} to {found.mean + found.margin:+.3f}"
        return f"{claim}: {verdict(found)}; rho {found.mean:+.3f} ({interval}, {found.n} seeds; {printed})"


@dataclass(frozen=True, kw_only=True)
class Table4:
    """Everything the report says."""

    name: str
    made: Provenance
    limit: int
    "Words compared at most."
    columns: tuple[Table4Column, ...]

    def column(self, model: str) -> Table4Column | None:
        """What was found of a model; None: its folder was not named."""
        return next((column for column in self.columns if column.model == model), None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        printed = {
            model: {", ".join(pair): rho for pair, rho in figures.items()} for model, figures in paper.TABLE_4.items()
        }
        reading = [column.reading() for column in self.columns]
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            **dataclasses.asdict(self),
            "reading": reading,
            "paper": printed,
        }


def compare_rows(folders: Mapping[str, Path], limit: int, made: Provenance, name: str, *, quiet: bool) -> Table4:
    """folders: key of MODELS -> where its models are. limit: the most frequent words compared."""
    check_memory(limit, len(KINDS), "--words")
    opened = {model: OPEN[model](folder, limit) for model, folder in folders.items()}  # all are there before any work
    columns = []
    for model, (rows, missing) in opened.items():
        columns.append(_column(model, folders[model], rows, missing, quiet=quiet))
    return Table4(name=name, made=made, limit=limit, columns=tuple(columns))


def _column(model: str, folder: Path, rows: SeedRows, missing: tuple[str, ...], *, quiet: bool) -> Table4Column:
    rhos: dict[str, list[float]] = {", ".join(pair): [] for pair in PAIRS}
    seeds, words = [], 0
    for seed, matrices in rows:
        found = pairwise(matrices)
        if any(rho is None for rho in found.values()):
            raise UserError(f"the rows of seed {seed} have no order: too few words, or all alike", where=folder)
        for pair, rho in found.items():
            rhos[", ".join(pair)].append(float(rho or 0.0))
        seeds.append(seed)
        words = len(matrices["tied"])
        if not quiet:
            told = ", ".join(f"{name} {values[-1]:.3f}" for name, values in rhos.items())
            print(f"{MODELS[model]}, seed {seed}: {told}", file=sys.stderr, flush=True)
    return Table4Column(model=model, folder=str(folder), words=words, seeds=tuple(seeds), rhos=rhos, missing=missing)


def _of_word2vec(folder: Path, limit: int) -> tuple[SeedRows, tuple[str, ...]]:
    seeds = finished_seeds(folder)
    if not seeds:
        hint = "name the folder that nmt-reproduce table2 wrote with --out"
        raise UserError("holds no finished vectors of both modes", where=folder, hint=hint)
    return ((seed, seed_rows(folder, seed, limit)) for seed in seeds), ()


def _of_language(keys: tuple[str, str]) -> Callable[[Path, int], tuple[SeedRows, tuple[str, ...]]]:
    def opened(folder: Path, limit: int) -> tuple[SeedRows, tuple[str, ...]]:
        experiment = open_experiment(folder)
        runs = pair_of(experiment, keys)
        waiting = [run for run in runs if experiment.scores(run) is None]
        seeds = [seed for seed in experiment.seeds if seed not in {run.seed for run in waiting}]

        def rows() -> SeedRows:
            for seed in seeds:
                found = [word_rows(experiment, run) for run in runs if run.seed == seed]
                if len({each.words for each in found}) > 1:
                    raise UserError(f"seed {seed}: models of different vocabularies", where=folder)
                matrices = {role: matrix for each in found for role, matrix in each.matrices.items()}
                yield seed, {role: matrices[role][:limit] for role in KINDS}

        return rows(), tuple(run.name for run in waiting) or (() if runs else keys)

    return opened


OPEN: Mapping[str, Callable[[Path, int], tuple[SeedRows, tuple[str, ...]]]] = {
    "word2vec": _of_word2vec,
    "small": _of_language(SMALL_PAIR),
    "large": _of_language(LARGE_PAIR),
}
"Key of MODELS -> opens a folder of its models: their rows, and the models that are missing."
