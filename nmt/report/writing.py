"""A report's files: Markdown, JSON, one page, and the pictures that the Markdown shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpe.textfiles import write_text
from nmt.report.document import Part, as_html, as_markdown, draw_pictures

KINDS = ("md", "json", "html")


def report_files(stem: str) -> tuple[str, ...]:
    """Names of a report's files, without its pictures."""
    return tuple(f"{stem}.{kind}" for kind in KINDS)


def write_files(place: Path, title: str, parts: Sequence[Part], body: Any) -> list[Path]:
    """Write PLACE.md, .json and .html and, with matplotlib, the pictures beside them; returns their paths.

    place: the files' name without its ending. body: what the JSON holds.
    """
    pictures = draw_pictures(parts)
    files = {
        f"{place.name}.md": as_markdown(title, parts, pictures),
        f"{place.name}.json": json.dumps(body, indent=1, ensure_ascii=False) + "\n",
        f"{place.name}.html": as_html(title, parts, pictures),
        **{f"{name}.svg": svg + "\n" for name, svg in pictures.items()},
    }
    place.parent.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_text(place.parent / name, content)
    return [place.parent / name for name in files]
