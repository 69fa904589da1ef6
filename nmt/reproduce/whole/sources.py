"""The reports of the single tables: where each lies, what it must be, and how it is had."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe.errors import UserError
from nmt.report.restore import restored
from nmt.reproduce import gradients, paper, table3, table4, table7
from nmt.reproduce.language.paper import LANGUAGE_TABLES
from nmt.reproduce.language.results import LanguageResults
from nmt.reproduce.results import Results
from nmt.reproduce.rowscores import RowScores
from nmt.reproduce.table1_report import FORMAT as TABLE_1_FORMAT
from nmt.reproduce.table2 import CLAIMS, VectorRun
from nmt.reproduce.table2_report import FORMAT as TABLE_2_FORMAT


@dataclass(frozen=True, kw_only=True)
class MergesRow:
    """Pieces of a joint BPE by kind."""

    merges: int
    source_only: int
    target_only: int
    both: int


@dataclass(frozen=True, kw_only=True)
class Table1Report:
    """What the page takes from Table 1's JSON."""

    source: str
    target: str
    rows: tuple[MergesRow, ...]
    reading: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table2Report:
    """What the page takes from Table 2's JSON."""

    command: str
    scale: str
    runs: tuple[VectorRun, ...]
    missing: tuple[str, ...]

    @property
    def scores(self) -> RowScores:
        """What it is read from."""
        return RowScores(benchmarks=tuple(paper.TABLE_2), runs=self.runs, printed=paper.TABLE_2, claims=CLAIMS)


@dataclass(frozen=True, kw_only=True)
class TableKind:
    """One of the paper's tables, or what is measured beside them."""

    title: str
    file: str
    "The JSON in its folder."
    folder: str
    "Where its command puts it by default."
    how: str
    "The command that makes it."
    load: Callable[[dict[str, Any]], Any]
    "The JSON -> a record. Raises KeyError, TypeError or ValueError where it is another table's."


def _formatted(kind: type[Any], name: str) -> Callable[[dict[str, Any]], Any]:
    def load(body: dict[str, Any]) -> Any:
        if body["format"] != name:
            raise ValueError(f"its format is {body['format']}")
        return restored(kind, body)

    return load


def _language(table: str) -> Callable[[dict[str, Any]], Any]:
    def load(body: dict[str, Any]) -> Any:
        found = restored(LanguageResults, body)
        if found.title != LANGUAGE_TABLES[table].title:
            raise ValueError(f"it is {found.title}")
        return found

    return load


KINDS: Mapping[str, TableKind] = {
    "table1": TableKind(
        title="Table 1: pieces of a joint BPE",
        file="table1.json",
        folder="table1",
        how="nmt-reproduce table1 --out table1",
        load=_formatted(Table1Report, TABLE_1_FORMAT),
    ),
    "table2": TableKind(
        title="Table 2: word similarity of word2vec's rows",
        file="table2.json",
        folder="table2",
        how="nmt-reproduce table2",
        load=_formatted(Table2Report, TABLE_2_FORMAT),
    ),
    "table3": TableKind(
        title="Table 3: word similarity of a small language model's rows",
        file="table3.json",
        folder="reproduction-table3",
        how="nmt-reproduce table3 --from reproduction-table6",
        load=_formatted(table3.Table3, table3.FORMAT),
    ),
    "table4": TableKind(
        title="Table 4: which matrices are alike",
        file="table4.json",
        folder="reproduction-table4",
        how="nmt-reproduce table4 --word2vec table2 --small reproduction-table6",
        load=_formatted(table4.Table4, table4.FORMAT),
    ),
    "table5": TableKind(
        title="Table 5: large language models with dropout",
        file="report.json",
        folder="reproduction-table5",
        how="nmt-reproduce table5 --scale paper, which takes a GPU and days",
        load=_language("table5"),
    ),
    "table6": TableKind(
        title="Table 6: small language models without dropout",
        file="report.json",
        folder="reproduction-table6",
        how="nmt-reproduce table6 --scale paper --seeds 3",
        load=_language("table6"),
    ),
    "table7": TableKind(
        title="Table 7: small language models on other texts",
        file="table7.json",
        folder="reproduction-table7",
        how="nmt-reproduce table7 --scale paper --seeds 3",
        load=_formatted(table7.Table7, table7.FORMAT),
    ),
    "table8": TableKind(
        title="Table 8: translation models in three modes",
        file="report.json",
        folder="reproduction",
        how="nmt-reproduce table8 --seeds 3",
        load=lambda body: restored(Results, body),
    ),
    "gradients": TableKind(
        title="Section 3: the updates of a tied embedding by role",
        file="gradients.json",
        folder="reproduction-gradients",
        how="nmt-reproduce gradients --scale paper --seeds 3",
        load=_formatted(gradients.GradientStudy, gradients.FORMAT),
    ),
}
"In the order of the page."


@dataclass(frozen=True)
class FoundReport:
    """One report of a table."""

    folder: str
    body: dict[str, Any]
    "Its JSON."


def find_reports(named: Mapping[str, Sequence[str]], out: Path) -> dict[str, list[FoundReport]]:
    """The reports of every table: in the folders that are named, else in OUT/TABLE, else in its command's own.

    A named folder without a report, and a report of another table, are UserErrors.
    """
    found: dict[str, list[FoundReport]] = {}
    for key, kind in KINDS.items():
        places = [Path(each) for each in named.get(key, ())]
        if not places:
            places = [place for place in (out / key, Path(kind.folder)) if (place / kind.file).is_file()][:1]
        found[key] = [FoundReport(str(place), _read(place, kind)) for place in places]
        for report in found[key]:
            load_report(key, report)
    return found


def load_report(key: str, report: FoundReport) -> Any:
    """The record of a report."""
    kind = KINDS[key]
    try:
        return kind.load(report.body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        place = Path(report.folder) / kind.file
        raise UserError(f"no report of {kind.title.partition(':')[0]} ({error})", where=place) from None


def _read(folder: Path, kind: TableKind) -> dict[str, Any]:
    path = folder / kind.file
    try:
        body = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        problem = f"holds no {kind.file}, the report of {kind.title.partition(':')[0]}"
        raise UserError(problem, where=folder, hint=f"make it: {kind.how}") from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    except ValueError:
        raise UserError(
            "damaged: not JSON", where=path, hint="nmt-reproduce writes it again with --report-only"
        ) from None
    if not isinstance(body, dict):
        raise UserError("is no report", where=path)
    return body
