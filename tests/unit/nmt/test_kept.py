"""Counting the placeholders of sources that are in their translations."""

from __future__ import annotations

from nmt.evaluate.kept import Kept, count_kept


def test_each_occurrence_counts() -> None:
    sources = ["{a} {b} {a}", "<b>x</b> http://a.b.", "plain", "%s"]
    translations = ["{a} {a} {c}", "<b>xhttp://a.b", "{d} plain", ""]
    assert count_kept(sources, translations) == Kept(num_strings=7, num_kept=4, num_added=2, num_lines=3)
    assert count_kept(sources, sources) == Kept(num_strings=7, num_kept=7, num_added=0, num_lines=3)
    assert count_kept(["a-1 {x}"], ["a-1"], [r"\w-\d"]) == Kept(num_strings=1, num_kept=1, num_added=0, num_lines=1)
    assert count_kept([], []) == Kept(num_strings=0, num_kept=0, num_added=0, num_lines=0)
