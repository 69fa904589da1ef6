"""The training loop over named parts: data order, update, validation, checkpoints, report.

Exactness: the batches, whatever is drawn for them, are a function of the configuration and their place, an update's
random draws of (seed, update, worker), and last/ holds the rest, so a run that is interrupted anywhere and continued
makes the same updates as one that was not. Every worker walks this loop; where they must agree, they meet.
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
from nmt.data.prefetch import Placed, prefetched
from nmt.device import enough_memory
from nmt.folder.weights import weight_metadata, weight_tensors
from nmt.models.interface import TrainableModel
from nmt.tasks.interface import Task, Validator
from nmt.training.checkpoint import Checkpoint, check_belongs, save_checkpoint
from nmt.training.distributed import LostWorker, Workers
from nmt.training.ending import diverged, reason_to_stop, without_best
from nmt.training.graphs import CudaRecorder, graphs_wanted
from nmt.training.interruption import Interrupted
from nmt.training.optimizers import load_optimizer, optimizer_tensors
from nmt.training.progress import TrainingProgress
from nmt.training.readings import NonFiniteLoss, Readings
from nmt.training.reporting import Reporter
from nmt.training.selection import Selection
from nmt.training.step import Updater
from nmt.training.tally import Cost, Work, note_memory

LAST = "last"


class Trainer:
    """Trains one model on a task into a model folder."""

    def __init__(self, model: TrainableModel, task: Task, reporter: Reporter, workers: Workers | None = None) -> None:
        self.task, self.settings, self.reporter, self.workers = task, task.settings, reporter, workers or Workers()
        self.folder = Path(task.config.paths.model)
        self.selection = Selection(self.folder, self.settings, reporter.say)
        self.progress = TrainingProgress()
        self._take(model)

    def _take(self, model: TrainableModel) -> None:
        """Train this model from here on."""
        self.validator = self.task.validator(self.reporter.say) if self.workers.first else None
        watch = self.task.watch(model)
        self.updater = Updater(model, self.settings, self.task.objective, self.workers, watch=watch)
        self.fills = graphs_wanted(self.settings, self.updater.device, self.workers.size, self.task.objective)
        if self.fills:
            self.updater.record(CudaRecorder(), self.reporter.warn)
        self.readings = Readings(self.updater, self.settings, self.reporter)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from last/; one of another model is a UserError."""
        updater = self.updater
        check_belongs(checkpoint, updater.model, updater.carried, self.folder / LAST)
        updater.restore(checkpoint.weights, checkpoint.average, checkpoint.carried)
        load_optimizer(updater.optimizer, list(updater.parameters), checkpoint.optimizer)
        self.progress = checkpoint.progress
        updater.refused.fill_(self.progress.skipped_in_a_row)

    def share_state(self) -> None:
        """Give every worker the first one's state, new or resumed: to the bit, whatever machine it is on."""
        if self.workers.size > 1:
            mine = self._state()
            kinds = (mine.weights, mine.optimizer, mine.average, mine.carried)
            weights, optimizer, average, carried = (self.workers.send_tensors(tensors) for tensors in kinds)
            self._share_progress()
            self.resume(Checkpoint(weights, optimizer, average, carried, mine.metadata, self.progress))

    def run(self) -> TrainingProgress:
        """Train until finished. Raises Interrupted, with the state saved, on Ctrl-C or SIGTERM."""
        with self.workers.interruption:
            try:
                while not self._run_stage():
                    self._change_model()
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
                self.reporter.close()
        return self.progress

    def _run_stage(self) -> bool:
        """Train until the end, or, False, until the model becomes another one."""
        self._try_memory()
        batches = prefetched(self._stream(), self.updater.device)
        try:
            return self._loop(batches)
        finally:
            batches.close()

    def _change_model(self) -> None:
        """Go on with the model that this one becomes: as a run that continues from what is left of it."""
        device, left = self.updater.device, self._state()
        change = self.task.change()
        self._take(change.model.to(device))
        self.resume(
            dataclasses.replace(
                left,
                weights=change.weights(left.weights),
                optimizer=change.states(left.optimizer),
                average=change.weights(left.average) if left.average else {},
                metadata=weight_metadata(self.updater.model, update=self.progress.update),
            )
        )
        self.reporter.say(f"update {self.progress.update:,}: {change.told}")

    def _stream(self) -> Iterator[Placed]:
        """The task's batches from where training stands, filled up where updates are recorded."""
        for place, batch in self.task.stream(self.progress.place):
            yield place, self.task.objective.filled(batch) if self.fills else batch

    def _try_memory(self) -> None:
        """Run what will need the most memory, or raise a UserError; no number changes."""
        largest = self.task.largest()
        self.updater.try_largest(self.task.objective.filled(largest) if self.fills else largest)
        if self.validator is not None:
            model = self.updater.model
            average = UserError(
                "the moving average and the weights do not fit in memory together",
                where="training.ema",
                hint=f"set it to 0, or choose a smaller model ({model.how_to_shrink()})",
            )
            with enough_memory(average), self.updater.averaged():
                self.validator.try_largest(model)

    def _loop(self, batches: Iterator[Placed]) -> bool:
        """Whether training is over; else the model is to become another one."""
        state = self.progress
        cost = Cost(state)
        self.readings.start_window()
        while True:
            ended = self.reason_to_stop()
            if state.update and state.validated < state.update and (ended or self._validates()):
                self._validate(cost)
                self.readings.start_window()
                ended = ended or self.reason_to_stop()
            if ended:
                self._end(ended)
                return True
            if state.update and self._due(self.settings.save_every):
                self.readings.read(state)
                self.save()
            if self.task.changes(state.update):
                self.readings.read(state)
                cost.note(state)
                return False
            work = self._next(batches)
            self._meet(cost)
            self._update(work)
            if self._due(self.settings.log_every):
                self.readings.read(state)
                self.readings.log(state)
                self._tell_watched()
                self.readings.start_window()

    def _tell_watched(self) -> None:
        """Write down what was seen of the last update."""
        watch = self.updater.watch
        if watch is not None and self.workers.first:
            self.reporter.record(watch.kind, self.progress.update, dict(watch.figures()))

    def _end(self, reason: str) -> None:
        """Choose the weights and save. Raises UserError where none were ever good."""
        state = self.progress
        self.readings.read(state)
        if self.settings.average_last:
            self._try_average()
        state.end(reason if state.best_score is not None else "")
        self.save()
        if not state.finished:
            raise without_best(reason)

    def _meet(self, cost: Cost) -> None:
        """Learn what all workers must know before the next update. Raises Interrupted where one has got a signal.

        All go by the time of this meeting until the next, so that they stop at the same update.
        """
        cost.note(self.progress)
        news = self.workers.meet(self.progress.seconds, signal=self.workers.interruption.received or 0)
        self.progress.agree(news.seconds)
        if news.signal:
            self.readings.read(self.progress)
            raise Interrupted(news.signal)

    def _next(self, batches: Iterator[Placed]) -> Work:
        taken = [next(batches) for _ in range(self.settings.update_every)]
        positions = [position for position, _ in taken]
        return Work(self.progress.update + 1, [batch for _, batch in taken], positions, self.progress.place)

    def _update(self, work: Work) -> None:
        """Make an update; where the device is not waited for, what came of it is read later."""
        self.readings.begin(work)
        self.progress.go_on(work.number, self.task.after(work.positions[-1]))
        if not self.updater.deferred:
            self.readings.read(self.progress)

    def _validates(self) -> bool:
        epochs, state = self.settings.validate_epochs, self.progress
        if not epochs:
            return self._due(self.settings.validate_every)
        return state.between_epochs and state.epoch % epochs == 0

    def _due(self, every: int) -> bool:
        return self.progress.update % every == 0

    def reason_to_stop(self) -> str:
        """Why training is over, or '' where it is not."""
        return reason_to_stop(self.progress, self.settings)

    def _validate(self, cost: Cost) -> None:
        """The first worker validates; the others wait and take over what it found."""
        self.readings.read(self.progress)
        self._alone(lambda validator: self._run(validator, cost))

    def _try_average(self) -> None:
        """The same for the mean of the last validations' weights."""
        model, tick = self.updater.model, self.workers.interruption.check
        self._alone(lambda validator: self.selection.try_average(model, validator, tick, self.progress))

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
            told = self.workers.send(json.dumps(dataclasses.asdict(self.progress)).encode())
            self.progress.take_over(json.loads(told))

    def _run(self, validator: Validator, cost: Cost) -> None:
        state, started = self.progress, time.monotonic()
        with self.updater.averaged():
            found = validator.run(self.updater.model, self.workers.interruption.check)
            seen = self.updater.watch.at_validation() if self.updater.watch is not None else {}
            self.selection.judge(self.updater.model, found, state)
        took = time.monotonic() - started
        cost.note(state)
        note_memory(state, self.updater.device)
        values = {**found.figures(), "epoch": state.epoch_of_last, "target_tokens": state.target_tokens}
        values["epoch_cross_entropy"] = state.epoch_cost / state.epoch_tokens if state.epoch_tokens else None
        values |= {"seconds": state.seconds, "cpu_seconds": state.cpu_seconds, "peak_memory": state.peak_memory}
        self.reporter.record("validation", state.update, values | dict(seen))
        told = f"validation at update {state.update:,}: {found.describe()}"
        if not found.finite:
            self.reporter.warn(f"{told}: not finite, which counts as no improvement; these weights are not kept")
            return
        best = "best so far" if state.waiting == 0 else f"best is update {state.best_update:,}"
        self.reporter.say("\n".join([f"{told} ({best}; took {duration(took)})", *found.examples()]))

    def save(self) -> None:
        """Write last/."""
        note_memory(self.progress, self.updater.device)
        if self.workers.first:
            save_checkpoint(self.folder / LAST, self._state())

    def _state(self) -> Checkpoint:
        updater = self.updater
        return Checkpoint(
            weights=weight_tensors(updater.model),
            optimizer=optimizer_tensors(updater.optimizer, list(updater.parameters)),
            average=updater.average,
            carried=dict(updater.carried),
            metadata=weight_metadata(updater.model, update=self.progress.update),
            progress=self.progress,
        )

    def _without(self, error: LostWorker) -> LostWorker:
        """Save what this worker has after its last whole update if it is the first, and say how to go on."""
        self.workers.let_go()
        with contextlib.suppress(LostWorker, NonFiniteLoss):
            self.readings.read(self.progress)
        self.save()
        kept = f"it is saved in {self.folder / LAST}" if self.workers.first else "what was saved before is kept"
        hint = f"{kept}; run the same command, with as many workers as there are, to continue"
        return LostWorker(f"{error.problem} after update {self.progress.update:,}", where="training", hint=hint)
