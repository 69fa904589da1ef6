"""Searching so that pieces that are counted, numbered placeholders, are written as often as they are to be.

Models mostly write them so by themselves, so they are first searched without counting; those sentences for which some
translation has too few or too many are searched again, and then no hypothesis may have other numbers of them: see
`nmt.search.rules.keep_to_counts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nmt.search.hypothesis import Hypothesis
from nmt.search.request import Wanted

Search = Callable[[Sequence[np.ndarray], Wanted], list[list[Hypothesis]]]
"Sources and what is wanted of them -> the translations of each."


@dataclass(frozen=True)
class Amiss:
    """Of the counted pieces in a sentence's best translation, as the model would have it."""

    missing: int = 0
    "Pieces that it leaves out."
    invented: int = 0
    "Pieces too many."


NOTHING_AMISS = Amiss()


def counted_search(
    search: Search, sources: Sequence[np.ndarray], wanted: Wanted
) -> tuple[list[list[Hypothesis]], list[Amiss]]:
    """The translations of each source, and what was amiss with the best before it was searched again."""
    quotas = wanted.quotas
    if quotas is None or not wanted.counted:
        return search(sources, wanted), [NOTHING_AMISS] * len(sources)
    found = search(sources, replace(wanted, quotas=None))
    counted = frozenset(wanted.counted)
    amiss = [_amiss(each[0], quota, counted) for each, quota in zip(found, quotas, strict=True)]
    again = [
        sentence
        for sentence, (each, quota) in enumerate(zip(found, quotas, strict=True))
        if any(_amiss(hypothesis, quota, counted) != NOTHING_AMISS for hypothesis in each)
    ]
    if again:
        more = search([sources[sentence] for sentence in again], _of(wanted, again))
        for sentence, each in zip(again, more, strict=True):
            found[sentence] = each
    return found, amiss


def _amiss(hypothesis: Hypothesis, quota: Mapping[int, int], counted: frozenset[int]) -> Amiss:
    written = Counter(piece for piece in hypothesis.pieces if piece in counted)
    wanted = Counter(quota)
    return Amiss((wanted - written).total(), (written - wanted).total())


def _of(wanted: Wanted, sentences: Sequence[int]) -> Wanted:
    """What is wanted of some of the sentences, whose progress is told already."""
    assert wanted.quotas is not None
    return replace(
        wanted,
        quotas=[wanted.quotas[sentence] for sentence in sentences],
        prefixes=None if wanted.prefixes is None else [wanted.prefixes[sentence] for sentence in sentences],
        numbers=list(sentences) if wanted.numbers is None else [wanted.numbers[sentence] for sentence in sentences],
        progress=None,
    )
