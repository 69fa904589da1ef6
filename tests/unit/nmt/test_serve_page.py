"""The page loads nothing from elsewhere and keeps to its policy; what its script asks for is there."""

from __future__ import annotations

import re
from pathlib import Path

from nmt.serve.app import HEADERS, PAGE

FOLDER = Path(__file__).resolve().parents[3] / "nmt" / "serve" / "page"
HTML, CSS, JS = ((FOLDER / name).read_text(encoding="utf-8") for name in ("index.html", "page.css", "page.js"))


def test_it_loads_only_what_is_served():
    linked = set(re.findall(r'(?:src|href)="([^"]+)"', HTML))
    assert linked <= {*PAGE, "/spec"}
    assert "url(" not in CSS
    assert "@import" not in CSS
    assert not re.search(r"https?://", JS)
    assert {path.name for path in FOLDER.iterdir()} == {name for name, _ in PAGE.values()}


def test_the_policy_forbids_inline_code_and_the_page_has_none():
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", HTML)
    assert "innerHTML" not in JS
    assert ".style" not in JS


def test_every_element_that_the_script_names_is_there_and_has_a_name():
    ids = set(re.findall(r'id="([^"]+)"', HTML))
    assert set(re.findall(r'\$\("([^"]+)"\)', JS)) <= ids
    for tag in re.findall(r"<(?:textarea|output)[^>]*>", HTML):
        assert "aria-labelledby" in tag
    for label in re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', HTML):
        assert label in ids
    assert '<html lang="en">' in HTML
