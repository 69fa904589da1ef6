"""The two roles' updates as text, Markdown, JSON and a page with a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from nmt.report.document import TERMINAL_WIDTH, Bullets, Heading, Part, Picture, Table, Text
from nmt.report.pictures import figure_to_svg, line, new_figure, whole_numbers
from nmt.report.tables import text_table
from nmt.report.writing import write_files
from nmt.reproduce.gradients import GradientStudy
from nmt.reproduce.rowreport import with_margin

STEM = "gradients"
COLUMNS = {
    "all_output": "all rows, output's",
    "all_input": "all rows, input's",
    "read_output": "read rows, output's",
    "read_input": "read rows, input's",
    "matrix_output": "matrix, output's",
    "matrix_input": "matrix, input's",
    "norms": "input's length by output's",
    "input_share": "rows read",
    "output_share": "rows scored",
}
KEY = (
    "Cosines of the tied matrix's gradient with the part that one of its roles gives. all rows: the mean over the "
    "rows; where a word was not read in the batch, the whole gradient of its row is the output's (cosine 1) and the "
    "input gives nothing (0). read rows: the mean over the rows of the words that were read. matrix: of the matrix as "
    "a whole, in which rows with long gradients count most. rows read, rows scored: the share of the rows that the "
    "input's part and the output's part change. Epoch 0 is the start. With several seeds ± is half the 95% interval of "
    "the mean (Student's t)."
)


def gradients_title(study: GradientStudy) -> str:
    """The heading of the report."""
    text = f" on {study.name}" if study.name else ""
    return f"Section 3{text}: the updates of a tied embedding by role, scale {study.scale}"


def gradients_text(study: GradientStudy) -> str:
    """For a terminal."""
    shown = epoch_table(study)
    said = [*study.reading(), *([f"not there yet: {', '.join(study.missing)}"] if study.missing else [])]
    lines = [textwrap.fill(f"- {each}", TERMINAL_WIDTH, subsequent_indent="  ") for each in said]
    return "\n".join([text_table(shown.header, shown.rows), *lines])


def write_gradients(study: GradientStudy, folder: Path) -> list[Path]:
    """Write the files; returns their paths."""
    return write_files(folder / STEM, gradients_title(study), list(_parts(study)), study.as_dict())


def epoch_table(study: GradientStudy) -> Table:
    """A row an epoch."""
    rows = []
    for point in range(study.num_points):
        found = {name: study.summary(point, name) for name in COLUMNS}
        cells = [
            f"{summary.mean:.1%}" if name.endswith("share") else with_margin(summary) for name, summary in found.items()
        ]
        rows.append([str(point), *cells])
    return Table(["epoch", *COLUMNS.values()], rows, "r")


def _parts(study: GradientStudy) -> Iterator[Part]:
    yield Text(study.made.line, note=True)
    if study.missing:
        yield Text(f"Not finished: {', '.join(study.missing)} are not trained to the end.")
    if not study.runs:
        return
    yield Bullets(study.reading())
    yield Picture(STEM, "Cosines of a tied row's update with that of each role", lambda: draw_epochs(study))
    yield epoch_table(study)
    yield Text(KEY, note=True)
    yield Heading("How it was measured")
    yield Text(
        f"Table 6's tied small model. At the start and after each epoch {study.batches} batches of "
        f"{study.batch_words:,} words, spread over the training text, or all that there are; the state of each comes "
        f"from the batch before it. Two passes backward, one use of the matrix detached in each. {study.words:,} rows."
    )


def draw_epochs(study: GradientStudy) -> str:
    """The mean cosines over the epochs, as SVG."""
    figure, (axes,) = new_figure(1)
    epochs, told = list(range(study.num_points)), []
    for look, name in enumerate(("all_output", "all_input", "read_output", "read_input")):
        means = [study.summary(point, name).mean for point in epochs]
        line(axes, epochs, means, look, f"{COLUMNS[name]} update")
        told.append(f"{COLUMNS[name]} {means[-1]:.3f}")
    axes.set_xlabel("epoch")
    whole_numbers(axes)
    axes.set_ylabel("cosine with the tied update")
    axes.set_ylim(top=1.02)
    axes.legend()
    return figure_to_svg(figure, f"Cosines with the tied update, at the end: {', '.join(told)}")
