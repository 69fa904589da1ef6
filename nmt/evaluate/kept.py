"""How many placeholders, tags and addresses of sources are in their translations: a count that needs no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nmt.text.protection import ALL, Patterns


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Strings of `nmt.text.protection.CLASSES`, each counted as often as it occurs."""

    num_strings: int
    "In the sources."
    num_kept: int
    "Of these, in the translations of their lines."
    num_added: int
    "In the translations, but not in the sources of their lines."
    num_lines: int
    "Sources that have any."


def count_kept(sources: Sequence[str], translations: Sequence[str], names: Sequence[str] = (ALL,)) -> Kept:
    """Count over lines and their translations. names: what is counted, as in `Patterns`."""
    patterns = Patterns(names, "--protect")
    strings = kept = added = lines = 0
    for source, translation in zip(sources, translations, strict=True):
        wanted, found = _strings(patterns, source), _strings(patterns, translation)
        # A string of the source counts wherever it stands, also where what it touches makes more or less of a match.
        there = sum(min(count, translation.count(string)) for string, count in wanted.items())
        strings, kept, lines = strings + wanted.total(), kept + there, lines + bool(wanted)
        added += sum(count for string, count in (found - wanted).items() if not any(string in one for one in wanted))
    return Kept(num_strings=strings, num_kept=kept, num_added=added, num_lines=lines)


def _strings(patterns: Patterns, line: str) -> Counter[str]:
    return Counter(line[span.start : span.stop] for span in patterns.named(line))
