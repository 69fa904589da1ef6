"""Which weights of a run are its best: the best validation's, or the mean of the last ones'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nmt.config import TrainingConfig
from nmt.folder.averaging import AVERAGE, RECENT, RecentWeights, with_weights
from nmt.folder.bundle import BEST
from nmt.folder.weights import save_tensors, weight_metadata, weight_tensors
from nmt.models.interface import TrainableModel
from nmt.tasks.interface import Validation, Validator
from nmt.training.progress import TrainingProgress


class Selection:
    """Writes the best weights into the model folder, and the last few where their mean is asked for."""

    def __init__(self, folder: Path, settings: TrainingConfig, say: Callable[[str], None]) -> None:
        self.folder, self.settings, self.say = folder, settings, say
        self.recent = RecentWeights(folder / RECENT, settings.average_last)

    def judge(self, model: TrainableModel, found: Validation, state: TrainingProgress) -> None:
        """Keep the weights if they are the best so far. What is not finite is no improvement, and not kept."""
        if not found.finite:
            state.judge(None)
            return
        self.recent.add(state.update, weight_tensors(model), weight_metadata(model, update=state.update))
        if state.judge(found.score(self.settings.validation_metric)):
            extra = {"update": state.update, **found.metadata()}
            save_tensors(self.folder / BEST, weight_tensors(model), weight_metadata(model, **extra))

    def try_average(
        self, model: TrainableModel, validator: Validator, tick: Callable[[], None], state: TrainingProgress
    ) -> None:
        """The mean of the last validations' weights becomes the best if it scores better; the run's own stay."""
        if len(self.recent.alike()) < 2:
            return
        average = self.recent.average()
        with with_weights(model, average.tensors):
            found = validator.run(model, tick)
        told = f"average of the last {average.metadata['averaged']} validations' weights: {found.describe()}: "
        if not found.finite:
            self.say(f"{told}not finite, not kept")
            return
        score = found.score(self.settings.validation_metric)
        better = state.improves(score)
        extra = {name: str(value) for name, value in {"update": state.update, **found.metadata()}.items()}
        save_tensors(self.folder / (BEST if better else AVERAGE), average.tensors, average.metadata | extra)
        if better:
            state.take_average(score)
        outcome = f"better, now {BEST}" if better else f"not better than update {state.best_update:,}, in {AVERAGE}"
        self.say(told + outcome)
