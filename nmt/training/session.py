"""From what the user asked for to a finished model folder: start, continue, or say that there is nothing to do."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bpe.errors import UserError
from bpe.textfiles import write_text
from nmt.config import Config
from nmt.configfile import Values, build_config, flatten, to_yaml
from nmt.device import arithmetic, keep_freed_memory, pick_device, repeat_bits, set_threads
from nmt.folder.bundle import BEST, CONFIG, MANIFEST, read_config, read_manifest
from nmt.layers.processor import native_bfloat16
from nmt.layers.triton.available import kernels_used, what_is_missing
from nmt.tasks.interface import OpenTask, Task
from nmt.training.checkpoint import Checkpoint, mark_begun
from nmt.training.distributed import Workers
from nmt.training.folder import check_room, in_progress, last_checkpoint, locked, make_room, tidy
from nmt.training.graphs import graphs_wanted
from nmt.training.loop import LAST, Trainer
from nmt.training.progress import TrainingProgress
from nmt.training.reporting import Reporter

FIXED_KEYS = (
    "seed",
    "precision",
    "optimizer",
    "adam_beta2",
    "label_smoothing",
    "normalization",
    "batch_tokens",
    "batch_sentences",
    "update_every",
    "max_length",
    "bpe_dropout",
    "untie_at",
    "tie_at",
    "tie_keep",
    "ema",
    "validation_metric",
    "validation_set",
    "validation_beam",
)
"""Training keys that a run cannot change half way: what is minimised, over which batches, what the optimizer's states
and the average mean, and what the best is. The others say how far a step goes (learning_rate, schedule, warmup_updates,
clip_norm), how the same update is computed (fast, part_tokens, cuda_graphs), when to stop, what to keep and tell."""


ROUNDED_ONLY = (
    "training.precision: no bfloat16 products on this machine: numbers are rounded to bfloat16 and multiplied in "
    "float32, which is slower than training in float32"
)
"What is said of a bf16 run where it gains nothing but to go on as it began."


Base = Callable[[Values, Path], Values]


def no_base(values: Values, folder: Path) -> Values:
    """Nothing stands below what the user asked for but the defaults."""
    return {}


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    values: dotted keys that were set. base: those that stand below them in a new run, of (values, folder), as of a
    model to start from or of a task with defaults of its own. force: start over where a model already is. dry_run:
    tell, and train nothing.
    """

    values: Values
    base: Base = no_base
    force: bool = False
    dry_run: bool = False
    quiet: bool = False


def train(request: Request, open_task: OpenTask, workers: Workers | None = None) -> TrainingProgress:
    """Train a model of a task, or continue one; returns where it ended. Everything is told on standard error.

    With `force`, the model that is there is removed only after everything else has been checked; without it, one that
    no run can continue from is a UserError. Of several workers
    the first decides what is done, and it alone touches the model folder.
    """
    workers = workers or Workers()
    return lead(request, open_task, workers) if workers.first else follow(open_task, workers)


def lead(request: Request, open_task: OpenTask, workers: Workers) -> TrainingProgress:
    """What the first worker does, which may be alone."""
    folder = Path(build_config(request.values).paths.model)
    with locked(folder):
        check_kind(folder, open_task.kind)
        continues = not request.force and in_progress(folder)
        before = read_config(folder) if continues else None
        config, changes = resolve(request, folder, before)
        task = open_task(with_precision(config, before))
        if not continues:
            task.begin()
        task.check()
        if continues:
            check_same_data(folder, task)
            task.check_continues(read_manifest(folder, None), request.values)
        else:
            check_room(folder)
        if request.dry_run:
            workers.send()
            print("\n".join(task.introduction(matrices=True)))
            return TrainingProgress()
        if workers.size > 1:  # before the session, whose devices the workers connect together
            workers.send(json.dumps({"config": dataclasses.asdict(task.config), "data": task.fingerprint}).encode())
        session = Session(task, folder, workers)
        checkpoint = last_checkpoint(folder) if continues else None
        session.open_folder(continues=continues)
        return session.run(checkpoint, changes, quiet=request.quiet)


