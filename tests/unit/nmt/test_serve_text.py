"""Texts are cut into lines and put together again; what is not translated stays to the byte."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from nmt.serve.markup import Html
from nmt.serve.placing import _best_run
from nmt.serve.plaintext import PlainText
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.translate.lines import Translation

PIPELINE = TextPipeline(TextOptions(source="en", target="de", tokenizer="none"), None)


def translated(line, order=None, upper=True):
    """The words in another order (order[t]: of the source word that target word t is), with a sharp attention."""
    words = line.split()
    order = order or list(range(len(words)))
    attention = torch.full((len(order), len(words) + 1), 0.01)
    for target, source in enumerate(order):
        attention[target, source] = 1.0
    pieces = [words[source].upper() if upper else words[source] for source in order]
    return Translation(
        text=" ".join(pieces),
        source_pieces=tuple(words),
        pieces=tuple(pieces),
        log_prob=-1.0,
        score=-1.0,
        penalty=0.0,
        finished=True,
        log_probs=None,
        attention=attention,
        subwords="none",
    )


def html(text, *orders):
    document = Html(text, PIPELINE)
    orders = orders or [None] * len(document.lines)
    return document.text([translated(line, order) for line, order in zip(document.lines, orders, strict=True)])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a b", ["a b"]),
        ("", []),
        (" \n ", []),
        ("  a\r\n\r\n\tb c \n", ["a", "b c"]),
        ("a  b\x85c\u2028d", ["a  b", "c", "d"]),
        ("\na\n", ["a"]),
    ],
)
def test_lines_of_plain_text(text, lines):
    document = PlainText(text)
    assert document.lines == lines
    assert document.text([translated(line, upper=False) for line in lines]).split() == text.split()
    if "  b" not in text:
        assert document.text([translated(line, upper=False) for line in lines]) == text


def test_much_white_space_takes_no_time():
    begun = time.process_time()
    assert PlainText("a" + " " * 1_000_000 + "b").lines
    assert time.process_time() - begun < 5  # of what is quadratic: hours


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("one two", "ONE TWO"),
        ("<p>one</p>\n <p>two <b>three</b></p>", "<p>ONE</p>\n <p>TWO <b>THREE</b></p>"),
        ('a <a href="x?a=1&amp;b=2" CLASS=q>b c</a> , d', 'A <a href="x?a=1&amp;b=2" CLASS=q>B C</a> , D'),
        ("one\ntwo   <b>three\nfour</b>", "ONE TWO <b>THREE FOUR</b>"),
        ("<b><i>a b</i> c</b> d", "<b><i>A B</i> C</b> D"),
        ("a &lt; b &amp; c&nbsp;d", "A &lt; B &amp; C D"),
        ("a<br>b<br/>c", "A<br>B<br/>C"),
        ("a <img src=x> b <!-- c --> d", "A <img src=x>B <!-- c -->D"),
        ("<script>if (a<b) x('&amp;')</script> a", "<script>if (a<b) x('&amp;')</script> A"),
        ("<pre>a\n b &lt;</pre>c", "<pre>a\n b &lt;</pre>C"),
        ("run <code>a_b &lt;x&gt;</code> now", "RUN <code>a_b &lt;x&gt;</code> NOW"),
        ('<p translate="no">a <b>b</b></p><p>c</p>', '<p translate="no">a <b>b</b></p><p>C</p>'),
        (
            'x <span class="notranslate">Foo <span>Bar</span></span> y',
            'X <span class="notranslate">Foo <span>Bar</span></span> Y',
        ),
        ("<p><code>a</code> <kbd>b</kbd></p>", "<p><code>a</code> <kbd>b</kbd></p>"),
        ("a</b> b", "A</b> B"),
        ("<b>a<p>b</p></b>", "<b>A<p>B</p></b>"),
        ("<!DOCTYPE html><html><body>a</body></html>", "<!DOCTYPE html><html><body>A</body></html>"),
        ("  <p>  a  </p>  ", "  <p>  A  </p>  "),
        ("<i></i>a", "<i></i>A"),
        ("", ""),
        ("<p><code>never ended", "<p><code>never ended"),
    ],
)
def test_tags_attributes_and_entities_stay(given, expected):
    assert html(given) == expected


def test_elements_go_where_their_words_go():
    assert html("the <b>red house</b> there", [3, 0, 1, 2]) == "THERE THE <b>RED HOUSE</b>"
    assert html("a <b>b</b> <i>c</i>", [2, 0, 1]) == "<i>C</i> A <b>B</b>"
    assert html("<u>a <b>b</b></u> c", [2, 1, 0]) == "C <u><b>B</b> A</u>"


def test_a_block_of_several_sentences_needs_only_the_attention_of_each():
    document = Html("a <b>b c</b> d. <i>e f</i> <b>g</b> h.<img>", PIPELINE)
    [line] = document.lines
    assert line == "a b c d. e f g h."
    first, second = translated("a b c d.", [3, 1, 2, 0]), translated("e f g h.", [2, 3, 0, 1])
    whole = replace(first, text=f"{first.text} {second.text}", attention=None, parts=(first, second))
    assert document.text([whole]) == "D. <b>B C</b> A <b>G</b> H. <i>E F</i><img>"


def test_much_markup_takes_no_time():
    words = 1500
    text = " ".join(f"<b>w{number}</b>" for number in range(words))
    document = Html(text, PIPELINE)
    parts = [translated(" ".join(document.lines[0].split()[start : start + 10])) for start in range(0, words, 10)]
    whole = replace(parts[0], text=" ".join(part.text for part in parts), attention=None, parts=tuple(parts))
    begun = time.process_time()
    assert document.text([whole]) == text.replace("w", "W")
    assert time.process_time() - begun < 10


def test_newlines_and_nested_tags_do_not_split_sentences():
    document = Html("<p>one <b>two\n<i>three</i></b>\nfour</p><p>five</p>", PIPELINE)
    assert document.lines == ["one two three four", "five"]


def test_elements_in_elements_have_an_end():
    deep = "<b>" * 3000 + "a" + "</b>" * 3000
    found = html(deep)
    assert found.count("<b>") == found.count("</b>") == 3000
    assert "A" in found


def test_the_best_run_is_that_of_exhaustive_search():
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        gains = (torch.rand(7, generator=generator) - 0.6).double().numpy()
        runs = [(start, end) for start in range(7) for end in range(start + 1, 8)]
        start, end = _best_run(gains, 2)
        assert gains[start - 2 : end - 2].sum() == pytest.approx(max(gains[a:b].sum() for a, b in runs))
