"""What every benchmark prints and writes: tables, and the date, machine, versions and command they came from."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nmt
from bpe.textfiles import write_text
from nmt.device import machine

Row = dict[str, Any]
"One line of a table. Keys in `row['at_least']` hold lower bounds."


@dataclass(frozen=True)
class Column:
    """A printed column: its heading, the key of the rows, and the format of a value."""

    heading: str
    key: str
    format: str = ""
    scale: float = 1
    "Numbers are printed times this."

    def text(self, row: Row) -> str:
        """A row's value as it is printed."""
        value = row.get(self.key)
        if value is None:
            return "-"
        if isinstance(value, str):
            return value
        return (">" if self.key in row.get("at_least", ()) else "") + format(value * self.scale, self.format)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under a title; the first column is left-aligned text. Without columns it is the title's line."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """The table for people."""
        if not self.columns:
            return "\n".join([self.title, *(f"  {note}" for note in self.notes)])
        cells = [[column.heading for column in self.columns]]
        cells += [[column.text(row) for column in self.columns] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in cells
        ]
        return "\n".join([self.title, *lines, *(f"  {note}" for note in self.notes)])


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Where figures come from."""

    date: str
    command: str
    machine: str
    versions: dict[str, str]

    def text(self) -> str:
        """For people."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.date}, {self.machine}\n{versions}\n{self.command}"


def facts(name: str, argv: Sequence[str], packages: Sequence[str]) -> Facts:
    """Of this call of benchmark `name`; packages: whose versions decide about its figures."""
    versions = {"nmt": nmt.__version__, "python": platform.python_version()}
    return Facts(
        date=datetime.now(UTC).date().isoformat(),
        command=shlex.join(["scripts/bench", name, *argv]),
        machine=machine(),
        versions=versions | {package: _version(package) for package in packages},
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def write_json(path: Path, about: Facts, content: dict[str, Any]) -> None:
    """Write the facts and whatever the benchmark found."""
    write_text(path, json.dumps(asdict(about) | content, ensure_ascii=False, indent=1) + "\n")


def as_json(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Titles, rows and notes; how a column is printed is left out."""
    return [{"title": table.title, "rows": list(table.rows), "notes": list(table.notes)} for table in tables]
