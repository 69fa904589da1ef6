"""What the page for the whole paper is written from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nmt.reproduce.provenance import Provenance
from nmt.reproduce.whole.sources import KINDS, FoundReport, load_report

FORMAT, FORMAT_VERSION = "nmt-paper", 1


@dataclass(frozen=True)
class WholePaper:
    """The reports of all tables that are there."""

    made: Provenance
    reports: dict[str, list[FoundReport]]
    "Key of KINDS -> its reports."

    @cached_property
    def records(self) -> Mapping[str, list[Any]]:
        """The same as records of each table's own kind."""
        return {key: [load_report(key, report) for report in self.reports.get(key, [])] for key in KINDS}

    @property
    def absent(self) -> list[str]:
        """The tables without a report."""
        return [key for key in KINDS if not self.records[key]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"format": FORMAT, "version": FORMAT_VERSION, **dataclasses.asdict(self)}
