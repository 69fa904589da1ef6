"""What a comparison of language models found: one record that the reports are written from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nmt.configfile import Values
from nmt.data.running_text import RunningText
from nmt.device import machine
from nmt.folder.bundle import read_manifest, versions
from nmt.reproduce.intervals import Summary, summarize
from nmt.reproduce.language.experiment import LanguageExperiment, LanguageRun
from nmt.reproduce.language.paper import SPLITS, Claim, LanguageRow
from nmt.reproduce.language.sizes import num_parameters
from nmt.training.reporting import METRICS, read_metrics


@dataclass(frozen=True, kw_only=True)
class LanguageRunResult:
    """One trained model. Times in seconds, memory in bytes."""

    seed: int
    epochs: int
    updates: int
    seconds: float
    words_per_second: float
    "Median over the run's progress lines."
    peak_memory: int
    perplexity: dict[str, float]
    "Split -> measured without dropout."
    curve: list[float]
    "Validation perplexity after each epoch."


@dataclass(frozen=True, kw_only=True)
class LanguageRowResult:
    """One row of the table."""

    key: str
    name: str
    parameters: int
    printed: dict[str, Any]
    "The paper's size and perplexities."
    runs: list[LanguageRunResult]
    perplexity: dict[str, Summary]
    "Split -> over the seeds."


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """What was found of something that the paper says."""

    text: str
    lower: str
    higher: str
    printed: float
    "The paper's difference of test perplexities, lower minus higher."
    difference: Summary | None
    "Ours, seed by seed; None: no seed has both models."
    finding: str
    "shown, not shown, the other way round, or open."


@dataclass(frozen=True, kw_only=True)
class LanguageResults:
    """Everything the report says."""

    title: str
    name: str
    "Of the text."
    scale: str
    command: str
    date: str
    machine: str
    versions: dict[str, str]
    text: dict[str, Any]
    "Words of each split, rows of the vocabulary."
    split: str
    "What the claims are read from: test, or valid where there is no test."
    protocols: dict[str, str]
    rows: list[LanguageRowResult]
    claims: list[ClaimResult]
    missing: list[str]
    paper_train: str
    recipes: dict[str, Values]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def collect(experiment: LanguageExperiment, name: str, command: str) -> LanguageResults:
    """Read what the runs left. Runs that are not finished are listed as missing."""
    text, table = RunningText.open(experiment.prepared), experiment.table
    there = [run for run in experiment.runs if experiment.scores(run) is not None]
    found = [_row(experiment, row, [run for run in there if run.row is row], text) for row in table.rows]
    rows = [row for row in found if row.runs]
    split = "test" if text.has_split("test") else "valid"
    trained = read_manifest(experiment.model(there[0]), "language")["versions"] if there else versions()
    scores = experiment.scores(there[0]) if there else None
    return LanguageResults(
        title=table.title,
        name=name,
        scale=experiment.scale,
        command=command,
        date=datetime.now(UTC).date().isoformat(),
        machine=machine(),
        versions=trained,
        text={
            "words": {each: len(text.split(each)) for each in table.splits if text.has_split(each)},
            "vocabulary": text.vocabulary.size,
            "fingerprint": text.fingerprint,
        },
        split=split,
        protocols={each: one["protocol"] for each, one in (scores or {}).items() if each in table.splits},
        rows=rows,
        claims=[_claim(claim, rows, table.row(claim.lower), table.row(claim.higher), split) for claim in table.claims],
        missing=[run.name for run in experiment.runs if run not in there],
        paper_train=table.train,
        recipes={row.name: _recipe(experiment, row) for row in table.rows},
    )


def _row(
    experiment: LanguageExperiment, row: LanguageRow, runs: Sequence[LanguageRun], text: RunningText
) -> LanguageRowResult:
    results = [_run(experiment, run) for run in runs]
    splits = list(results[0].perplexity) if results else []
    return LanguageRowResult(
        key=row.key,
        name=row.name,
        parameters=num_parameters(experiment.config(row).lm, text.vocabulary.size),
        printed={"size": row.size, **dict(zip(SPLITS, row.perplexity, strict=True))},
        runs=results,
        perplexity={split: summarize([run.perplexity[split] for run in results]) for split in splits},
    )


def _run(experiment: LanguageExperiment, run: LanguageRun) -> LanguageRunResult:
    scores, records = experiment.scores(run), read_metrics(experiment.model(run) / METRICS)
    assert scores is not None
    checks = [record for record in records if record["kind"] == "validation"]
    speeds = sorted(record["tokens_per_second"] for record in records if record["kind"] == "train") or [0.0]
    return LanguageRunResult(
        seed=run.seed,
        epochs=len(checks),
        updates=checks[-1]["update"],
        seconds=checks[-1]["seconds"],
        words_per_second=speeds[len(speeds) // 2],
        peak_memory=checks[-1]["peak_memory"],
        perplexity={split: one["perplexity"] for split, one in scores.items()},
        curve=[check["perplexity"] for check in checks],
    )


def _claim(
    claim: Claim, rows: Sequence[LanguageRowResult], lower: LanguageRow, higher: LanguageRow, split: str
) -> ClaimResult:
    by_key = {row.key: {run.seed: run.perplexity[split] for run in row.runs} for row in rows}
    first, second = by_key.get(claim.lower, {}), by_key.get(claim.higher, {})
    pairs = [first[seed] - second[seed] for seed in first if seed in second]
    difference = summarize(pairs) if pairs else None
    return ClaimResult(
        text=claim.text,
        lower=lower.name,
        higher=higher.name,
        printed=round(lower.perplexity[2] - higher.perplexity[2], 1),
        difference=difference,
        finding=finding_of(difference),
    )


def finding_of(difference: Summary | None) -> str:
    """By the rule of Table 8's report: shown where the 95% interval over seeds leaves out 0 on the paper's side."""
    if difference is None or difference.margin is None:
        return "open"
    if difference.mean + difference.margin < 0:
        return "shown"
    return "the other way round" if difference.mean - difference.margin > 0 else "not shown"


def _recipe(experiment: LanguageExperiment, row: LanguageRow) -> Values:
    """What is set for a row, places and machine left out."""
    values = experiment.values(LanguageRun(row, 1))
    return {key: value for key, value in values.items() if key.startswith(("lm.", "training."))}
