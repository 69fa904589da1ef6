"""Both sides of a text in one file: TSV, two columns, and TMX, translation memories.

TSV has a pair a line and no quotes: what stands between the tabs is the text. TMX is XML, read as a stream; of a unit
the first segment in each of the two languages is taken, without the codes of its formatting, on one line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from bpe.compressed import DamagedData
from bpe.errors import UserError
from bpe.textfiles import open_binary, read_lines
from nmt.text import languages

SUFFIXES = (".tsv", ".tmx")
READ_BYTES = 1 << 16
CODES = frozenset(("bpt", "ept", "it", "ph", "ut"))
"TMX's elements for formatting codes of other programs; of <hi>, which only marks text, the text is kept."
LINE_ENDS = re.compile(r"[ \t]*[\r\n]+\s*")

Pair = tuple[str, str]


@dataclass(frozen=True)
class Tsv:
    """Two columns. swapped: the target is the first."""

    swapped: bool = False


@dataclass(frozen=True)
class Tmx:
    """Units with segments in these languages."""

    source: str
    target: str


Form = Tsv | Tmx


def read_bitext(path: Path, form: Form, left_out: Counter[str] | None = None) -> Iterator[Pair]:
    """The pairs of a file. left_out: under the file's name, how many units of TMX lack a side is added to it."""
    if isinstance(form, Tsv):
        return _read_tsv(path, form.swapped)
    return _read_tmx(path, form, Counter() if left_out is None else left_out)


def _read_tsv(path: Path, swapped: bool) -> Iterator[Pair]:
    for number, line in enumerate(read_lines(path), 1):
        columns = line.split("\t")
        if len(columns) != 2:
            found = f"{len(columns)} column{'' if len(columns) == 1 else 's'} where there must be 2"
            hint = "a line is source, tab, target; cut the columns out (cut -f 1,2) or remove the line"
            raise UserError(found, where=f"{path}:{number}", hint=hint)
        first, second = columns
        yield (second, first) if swapped else (first, second)


def _read_tmx(path: Path, form: Tmx, left_out: Counter[str]) -> Iterator[Pair]:
    reader = _TmxReader(path)
    pairs = lacking = 0
    for unit in reader.units():
        source, target = _segment(unit, form.source), _segment(unit, form.target)
        if source is None or target is None:
            lacking += 1
            continue
        pairs += 1
        yield source, target
    left_out[path.name] += lacking
    if lacking and not pairs:
        problem = f"no unit has both {form.source} and {form.target} (languages there: {reader.languages()})"
        raise UserError(problem, where=path, hint="name the languages in its name, or with --src and --tgt")


def _segment(unit: dict[str, str], language: str) -> str | None:
    """The segment in a language; where there is none, that in a wider or narrower one: en-US for en, pt for pt-BR."""
    if there := languages.among(language, unit):
        return unit[there]
    wanted = _tag(language)
    near = (tag for tag in unit if _tag(tag).startswith(f"{wanted}-") or wanted.startswith(f"{_tag(tag)}-"))
    return unit.get(next(near, ""))


def _tag(language: str) -> str:
    return languages.read_tag(language).name.lower()


class _TmxReader:
    """The units of a TMX file as they come. Entities that the file declares are refused: they can grow without end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = self._refuse
        self._parser.SkippedEntityHandler = self._refuse
        self._seen: Counter[str] = Counter()
        self._ready: list[dict[str, str]] = []
        self._unit: dict[str, str] | None = None
        self._language = ""
        self._shards: list[str] | None = None
        "Of the segment that is being read."
        self._codes = 0
        "Elements of codes that are open in it."
        self._root = ""

    def units(self) -> Iterator[dict[str, str]]:
        """The segments of each unit by language."""
        with open_binary(self._path) as stream:
            data = b"-"
            while data:
                try:
                    data = stream.read(READ_BYTES)
                    self._parser.Parse(data, not data)
                except DamagedData as damage:
                    raise damage.at(self._path) from None
                except expat.ExpatError as error:
                    raise self._wrong(f"not well-formed XML ({expat.ErrorString(error.code)})", error.lineno) from None
                except OSError as error:
                    raise UserError(f"cannot be read ({error.strerror})", where=self._path) from None
                yield from self._ready
                self._ready.clear()

    def languages(self) -> str:
        """The languages of the segments so far, the most frequent first."""
        return ", ".join(tag for tag, _ in self._seen.most_common()) or "none"

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._root:
            self._root = name
            if name != "tmx":
                raise self._wrong(f"not TMX: its first element is <{name}>", self._parser.CurrentLineNumber)
        if self._shards is not None:
            self._codes += name in CODES or self._codes > 0
        elif name == "tu":
            self._unit = {}
        elif name == "tuv":
            self._language = _tag(attributes.get("xml:lang") or attributes.get("lang") or "")
        elif name == "seg":
            self._shards, self._codes = [], 0

    def _end(self, name: str) -> None:
        if self._shards is not None and name != "seg":
            self._codes -= self._codes > 0
        elif name == "seg" and self._shards is not None:
            if self._unit is not None and self._language:
                self._unit.setdefault(self._language, LINE_ENDS.sub(" ", "".join(self._shards)).strip(" \t\r\n"))
                self._seen[self._language] += 1
            self._shards = None
        elif name == "tu" and self._unit is not None:
            self._ready.append(self._unit)
            self._unit = None

    def _text(self, text: str) -> None:
        if self._shards is not None and not self._codes:
            self._shards.append(text)

    def _refuse(self, name: str, *rest: object) -> None:
        problem = f"declares or uses the entity {name!r}, which is not read"
        raise self._wrong(problem, self._parser.CurrentLineNumber)

    def _wrong(self, problem: str, line: int) -> UserError:
        return UserError(problem, where=f"{self._path}:{line}", hint="write the file again as plain TMX, or as TSV")
