"""Tables, pages and pictures of the reports."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from nmt.packages import MissingPackage
from nmt.report import pictures
from nmt.report.document import Bullets, Heading, Picture, Table, Text, as_html, as_markdown, as_text
from nmt.report.render import render
from nmt.report.tables import markdown_table, text_table

VOID = {"meta", "br", "hr", "img"}


class Outline(HTMLParser):
    """Checks that elements close in order, and collects ids, cells and what would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.cells: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value or "" for name, value in attributes if name == "id"]
        self.loaded += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def picture(values: list[float]) -> str:
    figure, (axes,) = pictures.new_figure(1)
    pictures.line(axes, [1, 2, 3], values, 0, "a < b")
    pictures.line(axes, [1, 2, 3], values[::-1], 1, "c")
    axes.legend()
    return pictures.figure_to_svg(figure, 'Two "lines"')


def test_a_page_is_whole_and_escapes_text() -> None:
    text = as_html("A & <B>", [Heading("<2>"), Heading("3", 3), Text("1 < 2", note=True), Bullets(["x & y\x07"])], {})
    outline = Outline(text)
    assert text.startswith("<!DOCTYPE html>")
    assert "<title>A &amp; &lt;B&gt;</title>" in text
    assert "<h1>A &amp; &lt;B&gt;</h1>" in text
    assert "<h2>&lt;2&gt;</h2>\n<h3>3</h3>" in text
    assert '<p class="note">1 &lt; 2</p>' in text
    assert "<li>x &amp; y␇</li>" in text
    assert 'name="viewport"' in text
    assert outline.loaded == []


def test_a_table_in_html_scrolls_and_escapes() -> None:
    table = Table(("name", "n", "word"), [("<b>", 1_000, "x"), ("&amp;", None, "y")], "lrc")
    text = as_html("T", [table], {})
    assert '<div class="scroll" tabindex="0"><table>' in text
    assert Outline(text).cells == ["name", "n", "word", "<b>", "1000", "x", "&amp;", "None", "y"]
    assert '<td class="r">1000</td><td class="c">x</td>' in text


def test_a_number_stays_on_its_line() -> None:
    text = as_html("T", [Table(("a", "b"), [("x", "35.89 (sd 0.36) ± 0.88")])], {})
    assert '<td class="r">35.89 (sd\u00a00.36) ±\u00a00.88</td>' in text


def test_pictures_stand_in_the_page_and_beside_the_markdown() -> None:
    drawn = Picture("curve", "A <curve>", lambda: "<svg></svg>")
    assert "<svg></svg>" in as_html("T", [drawn], {"curve": "<svg></svg>"})
    assert as_markdown("T", [drawn], {"curve": ""}) == "# T\n\n![A <curve>](curve.svg)\n"
    assert f'<p class="note">{pictures.NO_PICTURES}</p>' in as_html("T", [drawn], {})
    assert as_markdown("T", [drawn], {}).endswith(f"{pictures.NO_PICTURES}\n")


def test_a_report_reads_as_text() -> None:
    parts = [Heading("H"), Text("a b"), Bullets(["x " * 60]), Table(("a", "n"), [("b", 1)])]
    lines = as_text(parts).splitlines()
    assert lines[:4] == ["H", "", "a b", ""]
    assert lines[4].startswith("- x x")
    assert lines[5].startswith("  x x")
    assert lines[-2:] == ["a  n", "b  1"]


def test_what_a_template_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="title"):
        render("report.html", parts=[])


def test_columns_are_numbers_unless_said_otherwise() -> None:
    assert markdown_table(("a", "count"), [("x|y", 1), ("z\n<w>", 22)]) == (
        "| a        | count |\n| -------- | ----: |\n| x\\|y     |     1 |\n| z &lt;w> |    22 |"
    )
    assert text_table(("a", "count"), [("x", 1), ("yy", 22)]) == "a   count\nx       1\nyy     22"
    assert text_table(("a", "b"), [("xxx", "y")], "rl") == "  a  b\nxxx  y"
    assert markdown_table(("a", "b"), [], "cl") == "|  a  | b   |\n| :-: | --- |"


def test_rows_of_another_length_are_a_mistake() -> None:
    for make in (Table, markdown_table, text_table):
        with pytest.raises(ValueError):
            make(("a", "b"), [("x",)])


def test_pictures_of_the_same_numbers_are_the_same_bytes() -> None:
    pytest.importorskip("matplotlib")
    first = picture([1.0, 4.0, 2.0])
    assert first == picture([1.0, 4.0, 2.0])
    assert first != picture([1.0, 4.0, 3.0])
    assert first.startswith('<svg role="img" aria-label="Two &quot;lines&quot;"')
    assert ">a &lt; b</text>" in first
    assert not re.search(r"<metadata|<dc:date|matplotlib\.org", first)


def test_pictures_stand_on_one_page() -> None:
    pytest.importorskip("matplotlib")
    drawn = {"a": picture([1.0, 4.0, 2.0]), "b": picture([2.0, 1.0, 3.0])}
    outline = Outline(as_html("Two", [Picture(name, name, str) for name in drawn], drawn))
    assert len(set(outline.ids)) == len(outline.ids) > 0
    assert outline.loaded
    assert {name.removeprefix("#") for name in outline.loaded} <= set(outline.ids)


def test_series_differ_in_colour_line_and_marker() -> None:
    for looks in zip(*pictures.LOOKS, strict=True):
        assert len(set(looks)) == len(pictures.LOOKS)


def test_without_matplotlib_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackage, match="matplotlib"):
        pictures.new_figure(1)
