"""Which strings are numbered, how, and what comes back of them."""

from __future__ import annotations

from collections import Counter

import pytest

from bpe.codes import MergeTable
from nmt.text.pipeline import TextOptions, TextPipeline
from nmt.text.placeholders import MOST_NUMBERS, NUMBERED, Numbering, enough, kinds_of, numbered, put_back
from nmt.text.tokenization import clean, make_numbering_tokenizer

ALL_KINDS = dict.fromkeys(["placeholder", "own", "own2", "url", "tag", "end", "entity"], 3)
LINES = [
    "Open {name}.",
    "({count}) and {a}/{b}, l'{item}",
    "<b>Bold</b>&nbsp;{x}: http://a.b/c?d=%20, me@x.org",
    "{name}\u8bf7\u6253\u5f00{name}\u3002 {a}{b}",
    "｟placeholder:1｠ ￭ {x}｟{y}｠",
    "％{x}0020 {％0020}％ %%0041 ％0041",
    '<ph name="x\u00a0y z"/>  two',
    "％%s 100％%d",
    "",
]


def words(line: str, *names: str, numbers: dict[str, int] | None = None) -> list[str]:
    spans, _ = Numbering(names or ("all",), numbers or ALL_KINDS).all(line)
    return [f"{line[span.start : span.stop]}={span.name[1:-1]}" for span in spans]


def test_kinds_have_numbers_of_their_own_and_equal_strings_the_same() -> None:
    line = "{a} {b} {a} <b>http://x.y</b> &amp; ab-1"
    assert words(line, "all", r"[a-z]+-\d", "x+z") == [
        *("{a}=placeholder:1", "{b}=placeholder:2", "{a}=placeholder:1", "<b>=tag:1", "http://x.y=url:1"),
        *("</b>=end:1", "&amp;=entity:1", "ab-1=own:1"),
    ]
    assert words("xz", "x+y", "x+z") == ["xz=own2:1"]


def test_numbers_beyond_the_highest_are_the_highest() -> None:
    assert words("{a}{b}{c}{d}", numbers={"placeholder": 2})[1:] == [
        *("{b}=placeholder:2", "{c}=placeholder:2", "{d}=placeholder:2")
    ]
    assert Numbering(("all",), {"placeholder": 2}).known("｟placeholder:9｠ ｟url:1｠ x") == (
        "｟placeholder:2｠ ｟placeholder:1｠ x"
    )


def test_kinds_without_numbers_take_those_of_the_first_that_has_any() -> None:
    assert words("<b> {a} http://x.y", numbers={"tag": 1, "url": 5}) == ["<b>=tag:1", "{a}=url:1", "http://x.y=url:2"]
    assert words("<b> {a}", numbers={"": 1}) == []
    assert kinds_of(["tags", "x", "placeholders"]) == ["placeholder", "own", "tag", "end", "entity"]


@pytest.mark.parametrize(
    ("source", "target", "shared"),
    [
        ("{a} {b}", "{b} {a}", ["{a}", "{b}"]),
        ("{a} {a}", "{a}", ["{a}"]),
        ("{a}", "{a} {a}", ["{a}"]),
        ("http://x.y/en {a}", "http://x.y/de {a}", ["{a}"]),
        ("a", "{a}", []),
    ],
)
def test_pairs_number_what_both_lines_have(source: str, target: str, shared: list[str]) -> None:
    first, second = Numbering(("all",), ALL_KINDS).shared(source, target)
    sides = [
        [(span.name, line[span.start : span.stop]) for span in spans]
        for line, spans in ((source, first), (target, second))
    ]
    assert sorted(string for _, string in sides[0]) == shared
    assert Counter(sides[0]) == Counter(sides[1])


def test_how_many_numbers_the_training_text_has() -> None:
    counts = {numbered("placeholder", number): 40 - 12 * number for number in range(1, 4)} | {numbered("url", 1): 3}
    assert enough(("all",), counts) == (("placeholder", 2), ("url", 1))
    assert enough(("tags",), counts) == ()
    many = {numbered("tag", number): 99 for number in range(1, MOST_NUMBERS + 1)}
    assert enough(("all",), many) == (("tag", MOST_NUMBERS),)


@pytest.mark.parametrize("name", ["reversible", "escaping", "cleaning", "none", "moses"])
@pytest.mark.parametrize("language", ["en", "fr", "zh"])
def test_lines_come_back_with_their_strings(name: str, language: str) -> None:
    if name == "moses":
        pytest.importorskip("sacremoses")
    tokenizer, numbering = make_numbering_tokenizer(name, language), Numbering(("all",), ALL_KINDS)
    for line in LINES:
        spans, strings = numbering.all(line)
        found = tokenizer.words(line, spans)
        assert not any(character.isspace() for word in found for character in word)
        assert [match[0] for match in NUMBERED.finditer(" ".join(found))] == [word for word, _ in strings]
        text = tokenizer.text(put_back(found, strings, tokenizer.spelt))
        if name in ("reversible", "escaping"):
            assert text == " ".join(filter(None, line.split(" ")))
        elif name == "moses":  # which sets spaces beside apostrophes and such as it pleases
            assert all(string in text for _, string in strings)
        else:
            assert clean(text) == clean(line)


def test_numbers_of_the_text_itself_are_text() -> None:
    for name in ("reversible", "escaping", "none"):
        found = make_numbering_tokenizer(name, "en").words("｟url:1｠ x｟url:1｠")
        assert not any(NUMBERED.search(word) for word in found)


def test_what_is_put_back_where_numbers_come_otherwise_than_in_the_source() -> None:
    strings = (("｟url:1｠", "a"), ("｟url:1｠", "b"), ("｟tag:1｠", "c"))
    words = ["｟tag:1｠", "｟url:1｠", "｟url:1｠", "｟url:1｠", "｟tag:2｠", "x"]
    assert put_back(words, strings, str) == ["c", "a", "b", "b", "｟tag:2｠", "x"]


def test_options_of_text_say_how_many_numbers_there_are(tmp_path) -> None:  # type: ignore[no-untyped-def]
    options = TextOptions(source="en", target="de", protect=("all",), numbers=(("tag", 2),))
    options.save(tmp_path)
    assert TextOptions.load(tmp_path) == options
    assert '"version": 3' in (tmp_path / "text.json").read_text()
    old = TextOptions(source="en", target="de", protect=("all",))
    old.save(tmp_path)
    assert TextOptions.load(tmp_path) == old
    assert old.make_numbering() is None
    assert TextPipeline(old, MergeTable(())).pieces("a {x}", "target") == ["a", "｟{x}｠"]
    assert '"version": 2' in (tmp_path / "text.json").read_text()
