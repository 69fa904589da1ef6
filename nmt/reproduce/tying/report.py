"""The report of recorded runs: Markdown, JSON and one page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bpe.textfiles import write_text
from nmt.layers.roles import USES
from nmt.report.document import (
    Bullets,
    Heading,
    Part,
    Table,
    Text,
    as_html,
    as_markdown,
    draw_pictures,
)
from nmt.reproduce.intervals import Summary
from nmt.reproduce.tying.pictures import cosine_pictures, likeness_pictures, norm_pictures, row_pictures
from nmt.reproduce.tying.reading import NAMES, RULES, log_ratio, matrix_name, ratio_text, reading
from nmt.reproduce.tying.records import WHOLE, Point, RecordedRun, RunGroup, as_plain, cosine_of, gradient_of

FORMAT, FORMAT_VERSION = "nmt-tying", 1
FILES = ("tying.md", "tying.json", "tying.html")
TITLE = "What each role does to a tied table"
SIDES = {"both": "in both", "source_only": "only source", "target_only": "only target"}


def tying_parts(groups: Sequence[RunGroup]) -> list[Part]:
    """The whole report."""
    parts: list[Part] = [
        Text("Does the output's gradient drown the inputs', early in training, where they share a table?"),
        Table(("runs", "seeds", "records", "updates", "compared with"), list(map(_run_row, groups)), "llrrl"),
        Heading("Reading"),
        Bullets(reading(groups)),
        Heading("Gradients by role"),
        *norm_pictures(groups),
        gradient_table(groups),
        Text("± is half the 95% interval of the mean over the seeds; ratios are geometric means.", note=True),
        Heading("Do they pull the same way?"),
        *cosine_pictures(groups),
        Heading("Where a role's gradient lands"),
        Text(
            "Share of the squared norm of a role's gradient by the side of the pieces, late; the rest is at the "
            "special rows."
        ),
        side_table(groups),
        Heading("Length of the rows"),
        *row_pictures(groups),
        length_table(groups),
    ]
    if pictures := list(likeness_pictures(groups)):
        parts += [Heading("Likeness to the untied matrices"), *pictures, likeness_table(groups)]
        parts.append(Text(LIKENESS, note=True))
    return [*parts, Heading("How to read it"), Bullets(RULES)]


LIKENESS = (
    "Spearman's rank correlation of the cosine similarities of all pairs of pieces, with the matrix of the same role "
    "in the untied run, at the last validation (Press & Wolf, 2017, Table 4); of 1,000 pieces of the source view or of "
    "the target view, drawn once. A matrix that began with the untied one's own values is more like it for that alone."
)


def write(groups: Sequence[RunGroup], folder: Path) -> list[Path]:
    """Write FILES and, with matplotlib, the pictures; returns their paths."""
    parts = tying_parts(groups)
    pictures = draw_pictures(parts)
    files = {
        "tying.md": as_markdown(TITLE, parts, pictures),
        "tying.json": json.dumps(as_dict(groups), indent=1, ensure_ascii=False) + "\n",
        "tying.html": as_html(TITLE, parts, pictures),
        **{f"{name}.svg": svg + "\n" for name, svg in pictures.items()},
    }
    for name, text in files.items():
        write_text(folder / name, text)
    return [folder / name for name in files]


def as_dict(groups: Sequence[RunGroup]) -> dict[str, Any]:
    """Everything, for JSON."""
    head = {"format": FORMAT, "version": FORMAT_VERSION, "reading": reading(groups), "rules": list(RULES)}
    return {**head, "groups": as_plain(groups)}


def _run_row(group: RunGroup) -> list[str]:
    seeds = ", ".join(str(run.seed) for run in group.runs)
    records = " and ".join(sorted({f"{len(run.points):,}" for run in group.runs}))
    updates = " and ".join(sorted({f"{run.points[-1]['update']:,}" for run in group.runs}))
    against = ", ".join(Path(run.against).name for run in group.runs if run.against)
    return [group.label, seeds, records, updates, against]


def plus_minus(summary: Summary | None, digits: int = 3) -> str:
    """'0.123 ± 0.010', the mean alone for one seed, nothing where nothing is known."""
    if summary is None:
        return ""
    margin = "" if summary.margin is None else f" ± {summary.margin:.{digits}f}"
    return f"{summary.mean:.{digits}f}{margin}"


def gradient_table(groups: Sequence[RunGroup]) -> Table:
    """A row for each role of each group."""
    header = ("runs", "role", "norm early", "late", "output's / it early", "late", "cosine with output early", "late")
    rows = []
    for group in groups:
        for role in USES:
            row = [group.label, NAMES[role], *_both(group, gradient_of(role), plus_minus)]
            if role != "output":
                row += _both(group, lambda point, role=role: log_ratio(role, point), _ratio)  # type: ignore[misc]
                row += _both(group, cosine_of(role, "output"), plus_minus)
            rows.append([*row, *[""] * (len(header) - len(row))])
    return Table(header, rows, "ll")


def _both(
    group: RunGroup, number: Callable[[Point], float | None], told: Callable[[Summary | None], str]
) -> Iterator[str]:
    """A number early and late."""
    yield told(group.over_seeds(lambda run: run.early(number)))
    yield told(group.over_seeds(lambda run: run.late(number)))


def _ratio(summary: Summary | None) -> str:
    return "" if summary is None else ratio_text(summary).replace("95% interval ", "")


def side_table(groups: Sequence[RunGroup]) -> Table:
    """Where the gradients land."""
    rows = []
    for group in groups:
        for role in USES:
            shares = [
                group.over_seeds(lambda run, role=role, side=side: run.late(lambda point: _share(point, role, side)))  # type: ignore[misc]
                for side in SIDES
            ]
            rows.append([group.label, NAMES[role], *(_percent(share) for share in shares)])
    return Table(("runs", "role", *SIDES.values()), rows, "ll")


def _share(point: Point, role: str, side: str) -> float | None:
    part, whole = point.get(f"gradient.{role}.{side}"), point[f"gradient.{role}"]
    return None if part is None or not whole else (part / whole) ** 2


def _percent(summary: Summary | None) -> str:
    return "" if summary is None else f"{summary.mean:.1%}"


def length_table(groups: Sequence[RunGroup]) -> Table:
    """Mean lengths of rows at the last record."""
    names = [*SIDES, "band_1", "band_5", "band_10"]
    rows = []
    for group in groups:
        for roles in WHOLE[group.tying]:
            lengths = [
                group.over_seeds(lambda run, name=f"rows.{roles[0]}.{name}": run.points[-1].get(name))  # type: ignore[misc]
                for name in names
            ]
            rows.append([group.label, matrix_name(roles), *(plus_minus(each, 2) for each in lengths)])
    return Table(("runs", "matrix", *SIDES.values(), "1st tenth", "5th", "10th"), rows, "ll")


def likeness_table(groups: Sequence[RunGroup]) -> Table:
    """Rank correlations at the last validation."""

    def last(run: RecordedRun, role: str) -> float | None:
        return run.checks[-1].get(f"rho.{role}") if run.checks else None

    rows = []
    for group in groups:
        if any(run.checks for run in group.runs):
            found = [group.over_seeds(lambda run, role=role: last(run, role)) for role in USES]  # type: ignore[misc]
            rows.append([group.label, *(plus_minus(each) for each in found)])
    return Table(("runs", *(f"untied {NAMES[role]}" for role in USES)), rows)
