"""Runs a comparison's language models, some at a time, each in a process of its own; stops them cleanly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from bpe.errors import UserError
from nmt.reproduce.language.experiment import LanguageExperiment, LanguageRun
from nmt.reproduce.language.worker import LanguageWork
from nmt.reproduce.schedule import ERROR, terminate_as_exit
from nmt.training.reporting import METRICS, read_metrics

POLL_SECONDS = 0.5


@dataclass
class LanguageJob:
    """A run at work."""

    run: LanguageRun
    process: subprocess.Popen[bytes]
    told: int = 0
    "Update of the last validation that was told."


class LanguageSchedule:
    """Works off runs. jobs: how many at a time. quiet: print nothing."""

    def __init__(self, experiment: LanguageExperiment, *, jobs: int, quiet: bool) -> None:
        self.experiment, self.jobs, self.quiet = experiment, jobs, quiet
        self.running: list[LanguageJob] = []

    def work(self, runs: Sequence[LanguageRun]) -> None:
        """Every run, trained and scored. Where one fails, the others are stopped, saved, and its message raised."""
        waiting = list(runs)
        with self._stopping(), terminate_as_exit():
            while waiting or self.running:
                while waiting and len(self.running) < self.jobs:
                    self._start(waiting.pop(0))
                time.sleep(POLL_SECONDS)
                for job in list(self.running):
                    self._tell(job)
                    if job.process.poll() is not None:
                        self.running.remove(job)
                        self._check(job)

    def _start(self, run: LanguageRun) -> None:
        experiment, log = self.experiment, self.experiment.log(run)
        log.parent.mkdir(parents=True, exist_ok=True)
        work = LanguageWork(
            folder=str(experiment.folder),
            table=experiment.table_name,
            scale=experiment.scale,
            prepared=str(experiment.prepared),
            more=experiment.more,
            row=run.row.key,
            seed=run.seed,
            parent=os.getpid(),
        )
        command = [sys.executable, "-m", "nmt.reproduce.language.worker", work.as_json()]
        with open(log, "ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        before = self._validations(run)
        self.running.append(LanguageJob(run, process, before[-1]["update"] if before else 0))
        self._say(f"{run.name}: at work (its words are in {log})")

    def _tell(self, job: LanguageJob) -> None:
        """Say a validation that is new."""
        checks = self._validations(job.run)
        if checks and checks[-1]["update"] > job.told:
            job.told = checks[-1]["update"]
            perplexity = checks[-1].get("perplexity")
            found = "not finite" if perplexity is None else f"{perplexity:,.2f}"
            epochs = self.experiment.config(job.run.row).training.max_epochs
            self._say(f"{job.run.name}: validation {len(checks)} of {epochs} epochs, perplexity {found}")

    def _validations(self, run: LanguageRun) -> list[dict[str, Any]]:
        try:
            records = read_metrics(self.experiment.model(run) / METRICS)
        except OSError:
            return []
        return [record for record in records if record["kind"] == "validation"]

    def _check(self, job: LanguageJob) -> None:
        """A run that failed is a UserError with its own last line."""
        code, log = job.process.returncode, self.experiment.log(job.run)
        if code == 0:
            self._say(f"{job.run.name} is done")
            return
        last = log.read_text(encoding="utf-8", errors="replace").strip().split("\n")[-1]
        problem = last.partition(ERROR)[2] if ERROR in last else f"ended with exit code {code}: {last}"
        hint = "once it is put right, the same command continues"
        raise UserError(f"{job.run.name} failed: {problem}", where=log, hint=hint)

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
