"""How much two languages share of a joint BPE: Table 1 of Press & Wolf (2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Overlap:
    """Distinct pieces by the side on which they occur, and the running pieces (every occurrence counted).

    source_only, target_only, both: distinct pieces, the three columns of Table 1.
    source_running, target_running: all pieces of a side. *_running_shared: those whose piece occurs on both sides.
    """

    source_only: int
    target_only: int
    both: int
    source_running: int
    target_running: int
    source_running_shared: int
    target_running_shared: int

    @classmethod
    def of(cls, source: Mapping[str, int], target: Mapping[str, int]) -> Overlap:
        """From the counts of pieces on each side; pieces counted zero times do not occur."""
        source = {piece: count for piece, count in source.items() if count > 0}
        target = {piece: count for piece, count in target.items() if count > 0}
        shared = source.keys() & target.keys()
        return cls(
            source_only=len(source) - len(shared),
            target_only=len(target) - len(shared),
            both=len(shared),
            source_running=sum(source.values()),
            target_running=sum(target.values()),
            source_running_shared=sum(source[piece] for piece in shared),
            target_running_shared=sum(target[piece] for piece in shared),
        )

    @property
    def union(self) -> int:
        """Distinct pieces of both sides together."""
        return self.source_only + self.target_only + self.both

    @property
    def running_share(self) -> float:
        """Share of all running pieces, both sides together, whose piece occurs on both sides (0 without text)."""
        running = self.source_running + self.target_running
        return (self.source_running_shared + self.target_running_shared) / running if running else 0.0

    def row(self, name: str = "") -> str:
        """Table 1's row in words: 'en-de: 2,012 only in source, 7,040 only in target, 85,114 in both (...)'."""
        start = f"{name}: " if name else ""
        return (
            f"{start}{self.source_only:,} only in source, {self.target_only:,} only in target, {self.both:,} in both "
            f"({100 * self.running_share:.1f}% of running pieces are in both)"
        )

    def as_dict(self) -> dict[str, int | float]:
        """The fields, the union and the share, for JSON."""
        return {**asdict(self), "union": self.union, "running_share": self.running_share}
