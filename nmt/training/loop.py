"""The training loop over named parts: data order, update, validation, checkpoints, report.

Exactness: an epoch's batches, and the pieces BPE-dropout makes, are a function of (seed, epoch), an update's random
draws of (seed, update), and last/ holds the rest, so a run that is interrupted anywhere and continued makes the same
updates as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from bpe.errors import UserError
from bpe.progress import duration
from nmt.bundle import BEST
from nmt.config import Config, TrainingConfig
from nmt.data.batching import BatchMaker
from nmt.data.corpus import PreparedCorpus
from nmt.data.feed import DropoutFeed, Feed, Position
from nmt.device import peak_memory
from nmt.layers.tying import Tying
from nmt.models.interface import TranslationModel
from nmt.training.checkpoint import Checkpoint, Progress, check_belongs, save_checkpoint
from nmt.training.interruption import Interrupted, Interruption
from nmt.training.optimizers import load_optimizer, optimizer_tensors
from nmt.training.reporting import Reporter
from nmt.training.step import NonFiniteLoss, StepResult, Updater
from nmt.training.validation import Validation, Validator, can_score
from nmt.weights import save_tensors, weight_metadata, weight_tensors

LAST = "last"


class Cost:
    """Time and memory of a run, earlier sessions counted."""

    def __init__(self, progress: Progress) -> None:
        self.wall, self.processor = time.monotonic() - progress.seconds, time.process_time() - progress.cpu_seconds

    def note(self, progress: Progress, device: torch.device) -> None:
        """Write what has been spent up to now into the progress."""
        progress.seconds = time.monotonic() - self.wall
        progress.cpu_seconds = time.process_time() - self.processor
        progress.peak_memory = max(progress.peak_memory, peak_memory(device))


@dataclass
class Window:
    """Sums since the last progress line."""

    started: float
    cross_entropy: float = 0.0
    smoothed: float = 0.0
    tokens: int = 0
    largest_norm: float = 0.0

    def add(self, result: StepResult, tokens: int) -> None:
        """Count one update."""
        self.cross_entropy += result.cross_entropy
        self.smoothed += result.smoothed
        self.tokens += tokens
        self.largest_norm = max(self.largest_norm, result.gradient_norm)


class Trainer:
    """Trains one model on a prepared corpus into a model folder."""

    def __init__(self, model: TranslationModel, corpus: PreparedCorpus, config: Config, reporter: Reporter) -> None:
        self.model, self.config, self.reporter = model, config, reporter
        self.settings: TrainingConfig = config.training
        self.folder = Path(config.paths.model)
        self.device = next(model.parameters()).device
        shared = Tying(config.model.tying).shares_source
        views = corpus.vocabulary.source_view(shared), corpus.vocabulary.target_view(shared)
        self.feed = (DropoutFeed if self.settings.bpe_dropout else Feed)(corpus, self.settings, views)
        self.validator = Validator(
            corpus,
            BatchMaker(corpus.split("valid"), *views),
            beam=self.settings.validation_beam,
            with_bleu=can_score(corpus, self.settings.validation_metric, reporter.say),
        )
        self.updater = Updater(model, self.settings)
        self.progress = Progress()
        if not self.feed.plan.num_pairs:
            raise UserError(
                f"no pair has at most {self.settings.max_length} pieces on both sides",
                where="training.max_length",
                hint="raise it",
            )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from last/; one of another model is a UserError."""
        check_belongs(checkpoint, self.model, self.folder / LAST)
        self.updater.restore(checkpoint.weights, checkpoint.average)
        load_optimizer(self.updater.optimizer, list(self.updater.parameters), checkpoint.optimizer)
        self.progress = checkpoint.progress

    def run(self) -> Progress:
        """Train until finished. Raises Interrupted, with the state saved, on Ctrl-C or SIGTERM."""
        with Interruption() as interruption:
            self.updater.try_largest(self.feed.largest().to(self.device))
            try:
                self._loop(interruption.check)
            except Interrupted:
                self.save()
                raise
            except NonFiniteLoss as error:
                self.save()
                raise self._diverged(error) from None
            finally:
                self.reporter.close()
        return self.progress

    def _loop(self, check: Callable[[], None]) -> None:
        state = self.progress
        cost = Cost(state)
        window = Window(time.monotonic())
        stream = self.feed.stream(Position(state.epoch, state.block, state.batch))
        while True:
            cost.note(state, self.device)
            ended = self.reason_to_stop()
            if state.update and state.validated < state.update and (ended or self._due(self.settings.validate_every)):
                self._validate(check, cost)
                window = Window(time.monotonic())
                ended = ended or self.reason_to_stop()
            if ended:
                state.finished = ended
                self.save()
                return
            if state.update and self._due(self.settings.save_every):
                self.save()
            check()
            position, batch = next(stream)
            batch = batch.to(self.device)
            result = self.updater.update(batch, state.update + 1)
            state.update, state.epoch = state.update + 1, position.epoch
            state.block, state.batch = position.block, position.batch + 1
            state.target_tokens += batch.num_target_tokens
            window.add(result, batch.num_target_tokens)
            if self._due(self.settings.log_every):
                cost.note(state, self.device)
                self._log(window, result)
                window = Window(time.monotonic())

    def _due(self, every: int) -> bool:
        return self.progress.update % every == 0

    def reason_to_stop(self) -> str:
        """Why training is over, or '' where it is not."""
        state, settings = self.progress, self.settings
        if state.update >= settings.max_updates:
            return f"{state.update:,} updates of {settings.max_updates:,}"
        if settings.max_minutes and state.seconds >= 60 * settings.max_minutes:
            return f"{settings.max_minutes:g} minutes"
        if settings.patience and state.waiting >= settings.patience:
            return f"no improvement in {state.waiting} validations"
        return ""

    def _log(self, window: Window, result: StepResult) -> None:
        state = self.progress
        rate = window.tokens / max(time.monotonic() - window.started, 1e-9)
        values = {
            "epoch": state.epoch + 1,
            "cross_entropy": window.cross_entropy / window.tokens,
            "loss": window.smoothed / window.tokens,
            "tokens_per_second": rate,
            "learning_rate": result.learning_rate,
            "gradient_norm": window.largest_norm,
            "seconds": state.seconds,
        }
        self.reporter.record("train", state.update, values)
        self.reporter.say(
            f"update {state.update:,} of {self.settings.max_updates:,} | epoch {state.epoch + 1} | "
            f"loss {values['loss']:.3f} | cross entropy {values['cross_entropy']:.3f} | {rate:,.0f} tokens/s | "
            f"rate {result.learning_rate:.2g} | gradient {window.largest_norm:.2f} | {self._time_left()}"
        )

    def _time_left(self) -> str:
        state, settings = self.progress, self.settings
        left = state.seconds / state.update * (settings.max_updates - state.update)
        if settings.max_minutes:
            left = min(left, 60 * settings.max_minutes - state.seconds)
        return f"{duration(state.seconds)} gone, at most {duration(max(left, 0))} left"

    def _validate(self, check: Callable[[], None], cost: Cost) -> None:
        state, started = self.progress, time.monotonic()
        self.updater.swap_average()
        try:
            found = self.validator.run(self.model, check)
            state.validated = state.update
            self._judge(found)
        finally:
            self.updater.swap_average()
        took = time.monotonic() - started
        values = {"cross_entropy": found.cross_entropy, "cost": found.cost, "bleu": found.bleu}
        cost.note(state, self.device)
        values |= {"epoch": state.epoch + 1, "target_tokens": state.target_tokens, "seconds": state.seconds}
        values |= {"cpu_seconds": state.cpu_seconds, "peak_memory": state.peak_memory}
        self.reporter.record("validation", state.update, values)
        best = "best so far" if state.waiting == 0 else f"best is update {state.best_update:,}"
        self.reporter.say(
            f"validation at update {state.update:,}: cross entropy {found.cross_entropy:.3f}"
            + (f", BLEU {found.bleu:.2f}" if found.bleu is not None else "")
            + f" ({best}; took {duration(took)})"
        )
        for source, reference, translation in found.examples[:1]:
            self.reporter.say(f"  source      {source}\n  reference   {reference}\n  translation {translation}")

    def _judge(self, found: Validation) -> None:
        """Keep the weights if they are the best so far."""
        state = self.progress
        wanted = found.bleu if self.settings.validation_metric == "bleu" else None
        score = -found.cost if wanted is None else wanted
        if state.best_score is not None and score <= state.best_score:
            state.waiting += 1
            return
        state.best_score, state.best_update, state.waiting = score, state.update, 0
        extra = {"update": state.update, "cross_entropy": found.cross_entropy, "bleu": found.bleu}
        save_tensors(self.folder / BEST, weight_tensors(self.model), weight_metadata(self.model, **extra))

    def save(self) -> None:
        """Write last/."""
        checkpoint = Checkpoint(
            weights=weight_tensors(self.model),
            optimizer=optimizer_tensors(self.updater.optimizer, list(self.updater.parameters)),
            average=self.updater.average,
            metadata=weight_metadata(self.model, update=self.progress.update),
            progress=self.progress,
        )
        save_checkpoint(self.folder / LAST, checkpoint)

    def _diverged(self, error: NonFiniteLoss) -> UserError:
        state = self.progress
        position, batch = next(self.feed.stream(Position(state.epoch, state.block, state.batch)))
        shown = ", ".join(str(row + 1) for row in batch.pairs[:5])
        block = f"block {position.block + 1}, " if self.settings.bpe_dropout else ""
        return UserError(
            f"{error} at update {state.update + 1} (epoch {position.epoch + 1}, {block}batch {position.batch + 1}: "
            f"{len(batch.pairs)} pairs, numbers {shown} ... of the prepared training data)",
            where="training",
            hint=f"the state before it is in {self.folder / LAST}; lower training.learning_rate and run again",
        )
