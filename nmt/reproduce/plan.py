"""What a comparison would do, how long it would take and how much disk it would fill: `--dry-run`."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from bpe.progress import duration
from nmt.config import Config
from nmt.data.batching import Batch
from nmt.data.corpus import MANIFEST_FILE
from nmt.device import pick_device, set_threads
from nmt.evaluate.testsets import every_test_set
from nmt.folder.ledger import sizes_of_modes
from nmt.models.build import VocabularySizes, build_model
from nmt.reproduce.experiment import Experiment, Run
from nmt.reproduce.schedule import last_update
from nmt.reproduce.scoring import open_prepared, read_scores
from nmt.tasks.translation.objective import TranslationObjective
from nmt.training.reporting import METRICS, read_metrics
from nmt.training.step import Updater
from nmt.tying import Tying

TIMED_UPDATES = 3
LENGTH = 20
"Pieces of the invented sentences that an update is timed on."
COPIES = {"adam": 2, "adadelta": 2}
"Numbers an optimizer keeps for each parameter."


def describe(experiment: Experiment, corpus: Path, jobs: int) -> list[str]:
    """The plan in words."""
    config = experiment.config
    prepared = (experiment.prepared / MANIFEST_FILE).is_file()
    sizes = VocabularySizes.of(open_prepared(experiment).vocabulary) if prepared else guessed_sizes(config)
    waiting = [run for run in experiment.runs if read_scores(experiment, run) is None]
    done = len(experiment.runs) - len(waiting)
    tests = [each.name for each in every_test_set(corpus, str(config.prep.source), str(config.prep.target))]
    return [
        f"{experiment.folder}: {config.prep.source} -> {config.prep.target}, recipe {experiment.scale}",
        f"  text: {corpus}, " + (f"test sets {', '.join(tests)}" if tests else "no test set: validation BLEU only"),
        "  prepared already"
        if prepared
        else f"  would prepare it with {config.prep.joint_bpe:,} merges; sizes below guess that many rows a side",
        f"  {len(experiment.runs)} runs: {len(Tying)} modes, seeds {', '.join(map(str, experiment.seeds))}; "
        f"{done} finished, {len(waiting)} to do",
        *(f"    {run.name}: {_state(experiment, run)}" for run in waiting),
        *_sizes(config, sizes),
        *_time(experiment, waiting, sizes, jobs),
        f"  disk: about {disk_bytes(experiment, waiting, sizes) / 1e6:,.0f} MB for the models to come, "
        "and some 20 bytes a running piece of text for prepared/",
    ]


def _state(experiment: Experiment, run: Run) -> str:
    update = last_update(experiment, run)
    if update >= experiment.config.training.max_updates:
        return "is trained, would be scored"
    return f"would continue at update {update:,}" if update else "would begin"


def guessed_sizes(config: Config) -> VocabularySizes:
    """Before the text is prepared: every merge a piece of both sides."""
    rows = config.prep.sentencepiece or config.prep.joint_bpe
    return VocabularySizes(rows, rows, rows)


def _sizes(config: Config, sizes: VocabularySizes) -> Iterator[str]:
    for mode, size in sizes_of_modes(config.model, sizes).items():
        yield f"    {mode.value:<10} {size.total:>12,} parameters"


def _time(experiment: Experiment, waiting: list[Run], sizes: VocabularySizes, jobs: int) -> Iterator[str]:
    if not waiting:
        return
    seconds, how = seconds_per_update(experiment, sizes)
    most = experiment.config.training.max_updates
    total = sum(most - last_update(experiment, run) for run in waiting) * seconds
    at_once = f", {jobs} at a time" if jobs > 1 else ""
    yield (
        f"  time: about {duration(most * seconds)} a run, {duration(total / jobs)} in all{at_once} "
        f"({1000 * seconds:,.0f} ms an update, {how})"
    )


def seconds_per_update(experiment: Experiment, sizes: VocabularySizes) -> tuple[float, str]:
    """From runs that are there, else measured on invented sentences with the three-way model; and which of the two."""
    rates = [rate for run in experiment.runs if (rate := _measured(experiment, run))]
    if rates:
        return statistics.median(rates), "validations included, as in the runs that are there"
    return timed_update(experiment.config, sizes), "measured now on invented sentences; validations come on top"


def _measured(experiment: Experiment, run: Run) -> float | None:
    path = experiment.model(run) / METRICS
    if not path.is_file():
        return None
    checks = [record for record in read_metrics(path) if record["kind"] == "validation"]
    return checks[-1]["seconds"] / checks[-1]["update"] if checks else None


def timed_update(config: Config, sizes: VocabularySizes) -> float:
    """Seconds of one update of the three-way model, the median of a few after a first that is not counted."""
    device = pick_device(config.runtime.device)
    set_threads(config.runtime.threads)
    model = build_model(dataclasses.replace(config.model, tying=Tying.THREE_WAY.value), sizes).to(device)
    updater = Updater(model, config.training, TranslationObjective(config.training))
    batch = invented_batch(config, sizes.union).to(device)
    times = []
    for number in range(TIMED_UPDATES + 1):
        started = time.monotonic()
        updater.update(batch, number + 1)
        times.append(time.monotonic() - started)
    return statistics.median(times[1:])


def invented_batch(config: Config, rows: int) -> Batch:
    """A full batch of sentences of like length."""
    settings = config.training
    count = settings.batch_sentences or max(1, settings.batch_tokens // LENGTH)
    ids = torch.randint(3, max(4, rows), (count, LENGTH), generator=torch.Generator().manual_seed(1))
    lengths = torch.full((count,), LENGTH)
    return Batch.of(ids, lengths, ids, lengths, tuple(range(count)))


def disk_bytes(experiment: Experiment, waiting: list[Run], sizes: VocabularySizes) -> int:
    """Of the models to come: best, last, its optimizer and its average, and last once more while it is replaced."""
    settings = experiment.config.training
    last = 1 + COPIES[settings.optimizer] + bool(settings.ema)
    totals = {mode: size.total for mode, size in sizes_of_modes(experiment.config.model, sizes).items()}
    new = [4 * totals[run.tying] for run in waiting if not last_update(experiment, run)]
    return sum(new) * (1 + last) + max(new, default=0) * last