def follow(open_task: OpenTask, workers: Workers) -> TrainingProgress:
    """What every other worker does: the first one's run, on its own copy of the data."""
    told = workers.send()
    if not told:
        return TrainingProgress()
    wanted = json.loads(told)
    task = open_task(build_config(flatten(wanted["config"], "the first worker")))
    paths = task.config.paths
    if task.fingerprint != wanted["data"]:
        raise UserError("is not the first worker's data", where=paths.prepared, hint="copy it to every machine")
    return Session(task, Path(paths.model), workers).run(None, [])


def resolve(request: Request, folder: Path, before: Config | None) -> tuple[Config, list[str]]:
    """The configuration, and what the user changed since `before`, the one of the run that is continued."""
    if before is None:
        return with_paths(build_config(request.base(request.values, folder), request.values), folder), []
    values = flatten(dataclasses.asdict(before), str(folder / CONFIG))
    config = with_paths(build_config(values, request.values), folder)
    return config, changed_keys(before, config)


class Session:
    """One call of a command that trains, with everything resolved."""

    def __init__(self, task: Task, folder: Path, workers: Workers) -> None:
        self.task, self.config, self.folder, self.workers = task, task.config, folder, workers
        self.device = workers.device(self.config.runtime.device)
        self.threads = set_threads(workers.threads(self.config.runtime.threads))
        keep_freed_memory()
        repeat_bits(self.device)
        self.graphs = graphs_wanted(self.config.training, self.device, workers.size, task.objective)

    def open_folder(self, *, continues: bool) -> None:
        """Make the model folder ready for a new run, in place of what is there, or for one that goes on."""
        tidy(self.folder)
        if continues:
            write_text(self.folder / CONFIG, to_yaml(self.config))
            return
        make_room(self.folder)
        self.task.create_folder(self.folder)
        mark_begun(self.folder / LAST)

    def run(self, checkpoint: Checkpoint | None, changes: list[str], *, quiet: bool = False) -> TrainingProgress:
        """Build, tell the ledger, resume, train."""
        self.task.stand_in(self._mode(checkpoint))
        model = self.task.build().to(self.device)
        model.embeddings.assert_tied()
        resumed_at = checkpoint.progress.update if checkpoint else 0
        reporter = self._reporter(resumed_at, quiet)
        trainer = Trainer(model, self.task, reporter, self.workers)
        reporter.say("\n".join(self.task.introduction(matrices=not checkpoint)))
        reporter.say(self._where())
        if self.config.training.precision == "bf16" and not native_bfloat16(self.device):
            reporter.say(ROUNDED_ONLY)
        if self.device.type == "cuda" and (missing := what_is_missing()):
            reporter.say(f"training in more and smaller steps than the GPU could, without Triton's kernels: {missing}")
        for change in changes:
            reporter.say(f"changed: {change} (the new value is used)")
        if checkpoint:
            trainer.resume(checkpoint)
        trainer.share_state()
        if self.task.starts_from_weights:
            trainer.save()  # from here on the run needs its own folder alone
        if trainer.progress.finished and trainer.reason_to_stop():
            reporter.close()
            reporter.say(already_finished(self.folder, trainer.progress.finished))
            return trainer.progress
        if checkpoint:
            reporter.say(f"continuing {self.folder} at update {resumed_at:,}")
        self._note_arithmetic(trainer.progress, reporter)
        trainer.progress.end("")
        progress = trainer.run()
        if self.workers.first:
            self.task.after_training(self.folder, quiet=quiet)
        reporter.say(
            f"finished ({progress.finished}): best is update {progress.best_update:,}, "
            f"in {self.folder / BEST}; {self.task.reader} --model {self.folder} reads it"
        )
        return progress

    def _mode(self, checkpoint: Checkpoint | None) -> str:
        """How the matrices of a checkpoint are tied; the first worker alone has read it."""
        mode = checkpoint.metadata.get("tying", "") if checkpoint else ""
        return mode if self.workers.size == 1 else self.workers.send(mode.encode()).decode()

    def _note_arithmetic(self, progress: TrainingProgress, reporter: Reporter) -> None:
        """Keep what numbers are rounded by from here on, and say where it is not what it was."""
        before, now = progress.arithmetic, arithmetic(self.device, self.threads, self.workers.size)
        if self.device.type == "cuda":
            now |= {"Triton": kernels_used(), "graphs": "on" if self.graphs else "off"}
        changed = [f"{name} {before[name]} -> {now[name]}" for name in now if before.get(name, now[name]) != now[name]]
        if before and before.keys() != now.keys():
            changed.append(f"device -> {self.device.type}")
        if changed:
            reporter.say(
                f"rounded otherwise: {', '.join(changed)}; the run goes on, not to an uninterrupted one's bits"
            )
        progress.round_by(now)

    def _reporter(self, resumed_at: int, quiet: bool) -> Reporter:
        if not self.workers.first:
            return Reporter.silent()
        tensorboard = self.config.training.tensorboard
        return Reporter(self.folder, resumed_at=resumed_at, tensorboard=tensorboard, quiet=quiet)

    def _where(self) -> str:
        if self.workers.size == 1:
            return f"training on {self.device} with {self.threads} threads"
        return f"training with {self.workers.size} workers, each on {self.device.type} with {self.threads} threads"


