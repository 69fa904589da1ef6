"""Runs with training.record_tying, read from their model folders, and put together by what they differ in."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from nmt.config import Config
from nmt.configfile import flatten, plain
from nmt.folder.bundle import check_model_folder, read_config, read_manifest
from nmt.layers.roles import USES
from nmt.reproduce.experiment import NOT_THE_RECIPE
from nmt.reproduce.intervals import Summary, summarize
from nmt.training.reporting import METRICS, read_metrics
from nmt.tying import Tying

Point = dict[str, Any]
"A record: update, and a number by name; None where it was not finite."

WHOLE = {
    Tying.UNTIED: (("source_input",), ("target_input",), ("output",)),
    Tying.DECODER: (("source_input",), ("target_input", "output")),
    Tying.THREE_WAY: (USES,),
}
"The roles of each matrix; it goes by the first."
NOT_OF_UPDATES = ("training.validat", "training.patience", "training.average_last", "training.shortlist")
"Beginnings of keys that make no other updates, but say what is validated and kept."
EARLY, LATE = 0.2, 0.5
"The first fifth of the records, and the last half."


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """One run. points: a record a progress line. checks: a validation each, with `rho.ROLE` where it was compared."""

    folder: Path
    tying: Tying
    seed: int
    against: str
    "Folder of the untied run that it was compared with, as it was named; empty: none."
    points: list[Point]
    checks: list[Point]

    def early(self, number: Callable[[Point], float | None]) -> float | None:
        """The mean of a number over the first EARLY of the records; None where it is nowhere known."""
        return mean_of(number, self.points[: max(1, round(EARLY * len(self.points)))])

    def late(self, number: Callable[[Point], float | None]) -> float | None:
        """The mean over the last LATE of the records."""
        return mean_of(number, self.points[-max(1, round(LATE * len(self.points))) :])


@dataclass(frozen=True, kw_only=True)
class RunGroup:
    """Runs that differ in the seed alone. label: what sets them apart from the other groups."""

    label: str
    tying: Tying
    runs: list[RecordedRun]

    def over_seeds(self, number: Callable[[RecordedRun], float | None]) -> Summary | None:
        """Of a number of each run; None where no run has it."""
        found = [value for run in self.runs if (value := number(run)) is not None]
        return summarize(found) if found else None


def mean_of(number: Callable[[Point], float | None], points: Sequence[Point]) -> float | None:
    """Over those points where it is known."""
    found = [value for point in points if (value := number(point)) is not None]
    return statistics.fmean(found) if found else None


def read_runs(folders: Sequence[Path]) -> list[RunGroup]:
    """The runs, grouped, untied first. A folder that is no such run, or a run that is there twice, is a UserError."""
    read = [(read_run(folder), recipe_of(folder)) for folder in folders]
    differing = {key for _, recipe in read for key in recipe if len({str(other.get(key)) for _, other in read}) > 1}
    groups: dict[tuple[Tying, str], list[RecordedRun]] = {}
    for run, recipe in read:
        group = groups.setdefault((run.tying, ", ".join([run.tying.value, *own_settings(recipe, differing)])), [])
        if twin := next((other for other in group if other.seed == run.seed), None):
            problem = f"{run.folder} and {twin.folder} are both {run.tying.value} with seed {run.seed}"
            raise UserError(f"{problem}, of one recipe", hint="name one of them")
        group.append(run)
    return [
        RunGroup(label=label, tying=tying, runs=sorted(runs, key=lambda run: run.seed))
        for mode in Tying
        for (tying, label), runs in groups.items()
        if tying is mode
    ]


def read_run(folder: Path) -> RecordedRun:
    """A run's records; a UserError where it wrote none."""
    check_model_folder(folder, "name model folders of nmt-train")
    read_manifest(folder)
    config = read_config(folder)
    try:
        records = read_metrics(folder / METRICS)
    except OSError:
        records = []
    points = [record for record in records if record["kind"] == "tying"]
    if not points:
        hint = "train it with --set training.record_tying=true"
        raise UserError("nothing of the roles of its matrices was recorded", where=folder, hint=hint)
    return RecordedRun(
        folder=folder,
        tying=Tying(config.model.tying),
        seed=config.training.seed,
        against=config.training.record_tying_against,
        points=points,
        checks=[record for record in records if record["kind"] == "validation" and f"rho.{USES[0]}" in record],
    )


def recipe_of(folder: Path) -> dict[str, object]:
    """The keys of model and training that decide what is trained, mode and seed left out."""
    values = flatten(plain(read_config(folder)), str(folder))
    ours = [key for key in values if key.startswith(("model.", "training.")) and not key.startswith(NOT_OF_UPDATES)]
    return {key: values[key] for key in ours if key not in NOT_THE_RECIPE}


def own_settings(recipe: Mapping[str, object], keys: Collection[str]) -> list[str]:
    """'name value' of those of the keys that are not as by default."""
    default = flatten(plain(Config()), "defaults")
    own = {key: recipe.get(key) for key in sorted(keys) if str(recipe.get(key)) != str(default.get(key))}
    texts = {key: " ".join(map(str, value)) if isinstance(value, list | tuple) else value for key, value in own.items()}
    return [f"{key.partition('.')[2]} {text}" for key, text in texts.items()]


def gradient_of(role: str) -> Callable[[Point], float | None]:
    """The norm of a role's gradient."""
    return lambda point: point[f"gradient.{role}"]


def cosine_of(one: str, other: str) -> Callable[[Point], float | None]:
    """Of the gradients of two roles, in whatever order."""
    first, second = sorted((one, other), key=USES.index)
    return lambda point: point[f"cosine.{first}.{second}"]


def as_plain(groups: Sequence[RunGroup]) -> list[dict[str, Any]]:
    """For JSON."""
    found = []
    for group in groups:
        runs = [{**dataclasses.asdict(run), "folder": str(run.folder), "tying": run.tying.value} for run in group.runs]
        found.append({"label": group.label, "tying": group.tying.value, "runs": runs})
    return found
