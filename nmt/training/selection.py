"""Which weights of a run are its best: the best validation's, or the mean of the last ones'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nmt.averaging import AVERAGE, RECENT, RecentWeights, with_weights
from nmt.bundle import BEST
from nmt.config import TrainingConfig
from nmt.models.interface import TranslationModel
from nmt.training.checkpoint import Progress
from nmt.training.validation import Validation, Validator
from nmt.weights import save_tensors, weight_metadata, weight_tensors


class Selection:
    """Writes the best weights into the model folder, and the last few where their mean is asked for."""

    def __init__(self, folder: Path, settings: TrainingConfig, say: Callable[[str], None]) -> None:
        self.folder, self.settings, self.say = folder, settings, say
        self.recent = RecentWeights(folder / RECENT, settings.average_last)

    def judge(self, model: TranslationModel, found: Validation, state: Progress) -> None:
        """Keep the weights if they are the best so far."""
        self.recent.add(state.update, weight_tensors(model), weight_metadata(model, update=state.update))
        score = self._score(found)
        if state.best_score is not None and score <= state.best_score:
            state.waiting += 1
            return
        state.best_score, state.best_update, state.waiting = score, state.update, 0
        extra = {"update": state.update, "cross_entropy": found.cross_entropy, "bleu": found.bleu}
        save_tensors(self.folder / BEST, weight_tensors(model), weight_metadata(model, **extra))

    def try_average(
        self, model: TranslationModel, validator: Validator, tick: Callable[[], None], state: Progress
    ) -> None:
        """The mean of the last validations' weights becomes the best if it scores better; the run's own stay."""
        if min(self.recent.count, len(self.recent.files())) < 2:
            return
        average = self.recent.average()
        with with_weights(model, average.tensors):
            found = validator.run(model, tick)
        score = self._score(found)
        better = state.best_score is None or score > state.best_score
        extra = {"update": str(state.update), "cross_entropy": str(found.cross_entropy), "bleu": str(found.bleu)}
        save_tensors(self.folder / (BEST if better else AVERAGE), average.tensors, average.metadata | extra)
        if better:
            state.best_score, state.best_update = score, state.update
        outcome = f"better, now {BEST}" if better else f"not better than update {state.best_update:,}, in {AVERAGE}"
        self.say(
            f"average of the last {average.metadata['averaged']} validations' weights: "
            f"cross entropy {found.cross_entropy:.3f}"
            + (f", BLEU {found.bleu:.2f}" if found.bleu is not None else "")
            + f": {outcome}"
        )

    def _score(self, found: Validation) -> float:
        wanted = found.bleu if self.settings.validation_metric == "bleu" else None
        return -found.cost if wanted is None else wanted
