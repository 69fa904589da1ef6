"""Table 3: how well the rows of a small language model's matrices order pairs of words, untied and tied."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bpe.errors import UserError
from nmt.folder.bundle import read_manifest
from nmt.reproduce import paper
from nmt.reproduce.language.experiment import LanguageExperiment, LanguageRun
from nmt.reproduce.language.paper import SMALL_PAIR
from nmt.reproduce.language.rows import pair_of, word_rows
from nmt.reproduce.provenance import Provenance
from nmt.reproduce.rowscores import RowScores, differences, reading
from nmt.reproduce.wordsimilarity import Agreement, Benchmark, agreement, word_index

FORMAT, FORMAT_VERSION = "nmt-table3", 1
CLAIMS = (("output", "input"), ("tied", "input"))
ALIKE = (("tied", "output"),)


@dataclass(frozen=True, kw_only=True)
class Table3Run:
    """The scores of one trained model's rows."""

    name: str
    seed: int
    agreements: dict[str, dict[str, Agreement]]
    "Role -> benchmark -> score."
    test_perplexity: float | None
    "None: it was measured on no test text."


@dataclass(frozen=True, kw_only=True)
class Table3:
    """Everything the report says."""

    name: str
    "Of the text."
    column: str
    "Which of the paper's texts the figures beside ours are of: ptb or text8."
    scale: str
    made: Provenance
    words: int
    "Rows of the vocabulary."
    benchmarks: tuple[str, ...]
    runs: tuple[Table3Run, ...]
    missing: tuple[str, ...]
    "Models that are not there, or not finished."

    @property
    def scores(self) -> RowScores:
        """What it is read from."""
        printed = paper.TABLE_3[self.column]
        return RowScores(benchmarks=self.benchmarks, runs=self.runs, printed=printed, claims=CLAIMS, alike=ALIKE)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        scores = self.scores
        found = differences(scores) if self.runs else []
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            **dataclasses.asdict(self),
            "differences": [dataclasses.asdict(each) for each in found],
            "reading": reading(scores) if self.runs else [],
            "paper": {name: dataclasses.asdict(row) for name, row in scores.printed.items()},
        }


@dataclass(frozen=True)
class Table3Caption:
    """What the user says of it."""

    name: str
    column: str
    command: str


def score_rows(
    experiment: LanguageExperiment, benchmarks: Sequence[Benchmark], caption: Table3Caption, *, quiet: bool
) -> Table3:
    """Score the small models, untied and tied, that a comparison has finished."""
    runs = pair_of(experiment, SMALL_PAIR)
    there = [run for run in runs if experiment.scores(run) is not None]
    scored, words = [], 0
    for run in there:
        found, size = _score(experiment, run, benchmarks)
        if words not in (0, size):
            raise UserError("models of different vocabularies", where=experiment.folder, hint="they are no comparison")
        scored.append(found)
        words = size
        if not quiet:
            print(f"{run.name}: rows scored", file=sys.stderr, flush=True)
    trained = read_manifest(experiment.model(there[0]), "language")["versions"] if there else None
    return Table3(
        name=caption.name,
        column=caption.column,
        scale=experiment.scale,
        made=Provenance.now(caption.command, trained),
        words=words,
        benchmarks=tuple(each.name for each in benchmarks),
        runs=tuple(scored),
        missing=tuple(run.name for run in runs if run not in there) or (() if runs else SMALL_PAIR),
    )


def _score(experiment: LanguageExperiment, run: LanguageRun, benchmarks: Sequence[Benchmark]) -> tuple[Table3Run, int]:
    """One model's scores, and the rows of its vocabulary."""
    rows, scores = word_rows(experiment, run), experiment.scores(run) or {}
    index = word_index(rows.words)
    found = {
        role: {each.name: agreement(each, index, matrix) for each in benchmarks}
        for role, matrix in rows.matrices.items()
    }
    perplexity = scores["test"]["perplexity"] if "test" in scores else None
    return Table3Run(name=run.name, seed=run.seed, agreements=found, test_perplexity=perplexity), len(rows.words)
