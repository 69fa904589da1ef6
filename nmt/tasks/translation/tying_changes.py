"""A run whose matrices are tied part of the time: what is checked before, and what is done at the change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bpe.errors import UserError
from nmt.config import Config, ModelConfig
from nmt.config.checks import refuse
from nmt.config.tying import SCALES
from nmt.folder.retying import Layout, Retying, in_words
from nmt.models.build import VocabularySizes, build_empty
from nmt.models.interface import TranslationModel
from nmt.text.vocabulary import Vocabulary
from nmt.tying import Tying


@dataclass(frozen=True)
class TyingPlan:
    """When which matrices are one: `tied` names the mode of the tied part."""

    tied: Tying
    tie_at: int = 0
    "Updates that are made untied before."
    untie_at: int = 0
    "Updates after which it is untied; 0: never."

    @classmethod
    def of(cls, tied: Tying, times: Sequence[float], max_updates: int) -> TyingPlan:
        """times: tie_at and untie_at, updates or fractions of max_updates."""
        tie_at, untie_at = (max(1, round(time * max_updates)) if 0 < time < 1 else int(time) for time in times)
        return cls(tied, tie_at, untie_at)

    @property
    def changes(self) -> bool:
        """Whether the mode is not the same from first to last."""
        return bool(self.tie_at or self.untie_at)

    @property
    def modes(self) -> tuple[Tying, ...]:
        """Those that a run has, early or late."""
        return (self.tied, Tying.UNTIED) if self.changes else (self.tied,)

    def mode_at(self, update: int) -> Tying:
        """How the matrices are tied once so many updates have been made."""
        untied = update < self.tie_at or (self.untie_at and update >= self.untie_at)
        return Tying.UNTIED if untied else self.tied

    def describe(self) -> str:
        """For people."""
        if self.tie_at:
            return f"untied until update {self.tie_at:,}, {self.tied.value} from there on"
        return f"{self.tied.value} until update {self.untie_at:,}, untied from there on"


def plan_of(config: Config) -> TyingPlan:
    """When which matrices are one."""
    settings = config.training
    return TyingPlan.of(Tying(config.model.tying), (settings.tie_at, settings.untie_at), settings.max_updates)


def check_plan(config: Config) -> None:
    """Raise a UserError where the mode and the keys of training that go by it make no sense together."""
    tied, settings = Tying(config.model.tying), config.training
    for name in ("untie_at", "tie_at"):
        value = getattr(settings, name)
        if value and tied is Tying.UNTIED:
            hint = "name the mode of the tied part with --tying, as three-way"
            raise UserError(f"is {value:g}, and nothing is tied", where=f"training.{name}", hint=hint)
        if 0 < value < 1 and (settings.patience or settings.max_minutes):
            key = "patience" if settings.patience else "max_minutes"
            update = round(value * settings.max_updates)
            raise UserError(
                f"is {value:g} of the updates, and training.{key} = {getattr(settings, key):g} may end training before "
                f"the {settings.max_updates:,} of training.max_updates",
                where=f"training.{name}",
                hint=f"set training.{key}=0, or name an update, as {update}",
            )
    if settings.tie_keep != "mean" and not settings.tie_at:
        refuse("training.tie_keep", settings.tie_keep, "nothing becomes one (training.tie_at)")
    if settings.tie_keep == "source" and tied is Tying.DECODER:
        refuse("training.tie_keep", "source", "decoder tying leaves the source's matrix as it is")
    for role in settings.gradient_scales():
        if not tied.shares(role):
            refuse(SCALES, ", ".join(settings.tie_gradient_scale), f"{tied.value} tying leaves {role} its own matrix")


@dataclass(frozen=True)
class TyingChange:
    """See nmt.tasks.interface.Change."""

    model: TranslationModel
    told: str
    _rows: Retying

    @classmethod
    def of(cls, config: Config, vocabulary: Vocabulary, before: Tying, after: Tying) -> TyingChange:
        """Between two modes of a run."""
        keep = None if after is Tying.UNTIED else config.training.tie_keep
        first, second = (layout_of(config.model.tied(mode)) for mode in (before, after))
        model = build_empty(config.model.tied(after), VocabularySizes.of(vocabulary), torch.device("cpu"))
        told = f"tying changes {in_words(before, after, keep)}; so do the optimizer's states and the moving average"
        return cls(model, told, Retying(vocabulary, first, second, keep))

    def weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See Change.weights."""
        return self._rows.weights({name: tensor.cpu() for name, tensor in tensors.items()})

    def states(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See Change.states."""
        return self._rows.states(tensors)


def layout_of(model: ModelConfig) -> Layout:
    """Where the rows of a model's matrices are."""
    return Layout.of(Tying(model.tying), union_target=model.union_target)
