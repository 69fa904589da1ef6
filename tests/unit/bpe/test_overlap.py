from collections import Counter

import pytest

from bpe.overlap import Overlap


def test_pieces_are_counted_by_side_and_running():
    source = Counter({"the": 6, ",": 2, "hand": 2, "gone": 0})
    target = Counter({"die": 5, ",": 3, "hand": 1, "der": 1})
    overlap = Overlap.of(source, target)
    assert (overlap.source_only, overlap.target_only, overlap.both, overlap.union) == (1, 2, 2, 5)
    assert (overlap.source_running, overlap.target_running) == (10, 10)
    assert (overlap.source_running_shared, overlap.target_running_shared) == (4, 4)
    assert overlap.running_share == pytest.approx(0.4)
    assert overlap.row("en-de") == (
        "en-de: 1 only in source, 2 only in target, 2 in both (40.0% of running pieces are in both)"
    )
    assert overlap.as_dict()["union"] == 5
    assert overlap.as_dict()["running_share"] == pytest.approx(0.4)


def test_without_text_nothing_is_shared():
    overlap = Overlap.of(Counter(), Counter())
    assert overlap.union == 0
    assert overlap.running_share == 0


def test_counts_are_written_with_separators():
    assert Overlap(2012, 7040, 85114, 1, 1, 1, 1).row().startswith("2,012 only in source, 7,040 only in target, 85,114")
