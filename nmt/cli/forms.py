"""How translations are written: plain text, n-best lists or JSON, and what is written beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from bpe.errors import UserError
from bpe.textfiles import read_lines
from nmt.config import require
from nmt.translate.lines import Translation
from nmt.translate.translator import Translator

Write = Callable[[bytes], object]


@dataclass(frozen=True, kw_only=True)
class Form:
    """What to write for a line."""

    num_best: int | None = None
    "Translations of each line; None: one, without its number."
    as_json: bool = False
    attention: bool = False
    "In JSON, the attention's weights too."

    def __post_init__(self) -> None:
        if self.num_best is not None:
            require(self.num_best >= 1, "--n-best", self.num_best, "1 or more")
        if self.attention and not self.as_json:
            raise UserError("--attention is written with --json only", hint="add --json")

    def text(self, line: str, number: int, found: Sequence[Translation]) -> str:
        """The output for input line `number`, from 0, without its last line feed."""
        if self.as_json:
            listed = [self._fields(translation) for translation in found]
            head: dict[str, Any] = {"source": line, "source_pieces": found[0].source_pieces}
            if found[0].strings:
                head["placeholders"] = found[0].strings
            return json.dumps(head | {"translations": listed}, ensure_ascii=False)
        if self.num_best is None:
            return found[0].text
        return "\n".join(f"{number} ||| {each.text} ||| {each.score:.6f}" for each in found)

    def _fields(self, found: Translation) -> dict[str, Any]:
        names = ("text", "pieces", "log_probs", "log_prob", "score", "finished")
        fields = {name: getattr(found, name) for name in names} | {"alignment": found.alignment()}
        if found.language_log_prob is not None:
            fields["language_log_prob"] = found.language_log_prob
        if self.attention and found.attention is not None:
            fields["attention"] = [[round(weight, 6) for weight in row] for row in found.attention.tolist()]
        if found.parts:  # what the model saw, each by itself: nmt-score needs it
            of_part: tuple[str, ...] = ("source_pieces", "pieces", "log_probs", "log_prob", "finished")
            fields["parts"] = [{name: getattr(part, name) for name in of_part} for part in found.parts]
        return fields


class Note(Protocol):
    """Tells of something that is seen in translations, once."""

    def add(self, number: int, translations: Sequence[Translation]) -> None:
        """What is written for line `number`, from 1."""

    def end(self) -> None:
        """All lines are answered."""


class Prefixes:
    """What the translation of each line must begin with, read along with the input."""

    def __init__(self, path: str) -> None:
        self.path, self.number = path, 0
        self.lines: Iterator[str] = read_lines(Path(path))

    def next(self, count: int) -> list[str]:
        """Those of the next `count` lines."""
        found = list(islice(self.lines, count))
        self.number += len(found)
        if len(found) < count:
            raise UserError(
                f"has {self.number:,} lines, but the input has more", where=self.path, hint="one for each; blank: none"
            )
        return found


class Writer:
    """Translates blocks of lines and says what is written for each."""

    def __init__(self, translator: Translator, form: Form) -> None:
        self.translator, self.form = translator, form
        self.number = 0
        "Lines answered so far."
        self.prefixes: Prefixes | None = None
        self.alignments: Write | None = None
        "Where the best translation's alignment is written, a line for each line."
        self.watch: Callable[[list[str], list[list[Translation]]], object] | None = None
        "Is shown every line and its translations."
        self.notes: Sequence[Note] = ()
        "Are shown every line's translations, to tell of what is amiss."

    def lines(self, lines: list[str], progress: Callable[[int], object]) -> list[str]:
        """What is written for each of the lines, without its last line feed."""
        attention = self.form.as_json or self.alignments is not None or self.watch is not None
        found = self.translator.translate_detailed(
            lines,
            num_best=self.form.num_best or 1,
            attention=attention,
            prefixes=self.prefixes.next(len(lines)) if self.prefixes else None,
            first_line=self.number,
            progress=progress,
        )
        if self.alignments:
            self.alignments(b"".join(f"{each[0].alignment()}\n".encode() for each in found))
        if self.watch:
            self.watch(lines, found)
        for note in self.notes:
            for number, each in enumerate(found, self.number + 1):
                note.add(number, each)
        pairs = enumerate(zip(lines, found, strict=True), self.number)
        self.number += len(lines)
        return [self.form.text(line, number, each) for number, (line, each) in pairs]
