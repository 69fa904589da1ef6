"""Table 4 as text, Markdown, JSON and a page with a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from nmt.report.document import TERMINAL_WIDTH, Bullets, Heading, Part, Picture, Table, Text
from nmt.report.pictures import LOOKS, figure_to_svg, new_figure
from nmt.report.tables import text_table
from nmt.report.writing import write_files
from nmt.reproduce import paper
from nmt.reproduce.rowreport import with_margin
from nmt.reproduce.table4 import MODELS, PAIRS, Table4

STEM = "table4"
KEY = (
    "Spearman's rho of the cosine similarities of all pairs of words in two matrices: 1 where both put all pairs in "
    "one order. input and output: of the untied model; tied: of the tied model of the same seed. With several seeds ± "
    "is half the 95% interval of the mean (Student's t)."
)
START = (
    "The tied matrix of a seed starts training with the values of the untied model's input matrix, never with those of "
    "its output matrix: what is left of the start makes tied and input alike."
)
COMMANDS = {
    "word2vec": "nmt-reproduce table2, then --word2vec DIR",
    "small": "nmt-reproduce table6, then --small DIR",
    "large": "nmt-reproduce table5 (a GPU and days), then --large DIR",
}
"How the models of a column are had."


def table4_title(table: Table4) -> str:
    """The heading of the report."""
    return f"Table 4{f' on {table.name}' if table.name else ''}: which matrices are alike"


def table4_text(table: Table4) -> str:
    """For a terminal."""
    shown = likeness_table(table)
    lines = [text_table(shown.header, shown.rows)]
    said = [*(column.reading() for column in table.columns), *absent(table)]
    return "\n".join([*lines, *(textwrap.fill(f"- {line}", TERMINAL_WIDTH, subsequent_indent="  ") for line in said)])


def write_table4(table: Table4, folder: Path) -> list[Path]:
    """Write the files; returns their paths."""
    return write_files(folder / STEM, table4_title(table), list(_parts(table)), table.as_dict())


def likeness_table(table: Table4) -> Table:
    """A row for each two matrices; of each model ours and the paper's."""
    header = ["matrices", *(name for model in MODELS.values() for name in (model, "paper"))]
    rows = []
    for pair in PAIRS:
        row = [", ".join(pair)]
        for model in MODELS:
            column = table.column(model)
            row += [with_margin(column.summary(pair) if column else None), f"{paper.TABLE_4[model][pair]:.2f}"]
        rows.append(row)
    return Table(header, rows)


def absent(table: Table4) -> list[str]:
    """What is not there yet, and how it is had."""
    lines = [
        f"{MODELS[column.model]}: not there yet: {', '.join(column.missing)}"
        for column in table.columns
        if column.missing
    ]
    return lines + [f"{name}: no models yet: {COMMANDS[key]}" for key, name in MODELS.items() if not table.column(key)]


def _parts(table: Table4) -> Iterator[Part]:
    yield Text(table.made.line, note=True)
    yield likeness_table(table)
    yield Text(KEY, note=True)
    yield Text(START, note=True)
    yield Heading("Reading")
    yield Bullets([*(column.reading() for column in table.columns), *absent(table)])
    yield Picture(STEM, "Spearman's rho of each two matrices", lambda: draw_likeness(table))
    yield Heading("Every seed")
    yield _seeds(table)


def _seeds(table: Table4) -> Table:
    rows = []
    for column in table.columns:
        for place, seed in enumerate(column.seeds):
            rhos = [f"{column.rhos[', '.join(pair)][place]:.3f}" for pair in PAIRS]
            rows.append([MODELS[column.model], str(seed), f"{column.words:,}", *rhos])
    return Table(["model", "seed", "words", *(", ".join(pair) for pair in PAIRS)], rows)


def draw_likeness(table: Table4) -> str:
    """Bars a model for each two matrices, the paper's figures as marks on them, as SVG."""
    figure, (axes,) = new_figure(1, width=6.4)
    width, told = 0.27, []
    for number, pair in enumerate(PAIRS):
        places = [place + (number - 1) * width for place in range(len(MODELS))]
        columns = [table.column(model) for model in MODELS]
        means = [found.mean if column and (found := column.summary(pair)) else 0.0 for column in columns]
        axes.bar(places, means, width, color=LOOKS[number][0], label=", ".join(pair))
        for place, column in zip(places, columns, strict=True):
            values = column.rhos[", ".join(pair)] if column else []
            axes.plot([place] * len(values), values, linestyle="", marker=".", color="#000000", markersize=3)
        printed = [paper.TABLE_4[model][pair] for model in MODELS]
        label = "paper" if pair == PAIRS[-1] else None
        axes.plot(places, printed, linestyle="", marker="_", markersize=14, color="#000000", label=label)
        told.append(f"{', '.join(pair)}: " + ", ".join(f"{mean:.3f}" for mean in means))
    axes.set_xticks(range(len(MODELS)), list(MODELS.values()))
    axes.axhline(0, color="#1a1a1a", linewidth=0.8)
    axes.set_ylabel("Spearman's rho")
    axes.legend(ncols=2)
    return figure_to_svg(figure, f"Of {', '.join(MODELS.values())}. {'; '.join(told)}")