def already_finished(folder: Path, reason: str) -> str:
    """What to say where there is nothing to do."""
    return (
        f"{folder} is already finished ({reason}). Raise --max-updates, training.max_minutes or training.patience to "
        "go on, name another folder with --model, or start over with --force"
    )


def changed_keys(before: Config, after: Config) -> list[str]:
    """'key old -> new' for what changed; a change that would make it another run is a UserError."""
    old, new = (flatten(dataclasses.asdict(config), "") for config in (before, after))
    changes, times = [], (before.training.untie_at, before.training.tie_at)
    fixed = FIXED_KEYS + ("max_updates",) * any(0 < time < 1 for time in times)  # which they are fractions of
    for key, value in new.items():
        section, _, name = key.partition(".")
        if old[key] == value or section in ("paths", "prep", "runtime", "serve", "word2vec"):
            continue
        if key == "training.precision" and value == "auto":
            continue
        if section in ("model", "lm") or (section == "training" and name in fixed):
            raise UserError(
                f"this run has {key} = {old[key]!r}, which cannot become {value!r} half way",
                where=after.paths.model,
                hint="name another folder with --model, or start over with --force",
            )
        changes.append(f"{key} {old[key]!r} -> {value!r}")
    return changes


def with_paths(config: Config, folder: Path) -> Config:
    """The configuration with the model folder where it lies now."""
    return dataclasses.replace(config, paths=dataclasses.replace(config.paths, model=str(folder)))


def with_precision(config: Config, before: Config | None) -> Config:
    """`auto` decided, so that the folder says what was computed and a continued run computes the same."""
    if config.training.precision != "auto":
        return config
    native = native_bfloat16(pick_device(config.runtime.device))
    precision = before.training.precision if before else "bf16" if native else "float32"
    return dataclasses.replace(config, training=dataclasses.replace(config.training, precision=precision))


def check_kind(folder: Path, kind: str) -> None:
    """A model of another task is not continued, nor removed."""
    if (folder / MANIFEST).exists():
        read_manifest(folder, kind)


def check_same_data(folder: Path, task: Task) -> None:
    """A run continues on the data it began with."""
    if read_manifest(folder, None)["data"].get("fingerprint") != task.fingerprint:
        raise UserError(
            f"was trained on other data than {task.config.paths.prepared} holds",
            where=folder,
            hint="name its data with --prepared, another folder with --model, or start over with --force",
        )
