"""Pictures for the reports: one look for all of them, as SVG inside a page; the same numbers give the same bytes.

Series differ in colour (Okabe and Ito's, told apart by colour-blind readers), line and marker, so that a grey print
still tells them apart. matplotlib is an optional package and is imported where it is used.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Sequence
from typing import Any

from nmt.packages import import_package

LOOKS = (
    ("#0072B2", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", ":", "D"),
    ("#000000", (0, (5, 1, 1, 1, 1, 1)), "v"),
    ("#E69F00", (0, (1, 1)), "P"),
)
"Colour, line and marker of the first, second ... series."

STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "svg.hashsalt": "nmt",
}
"On top of matplotlib's own defaults, not the user's: a picture must not depend on who draws it."

METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
"Left out: the version of matplotlib and the time would change the bytes."

NO_PICTURES = "matplotlib is not installed: no pictures"


def new_figure(columns: int, *, rows: int = 1, width: float = 4.9, height: float = 3.4) -> tuple[Any, list[Any]]:
    """A figure and its rows * columns axes, row by row; width and height in inches are those of one pair of axes.

    Sets matplotlib's style for the process. A page is read on phones too: figures of one column keep their letters
    legible there, and stand side by side where there is room for two. MissingPackage without matplotlib.
    """
    import_package("matplotlib", "a picture")
    import matplotlib.style
    from matplotlib.figure import Figure

    matplotlib.style.use(["default", STYLE])
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def line(axes: Any, x: Sequence[float], y: Sequence[float], look: int, label: str) -> None:
    """Plot a series in the look of that number."""
    colour, style, marker = LOOKS[look % len(LOOKS)]
    axes.plot(x, y, color=colour, linestyle=style, marker=marker, label=label)


def whole_numbers(axes: Any) -> None:
    """Of an x axis that counts: no ticks between its numbers."""
    axes.xaxis.get_major_locator().set_params(integer=True)


def figure_to_svg(figure: Any, description: str = "") -> str:
    """The figure as an SVG element to stand in HTML; text stays text. description: for those who cannot see it.

    Its ids are made unique, so that several can stand on one page.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=METADATA)
    text = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL).strip()
    used = set(re.findall(r"#([\w-]+)", svg))
    mark = hashlib.sha256(svg.encode("utf-8")).hexdigest()[:8]
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{mark}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{mark}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(description)}"', 1)
