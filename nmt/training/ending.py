"""When training is over, and what is said of a run that cannot go on."""

from __future__ import annotations

from pathlib import Path

from bpe.errors import UserError
from bpe.progress import duration
from nmt.config import TrainingConfig
from nmt.training.progress import TrainingProgress


def reason_to_stop(state: TrainingProgress, settings: TrainingConfig) -> str:
    """Why training is over, or '' where it is not."""
    if settings.max_epochs and state.epoch >= settings.max_epochs:
        return f"{state.epoch:,} epochs of {settings.max_epochs:,}"
    if state.update >= settings.max_updates:
        return f"{state.update:,} updates of {settings.max_updates:,}"
    if settings.max_minutes and state.seconds >= 60 * settings.max_minutes:
        return f"{settings.max_minutes:g} minutes"
    if settings.patience and state.waiting >= settings.patience:
        return f"no improvement in {state.waiting} validations"
    return ""


def time_left(state: TrainingProgress, settings: TrainingConfig) -> str:
    """For people, after an update: the time that is gone, and the most that is left."""
    if settings.max_epochs and not state.epoch:
        return f"{duration(state.seconds)} gone"  # how long an epoch takes is not known yet
    left = state.seconds / state.update * (settings.max_updates - state.update)
    if settings.max_epochs:
        left = min(left, state.seconds / state.epoch * (settings.max_epochs - state.epoch))
    if settings.max_minutes:
        left = min(left, 60 * settings.max_minutes - state.seconds)
    return f"{duration(state.seconds)} gone, at most {duration(max(left, 0))} left"


def diverged(problem: str, last: Path) -> UserError:
    """An update that could not be made; last: where the state before it is."""
    hint = f"the state before it is in {last}; lower training.learning_rate and run again"
    return UserError(problem, where="training", hint=hint)


def without_best(ended: str) -> UserError:
    """Training is over, and no validation gave a score; the state is saved, and a higher limit would go on from it."""
    return UserError(
        f"no validation gave a finite score, so that there are no best weights (ended after {ended})",
        where="training",
        hint="lower training.learning_rate and start over with --force",
    )
