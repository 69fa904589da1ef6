"""Each table on the page for the whole paper: the paper's figures beside ours, and what was read from them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nmt.report.document import Bullets, Part, Picture, Table, Text
from nmt.reproduce import paper
from nmt.reproduce.curves import size_against_bleu
from nmt.reproduce.gradients import GradientStudy
from nmt.reproduce.gradients_report import draw_epochs, epoch_table
from nmt.reproduce.intervals import Summary
from nmt.reproduce.language.paper import LANGUAGE_TABLES
from nmt.reproduce.language.report import language_reading, learning_curves, main_table
from nmt.reproduce.language.results import LanguageResults
from nmt.reproduce.provenance import Provenance
from nmt.reproduce.report import comparison, reading
from nmt.reproduce.results import Results
from nmt.reproduce.rowreport import draw_scores, score_table
from nmt.reproduce.rowscores import RowScores
from nmt.reproduce.rowscores import reading as row_reading
from nmt.reproduce.table3 import Table3
from nmt.reproduce.table3_report import TEXTS, notes
from nmt.reproduce.table4 import Table4
from nmt.reproduce.table4_report import absent, draw_likeness, likeness_table
from nmt.reproduce.table7 import Table7
from nmt.reproduce.table7_report import text_by_text
from nmt.reproduce.whole.sources import Table1Report, Table2Report
from nmt.tying import Tying

Section = Iterator[Part]


def section(key: str, records: Sequence[Any]) -> Section:
    """The parts of a table: of each report, or the paper's figures alone. key: of KINDS."""
    if not records:
        yield from PRINTED[key]()
    for number, record in enumerate(records, 1):
        name = key if len(records) == 1 else f"{key}-{number}"
        yield from SECTIONS[key](record, name)


def _table1(report: Table1Report, name: str) -> Section:
    rows = [
        (f"{row.merges:,}", *(f"{count:,}" for count in (row.source_only, row.target_only, row.both)))
        for row in report.rows
    ]
    yield Text(f"{report.source}-{report.target}")
    yield _pieces(rows)
    yield Bullets(report.reading)


def _pieces(rows: Sequence[tuple[str, ...]]) -> Table:
    printed = [
        (f"paper, {pair.upper()} ({paper.MERGES:,})", *(f"{count:,}" for count in counts))
        for pair, row in paper.TABLE_1.items()
        for counts in [(row.source_only, row.target_only, row.both)]
    ]
    return Table(["merges", "only in source", "only in target", "in both"], [*rows, *printed])


def _table2(report: Table2Report, name: str) -> Section:
    yield Text(f"Scale {report.scale}. Command: {report.command}", note=True)
    yield score_table(report.scores)
    yield Bullets(row_reading(report.scores))
    if report.runs:
        yield _rho_picture(name, report.scores)


def _table3(table: Table3, name: str) -> Section:
    yield Text(f"{table.name or table.column}, scale {table.scale}. {table.made.line}", note=True)
    yield score_table(table.scores)
    yield Text(f"The paper's figures are those of {TEXTS[table.column]}.", note=True)
    if table.runs:
        yield Bullets(notes(table))
        yield _rho_picture(name, table.scores)


def _rho_picture(name: str, scores: RowScores) -> Picture:
    return Picture(name, "Spearman's rho of each benchmark", functools.partial(draw_scores, scores))


def _table4(table: Table4, name: str) -> Section:
    yield Text(f"{table.name} {table.made.line}".strip(), note=True)
    yield likeness_table(table)
    yield Bullets([*(column.reading() for column in table.columns), *absent(table)])
    yield Picture(name, "Spearman's rho of each two matrices", functools.partial(draw_likeness, table))


def _language(results: LanguageResults, name: str) -> Section:
    yield Text(f"{results.name or 'a text'}, scale {results.scale}, {results.date}. {results.command}", note=True)
    if results.rows:
        yield main_table(results)
        yield Bullets(language_reading(results))
        yield Picture(name, "Validation perplexity after each epoch", functools.partial(learning_curves, results))
    else:
        yield _printed_perplexities(results.title)


def _printed_perplexities(title: str) -> Table:
    table = next(table for table in LANGUAGE_TABLES.values() if table.title == title)
    rows = [[row.name, "-", row.size, *(f"{number:.1f}" for number in row.perplexity)] for row in table.rows]
    return Table(["model", "ours", "paper: size", *(f"paper: {split}" for split in table.splits)], rows)


def _table7(table: Table7, name: str) -> Section:
    yield Text(f"Scale {table.scale}. {table.made.line}", note=True)
    yield text_by_text(table)
    for key, results in table.texts.items():
        if results.rows:
            yield Bullets([f"{results.name}: {line}" for line in language_reading(results)])
            draw = functools.partial(learning_curves, results)
            yield Picture(f"{name}-{key}", f"Validation perplexity on {results.name}", draw)


