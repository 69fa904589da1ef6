"""Word similarity of the rows of trained models, and what it says: a difference counts where its interval leaves out 0.

The rule is that of Table 8's report. Tables 2 and 3 are read by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nmt.reproduce.intervals import Summary, summarize
from nmt.reproduce.paper import RowFigures
from nmt.reproduce.wordsimilarity import Agreement

KINDS = ("input", "output", "tied")
"Rows of an untied model's two matrices, and of a tied model's one."
SHORT = {"input": "In", "output": "Out", "tied": "Tied"}
"The paper's names of the columns."
WITHOUT_ORDER = {"shown": "higher", "the other way round": "lower", "not shown": "no difference shown", "open": "open"}
"What a verdict says of two rows between which nothing is claimed."
RowClaim = tuple[str, str]
"The rows that score higher in the paper, and those that score lower."


class ScoredRun(Protocol):
    """A trained model whose rows were scored."""

    @property
    def seed(self) -> int:
        """Of its training."""

    @property
    def agreements(self) -> Mapping[str, Mapping[str, Agreement]]:
        """Role -> benchmark -> score."""


@dataclass(frozen=True, kw_only=True)
class RowDifference:
    """Of one benchmark: rho of the rows that are better in the paper less that of the others, seed by seed."""

    benchmark: str
    better: str
    worse: str
    difference: Summary
    printed: float
    "The paper's own."
    verdict: str


@dataclass(frozen=True, kw_only=True)
class RowScores:
    """What a table of word similarity is read from."""

    benchmarks: Sequence[str]
    runs: Sequence[ScoredRun]
    printed: Mapping[str, RowFigures]
    "Benchmark -> the paper's figures."
    claims: Sequence[RowClaim]
    alike: Sequence[RowClaim] = ()
    "Rows between which the paper claims no order."

    def rhos(self, role: str, benchmark: str) -> list[float]:
        """Rho of every run that has such rows, in the order of the seeds."""
        found = [run.agreements[role][benchmark].rho for run in self.runs if role in run.agreements]
        return [rho for rho in found if rho is not None]

    def mean(self, role: str, benchmark: str) -> Summary | None:
        """The summary over seeds; None where there is no run."""
        found = self.rhos(role, benchmark)
        return summarize(found) if found else None

    def known(self, benchmark: str) -> Agreement | None:
        """How many pairs of a benchmark have vectors, the same in all runs, which share their words; None: no run."""
        return next(iter(self.runs[0].agreements.values()))[benchmark] if self.runs else None


def differences(scores: RowScores) -> list[RowDifference]:
    """Every claim on every benchmark, over the seeds that have both rows."""
    return [
        found
        for better, worse in (*scores.claims, *scores.alike)
        for name in scores.benchmarks
        if (found := _difference(scores, better, worse, name)) is not None
    ]


def _difference(scores: RowScores, better: str, worse: str, benchmark: str) -> RowDifference | None:
    by_seed: dict[int, dict[str, float]] = {}
    for run in scores.runs:
        for role, agreements in run.agreements.items():
            rho = agreements[benchmark].rho
            if rho is not None:
                by_seed.setdefault(run.seed, {})[role] = rho
    found = [rhos[better] - rhos[worse] for rhos in by_seed.values() if better in rhos and worse in rhos]
    if not found:
        return None
    summary, printed = summarize(found), scores.printed[benchmark]
    return RowDifference(
        benchmark=benchmark,
        better=better,
        worse=worse,
        difference=summary,
        printed=round(getattr(printed, better) - getattr(printed, worse), 2),
        verdict=verdict(summary),
    )


def verdict(difference: Summary) -> str:
    """shown: the 95% interval lies above 0; the other way round: below; not shown: it holds 0; open: at one seed."""
    if difference.margin is None:
        return "open"
    if difference.mean - difference.margin > 0:
        return "shown"
    return "the other way round" if difference.mean + difference.margin < 0 else "not shown"


def reading(scores: RowScores) -> list[str]:
    """A line a claim of the paper's table."""
    return list(_lines(scores))


def _lines(scores: RowScores) -> Iterator[str]:
    found = differences(scores)
    for better, worse in scores.claims:
        of_claim = [each for each in found if (each.better, each.worse) == (better, worse)]
        if of_claim:
            details = ", ".join(_told(each, each.verdict) for each in of_claim)
            yield f"{better.capitalize()} rows score higher than {worse} rows: {details}"
    for first, second in scores.alike:
        of_pair = [each for each in found if (each.better, each.worse) == (first, second)]
        if of_pair:
            details = ", ".join(_told(each, WITHOUT_ORDER[each.verdict]) for each in of_pair)
            yield f"{first.capitalize()} rows against {second} rows (the paper claims no order): {details}"


def _told(each: RowDifference, finding: str) -> str:
    margin = each.difference.margin
    interval = "at one seed" if margin is None else f"± {margin:.3f}"
    return f"{each.benchmark} {finding} ({each.difference.mean:+.3f} {interval}; paper {each.printed:+.2f})"
