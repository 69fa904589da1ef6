"""A place in the training data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """Place of a batch in training, all from 0. block: part of the epoch, of which there may be one alone."""

    epoch: int
    block: int
    batch: int