def _table8(results: Results, name: str) -> Section:
    pair = f"{results.name} {results.pair.upper()}".strip()
    yield Text(f"{pair}, recipe {results.scale}, {results.date}. {results.command}", note=True)
    if not results.modes:
        return
    yield _modes(results)
    yield Bullets([*reading(results), *results.notes])
    yield Picture(name, "Parameters against BLEU", functools.partial(size_against_bleu, results))


def _modes(results: Results) -> Table:
    """Table 8's columns without what its own report has besides."""
    untied = next((mode.total for mode in results.modes if mode.tying == Tying.UNTIED.value), None)
    sets = [*results.sets[1:], *results.sets[:1]]
    header = ["tying", "parameters", "of untied", *(cell for name in sets for cell in (name, "minus untied"))]
    rows = []
    for mode in results.modes:
        row = [mode.tying, f"{mode.total:,}", f"{mode.total / untied:.1%}" if untied else "-"]
        for name in sets:
            bleu, found = mode.bleu[name], comparison(results, mode.tying, name)
            row += [_score(bleu), _score(found.difference, "+") if found else ""]
        rows.append([*row, *_printed_mode(mode.paper)])
    return Table([*header, "paper: size", "test", "valid"], rows)


def _score(found: Summary, sign: str = "") -> str:
    return f"{found.mean:{sign}.2f}" + ("" if found.margin is None else f" ± {found.margin:.2f}")


def _printed_mode(row: paper.Table8Row | None) -> list[str]:
    if row is None:
        return ["-", "-", "-"]
    return [f"{row.millions}M", f"{row.test_bleu:.2f}", f"{row.validation_bleu:.2f}"]


def table_1_of(translations: Sequence[Results]) -> Section:
    """The row of Table 1 that each of Table 8's texts has, where there is no report of its own."""
    rows = []
    for results in translations:
        overlap = results.corpus["overlap"]
        counts = [f"{overlap[name]:,}" for name in ("source_only", "target_only", "both")]
        rows.append((f"{results.name} {results.pair.upper()} ({results.corpus['merges']:,})".strip(), *counts))
    if rows:
        yield Text("The texts of Table 8, with the number of merges:")
        yield _pieces(rows)


def _gradients(study: GradientStudy, name: str) -> Section:
    yield Text(f"{study.name or 'a text'}, scale {study.scale}. {study.made.line}", note=True)
    yield Bullets(study.reading())
    if study.runs:
        yield epoch_table(study)
        yield Picture(
            name, "Cosines of a tied row's update with that of each role", functools.partial(draw_epochs, study)
        )


SECTIONS: Mapping[str, Callable[[Any, str], Section]] = {
    "table1": _table1,
    "table2": _table2,
    "table3": _table3,
    "table4": _table4,
    "table5": _language,
    "table6": _language,
    "table7": _table7,
    "table8": _table8,
    "gradients": _gradients,
}


def _no_rows(column: Mapping[str, paper.RowFigures]) -> Section:
    yield score_table(RowScores(benchmarks=tuple(column), runs=(), printed=column, claims=()))


def _printed_modes() -> Section:
    rows = [
        [f"{pair.upper()}, {mode.value}", "-", f"{row.millions}M", f"{row.test_bleu:.2f}", f"{row.validation_bleu:.2f}"]
        for pair, modes in paper.TABLE_8.items()
        for mode, row in modes.items()
    ]
    yield Table(["tying", "ours", "paper: size", "test BLEU", "valid BLEU"], rows)


def _one(part: Callable[[], Part]) -> Callable[[], Section]:
    return lambda: iter([part()])


NOTHING = Provenance(date="", machine="", versions={}, command="")
PRINTED: Mapping[str, Callable[[], Section]] = {
    "table1": _one(lambda: _pieces([])),
    "table2": lambda: _no_rows(paper.TABLE_2),
    "table3": lambda: _no_rows(paper.TABLE_3["ptb"]),
    "table4": _one(lambda: likeness_table(Table4(name="", made=NOTHING, limit=0, columns=()))),
    "table5": _one(lambda: _printed_perplexities(LANGUAGE_TABLES["table5"].title)),
    "table6": _one(lambda: _printed_perplexities(LANGUAGE_TABLES["table6"].title)),
    "table7": _one(lambda: text_by_text(Table7(scale="", made=NOTHING, texts={}))),
    "table8": _printed_modes,
    "gradients": lambda: iter(()),
}
"The paper's figures alone, where there is no report."
