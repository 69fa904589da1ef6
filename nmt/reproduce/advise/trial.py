"""The measurements of the advice: Table 1's counts, and a short paired training of the three modes.

OUT/trial/    a comparison as nmt-reproduce table8 makes them, of few updates: stopped and called again, it goes on
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from nmt.config import Config
from nmt.folder.bundle import BEST
from nmt.models.build import VocabularySizes
from nmt.prepare.files import CorpusFiles, find_corpus
from nmt.reproduce import table8
from nmt.reproduce.advise.measured import Measured, MergesCounted, ModeMeasured, disk_sizes
from nmt.reproduce.experiment import Experiment, Run
from nmt.reproduce.intervals import summarize
from nmt.reproduce.plan import timed_update
from nmt.reproduce.results import ModeResult, Results, RunResult
from nmt.reproduce.scoring import VALID, read_scores
from nmt.reproduce.table1 import Row, Table1
from nmt.reproduce.table1_reading import ENOUGH, FEWEST, pays, script_overlap, vocabulary_range
from nmt.tying import Tying

LEAST_UPDATES = 50
"Of each model: fewer say nothing."
WARMUP_SHARE = 0.2
"Of the updates at most."


@dataclass(frozen=True, kw_only=True)
class AdviceOrder:
    """What the user asked for."""

    config: Config
    "The recipe of a long training."
    scale: str
    seeds: int
    minutes: float
    "Of training, all models together."
    out: Path
    jobs: int
    quiet: bool

    @property
    def trial(self) -> Path:
        """Where the short training lies."""
        return self.out / "trial"


def chosen_merges(table: Table1, asked: int | None) -> tuple[int, str]:
    """The number of merges to train with, and why. asked: by the user."""
    if asked is not None:
        most = max(row.merges for row in table.rows if row.merges <= asked)
        return most, "The merges are those asked for."
    lower, upper = vocabulary_range(table.rows)
    for merges, examples in ((lower, ENOUGH), (upper, FEWEST)):
        if merges is not None:
            return merges, (
                f"{merges:,} merges are the most of those counted at which 95% of the pieces occur {examples} times."
            )
    least = table.rows[0].merges
    return least, f"{least:,} merges are the fewest of those counted: even so most pieces are rare."


def short(config: Config, updates: int, merges: int) -> Config:
    """The recipe with few updates: two validations, a warm-up that ends in time, and no stopping early."""
    training = dataclasses.replace(
        config.training,
        max_updates=updates,
        max_minutes=0.0,
        validate_every=-(-updates // 2),
        save_every=-(-updates // 2),
        warmup_updates=min(config.training.warmup_updates, round(WARMUP_SHARE * updates)),
        patience=0,
    )
    return dataclasses.replace(config, training=training, prep=dataclasses.replace(config.prep, joint_bpe=merges))


def updates_for(order: AdviceOrder, row: Row) -> int:
    """Updates of each model that fill the minutes, by an update timed now; a trial that has begun knows its own."""
    try:
        begun = json.loads((order.trial / "experiment.json").read_text(encoding="utf-8"))
        return int(begun["recipe"]["training.max_updates"])
    except (OSError, ValueError, KeyError):
        pass
    seconds = timed_update(order.config, row.vocabulary) * order.seeds * len(Tying) / order.jobs
    updates = min(order.config.training.max_updates, int(60 * order.minutes / seconds))
    if updates < LEAST_UPDATES:
        raise UserError(
            f"{order.minutes:g} minutes are {updates} updates of each model, and the least is {LEAST_UPDATES}",
            where="--minutes",
            hint=f"give {math.ceil(LEAST_UPDATES * seconds / 60)} or more, or fewer --seeds",
        )
    return updates


def trial(order: AdviceOrder, table: Table1, asked: int | None) -> tuple[Measured, Results]:
    """Train, score and put together. asked: the user's number of merges."""
    merges, why = chosen_merges(table, asked)
    row = next(row for row in table.rows if row.merges == merges)
    config = short(order.config, updates_for(order, row), merges)
    results, experiment = table8.reproduce(
        table8.Order(
            config=config,
            scale=order.scale,
            seeds=order.seeds,
            out=order.trial,
            jobs=order.jobs,
            command="nmt-reproduce advise",
            quiet=order.quiet,
        )
    )
    measured = Measured(
        source=table.files.source,
        target=table.files.target,
        num_pairs=table.num_pairs,
        merges=merges,
        merges_why=why,
        counted=tuple(counted(row, order.config) for row in table.rows),
        script_overlap=script_overlap(table.source_scripts, table.target_scripts),
        source_script=next(iter(table.source_scripts), "none"),
        target_script=next(iter(table.target_scripts), "none"),
        updates=config.training.max_updates,
        modes=tuple(_measured(experiment, results, mode) for mode in results.modes),
    )
    return measured, results


def counted(row: Row, config: Config) -> MergesCounted:
    """A row of Table 1 with sizes on disk."""
    disk = disk_sizes(config.model, row.vocabulary)
    return MergesCounted(
        merges=row.merges,
        source_shared=row.source_shared,
        running_shared=row.overlap.running_share,
        parameters={mode: size.total for mode, size in row.sizes.items()},
        float32_bytes={mode: exact for mode, (exact, _) in disk.items()},
        int8_bytes={mode: rounded for mode, (_, rounded) in disk.items()},
        pays=pays(row),
    )


def _measured(experiment: Experiment, results: Results, mode: ModeResult) -> ModeMeasured:
    tying = Tying(mode.tying)
    runs = [Run(tying, run.seed) for run in mode.runs]
    speeds = [_scores(experiment, run)["sentences_per_second"] for run in runs]
    vocabulary = VocabularySizes(**results.corpus["vocabulary"])
    gain = next((each for each in results.comparisons if (each.tying, each.test_set) == (mode.tying, VALID)), None)
    return ModeMeasured(
        tying=tying,
        parameters=mode.total,
        float32_bytes=(experiment.model(runs[0]) / BEST).stat().st_size,
        int8_bytes=disk_sizes(experiment.config.model, vocabulary)[tying][1],
        bleu=mode.bleu[VALID],
        gain=gain.difference if gain else None,
        course=course(results, mode),
        pieces_per_second=mode.summary(lambda run: run.target_tokens / max(run.cpu_seconds, 1e-9)),
        training_bytes=mode.summary(lambda run: run.peak_memory),
        sentences_per_second=summarize(speeds),
    )


def _scores(experiment: Experiment, run: Run) -> dict[str, Any]:
    scores = read_scores(experiment, run)
    assert scores is not None
    return dict(scores["sets"][VALID])


def course(results: Results, mode: ModeResult) -> tuple[float, float] | None:
    """The mean gain over untied at the first validation and at the last, seed by seed."""
    untied = next((each for each in results.modes if each.tying == Tying.UNTIED.value), None)
    if untied is None or mode is untied:
        return None
    first, last = (list(_gains(mode.runs, untied.runs, place)) for place in (0, -1))
    return (statistics.fmean(first), statistics.fmean(last)) if first and last else None


def _gains(runs: list[RunResult], untied: list[RunResult], place: int) -> Iterator[float]:
    """At a validation, of the seeds that both have."""
    for run in runs:
        for other in untied:
            mine, its = (each.curve[place]["bleu"] if each.curve else None for each in (run, other))
            if run.seed == other.seed and mine is not None and its is not None:
                yield mine - its


def corpus_files(config: Config) -> CorpusFiles:
    """The text that advice is asked for."""
    return find_corpus(config.paths.corpus, config.prep.source, config.prep.target)
