"""When, where, with which versions and by which command a report was made: its first line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from nmt.device import machine
from nmt.folder.bundle import versions


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What stands above a report's numbers."""

    date: str
    machine: str
    versions: dict[str, str]
    command: str

    @classmethod
    def now(cls, command: str, trained: Mapping[str, str] | None = None) -> Provenance:
        """Here and today. trained: versions of the programs that trained the models, where others did."""
        today = datetime.now(UTC).date().isoformat()
        return cls(date=today, machine=machine(), versions=dict(trained or versions()), command=command)

    @property
    def line(self) -> str:
        """For people."""
        made = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{self.date}, {self.machine}; {made}. Command: {self.command}"
