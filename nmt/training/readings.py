"""What came of updates: read where the device has it, counted, and told every so often."""

from __future__ import annotations

import time

from nmt.config import TrainingConfig
from nmt.training.distributed import LostWorker
from nmt.training.divergence import DivergenceWatch
from nmt.training.ending import time_left
from nmt.training.optimizers import learning_rate
from nmt.training.progress import TrainingProgress
from nmt.training.reporting import Reporter
from nmt.training.step import StepResult, Updater
from nmt.training.tally import Window, Work


class NonFiniteLoss(Exception):
    """Loss or gradient is not a number, and training goes no further; the update was not made."""


class Readings:
    """The updates that were begun and not read yet, and the sums of the next progress line."""

    def __init__(self, updater: Updater, settings: TrainingConfig, reporter: Reporter) -> None:
        self.updater, self.settings, self.reporter = updater, settings, reporter
        self.unread: list[Work] = []
        self.epoch = 0
        "Of the update begun last, from 0."
        self.window, self.watch = Window(time.monotonic()), DivergenceWatch()

    def begin(self, work: Work) -> None:
        """Have the updater make an update."""
        self.updater.begin(work.batches, work.number, work.epoch)
        self.unread.append(work)
        self.epoch = work.epoch

    def start_window(self) -> None:
        """The next progress line tells of what comes from here on."""
        self.window = Window(time.monotonic())

    def read(self, progress: TrainingProgress) -> None:
        """Count what the updates since the last reading gave. Raises NonFiniteLoss or LostWorker, the place set back
        to before the first update that was not made."""
        results, works, self.unread = self.updater.read(), self.unread, []
        for work, result in zip(works, results, strict=True):
            too_many = not result.finite and progress.skipped_in_a_row >= self.settings.skip_nonfinite
            if too_many or not result.complete:
                progress.go_back(work.number - 1, work.before)
                if not result.complete:
                    raise LostWorker("another worker was lost", where="training")
                raise NonFiniteLoss(self._told(result, work))
            tokens = sum(map(self.updater.objective.num_tokens, work.batches))
            self.window.add(result, tokens)
            progress.count(tokens, result.cross_entropy, made=result.finite, begins=work.begins_epoch)
            if not result.finite:
                self.reporter.warn(f"left out: {self._told(result, work)}")

    def _told(self, result: StepResult, work: Work) -> str:
        return f"{result.numbers()} at {work.describe(self.updater.objective)}"

    def log(self, progress: TrainingProgress) -> None:
        """Tell of the updates since the last progress line."""
        window = self.window
        rate = window.tokens / max(time.monotonic() - window.started, 1e-9)
        step = learning_rate(self.settings, progress.update, self.epoch)
        loss, cross_entropy = window.mean(window.smoothed), window.mean(window.cross_entropy)
        values = {
            "epoch": progress.epoch_of_last,
            "cross_entropy": cross_entropy,
            "loss": loss,
            "tokens_per_second": rate,
            "learning_rate": step,
            "gradient_norm": window.largest_norm,
            "seconds": progress.seconds,
        }
        self.reporter.record("train", progress.update, values)
        of = "" if self.settings.max_epochs else f" of {self.settings.max_updates:,}"
        self.reporter.say(
            f"update {progress.update:,}{of} | epoch {progress.epoch_of_last} | "
            f"loss {loss:.3f} | cross entropy {cross_entropy:.3f} | {rate:,.0f} tokens/s | "
            f"rate {step:.2g} | gradient {window.largest_norm:.2f} | {time_left(progress, self.settings)}"
        )
        if warning := self.watch.look(window.cross_entropy, window.tokens, window.updates):
            self.reporter.warn(warning)
