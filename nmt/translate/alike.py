"""Texts of like length, which are scored together."""

from __future__ import annotations

from collections.abc import Sequence

BATCH_TOKENS = 2048
"Padded positions of a side in one batch at most, unless one pair alone has more."


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of like length together, at most BATCH_TOKENS padded positions a batch unless one alone has more."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    groups: list[list[int]] = []
    for index in order:
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= BATCH_TOKENS:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
