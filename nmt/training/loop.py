"""The training loop over named parts: data order, update, validation, checkpoints, report.

Exactness: an epoch's batches, and the pieces BPE-dropout makes, are a function of (seed, epoch), an update's random
draws of (seed, update, worker), and last/ holds the rest, so a run that is interrupted anywhere and continued makes the
same updates as one that was not. Every worker walks this loop; where they must agree, they meet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bpe.errors import UserError
from bpe.progress import duration
from nmt.config import Config, TrainingConfig
from nmt.data.batching import Batch, BatchMaker
from nmt.data.corpus import PreparedCorpus
from nmt.data.feed import DropoutFeed, Feed, Position
from nmt.data.prefetch import Prefetcher
from nmt.folder.weights import weight_metadata, weight_tensors
from nmt.models.interface import TranslationModel
from nmt.training.checkpoint import Checkpoint, TrainingProgress, check_belongs, save_checkpoint
from nmt.training.distributed import LostWorker, Workers
from nmt.training.divergence import DivergenceWatch
from nmt.training.ending import diverged, reason_to_stop, time_left, without_best
from nmt.training.interruption import Interrupted
from nmt.training.memory import enough_memory
from nmt.training.optimizers import learning_rate, load_optimizer, optimizer_tensors
from nmt.training.reporting import Reporter
from nmt.training.selection import Selection
from nmt.training.step import Updater
from nmt.training.tally import Cost, Window, Work
from nmt.training.validation import Validator, can_score
from nmt.tying import Tying

LAST = "last"


class NonFiniteLoss(Exception):
    """Loss or gradient is not a number, and training goes no further; the update was not made."""


class Trainer:
    """Trains one model on a prepared corpus into a model folder."""

    def __init__(
        self,
        model: TranslationModel,
        corpus: PreparedCorpus,
        config: Config,
        reporter: Reporter,
        workers: Workers | None = None,
    ) -> None:
        self.model, self.config, self.reporter, self.workers = model, config, reporter, workers or Workers()
        self.settings: TrainingConfig = config.training
        self.folder = Path(config.paths.model)
        self.device = next(model.parameters()).device
        shared = Tying(config.model.tying).shares_source
        views = corpus.vocabulary.source_view(shared), corpus.vocabulary.target_view(shared)
        self.feed = (DropoutFeed if self.settings.bpe_dropout else Feed)(corpus, self.settings, views)
        self.validator: Validator | None = None
        if self.workers.first:
            self.validator = Validator(
                corpus,
                BatchMaker(corpus.split("valid"), *views),
                beam=self.settings.validation_beam,
                with_bleu=can_score(corpus, self.settings.validation_metric, reporter.say),
            )
        self.updater = Updater(model, self.settings, self.workers)
        self.selection = Selection(self.folder, self.settings, reporter.say)
        self.progress = TrainingProgress()
        self.unread: list[Work] = []
        self.window, self.watch = Window(time.monotonic()), DivergenceWatch()
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
        self.updater.refused.fill_(self.progress.skipped_in_a_row)

    def share_state(self) -> None:
        """Give every worker the first one's state, new or resumed: to the bit, whatever machine it is on."""
        if self.workers.size > 1:
            mine = self._state()
            kinds = (mine.weights, mine.optimizer, mine.average)
            weights, optimizer, average = (self.workers.send_tensors(tensors) for tensors in kinds)
            self._share_progress()
            self.resume(Checkpoint(weights, optimizer, average, mine.metadata, self.progress))

    def run(self) -> TrainingProgress:
        """Train until finished. Raises Interrupted, with the state saved, on Ctrl-C or SIGTERM."""
        with self.workers.interruption:
            self._try_memory()
            state = self.progress
            batches = Prefetcher(self.feed.stream(Position(state.epoch, state.block, state.batch)), self.device)
            try:
                self._loop(batches)
            except Interrupted:
                self.save()
                with contextlib.suppress(LostWorker):
                    self.workers.meet()  # torchrun ends all soon after one
                raise
            except NonFiniteLoss as error:
                self.save()
                raise diverged(str(error), self.folder / LAST) from None
            except LostWorker as error:
                raise self._without(error) from None
            finally:
                batches.close()
                self.reporter.close()
        return self.progress

    def _try_memory(self) -> None:
        """Run what will need the most memory, or raise a UserError; no number changes."""
        self.updater.try_largest(self.feed.largest())
        if self.validator is not None:
            with (
                enough_memory(
                    "the moving average and the weights do not fit in memory together",
                    where="training.ema",
                    hint=f"set it to 0, or choose a smaller model ({self.model.how_to_shrink()})",
                ),
                self.updater.averaged(),
            ):
                self.validator.try_largest(self.model)

    def _loop(self, batches: Iterator[tuple[Position, Batch]]) -> None:
        state = self.progress
        cost = Cost(state)
        self.window = Window(time.monotonic())
        while True:
            ended = self.reason_to_stop()
            if state.update and state.validated < state.update and (ended or self._due(self.settings.validate_every)):
                self._validate(cost)
                self.window = Window(time.monotonic())
                ended = ended or self.reason_to_stop()
            if ended:
                self._read()
                if self.settings.average_last:
                    self._try_average()
                state.finished = ended if state.best_score is not None else ""
                self.save()
                if not state.finished:
                    raise without_best(ended)
                return
            if state.update and self._due(self.settings.save_every):
                self._read()
                self.save()
            work = self._next(batches)
            self._meet(cost)
            self._update(work)
            if self._due(self.settings.log_every):
                self._read()
                self._log()
                self.window = Window(time.monotonic())

    def _meet(self, cost: Cost) -> None:
        """Learn what all workers must know before the next update. Raises Interrupted where one has got a signal.

        All go by the time of this meeting until the next, so that they stop at the same update.
        """
        cost.note(self.progress, self.device)
        news = self.workers.meet(self.progress.seconds, signal=self.workers.interruption.received or 0)
        self.progress.seconds = news.seconds
        if news.signal:
            self._read()
            raise Interrupted(news.signal)

    def _next(self, batches: Iterator[tuple[Position, Batch]]) -> Work:
        state = self.progress
        taken = [next(batches) for _ in range(self.settings.update_every)]
        positions, taken_batches = [position for position, _ in taken], [batch for _, batch in taken]
        return Work(state.update + 1, taken_batches, positions, Position(state.epoch, state.block, state.batch))

    def _update(self, work: Work) -> None:
        """Make an update; where the device is not waited for, what came of it is read later."""
        state, last = self.progress, work.positions[-1]
        self.updater.begin(work.batches, work.number)
        self.unread.append(work)
        state.update, state.epoch, state.block, state.batch = work.number, last.epoch, last.block, last.batch + 1
        if not self.updater.deferred:
            self._read()

    def _read(self) -> None:
        """Count what the updates since the last reading gave. Raises NonFiniteLoss or LostWorker, the place set back
        to before the first update that was not made."""
        results, works, state, self.unread = self.updater.read(), self.unread, self.progress, []
        for work, result in zip(works, results, strict=True):
            too_many = not result.finite and state.skipped_in_a_row >= self.settings.skip_nonfinite
            if too_many or not result.complete:
                state.update, before = work.number - 1, work.before
                state.epoch, state.block, state.batch = before.epoch, before.block, before.batch
                if not result.complete:
                    raise LostWorker("another worker was lost", where="training")
                raise NonFiniteLoss(f"{result.numbers()} at {work.describe()}")
            self.window.add(result, work.target_tokens)
            if result.finite:
                state.target_tokens, state.skipped_in_a_row = state.target_tokens + work.target_tokens, 0
            else:
                state.skipped, state.skipped_in_a_row = state.skipped + 1, state.skipped_in_a_row + 1
                self.reporter.warn(f"left out: {result.numbers()} at {work.describe()}")

    def _due(self, every: int) -> bool:
        return self.progress.update % every == 0

    def reason_to_stop(self) -> str:
        """Why training is over, or '' where it is not."""
        return reason_to_stop(self.progress, self.settings)

    def _log(self) -> None:
        state, window = self.progress, self.window
        rate = window.tokens / max(time.monotonic() - window.started, 1e-9)
        step = learning_rate(self.settings, state.update)
        loss, cross_entropy = window.mean(window.smoothed), window.mean(window.cross_entropy)
        values = {
            "epoch": state.epoch + 1,
            "cross_entropy": cross_entropy,
            "loss": loss,
            "tokens_per_second": rate,
            "learning_rate": step,
            "gradient_norm": window.largest_norm,
            "seconds": state.seconds,
        }
        self.reporter.record("train", state.update, values)
        self.reporter.say(
            f"update {state.update:,} of {self.settings.max_updates:,} | epoch {state.epoch + 1} | "
            f"loss {loss:.3f} | cross entropy {cross_entropy:.3f} | {rate:,.0f} tokens/s | "
            f"rate {step:.2g} | gradient {window.largest_norm:.2f} | {time_left(state, self.settings)}"
        )
        if warning := self.watch.look(window.cross_entropy, window.tokens, window.updates):
            self.reporter.warn(warning)

    def _validate(self, cost: Cost) -> None:
        """The first worker validates; the others wait and take over what it found."""
        self._read()
        self._alone(lambda validator: self._run(validator, cost))

    def _try_average(self) -> None:
        """The same for the mean of the last validations' weights."""
        tick = self.workers.interruption.check
        self._alone(lambda validator: self.selection.try_average(self.model, validator, tick, self.progress))

    def _alone(self, action: Callable[[Validator], None]) -> None:
        """What the first worker does by itself; all have its progress then."""
        if self.validator is not None:
            try:
                action(self.validator)
            except Interrupted as signal:
                self.workers.meet(signal=signal.number)
                raise
        self._share_progress()

    def _share_progress(self) -> None:
        if self.workers.size > 1:
            told = json.loads(self.workers.send(json.dumps(dataclasses.asdict(self.progress)).encode()))
            for name, value in told.items():
                setattr(self.progress, name, value)

    def _run(self, validator: Validator, cost: Cost) -> None:
        state, started = self.progress, time.monotonic()
        with self.updater.averaged():
            found = validator.run(self.model, self.workers.interruption.check)
            state.validated = state.update
            self.selection.judge(self.model, found, state)
        took = time.monotonic() - started
        values = {"cross_entropy": found.cross_entropy, "cost": found.cost, "bleu": found.bleu}
        cost.note(state, self.device)
        values |= {"epoch": state.epoch + 1, "target_tokens": state.target_tokens, "seconds": state.seconds}
        values |= {"cpu_seconds": state.cpu_seconds, "peak_memory": state.peak_memory}
        self.reporter.record("validation", state.update, values)
        told = f"validation at update {state.update:,}: {found.describe()}"
        if not found.finite:
            self.reporter.warn(f"{told}: not finite, which counts as no improvement; these weights are not kept")
            return
        best = "best so far" if state.waiting == 0 else f"best is update {state.best_update:,}"
        self.reporter.say(f"{told} ({best}; took {duration(took)})")
        for source, reference, translation in found.examples[:1]:
            self.reporter.say(f"  source      {source}\n  reference   {reference}\n  translation {translation}")

    def save(self) -> None:
        """Write last/."""
        if self.workers.first:
            save_checkpoint(self.folder / LAST, self._state())

    def _state(self) -> Checkpoint:
        return Checkpoint(
            weights=weight_tensors(self.model),
            optimizer=optimizer_tensors(self.updater.optimizer, list(self.updater.parameters)),
            average=self.updater.average,
            metadata=weight_metadata(self.model, update=self.progress.update),
            progress=self.progress,
        )

    def _without(self, error: LostWorker) -> LostWorker:
        """Save what this worker has after its last whole update if it is the first, and say how to go on."""
        self.workers.let_go()
        with contextlib.suppress(LostWorker, NonFiniteLoss):
            self._read()
        self.save()
        kept = f"it is saved in {self.folder / LAST}" if self.workers.first else "what was saved before is kept"
        hint = f"{kept}; run the same command, with as many workers as there are, to continue"
        return LostWorker(f"{error.problem} after update {self.progress.update:,}", where="training", hint=hint)
