"""Section 3's argument, measured: is a tied row's update more like the output's update than like the input's?

Trains Table 6's tied small model epoch by epoch, and at the start and after each epoch takes the two roles' gradients
apart on some batches of the training text.

OUT/experiment.json         what is measured
OUT/prepared/               the text, where it was prepared here
OUT/models/small-wt-SEED/   model folders; gradients.json in each has a line for each epoch
OUT/gradients.{md,json,html}
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bpe.errors import UserError
from bpe.textfiles import write_text
from nmt.data.running_text import RunningText
from nmt.data.streams import Streams
from nmt.folder.language import load_language_bundle
from nmt.models.language import LanguageModel
from nmt.models.language_build import build_language_model
from nmt.report.restore import restored
from nmt.reproduce.intervals import Summary, summarize
from nmt.reproduce.language.experiment import LanguageExperiment, LanguageRun
from nmt.reproduce.language.roles import RoleLikeness, sampled_likeness
from nmt.reproduce.language.worker import LAST_WEIGHTS
from nmt.reproduce.provenance import Provenance
from nmt.reproduce.rowscores import verdict
from nmt.tasks.language.defaults import language_defaults
from nmt.tasks.language.task import LanguageTask
from nmt.training.session import Request, train

FORMAT, FORMAT_VERSION = "nmt-gradients", 1
ROW = "small-wt"
"Of Table 6."
MEASURED = "gradients.json"
ROWS = {
    "all": "mean over all rows, as the paper argues",
    "read": "mean over the rows of the words that were read, which both roles change",
}
"What is read."
BATCHES = 16
"That are measured at a time."


@dataclass(frozen=True, kw_only=True)
class GradientRun:
    """One model: what was measured at the start and after each epoch."""

    seed: int
    points: tuple[RoleLikeness, ...]


@dataclass(frozen=True, kw_only=True)
class GradientStudy:
    """Everything the report says."""

    name: str
    "Of the text."
    scale: str
    made: Provenance
    words: int
    "Rows of the vocabulary."
    batch_words: int
    "Words of a batch."
    batches: int
    "Batches measured at a time, at most."
    runs: tuple[GradientRun, ...]
    missing: tuple[str, ...]
    "Models that are not trained to the end."

    def summary(self, point: int, name: str) -> Summary:
        """Of a field of RoleLikeness over the seeds. point: 0 is the start, n the end of epoch n."""
        return summarize([getattr(run.points[point], name) for run in self.runs])

    @property
    def num_points(self) -> int:
        """Points that all runs have."""
        return min((len(run.points) for run in self.runs), default=0)

    def difference(self, rows: str) -> Summary | None:
        """How much more like the output's update than the input's a tied row's is: mean over the epochs, by seed.

        rows: 'all', or 'read'.
        """
        found = []
        for run in self.runs:
            after = [getattr(point, f"{rows}_output") - getattr(point, f"{rows}_input") for point in run.points[1:]]
            found += [sum(after) / len(after)] if after else []
        return summarize(found) if found else None

    def reading(self) -> list[str]:
        """The paper's argument, of all rows and of those that were read, by the rule of Table 8's report."""
        return [self._told(rows, words) for rows, words in ROWS.items()]

    def _told(self, rows: str, words: str) -> str:
        found = self.difference(rows)
        claim = f"a tied row's update is more like the output's update than like the input's, {words}"
        if found is None:
            return f"{claim}: open; nothing is trained yet"
        if found.margin is None:
            return f"{claim}: open at one seed; cosine {found.mean:+.3f}"
        interval = f"95% interval {found.mean - found.margin:+.3f} to {found.mean + found.margin:+.3f}"
        return f"{claim}: {verdict(found)}; cosine {found.mean:+.3f} ({interval}, {found.n} seeds)"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        body = {"format": FORMAT, "version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return body | {"reading": self.reading()}


@dataclass(frozen=True)
class GradientOrder:
    """What the user asked for besides the comparison's recipe."""

    name: str
    command: str
    batches: int
    report_only: bool
    quiet: bool


def measure_gradients(experiment: LanguageExperiment, order: GradientOrder) -> GradientStudy:
    """Train what is not trained, measure, collect. Killed and called again, it goes on."""
    text, row = RunningText.open(experiment.prepared), experiment.table.row(ROW)
    config = experiment.config(row)
    epochs, runs, missing = config.training.max_epochs, [], []
    for seed in experiment.seeds:
        run = LanguageRun(row, seed)
        points = _read(experiment.model(run) / MEASURED, order.batches)
        if len(points) <= epochs and not order.report_only:
            points = _follow(experiment, run, text, points, order)
        missing += [run.name] if len(points) <= epochs else []
        runs += [GradientRun(seed=seed, points=tuple(points))] if points else []
    return GradientStudy(
        name=order.name,
        scale=experiment.scale,
        made=Provenance.now(order.command),
        words=text.vocabulary.size,
        batch_words=config.lm.streams * config.lm.unroll,
        batches=order.batches,
        runs=tuple(runs),
        missing=tuple(missing),
    )


def _follow(
    experiment: LanguageExperiment,
    run: LanguageRun,
    text: RunningText,
    before: list[RoleLikeness],
    order: GradientOrder,
) -> list[RoleLikeness]:
    """Train a model epoch by epoch, measuring the start and the end of each. before: what was measured already."""
    config, folder, points = experiment.config(run.row), experiment.model(run), list(before)
    streams = Streams(text.split("train"), config.lm.streams, config.lm.unroll)
    for epoch in range(len(points), config.training.max_epochs + 1):
        if epoch:
            values = {**experiment.values(run), "training.max_epochs": epoch}
            train(Request(values=values, base=language_defaults, quiet=order.quiet), LanguageTask)
            model: LanguageModel = load_language_bundle(folder / LAST_WEIGHTS, torch.device("cpu")).model
        else:
            model = build_language_model(config.lm, text.vocabulary.size, seed=run.seed)
        points.append(sampled_likeness(model, streams, order.batches))
        if epoch:
            body = {"batches": order.batches, "points": [dataclasses.asdict(point) for point in points]}
            write_text(folder / MEASURED, json.dumps(body, indent=1) + "\n")
        if not order.quiet:
            last = points[-1]
            told = f"cosine with the output's update {last.all_output:.3f}, with the input's {last.all_input:.3f}"
            print(f"{run.name}: after {epoch} epochs: {told}", file=sys.stderr, flush=True)
    return points


def _read(path: Path, batches: int) -> list[RoleLikeness]:
    """What was measured of a model before; nothing where that is none."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        points = restored(list[RoleLikeness], body["points"])
        before = body["batches"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "remove the model's folder; it is trained again"
        raise UserError(f"damaged ({error})", where=path, hint=hint) from None
    if before != batches:
        hint = f"--batches {before}, or name another folder with --out"
        raise UserError(f"was measured on {before} batches, not {batches}", where=path, hint=hint)
    return points
