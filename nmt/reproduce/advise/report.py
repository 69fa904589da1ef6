"""The page that ends in the advice: Markdown, JSON, HTML."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bpe.textfiles import write_text
from nmt.report.document import Bullets, Heading, Part, Picture, Table, Text, as_html, as_markdown, draw_pictures
from nmt.report.document import as_text as parts_as_text
from nmt.reproduce.advise.measured import Measured, MergesCounted, ModeMeasured
from nmt.reproduce.advise.rule import RULES, advise
from nmt.reproduce.curves import has_curve, learning_curves
from nmt.reproduce.intervals import Summary
from nmt.reproduce.results import Results
from nmt.reproduce.table1 import Table1
from nmt.reproduce.table1_report import draw_pieces, draw_sizes
from nmt.tying import Tying

FORMAT, FORMAT_VERSION = "nmt-advice", 1
FILES = ("advice.md", "advice.json", "advice.html")
MEGA = 1e6


def title(measured: Measured) -> str:
    """The heading."""
    return f"Should {measured.source}-{measured.target} be tied?"


def advice_parts(measured: Measured, table: Table1, results: Results) -> list[Part]:
    """The whole page."""
    advice = advise(measured)
    return [
        Text(
            f"{measured.num_pairs:,} pairs. Each mode was trained with {_seeds(measured)} for {measured.updates:,} "
            f"updates of the recipe {results.scale}, in turn with the same data in the same order. {results.machine}."
        ),
        Heading("The short training"),
        mode_table(measured),
        Text(
            "BLEU is of the validation text; in training: minus untied half way and at the end, as training measures "
            "it. ± is half the 95% interval over seeds. Pieces trained on for each second of processor time, which a "
            "busy machine slows, too; memory is the process's. On disk: the weights file, and counted in int8 (a byte "
            "a number of a matrix, a float32 scale a row, vectors in float32).",
            note=True,
        ),
        *_curves(results),
        Heading("What the languages share, and what each mode weighs"),
        Picture("advice-pieces", "Pieces by kind over the number of merges", lambda: draw_pieces(table.rows)),
        Picture("advice-sizes", "Parameters of the three modes over the merges", lambda: draw_sizes(table.rows)),
        merges_table(measured.counted),
        Text(
            "Sizes on disk are counted, in float32 and, behind the slash, in int8. Pays: three-way saves a larger "
            "share of decoder's parameters than it adds arithmetic.",
            note=True,
        ),
        scripts_text(table),
        Heading("The rule"),
        Bullets(RULES),
        Heading("The advice"),
        Text(advice.headline(measured.source, measured.target)),
        Heading("Because", 3),
        Bullets(advice.because),
        Heading("What would change it", 3),
        Bullets(advice.changes or ("Nothing that was measured is near a line of the rule.",)),
    ]


def _seeds(measured: Measured) -> str:
    return "one seed" if measured.seeds == 1 else f"{measured.seeds} seeds"


def _curves(results: Results) -> Iterator[Part]:
    if has_curve(results, "bleu"):
        described = "Validation BLEU over the target pieces seen"
        yield Picture("advice-bleu", described, lambda: learning_curves(results, "bleu"))


def plus_minus(summary: Summary, digits: int, scale: float = 1.0, sign: str = "") -> str:
    """'12.3 ± 0.4'."""
    margin = "" if summary.margin is None else f" ± {summary.margin / scale:,.{digits}f}"
    return f"{summary.mean / scale:{sign},.{digits}f}{margin}"


def mode_table(measured: Measured) -> Table:
    """A row a mode."""
    untied = measured.mode(Tying.UNTIED)
    header = [
        "tying",
        "parameters",
        "of untied",
        "MB on disk",
        "in int8",
        "BLEU",
        "minus untied",
        "half way, at the end",
    ]
    header += ["pieces/s", "memory (MB)", "sentences/s translated"]
    return Table(header, [_mode_row(mode, untied) for mode in measured.modes])


def _mode_row(mode: ModeMeasured, untied: ModeMeasured) -> list[str]:
    return [
        mode.tying.value,
        f"{mode.parameters:,}",
        f"{mode.parameters / untied.parameters:.1%}",
        f"{mode.float32_bytes / MEGA:.2f}",
        f"{mode.int8_bytes / MEGA:.2f}",
        plus_minus(mode.bleu, 2),
        "" if mode.gain is None else plus_minus(mode.gain, 2, sign="+"),
        "" if mode.course is None else f"{mode.course[0]:+.2f}, {mode.course[1]:+.2f}",
        plus_minus(mode.pieces_per_second, 0),
        plus_minus(mode.training_bytes, 0, MEGA),
        plus_minus(mode.sentences_per_second, 1),
    ]


def merges_table(counted: Sequence[MergesCounted]) -> Table:
    """A row a number of merges."""
    header = ("merges", "source shared", "running pieces in both", *(f"{mode.value} MB" for mode in Tying), "pays")
    rows = []
    for row in counted:
        sizes = [f"{row.float32_bytes[mode] / MEGA:.2f} / {row.int8_bytes[mode] / MEGA:.2f}" for mode in Tying]
        shares = (f"{row.source_shared:.1%}", f"{row.running_shared:.1%}")
        rows.append([f"{row.merges:,}", *shares, *sizes, "yes" if row.pays else "no"])
    return Table(header, rows)


def scripts_text(table: Table1) -> Text:
    """The scripts of both sides."""
    sides = ((table.files.source, table.source_scripts), (table.files.target, table.target_scripts))
    told = "; ".join(
        f"{name}: " + (", ".join(f"{script} {share:.1%}" for script, share in list(shares.items())[:3]) or "no letters")
        for name, shares in sides
    )
    return Text(f"Scripts by running letters. {told}.")


def as_dict(measured: Measured, table: Table1, results: Results) -> dict[str, Any]:
    """Everything, for JSON."""
    advice = advise(measured)
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "advice": {**plain(dataclasses.asdict(advice)), "headline": advice.headline(measured.source, measured.target)},
        "rules": list(RULES),
        "measured": plain(dataclasses.asdict(measured)),
        "scripts": {"source": dict(table.source_scripts), "target": dict(table.target_scripts)},
        "recipe": results.recipe,
        "machine": results.machine,
        "versions": results.versions,
    }


def plain(value: Any) -> Any:
    """Modes by their names, wherever they stand."""
    if isinstance(value, Tying):
        return value.value
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def as_text(measured: Measured, table: Table1, results: Results) -> str:
    """For a terminal."""
    return f"{title(measured)}\n\n{parts_as_text(advice_parts(measured, table, results))}"


def write(measured: Measured, table: Table1, results: Results, folder: Path) -> list[Path]:
    """Write FILES and, with matplotlib, the pictures; returns their paths."""
    parts = advice_parts(measured, table, results)
    pictures, name = draw_pictures(parts), title(measured)
    files = {
        "advice.md": as_markdown(name, parts, pictures),
        "advice.json": json.dumps(as_dict(measured, table, results), indent=1, ensure_ascii=False) + "\n",
        "advice.html": as_html(name, parts, pictures),
        **{f"{picture}.svg": svg + "\n" for picture, svg in pictures.items()},
    }
    for file, text in files.items():
        write_text(folder / file, text)
    return [folder / file for file in files]
