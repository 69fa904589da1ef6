"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRESENT = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
DOCUMENTS = [ROOT / "CHANGELOG.md", *PRESENT]
NAME = re.compile(r"\b(?:nmt|bpe|tests|configs|scripts)/[\w/]+\.(?:py|yaml)\b")
"A file of code or a recipe; the changelog tells of some that are gone."


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    inside = [target for target in targets if not target.startswith(("http://", "https://"))]
    assert [target for target in inside if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", PRESENT, ids=name)
def test_files_of_code_and_recipes_are_named_right(document: Path) -> None:
    named = NAME.findall(document.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []
