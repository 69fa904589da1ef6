"""Shifted sides are found where they are, and nowhere else; how the text is cut into parts makes no difference."""

from __future__ import annotations

import random
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

import nmt.prepare.shards as parts
from bpe.progress import Progress
from nmt.prepare.files import PairOfFiles
from nmt.prepare.shifts import ShiftFinder, beside, lengths_scores, stretches
from tests.prep_corpus import write

SIZE = 1_000


def translations(number: int, seed: int = 1, constant: bool = False) -> tuple[list[str], list[str]]:
    """Lines of varied length, or of one, with a number here and there, and translations about as long."""
    draw = random.Random(seed)
    source, target = [], []
    for _ in range(number):
        words = 6 if constant else draw.randint(2, 40)
        name = [f"Nr{draw.randint(100, 999)}"] if constant or draw.random() < 0.2 else []
        source.append(" ".join(["word"] * words + name))
        target.append(" ".join(["wort"] * (6 if constant else max(1, words + draw.randint(-2, 2))) + name))
    return source, target


def shifts_of(folder: Path, source: list[str], target: list[str], stride: int = 1_000) -> list[tuple[int, int, int]]:
    """First line, shift and last line of each stretch."""
    return [astuple(shift)[2:] for shift in finder_of(folder, source, target, stride)[0]]


def finder_of(folder, source, target, stride):
    write(folder / "a.en", source)
    write(folder / "a.de", target)
    with pytest.MonkeyPatch.context() as patch, Progress("", quiet=True) as progress:
        patch.setattr(parts, "STRIDE", stride)
        files = [PairOfFiles(folder / "a.en", folder / "a.de")] * 2
        cut = parts.cut("train", parts.index_pairs(files, folder / "unpacked", progress), 1)
    finder = ShiftFinder()
    for part in cut:
        pairs = list(parts.read_shard(part))
        finder.add(part, *(np.array([len(pair[side]) for pair in pairs]) for side in (0, 1)))
    return finder.finish(), cut


def test_text_that_fits_has_no_shifts(tmp_path):
    assert shifts_of(tmp_path, *translations(SIZE)) == []
    assert shifts_of(tmp_path, ["the same line"] * 300, ["die gleiche Zeile"] * 300) == []
    draw = random.Random(2)
    unrelated = ["x" * draw.randint(1, 99) for _ in range(SIZE)], ["x" * draw.randint(1, 99) for _ in range(SIZE)]
    assert shifts_of(tmp_path, *unrelated) == []


@pytest.mark.parametrize("shift", [1, -1, 2, -2])
@pytest.mark.parametrize("constant", [False, True])
def test_the_place_and_the_shift_are_found(shift, constant, tmp_path):
    """By lengths, and by numbers alone where all lines are as long."""
    source, target = translations(SIZE, constant=constant)
    longer, other = (target, source) if shift > 0 else (source, target)
    longer[430:430] = ["more"] * abs(shift)
    other += ["rest"] * abs(shift)
    found = shifts_of(tmp_path, source, target)
    assert len(found) == 2  # the same files, twice
    for first, by, last in found:
        assert (by, last) == (shift, SIZE + abs(shift))
        assert abs(first - 431) <= 4


def test_a_stretch_ends_where_the_sides_fit_again(tmp_path):
    source, target = translations(SIZE)
    target.insert(300, "more")
    del target[650]
    for stride in (1_000, 7, 64):
        [(first, by, last), _] = shifts_of(tmp_path, source, target, stride)
        assert by == 1
        assert abs(first - 301) <= 3
        assert abs(last - 650) <= 3
    found, cut = finder_of(tmp_path, source, target, 64)
    covered = [
        start + part.first_line + row
        for part in cut
        for start, stop in stretches(part, found[:1])
        for row in range(stop - start)
    ]
    assert sorted(set(covered)) == list(range(found[0].first_line, found[0].last_line + 1))


def test_short_text_is_judged_from_twenty_pairs_on(tmp_path):
    source, target = translations(60)
    assert shifts_of(tmp_path, source[:-1], target[1:])[0][1] == -1
    assert shifts_of(tmp_path, source[:18], target[1:19]) == []


def test_the_statistic_is_the_correlation_of_log_lengths():
    draw = np.random.default_rng(4)
    windows = draw.normal(size=(2, 3, 50))
    scores = lengths_scores(windows)
    for row, shift in enumerate((0, 1, -1, 2, -2)):
        for window in range(3):
            pairs = beside(windows[0, window], windows[1, window], shift)
            expected = np.arctanh(np.corrcoef(*pairs)[0, 1]) * np.sqrt(50 - abs(shift) - 3)
            assert scores[row, window] == pytest.approx(expected)
    assert [side.tolist() for side in beside(np.arange(4), np.arange(4), 1)] == [[0, 1, 2], [1, 2, 3]]
    assert [side.tolist() for side in beside(np.arange(4), np.arange(4), -2)] == [[2, 3], [0, 1]]
