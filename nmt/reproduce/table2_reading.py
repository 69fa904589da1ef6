"""What Table 2's numbers say, by the rule of Table 8's report: a difference counts where its interval leaves out 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nmt.reproduce import paper
from nmt.reproduce.intervals import Summary, summarize
from nmt.reproduce.table2 import MODES, Table2

CLAIMS = (("input", "output"), ("input", "tied"), ("output", "tied"))
"The rows that score higher in the paper, and those that score lower."


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


def rhos(table: Table2, role: str, benchmark: str) -> list[float]:
    """Rho of every run that has such rows, in the order of the seeds."""
    found = [run.agreements[role][benchmark].rho for run in table.runs if role in run.agreements]
    return [rho for rho in found if rho is not None]


def mean_of(table: Table2, role: str, benchmark: str) -> Summary | None:
    """The summary over seeds; None where there is no run."""
    found = rhos(table, role, benchmark)
    return summarize(found) if found else None


def differences(table: Table2) -> list[RowDifference]:
    """Every claim on every benchmark, over the seeds whose runs of both modes are there."""
    return [
        found
        for better, worse in CLAIMS
        for name in table.benchmarks
        if (found := _difference(table, better, worse, name)) is not None
    ]


def _difference(table: Table2, better: str, worse: str, benchmark: str) -> RowDifference | None:
    by_seed: dict[int, dict[str, float]] = {}
    for run in table.runs:
        for role in MODES[run.mode]:
            rho = run.agreements[role][benchmark].rho
            if rho is not None:
                by_seed.setdefault(run.seed, {})[role] = rho
    found = [scores[better] - scores[worse] for scores in by_seed.values() if better in scores and worse in scores]
    if not found:
        return None
    summary = summarize(found)
    printed = round(getattr(paper.TABLE_2[benchmark], better) - getattr(paper.TABLE_2[benchmark], worse), 2)
    return RowDifference(
        benchmark=benchmark,
        better=better,
        worse=worse,
        difference=summary,
        printed=printed,
        verdict=verdict(summary),
    )


def verdict(difference: Summary) -> str:
    """shown: the 95% interval lies above 0; the other way round: below; not shown: it holds 0, or there is one seed."""
    if difference.margin is None:
        return "not shown"
    if difference.mean - difference.margin > 0:
        return "shown"
    return "the other way round" if difference.mean + difference.margin < 0 else "not shown"


def reading(table: Table2) -> list[str]:
    """A line a claim of the paper's table."""
    return list(_lines(table))


def _lines(table: Table2) -> Iterator[str]:
    found = differences(table)
    for better, worse in CLAIMS:
        of_claim = [each for each in found if (each.better, each.worse) == (better, worse)]
        if of_claim:
            details = ", ".join(_told(each) for each in of_claim)
            yield f"{better.capitalize()} rows score higher than {worse} rows: {details}"


def _told(each: RowDifference) -> str:
    margin = each.difference.margin
    interval = "at one seed" if margin is None else f"± {margin:.3f}"
    return f"{each.benchmark} {each.verdict} ({each.difference.mean:+.3f} {interval}; paper {each.printed:+.2f})"
