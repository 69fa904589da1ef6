"""The page for the whole paper: Markdown, JSON and HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nmt.report.document import TERMINAL_WIDTH, Bullets, Heading, Part, Table, Text
from nmt.report.writing import write_files
from nmt.reproduce.whole.claims import RULE, abstract_claims
from nmt.reproduce.whole.page import WholePaper
from nmt.reproduce.whole.sections import section, table_1_of
from nmt.reproduce.whole.sources import KINDS

STEM = "paper"
TITLE = "Using the Output Embedding to Improve Language Models: eight tables, reproduced"
ABOUT = (
    "Press and Wolf (EACL 2017, aclanthology.org/E17-2025). Each table has the paper's figures beside ours; ± is half "
    "of the 95% interval over seeds, by Student's t."
)


def write_paper(paper: WholePaper, folder: Path) -> list[Path]:
    """Write the files; returns their paths."""
    return write_files(folder / STEM, TITLE, list(_parts(paper)), paper.as_dict() | summary_dict(paper))


def summary_dict(paper: WholePaper) -> dict[str, Any]:
    """What was found, for programs."""
    claims = [
        {"claim": f"({each.letter}) {each.text}", "found": each.finding, "evidence": [e.line for e in each.evidence]}
        for each in abstract_claims(paper)
    ]
    return {"claims": claims, "missing": missing(paper)}


def paper_text(paper: WholePaper) -> str:
    """The claims and what is missing, for a terminal."""
    said = [f"({each.letter}) {each.text}: {each.finding}" for each in abstract_claims(paper)]
    said += missing(paper)
    return "\n".join(textwrap.fill(f"- {line}", TERMINAL_WIDTH, subsequent_indent="  ") for line in said)


def missing(paper: WholePaper) -> list[str]:
    """Every table that is not there, and every model that a report waits for."""
    lines = []
    for key, kind in KINDS.items():
        title = kind.title.partition(":")[0]
        if key in paper.absent:
            lines.append(f"{title}: not there yet; {kind.how}")
        for record in paper.records[key]:
            lines += [f"{title}: {line}" for line in _waiting(record)]
    return lines


def _waiting(record: Any) -> Iterator[str]:
    """What a report itself says is missing."""
    found = list(getattr(record, "missing", ()))
    parts = [*getattr(record, "columns", ()), *getattr(record, "texts", {}).values()]
    found += [f"{part.name if hasattr(part, 'name') else part.model} {name}" for part in parts for name in part.missing]
    if found:
        yield f"not finished: {', '.join(found)}"
    absent = getattr(record, "absent", ())
    if absent:
        yield f"texts that were not there: {', '.join(absent)}"


def _parts(paper: WholePaper) -> Iterator[Part]:
    yield Text(f"{ABOUT} {paper.made.line}", note=True)
    yield Heading("The claims of the abstract")
    claims = abstract_claims(paper)
    yield Table(
        ["", "claim", "found here", "read from"],
        [[f"({each.letter})", each.text, each.finding, each.read_from] for each in claims],
        "llll",
    )
    yield Text(RULE, note=True)
    for each in claims:
        yield Heading(f"({each.letter}) {each.text}: {each.finding}", 3)
        yield Bullets([evidence.line for evidence in each.evidence])
    lines = missing(paper)
    yield Heading("What is missing")
    yield Bullets(lines) if lines else Text("Nothing.")
    for key, kind in KINDS.items():
        yield Heading(kind.title)
        if key in paper.absent:
            yield Text(f"Not there yet: {kind.how}.")
        if key == "table1" and key in paper.absent and paper.records["table8"]:
            yield from table_1_of(paper.records["table8"])
        else:
            yield from section(key, paper.records[key])
