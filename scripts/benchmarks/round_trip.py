"""Lines -> words -> lines: how many do not come back byte for byte, and how fast it goes, in every language of folders.

Files are those whose names end in a language code (train.en, test.en-de.de.gz). Runs of spaces (U+0020) and those
around a line are left aside.
"""

from __future__ import annotations

import re
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from bpe.command import Parser
from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.prepare.names import names_language
from nmt.text.languages import TAG, code_of
from nmt.text.tokenization import comes_back, make_tokenizer
from scripts.benchmarks.report import Column, Row, Table, facts, write_json

NAME = re.compile(rf".*?\.(?P<language>{TAG})(?:\.gz)?")
WAYS = {
    "reversible": ("reversible", "none"),
    "moses": ("moses", "none"),
    "moses, normalised": ("moses", "moses"),
}
"What is measured: tokenizer and normalisation."
CHUNK = 5_000


@dataclass
class Found:
    """What came of the lines of one folder and language, all times in seconds of the processor."""

    lines: int = 0
    changed: int = 0
    words: int = 0
    there: float = 0.0
    back: float = 0.0
    examples: list[tuple[str, str]] = field(default_factory=list)


def arguments(argv: list[str]) -> Namespace:
    """The command line."""
    parser = Parser(prog="scripts/bench text", description=__doc__, allow_abbrev=False)
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, metavar="DIR", help="folders of text")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), metavar="WAY", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--lines", type=int, metavar="N", help="the first N lines of each file (default: all)")
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="print N lines that do not come back")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    wanted = parser.parse_args(argv)
    if unknown := set(wanted.ways) - set(WAYS):
        raise UserError(
            f"unknown: {', '.join(sorted(unknown))}", where="--ways", hint=f"give some of {', '.join(WAYS)}"
        )
    return wanted


def files_of(folder: Path) -> dict[str, list[Path]]:
    """The text files of a folder by language."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        match = NAME.fullmatch(path.name)
        if match and names_language(match["language"]) and path.is_file():
            found.setdefault(match["language"], []).append(path)
    if not found:
        raise UserError("no text files named by a language", where=folder, hint="as train.en or test.de.gz")
    return found


def measure(paths: Sequence[Path], language: str, way: str, limit: int | None, examples: int) -> Found:
    """Take every line there and back."""
    name, normalize = WAYS[way]
    tokenizer = make_tokenizer(name, code_of(language), normalize=normalize)
    found = Found()
    for chunk in _chunks(paths, limit):
        start = time.process_time()
        words = list(map(tokenizer.words, chunk))
        middle = time.process_time()
        back = list(map(tokenizer.text, words))
        found.there += middle - start
        found.back += time.process_time() - middle
        found.lines += len(chunk)
        found.words += sum(map(len, words))
        for line, own, text in zip(chunk, words, back, strict=True):
            if text != line and not comes_back(tokenizer, line, own):
                found.changed += 1
                found.examples += [(line, text)] if len(found.examples) < examples else []
    return found


def _chunks(paths: Sequence[Path], limit: int | None) -> Iterator[list[str]]:
    for path in paths:
        lines = islice(read_lines(path), limit)
        while chunk := list(islice(lines, CHUNK)):
            yield chunk


def row_of(folder: Path, language: str, found: dict[str, Found]) -> Row:
    """The table's line."""
    row: Row = {"corpus": folder.name, "language": language, "lines": next(iter(found.values())).lines}
    for way, one in found.items():
        row[way] = f"{one.changed:,} ({one.changed / max(1, one.lines):.1%})"
        row[f"{way} changed"], row[f"{way} words"] = one.changed, one.words
        row[f"{way} there"], row[f"{way} back"] = one.there, one.back
    return row


def speeds(rows: Sequence[Row], ways: Sequence[str]) -> list[Row]:
    """Words a second there and back, over everything."""
    found = []
    for way in ways:
        words, there, back = (sum(row[f"{way} {what}"] for row in rows) for what in ("words", "there", "back"))
        found.append({"way": way, "words": words, "there": words / max(there, 1e-9), "back": words / max(back, 1e-9)})
    return found


def main(argv: list[str]) -> None:
    """Measure, print and write."""
    wanted = arguments(argv)
    rows = []
    for folder, files in {folder: files_of(folder) for folder in wanted.corpus}.items():
        for language, paths in files.items():
            found = {way: measure(paths, language, way, wanted.lines, wanted.examples) for way in wanted.ways}
            rows.append(row_of(folder, language, found))
            for way, one in found.items():
                for line, text in one.examples:
                    print(f"{folder.name} {language}, {way}:\n  {line!r}\n  {text!r}")
    about = facts("text", argv, ("sacremoses",))
    columns = [Column("corpus", "corpus"), Column("", "language"), Column("lines", "lines", ",")]
    columns += [Column(way, way) for way in wanted.ways]
    trips = Table(title="Lines that do not come back", columns=columns, rows=rows, notes=[])
    columns = [Column("", "way"), Column("words", "words", ","), Column("words/s", "there", ",.0f")]
    columns += [Column("words/s back", "back", ",.0f")]
    speed = Table(title="Speed, of one processor", columns=columns, rows=speeds(rows, wanted.ways), notes=[])
    print(f"{about.text()}\n\n{trips.text()}\n\n{speed.text()}")
    if wanted.json:
        write_json(wanted.json, about, {"rows": rows, "speed": speed.rows})
