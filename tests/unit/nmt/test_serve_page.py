"""The page loads nothing from elsewhere and keeps to its policy; what its scripts ask for is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nmt.explain.explained import DOUBTS
from nmt.serve.app import HEADERS, PAGE

FOLDER = Path(__file__).resolve().parents[3] / "nmt" / "serve" / "page"
FILES = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
HTML = FILES["index.html"]
SCRIPTS, STYLES = ([name for name in FILES if name.endswith(kind)] for kind in (".js", ".css"))


def test_it_loads_only_what_is_served():
    assert set(FILES) == set(PAGE)
    paths = {f"/{name}" for name in PAGE}
    assert set(re.findall(r'(?:src|href)="([^"]+)"', HTML)) <= {*paths, "/spec"}
    for name in STYLES:
        assert "url(" not in FILES[name]
        assert "@import" not in FILES[name]
    for name in SCRIPTS:
        assert not re.search(r"https?://", FILES[name])
        assert set(re.findall(r'^import .* from "([^"]+)";$', FILES[name], re.MULTILINE)) <= paths
        assert "import(" not in FILES[name]


def test_the_policy_forbids_inline_code_and_the_page_has_none():
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", HTML)
    for name in SCRIPTS:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|\.style\b|eval\(", FILES[name])


def test_every_element_that_the_scripts_name_is_there_and_has_a_name():
    ids = set(re.findall(r'id="([^"]+)"', HTML))
    for name in SCRIPTS:
        assert set(re.findall(r'\$\("([^"]+)"\)', FILES[name])) <= ids
    for tag in re.findall(r"<(?:textarea|output)[^>]*>", HTML):
        assert "aria-labelledby" in tag
    for label in re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', HTML):
        assert label in ids
    assert '<html lang="en">' in HTML


@pytest.mark.parametrize(("level", "name"), list(enumerate(DOUBTS.values())))
def test_the_legend_names_the_levels_of_doubt(level, name):
    kind = f"word d{level}" if level else "word"
    assert f'<span class="{kind}">{name}</span>' in HTML
