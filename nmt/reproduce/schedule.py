"""Runs a comparison's models, some at a time, each in a process of its own; says how far it is; stops cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from bpe.errors import UserError
from bpe.progress import duration
from nmt.configfile import to_yaml
from nmt.reproduce.experiment import Experiment, Run
from nmt.reproduce.worker import WorkerTask
from nmt.training.reporting import METRICS, read_metrics

POLL_SECONDS = 0.5
ERROR = ": error: "


@dataclass
class RunAtWork:
    """A run at work."""

    run: Run
    process: subprocess.Popen[bytes]
    log: Path
    metrics: Path
    started_at: int
    "Updates it had when it was started."
    told: int = 0
    "Update of the last validation that was told."


@dataclass
class Tally:
    """Updates made and left, for the time left."""

    total: int
    done: int = 0
    began: float = field(default_factory=time.monotonic)

    def left(self, running: int) -> str:
        """How long the rest takes at the pace so far. running: updates of jobs that are not done yet."""
        made = self.done + running
        if not made:
            return ""
        seconds = (time.monotonic() - self.began) / made * max(0, self.total - made)
        return f"; about {duration(seconds)} left for all runs"


class Schedule:
    """Works off runs. jobs: how many at a time. quiet: print nothing."""

    def __init__(self, experiment: Experiment, corpus: Path, *, jobs: int, quiet: bool) -> None:
        self.experiment, self.corpus, self.jobs, self.quiet = experiment, corpus, jobs, quiet
        self.running: list[RunAtWork] = []

    def work(self, runs: Sequence[Run]) -> None:
        """Every run, trained and scored. Where one fails, the others are stopped, saved, and its message raised."""
        waiting = list(runs)
        recipe = self.experiment.folder / "recipe.yaml"
        recipe.write_text(to_yaml(self.experiment.config), encoding="utf-8")
        updates = self.experiment.config.training.max_updates
        tally = Tally(sum(updates - last_update(self.experiment, run) for run in waiting))
        finished = 0
        with self._stopping(), terminate_as_exit():
            while waiting or self.running:
                while waiting and len(self.running) < self.jobs:
                    self._start(waiting.pop(0), recipe)
                time.sleep(POLL_SECONDS)
                for job in list(self.running):
                    self._tell(job, tally)
                    if job.process.poll() is not None:
                        self.running.remove(job)
                        self._check(job)
                        finished += 1
                        tally.done += last_update(self.experiment, job.run) - job.started_at
                        self._say(f"{job.run.name} is done ({finished} of {len(runs)})")

    def _start(self, run: Run, recipe: Path) -> None:
        experiment, log = self.experiment, self.experiment.log(run)
        log.parent.mkdir(parents=True, exist_ok=True)
        task = WorkerTask(
            folder=str(experiment.folder),
            recipe=str(recipe),
            corpus=str(self.corpus),
            scale=experiment.scale,
            tying=run.tying.value,
            seed=run.seed,
            parent=os.getpid(),
        )
        command = [sys.executable, "-m", "nmt.reproduce.worker", task.as_json()]
        with open(log, "ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        metrics = experiment.model(run) / METRICS
        self.running.append(RunAtWork(run, process, log, metrics, last_update(experiment, run)))
        self._say(f"{run.name}: at work (its words are in {log})")

    def _tell(self, job: RunAtWork, tally: Tally) -> None:
        """Say a validation that is new."""
        checks = [record for record in _metrics(job.metrics) if record["kind"] == "validation"]
        if not checks or checks[-1]["update"] <= max(job.told, job.started_at):
            return
        last = checks[-1]
        job.told = last["update"]
        bleu = "" if last.get("bleu") is None else f", BLEU {last['bleu']:.2f}"
        cross_entropy = "not finite" if last["cross_entropy"] is None else f"{last['cross_entropy']:.3f}"
        running = sum(max(0, each.told - each.started_at) for each in self.running)
        self._say(
            f"{job.run.name}: update {last['update']:,} of {self.experiment.config.training.max_updates:,}, "
            f"cross entropy {cross_entropy}{bleu}, {duration(last['seconds'])}{tally.left(running)}"
        )

    def _check(self, job: RunAtWork) -> None:
        """A run that failed is a UserError with its own last line."""
        code = job.process.returncode
        if code == 0:
            return
        last = _last_line(job.log)
        problem = last.partition(ERROR)[2] if ERROR in last else f"ended with exit code {code}: {last}"
        raise UserError(
            f"{job.run.name} failed: {problem}", where=job.log, hint="once it is put right, the same command continues"
        )

    def _say(self, line: str) -> None:
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        """Whatever happens, no run is left at work: each saves and leaves."""
        try:
            yield
        finally:
            if self.running:
                self._say(f"stopping {', '.join(job.run.name for job in self.running)}; what they have is saved")
            for job in self.running:
                with suppress(ProcessLookupError):
                    job.process.terminate()
            for job in self.running:
                job.process.wait()


@contextmanager
def terminate_as_exit() -> Iterator[None]:
    """SIGTERM leaves as Ctrl-C does: through the code that stops the runs."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def last_update(experiment: Experiment, run: Run) -> int:
    """Update of a run's last record; 0 where it has none."""
    records = _metrics(experiment.model(run) / METRICS)
    return int(records[-1]["update"]) if records else 0


def _metrics(path: Path) -> list[dict[str, Any]]:
    try:
        return read_metrics(path)
    except OSError:
        return []


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().split("\n")
    return lines[-1]
