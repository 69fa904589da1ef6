"""What nmt-score is given: parallel lines, n-best lists, or the JSON lines of nmt-translate. Read as it is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.translate.scorer import Scorer

KEPT_LINES = 100_000
"Source lines of an n-best list that can be gone back to without reading all of them into memory."
MAKE_JSON = "write it with nmt-translate --json"


@dataclass(frozen=True)
class Piecewise:
    """What the model is asked at once."""

    source: Sequence[str]
    target: Sequence[str]
    finished: bool = True
    "Whether </s> follows and counts; False: a translation that was cut."


@dataclass(frozen=True)
class ScoredEntry:
    """What is scored as one."""

    parts: Sequence[Piecewise]
    "One, unless a line was translated in parts; none of a blank line, which is not the model's."
    text: str
    number: int | None = None
    "Of the source line in a list, from 0."


@dataclass(frozen=True)
class Reader:
    """Makes entries of lines. segmented: lines are pieces with a space between each two."""

    scorer: Scorer
    segmented: bool = False

    def parallel(self, source_path: str, target_path: str) -> Iterator[ScoredEntry]:
        """Line n of one file with line n of the other."""
        source, target = read_lines(Path(source_path)), read_lines(Path(target_path))
        for done, (first, second) in enumerate(zip_longest(source, target)):
            if first is None or second is None:
                ends = ((first, source), (second, target))
                counts = [done + (line is not None) + sum(1 for _ in rest) for line, rest in ends]
                raise UserError(
                    f"{source_path} has {counts[0]:,} lines but {target_path} has {counts[1]:,}",
                    hint="line n of one must translate line n of the other",
                )
            yield self._entry(first, second)

    def listed(self, source_path: str, list_path: str) -> Iterator[ScoredEntry]:
        """Each line of an n-best list with the source line that its number names."""
        sources = SourceLines(source_path)
        for line_number, line in enumerate(read_lines(Path(list_path)), 1):
            fields = [field.strip() for field in line.split("|||")]
            place = f"{list_path}:{line_number}"
            if len(fields) < 2 or not (fields[0].isascii() and fields[0].isdigit()):
                raise UserError("no line of an n-best list", where=place, hint="write number ||| text ||| score")
            number = int(fields[0])
            source = sources.line(number)
            if source is None:
                problem = f"translates line {number}, counted from 0, but {source_path} has {sources.end:,} lines"
                raise UserError(problem, where=place, hint="name the source that the list was made from")
            yield self._entry(source, fields[1], number)

    def _entry(self, source: str, target: str, number: int | None = None) -> ScoredEntry:
        return ScoredEntry([Piecewise(*self.scorer.pieces(source, target, self.segmented))], target, number)


class SourceLines:
    """Lines of a file by number. A list names them in order: what is far behind is forgotten, or all are kept."""

    def __init__(self, path: str) -> None:
        self.path, self.kept = Path(path), dict[int, str]()
        self.end = 0
        "Lines read so far."
        self._rest, self._all = read_lines(self.path), False

    def line(self, number: int) -> str | None:
        """The line of a number from 0; None: there are fewer."""
        if number < self.end and number not in self.kept:  # further back than a list in order goes
            self.kept, self._all = dict(enumerate(read_lines(self.path))), True
            self.end, self._rest = len(self.kept), iter(())
        while number >= self.end and (line := next(self._rest, None)) is not None:
            self.kept[self.end] = line
            self.end += 1
            if not self._all:
                self.kept.pop(self.end - 1 - KEPT_LINES, None)
        return self.kept.get(number)


def translations(path: str) -> Iterator[ScoredEntry]:
    """Every translation in the JSON lines of nmt-translate, with the pieces that the model read and wrote.

    Needed of a line are source_pieces, and of each of its translations text, pieces, finished and, if there, parts.
    """
    for number, line in enumerate(read_lines(Path(path))):
        place = f"{path}:{number + 1}"
        try:
            record = json.loads(line)
        except ValueError:
            raise UserError("not JSON", where=place, hint=MAKE_JSON) from None
        try:
            found = [_translation(record, each, number) for each in record["translations"]]
        except (KeyError, TypeError) as error:
            raise UserError(f"no line of nmt-translate --json ({error})", where=place, hint=MAKE_JSON) from None
        yield from found


def _translation(record: dict[str, Any], found: dict[str, Any], number: int) -> ScoredEntry:
    whole = {"source_pieces": record["source_pieces"], "pieces": found["pieces"], "finished": found["finished"]}
    parts = [
        Piecewise(_strings(part["source_pieces"]), _strings(part["pieces"]), bool(part["finished"]))
        for part in found.get("parts", [whole])
    ]
    return ScoredEntry([part for part in parts if part.source], str(found["text"]), number)


def _strings(pieces: Any) -> list[str]:
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        raise TypeError("pieces are a list of strings")
    return pieces
