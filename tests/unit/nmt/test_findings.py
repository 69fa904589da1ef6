"""What is found in raw lines, which pairs are marked for it, and in which order of reasons."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import version

import pytest

from bpe.errors import UserError
from nmt.config import DROPPED, PrepConfig
from nmt.prepare.findings import DROPS, Inspector, LineChecks, alphabetic_share
from tests.prep_corpus import write

NONE = LineChecks(source="en", target="de")
GERMAN = "Das ist ein ganz gewöhnlicher deutscher Satz, der lang genug ist."
ENGLISH = "This is quite an ordinary English sentence that is long enough."


def found(checks: LineChecks, pairs: list[tuple[str, str]], train: bool = True) -> dict[str, list[int]]:
    """The rows that each finding holds of, and the marks."""
    source, target = [list(side) for side in zip(*pairs, strict=True)]
    inspector = Inspector(checks)
    flags = inspector.look(source, target, train)
    rows = {finding: [row for row, holds in enumerate(pairs) if holds] for finding, pairs in flags.items()}
    return rows | {"marks": inspector.marks(flags).tolist(), "source": source}


@pytest.fixture
def held_out(tmp_path):
    write(tmp_path / "valid.source.txt", ["a dog", "", "Thanks."])
    write(tmp_path / "valid.target.txt", ["ein Hund", "leer", "Danke."])
    return replace(NONE, held_out=((str(tmp_path / "valid.source.txt"), str(tmp_path / "valid.target.txt"), ""),))


def test_every_word_of_the_option_drops_findings_that_there_are():
    assert tuple(DROPS) == DROPPED
    assert [reason for reasons in DROPS.values() for reason in reasons] == [
        reason for reason in NONE.findings if reason not in ("long_word", "alphabetic")
    ]


def test_lines_of_valid_are_found_whatever_their_spaces(held_out):
    pairs = [("a  dog", "ein Hund "), ("adog", "Hund"), ("", ""), ("Thanks.", "Merci."), ("Thanks .", "Danke.")]
    rows = found(held_out, pairs)
    assert (rows["held_out"], rows["held_out_source"]) == ([0, 4], [0, 1, 3, 4])
    assert rows["marks"] == [0] * 5
    assert found(replace(held_out, drop=("held-out",)), pairs)["marks"] == [1, 0, 0, 0, 1]
    both = replace(held_out, drop=("held-out-source", "held-out"))
    assert found(both, pairs)["marks"] == [1, 2, 0, 2, 1]
    assert "held_out" not in found(held_out, pairs, train=False)


def test_equal_sides_entities_and_characters_that_do_not_print():
    pairs = [
        ("OK", "OK"), ("", ""), (" ", " "), ("a &lt; b", "x"), ("AT&T", "y"), ("\u00a0é\u200d👩\t\r", "z\u2028"),
        ("a\x07", "b"), ("a", "b\ufffd"), ("\ue000", "b"), ("x\x85", "y"), ("&#7;", "y"),
    ]  # fmt: skip
    rows = found(NONE, pairs)
    assert (rows["identical"], rows["entities"], rows["unprintable"]) == ([0], [3, 10], [6, 7, 8, 9])
    rows = found(replace(NONE, unescape=True, drop=("unprintable", "identical")), pairs)
    assert rows["entities"] == [3, 10]
    assert rows["source"][3] == "a < b"
    assert rows["marks"] == [1, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2 * (rows["source"][10] == "\x07")]


def test_long_words_and_few_letters_are_looked_for_where_there_is_a_limit():
    pairs = [("a " + "x" * 21, "b"), ("1234 !!!! a", "b"), ("สวัสดี", "हिन्दी"), ("x" * 20, "y"), ("", "b")]
    assert {"long_word", "alphabetic"}.isdisjoint(found(NONE, pairs))
    rows = found(replace(NONE, max_word_length=20, min_alphabetic=0.2), pairs)
    assert (rows["long_word"], rows["alphabetic"]) == ([0], [1])
    assert rows["marks"] == [1, 2, 0, 0, 0]
    assert alphabetic_share("a1 b2") == 0.5
    assert alphabetic_share("") == 1


def test_lines_that_are_surely_in_another_language():
    pytest.importorskip("py3langid")
    checks = LineChecks.of(PrepConfig(detect_languages=True), "en", "de_AT")
    assert checks.detector == version("py3langid")
    pairs = [(ENGLISH, GERMAN), (GERMAN, GERMAN), (ENGLISH, ENGLISH), ("12 34 56", "Oui."), (ENGLISH.upper(), "")]
    rows = found(checks, pairs, train=False)
    assert (rows["source_language"], rows["target_language"]) == ([1], [2])
    assert found(LineChecks.of(PrepConfig(drop=("language",)), "en", "de"), pairs)["marks"] == [0, 1, 2, 0, 0]
    assert "source_language" not in found(LineChecks.of(PrepConfig(detect_languages=True), "xx", "de"), pairs)
    with pytest.raises(UserError, match=r"a worker has py3langid .*, the machine that asks it 0; install the same"):
        found(replace(checks, detector="0"), pairs)


def test_detection_without_its_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(UserError, match=r"--detect-languages, or --drop language, needs the package py3langid \("):
        LineChecks.of(PrepConfig(drop=("language",)), "en", "de")
    assert LineChecks.of(PrepConfig(), "en", "de") == NONE
