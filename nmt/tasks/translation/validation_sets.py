"""Several validation sets: each is scored, and one of them chooses the best weights and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bpe.errors import UserError
from nmt.data.corpus import VALID, PreparedCorpus
from nmt.models.interface import TranslationModel
from nmt.tasks.translation.validation import TranslationScores, TranslationValidator

KEY = "training.validation_set"


def chosen_split(corpus: PreparedCorpus, name: str) -> str:
    """The split of the set that is named in training.validation_set; one that is not there is a UserError."""
    split = name if name == VALID else f"{VALID}.{name}"
    if split not in corpus.validation_sets:
        there = ", ".join(one.removeprefix(f"{VALID}.") for one in corpus.validation_sets)
        raise UserError(f"no validation set {name!r} was prepared", where=KEY, hint=f"{corpus.folder} holds {there}")
    return split


@dataclass(frozen=True)
class SetScores:
    """The scores of every set. What is compared and kept is the chosen one's."""

    name: str
    "Split of the chosen set."
    chosen: TranslationScores
    others: Mapping[str, TranslationScores]
    "By their splits."

    @property
    def finite(self) -> bool:
        """See Validation.finite."""
        return self.chosen.finite

    def score(self, metric: str) -> float:
        """See Validation.score."""
        return self.chosen.score(metric)

    def figures(self) -> dict[str, float | None]:
        """The chosen set's, and those of the others with their splits before them, as valid.news.bleu."""
        figures = self.chosen.figures()
        for split, scores in self.others.items():
            figures |= {f"{split}.{name}": value for name, value in scores.figures().items()}
        return figures

    def metadata(self) -> dict[str, float | None]:
        """See Validation.metadata."""
        return self.chosen.metadata()

    def describe(self) -> str:
        """The chosen set's scores."""
        return f"{self.name} {self.chosen.describe()}"

    def examples(self) -> Sequence[str]:
        """The scores of the other sets, a line each, and the chosen one's examples."""
        lines = [f"  {split} {scores.describe()}" for split, scores in self.others.items()]
        return [*lines, *self.chosen.examples()]


class SetsValidator:
    """Validates on every set, the chosen one first."""

    def __init__(self, chosen: TranslationValidator, others: Sequence[TranslationValidator]) -> None:
        self.chosen, self.others = chosen, others

    def run(self, model: TranslationModel, tick: Callable[[], None]) -> SetScores:
        """See Validator.run."""
        found = self.chosen.run(model, tick)
        return SetScores(self.chosen.split, found, {each.split: each.run(model, tick) for each in self.others})

    def try_largest(self, model: TranslationModel) -> None:
        """See Validator.try_largest."""
        for each in (self.chosen, *self.others):
            each.try_largest(model)
