"""Tying while training runs: when matrices are tied, and how much a role's gradient counts where they are.

The keys are of the section training; what they mean together with the mode, `TyingPlan` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bpe.errors import UserError
from nmt.config.checks import choice, refuse, require
from nmt.tying import ROLES, Tying

SCALES = "training.tie_gradient_scale"


def parse_scales(texts: Sequence[str]) -> dict[str, float]:
    """ROLE=NUMBER each, by role, or a UserError."""
    scales: dict[str, float] = {}
    for text in texts:
        role, equals, number = text.partition("=")
        try:
            scale = float(number)
        except ValueError:
            scale = math.nan
        if not equals or not 0 <= scale < math.inf:
            hint = "for example output=0.5"
            raise UserError(f"{text!r} is not ROLE=NUMBER with a number of 0 or more", where=SCALES, hint=hint)
        choice(SCALES, role, ROLES)
        if role in scales:
            refuse(SCALES, ", ".join(texts), f"{role} is named twice")
        scales[role] = scale
    return scales


def check_times(untie_at: float, tie_at: float) -> None:
    """Each is an update, or a fraction of all; one of them alone makes sense."""
    for key, value in (("training.untie_at", untie_at), ("training.tie_at", tie_at)):
        whole = value < 1 or value == int(value) if 0 <= value < math.inf else False
        require(whole, key, value, "a fraction below 1, or the whole number of an update; 0: none")
    if untie_at and tie_at:
        refuse("training.tie_at", tie_at, f"a run changes once, and training.untie_at is {untie_at:g}")


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
