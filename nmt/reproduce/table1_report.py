"""Table 1 of a corpus as text, Markdown, JSON and a page with pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nmt.report.document import Bullets, Heading, Part, Picture, Table, Text
from nmt.report.document import as_text as parts_as_text
from nmt.report.pictures import figure_to_svg, line, new_figure
from nmt.report.writing import report_files, write_files
from nmt.reproduce import paper
from nmt.reproduce.table1 import COVERED, RARE, Row, Table1
from nmt.reproduce.table1_reading import RULES, pays, reading, vocabulary_range
from nmt.tying import Tying

FORMAT, FORMAT_VERSION = "nmt-table1", 1
STEM = "table1"
FILES = report_files(STEM)
CITATION = (
    "Paper: Press & Wolf (2017), Using the Output Embedding to Improve Language Models, Table 1: "
    f"{paper.MERGES:,} merges, WMT 2014 (EN-FR) and WMT 2015 (EN-DE), rounded to thousands as printed."
)
COUNTED = (
    "Counted: every training pair. nmt-prep prints the same row unless it drops pairs (prep.max_length, "
    "prep.max_ratio, prep.deduplicate, empty sides). Sizes include the vocabulary's three special rows."
)


def title(table: Table1) -> str:
    """The heading of the report."""
    return f"Table 1 for {table.files.source}-{table.files.target}: pieces of a joint BPE"


def as_text(table: Table1) -> str:
    """For a terminal."""
    return f"{title(table)}\n\n{parts_as_text(_parts(table))}"


def as_dict(table: Table1) -> dict[str, Any]:
    """For other programs. Shares are of 1."""
    lower, upper = vocabulary_range(table.rows)
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "source": table.files.source,
        "target": table.files.target,
        "files": [[str(path) for path in pair.paths()] for pair in table.files.splits["train"]],
        "tokenizer": table.config.prep.tokenizer,
        "min_frequency": table.config.prep.min_frequency,
        "model": {"architecture": table.config.model.architecture, **table.config.model.sizes()},
        "pairs": table.num_pairs,
        "words": {"source": table.source_words, "target": table.target_words, "distinct": table.word_types},
        "characters": table.characters,
        "scripts": {"source": table.source_scripts, "target": table.target_scripts},
        "exhausted": table.exhausted,
        "rows": [_row_dict(row) for row in table.rows],
        "recommended_merges": {"most_for_100_examples": lower, "most_for_10_examples": upper},
        "reading": reading(table),
        "paper": {
            pair: {"merges": paper.MERGES, **dataclasses.asdict(printed)} for pair, printed in paper.TABLE_1.items()
        },
    }


def write(table: Table1, folder: Path) -> list[Path]:
    """Write FILES and the pictures; returns their paths."""
    return write_files(folder / STEM, title(table), _parts(table), as_dict(table))


def _row_dict(row: Row) -> dict[str, Any]:
    modes = {
        mode.value: {**dataclasses.asdict(size), "total": size.total, "of_untied": _of(row, mode, Tying.UNTIED)}
        for mode, size in row.sizes.items()
    }
    return {
        "merges": row.merges,
        **row.overlap.as_dict(),
        "running_shares": _running_shares(row),
        "source_shared": row.source_shared,
        "target_shared": row.target_shared,
        "pieces_per_word": {"source": row.source_pieces_per_word, "target": row.target_pieces_per_word},
        "rare": row.rare,
        "common_to": row.common_to,
        "vocabulary": dataclasses.asdict(row.vocabulary),
        "sizes": modes,
        "more_output": row.more_output,
        "more_work": row.more_work,
        "three_way_pays": pays(row),
    }


def _running_shares(row: Row) -> dict[str, dict[str, float]]:
    """Shares of the running pieces of each side and of both sides together by the kind of the piece."""
    overlap = row.overlap
    source, target = overlap.source_running, overlap.target_running
    source_only, target_only = source - overlap.source_running_shared, target - overlap.target_running_shared
    return {
        "source": {"only": source_only / source, "both": overlap.source_running_shared / source},
        "target": {"only": target_only / target, "both": overlap.target_running_shared / target},
        "joint": {
            "source_only": source_only / (source + target),
            "target_only": target_only / (source + target),
            "both": overlap.running_share,
        },
    }


def _of(row: Row, mode: Tying, other: Tying) -> float:
    return row.sizes[mode].total / row.sizes[other].total


def _parts(table: Table1) -> list[Part]:
    sizes = " and ".join(f"{key.replace('_', ' ')} {size:,}" for key, size in table.config.model.sizes().items())
    return [
        Text(
            f"{table.num_pairs:,} pairs, {table.source_words:,} + {table.target_words:,} words, "
            f"{table.word_types:,} of them distinct, {table.characters:,} characters. Sizes are of a model with "
            f"{sizes}."
        ),
        *_notes(table),
        Heading("Reading"),
        Bullets(reading(table)),
        Picture("table1-pieces", "Pieces by kind over the number of merges", lambda: draw_pieces(table.rows)),
        Picture("table1-sizes", "Parameters of the three modes over the merges", lambda: draw_sizes(table.rows)),
        Heading("Pieces"),
        _pieces(table.rows),
        Heading("Running text: share of the pieces by kind"),
        _running(table.rows),
        Heading("Lengths and frequencies"),
        _lengths(table.rows),
        Heading("Parameters in millions"),
        _sizes(table.rows),
        Heading("How to read it"),
        Bullets([*RULES, COUNTED, CITATION]),
    ]


def _notes(table: Table1) -> list[Part]:
    prep, notes = table.config.prep, []
    if table.exhausted:
        least = prep.min_frequency
        often = "twice" if least == 2 else f"{least:,} times"
        notes.append(f"The text has {table.rows[-1].merges:,} merges: then no pair of symbols occurs {often} any more.")
    ignored = [name for name in ("source_threshold", "target_threshold", "bpe_dropout") if getattr(prep, name)]
    if ignored:
        notes.append(f"Not applied here: {', '.join(f'prep.{name}' for name in ignored)}.")
    return [Text(note) for note in notes]


def _pieces(rows: Sequence[Row]) -> Table:
    kinds = [
        (f"{row.merges:,}", row.overlap.source_only, row.overlap.target_only, row.overlap.both) for row in rows
    ] + [
        (f"paper, {pair.upper()}", printed.source_only, printed.target_only, printed.both)
        for pair, printed in paper.TABLE_1.items()
    ]
    return Table(
        ("merges", "only source", "only target", "in both", "union", "source shared", "target shared"),
        [
            (
                name,
                *(f"{n:,}" for n in (source, target, both, source + target + both)),
                *(f"{both / (both + own):.1%}" for own in (source, target)),
            )
            for name, source, target, both in kinds
        ],
    )


def _running(rows: Sequence[Row]) -> Table:
    shares = [(row.merges, _running_shares(row)) for row in rows]
    return Table(
        ("merges", "source text: in both", "target text: in both", "all: in both", "only source", "only target"),
        [
            (
                f"{merges:,}",
                f"{share['source']['both']:.1%}",
                f"{share['target']['both']:.1%}",
                *(f"{share['joint'][kind]:.1%}" for kind in ("both", "source_only", "target_only")),
            )
            for merges, share in shares
        ],
    )


def _lengths(rows: Sequence[Row]) -> Table:
    return Table(
        (
            "merges",
            "source pieces a word",
            "target pieces a word",
            f"seen fewer than {RARE} times",
            f"times that {COVERED:.0%} are seen",
        ),
        [
            (
                f"{row.merges:,}",
                f"{row.source_pieces_per_word:.3f}",
                f"{row.target_pieces_per_word:.3f}",
                f"{row.rare:,} ({row.rare / row.overlap.union:.1%})",
                f"{row.common_to:,}",
            )
            for row in rows
        ],
    )


def _sizes(rows: Sequence[Row]) -> Table:
    return Table(
        ("merges", *(mode.value for mode in Tying), "of untied", "of decoder", "output rows", "arithmetic", "pays"),
        [
            (
                f"{row.merges:,}",
                *(f"{row.sizes[mode].total / 1e6:.2f}" for mode in Tying),
                f"{_of(row, Tying.THREE_WAY, Tying.UNTIED):.1%}",
                f"{_of(row, Tying.THREE_WAY, Tying.DECODER):.1%}",
                f"+{row.more_output:.1%}",
                f"+{row.more_work:.1%}",
                "yes" if pays(row) else "no",
            )
            for row in rows
        ],
    )


def draw_pieces(rows: Sequence[Row]) -> str:
    """Pieces by kind over the merges, as SVG."""
    kinds = {
        "in both": [row.overlap.both for row in rows],
        "only in source": [row.overlap.source_only for row in rows],
        "only in target": [row.overlap.target_only for row in rows],
    }
    return _draw(rows, kinds, "pieces", "Pieces by kind over the number of merges")


def draw_sizes(rows: Sequence[Row]) -> str:
    """Parameters of the three modes over the merges, as SVG."""
    modes = {mode.value: [row.sizes[mode].total / 1e6 for row in rows] for mode in Tying}
    return _draw(rows, modes, "parameters (millions)", "Parameters of the three tying modes over the number of merges")


def _draw(rows: Sequence[Row], series: dict[str, list[Any]], unit: str, description: str) -> str:
    merges = [row.merges for row in rows]
    figure, (axes,) = new_figure(1)
    for look, (name, values) in enumerate(series.items()):
        line(axes, merges, values, look, name)
    if merges[0] > 0:
        axes.set_xscale("log")
    shown = [number for place, number in enumerate(merges) if (len(merges) - 1 - place) % 2 == 0]
    axes.set_xticks(shown, [f"{number:,}" for number in shown])
    axes.minorticks_off()
    axes.set_xlabel("merges")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.6g}")
    axes.legend()
    return figure_to_svg(figure, description)
