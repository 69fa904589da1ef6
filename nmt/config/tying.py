"""Tying while training runs: when matrices are tied, and how much a role's gradient counts where they are.

The keys are of the section training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bpe.errors import UserError
from nmt.config.checks import choice, refuse, require
from nmt.tying import ROLES

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
