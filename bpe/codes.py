"""The merge table and its file, in subword-nmt's format (Sennrich et al., 2016; files of versions 0.1 and 0.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bpe.compressed import DamagedData
from bpe.errors import UserError
from bpe.textfiles import decode_line, open_binary, write_lines

END_OF_WORD = "</w>"
"Marks the end of a word: in version 0.2 part of the last character's symbol, in 0.1 a symbol of its own."
VERSIONS = ((0, 1), (0, 2))
VERSION_PREFIX = "#version:"


@dataclass(frozen=True)
class MergeTable:
    """Merges in the order in which they were learned and are applied.

    merges: pairs of symbols. version: (0, 2), or (0, 1) for files without a version line.
    """

    merges: tuple[tuple[str, str], ...]
    version: tuple[int, int] = (0, 2)

    def __len__(self) -> int:
        return len(self.merges)

    def first(self, num_merges: int) -> MergeTable:
        """The table of the first merges only, all where there are fewer. A negative number is a UserError."""
        if num_merges < 0:
            raise UserError(f"{num_merges} merges are out of range: it must be 0 or more")
        return MergeTable(self.merges[:num_merges], self.version)

    @classmethod
    def load(cls, path: Path | str) -> MergeTable:
        """Read a codes file, plain or compressed. A missing, foreign or damaged one is a UserError with its place."""
        lines = list(_raw_lines(Path(path)))
        while len(lines) > 1 and not lines[-1]:
            lines.pop()
        if not lines or not lines[0]:
            raise UserError("no BPE codes: the file is empty", where=path, hint="learn them with python -m bpe.learn")
        if not lines[0].startswith(VERSION_PREFIX):
            return cls(tuple(_parse_merge(line, path, number) for number, line in enumerate(lines, 1)), (0, 1))
        version = _parse_version(lines[0], path)
        return cls(tuple(_parse_merge(line, path, number) for number, line in enumerate(lines[1:], 2)), version)

    def save(self, path: Path | str) -> None:
        """Write the file atomically, the bytes that subword-nmt 0.3.8 would write. A failed write is a UserError."""
        head = [] if self.version == (0, 1) else [f"{VERSION_PREFIX} {self.version[0]}.{self.version[1]}"]
        write_lines(path, [*head, *(f"{first} {second}" for first, second in self.merges)])


def _raw_lines(path: Path) -> Iterator[str]:
    """Decoded lines without line ends. A carriage return is a line end only where the first line has one too:
    otherwise it is a symbol that was learned from the text."""
    windows = False
    with open_binary(path) as stream:
        try:
            for number, raw in enumerate(stream, 1):
                returned = raw.endswith(b"\r\n")
                windows = windows or (number == 1 and returned)
                yield decode_line(raw, path, number) + ("\r" if returned and not windows else "")
        except (OSError, DamagedData) as error:
            raise UserError(f"cannot be read ({error})", where=path) from None


def _parse_version(line: str, path: Path | str) -> tuple[int, int]:
    text = line.removeprefix(VERSION_PREFIX).strip()
    match = re.fullmatch(r"(\d+)\.(\d+)(\.0+)*", text)
    version = (int(match[1]), int(match[2])) if match else None
    if version not in VERSIONS:
        raise UserError(f"unknown version {text!r} of BPE codes", where=f"{path}:1", hint="0.1 and 0.2 are read")
    return version


def _parse_merge(line: str, path: Path | str, number: int) -> tuple[str, str]:
    parts = line.split(" ")
    if len(parts) != 2 or not all(parts):
        parts = line.strip("\r ").split(" ")
    if len(parts) != 2 or not all(parts):
        shown = line if len(line) <= 60 else line[:57] + "..."
        raise UserError(
            f"not a BPE merge: {shown!r}; a line has two symbols with one space between",
            where=f"{path}:{number}",
            hint="the file is damaged, or it is not a BPE codes file",
        )
    return parts[0], parts[1]
