"""The page that explains translations: whole, safe, complete, of a bearable size."""

from __future__ import annotations

import dataclasses
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nmt.explain.explained import Explained
from nmt.explain.matrix import matrix
from nmt.explain.page import page, piece_label, special_name, write_page
from nmt.report.shown import clipped, percent, visible

pytestmark = pytest.mark.numeric
VOID = {"meta"}
HOSTILE = (
    '</td></style><script>alert(\'1\')</script><img src="x" onerror="y">&amp;\u202e\x00\x1b[0m\r\ud800\ufdd0\u2028'
)


class Reader(HTMLParser):
    """Checks that elements close in order, and collects their text, ids, links and tables' rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.spans: list[int] = []
        "Columns of each row."
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.seen.add(tag)
        self.attributes += attributes
        if tag == "tr":
            self.rows.append([])
            self.spans.append(0)
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.spans[-1] += int(dict(attributes).get("colspan") or 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        data = data.replace("\u00a0", " ")
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def values(self, name: str) -> list[str | None]:
        return [value for key, value in self.attributes if key == name]


def log(probability: float) -> float:
    return math.log(probability)


def entry(**changes: Any) -> Explained:
    """'der Hund' from 'the dog', with an unknown last piece."""
    usual: dict[str, Any] = {
        "source": "the dog",
        "text": "der Hund",
        "source_pieces": ("the", "d@@", "og"),
        "pieces": ("der", "Hu@@", "<unk>"),
        "log_probs": (log(0.95), log(0.4), log(0.1), log(0.99)),
        "runners_up": (
            (("der", log(0.95)), ("die", log(0.04)), ("das", log(0.001))),
            (("Ka@@", log(0.45)), ("Hu@@", log(0.4))),
            (("nd", log(0.2)), ("<unk>", log(0.1))),
            (("</s>", log(0.99)),),
        ),
        "attention": torch.tensor([[0.9, 0.06, 0.02, 0.02], [0.1, 0.5, 0.4, 0], [0, 0.3, 0.7, 0], [0, 0, 0.04, 0.96]]),
        "score": -1.5,
        "finished": True,
        "subwords": "bpe",
    }
    return Explained(**usual | changes)


def long_entry(length: int) -> Explained:
    """A sentence of so many pieces on both sides whose attention looks at some of its neighbours."""
    generator = np.random.default_rng(1)
    distance = np.arange(length + 1) - np.arange(length + 1)[:, None]
    weights = np.exp(-np.abs(distance) * 0.8) * generator.random((length + 1, length + 1))
    pieces = tuple(f"piece{number % 97}" for number in range(length))
    runners = tuple((f"other{number}", -2.0 - number) for number in range(4))
    return entry(
        source=" ".join(pieces),
        text=" ".join(pieces),
        source_pieces=pieces,
        pieces=pieces,
        log_probs=(-0.5,) * (length + 1),
        runners_up=(runners,) * (length + 1),
        attention=torch.from_numpy(weights / weights.sum(1, keepdims=True)),
    )


def test_a_page_is_whole_and_loads_nothing() -> None:
    text = page(
        [
            entry(),
            entry(source="  ", text="", source_pieces=(), pieces=(), log_probs=(), runners_up=(), attention=None),
        ],
        "T",
    )
    reader = Reader(text)
    assert text.startswith("<!DOCTYPE html>")
    assert not reader.seen & {"script", "link", "img", "iframe", "object"}
    assert reader.values("src") == []
    assert {str(link).removeprefix("#") for link in reader.values("href")} <= set(reader.values("id"))
    assert len(set(reader.values("id"))) == len(reader.values("id"))
    for rule in ("url(", "@import", "http"):
        assert rule not in text
    assert "blank line" in reader.text
    assert "nothing" in reader.text
    assert "width=device-width" in text
    assert "@media print" in text
    assert "prefers-color-scheme: dark" in text


def test_the_languages_of_text_are_named_as_browsers_know_them() -> None:
    text = page([entry()], "T", source="eng", target="zho_Hans")
    assert ' lang="zh-Hans"' in text
    assert "zho" not in text


def test_every_step_has_its_row() -> None:
    rows = Reader(page([entry()], "T")).rows
    assert ["piece", "probability", "looked at", "also likely"] in rows
    assert ["der", "95%", "the 90%", "die 4.0%"] in rows
    assert ["Hu@@", "40%", "d@@ 50%, og 40%, the 10%", "Ka@@ 45%"] in rows
    assert ["<unk>", "10%", "og 70%, d@@ 30%", "nd 20%"] in rows
    assert ["</s>", "99%", "</s> 96%", ""] in rows
    assert "<b><bdi>Ka@@</bdi>&nbsp;<i>45%</i></b>" in page([entry()], "T")  # likelier than what was written
    assert "<b><bdi>die" not in page([entry()], "T")


def test_the_matrix_has_a_cell_for_each_weight_and_a_name_for_large_ones() -> None:
    text = page([entry()], "T")
    reader = Reader(text[text.index('<table class="matrix"') : text.index("</table>")] + "</table>")
    assert reader.rows[0] == ["", "the", "d@@", "og", "</s>"]
    assert reader.rows[1:] == [
        ["der", "90", "6", ""],
        ["Hu@@", "10", "50", "40", ""],
        ["<unk>", "", "30", "70", ""],
        ["</s>", "", "96"],
    ]
    assert reader.spans == [5] * 5
    assert "the → der: 90%" in reader.values("title")
    assert matrix(entry(attention=None)) is None


def test_totals_and_what_is_not_counted() -> None:
    whole, cut = entry(), entry(finished=False)
    assert whole.log_prob == pytest.approx(log(0.95 * 0.4 * 0.1 * 0.99))
    assert cut.log_prob == pytest.approx(log(0.95 * 0.4 * 0.1))
    assert whole.mean_probability == pytest.approx((0.95 * 0.4 * 0.1 * 0.99) ** 0.25)
    text = Reader(page([whole], "T")).text
    assert "3 pieces and the end. Log-probability -3.28, score -1.500, mean probability of a piece 44%." in text
    text = Reader(page([cut], "T")).text
    assert "3 pieces cut at the length limit. Log-probability -3.27" in text
    assert "</s>, not written" in text


def test_unsure_and_unknown_pieces_are_marked() -> None:
    text = page([entry(unknown=(1,))], "T")
    for kind, title, piece in (("piece", "95%", "der"), ("piece d2", "40%", "Hu@@")):
        assert f'<span class="{kind}" title="{title}"><bdi>{piece}</bdi></span>' in text
    assert '<bdi class="special" title="a piece the model does not know">d@@</bdi>' in text
    assert '<bdi class="special" title="a piece the model does not know">&lt;unk&gt;</bdi>' in text


def test_what_is_not_known_is_left_out() -> None:
    bare = entry(runners_up=(), attention=None, log_probs=(-0.1, -0.2, -0.3), finished=False, subwords=None)
    reader = Reader(page([bare], "T"))
    assert ["piece", "probability"] in reader.rows
    assert ["der", "90%"] in reader.rows
    assert "Where it looked" not in reader.text
    assert "Words aligned" not in reader.text
    assert "Other translations" not in reader.text


def test_words_are_aligned_and_others_listed_on_request() -> None:
    reader = Reader(page([entry(alternatives=(("die Katze", -2.25),))], "T"))
    assert "der ← the · Hu<unk> ← dog" in reader.text
    assert "0-0 1-1" in reader.text
    assert "die Katze -2.250" in reader.text
    pieces = {"source_pieces": ("▁the", "▁d", "og"), "pieces": ("▁der", "▁Hu", "nd"), "subwords": "sentencepiece"}
    assert "der ← the · Hund ← dog" in Reader(page([entry(**pieces)], "T")).text


def test_several_sentences_have_an_overview() -> None:
    reader = Reader(page([entry(), entry(source="x" * 100)], "T", source="en", target="de"))
    assert ["1", "the dog", "44%", "<unk> 10%"] in reader.rows
    assert ["2", "x" * 59 + "…", "44%", "<unk> 10%"] in reader.rows
    assert {"en", "de"} <= set(reader.values("lang"))
    assert "auto" in reader.values("dir")


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    pieces = {"source_pieces": (HOSTILE, "d", "<pad>"), "pieces": ("der", HOSTILE, "<unk>")}
    runners = ((("der", -0.1), (HOSTILE, -0.2)),) * 4
    hostile = entry(source=HOSTILE, text=HOSTILE, runners_up=runners, alternatives=((HOSTILE, -1.0),), **pieces)
    write_page(tmp_path / "page.html", [hostile, hostile], HOSTILE, source=HOSTILE, target='"><b>')
    text = (tmp_path / "page.html").read_bytes().decode("utf-8")
    reader = Reader(text)
    assert not reader.seen & {"script", "img"}
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert text.replace("\n", "").isprintable()
    assert "</td></style><script>alert('1')</script>" in reader.text
    assert "[U+202E]␀␛[0m␍[U+D800]" in reader.text


def test_a_long_sentence_is_no_large_page() -> None:
    sizes = [len(page([long_entry(length)], "T").encode()) for length in (25, 200)]
    empty = len(page([], "T").encode())
    assert sizes[0] - empty < 30_000
    assert sizes[1] - empty < 200_000
    Reader(page([long_entry(200)], "T"))


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1, "100%"),
        (0.996, "100%"),
        (0.5, "50%"),
        (0.0996, "10%"),
        (0.0994, "9.9%"),
        (0.00996, "1.0%"),
        (0.004, "0.40%"),
        (0.0, "<0.01%"),
    ],
)
def test_percentages_for_people(share: float, text: str) -> None:
    assert percent(share) == text


def test_text_is_shown_as_it_is() -> None:
    assert visible("Größe 東京 שלום 😀") == "Größe 東京 שלום 😀"
    assert visible("a\tb\x7f\x85\u200d") == "a␉b␡[U+0085]\u200d"
    assert clipped("abc", 3) == "abc"
    assert clipped("abcd", 3) == "ab…"
    assert piece_label("\u0301x") == "◌\u0301x"
    assert special_name("x", unknown=True) == "a piece the model does not know"
    assert special_name("x") == ""


def test_what_does_not_fit_together_is_a_mistake() -> None:
    for changes in ({"log_probs": (-1.0,)}, {"runners_up": ((),)}, {"attention": torch.ones(4, 3)}):
        with pytest.raises(AssertionError):
            dataclasses.replace(entry(), **changes)
