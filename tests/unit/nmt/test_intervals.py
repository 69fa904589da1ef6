"""Intervals against textbook values."""

from __future__ import annotations

import pytest

from nmt.reproduce.intervals import student_t, summarize


def test_a_summary_by_hand() -> None:
    found = summarize([1.0, 2.0, 3.0])
    assert (found.mean, found.deviation, found.n) == (2.0, 1.0, 3)
    assert found.margin == pytest.approx(4.3027 / 3**0.5)


def test_one_number_says_nothing_about_deviation() -> None:
    found = summarize([37.15])
    assert (found.mean, found.deviation, found.margin, found.n) == (37.15, None, None, 1)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.3027), (9, 2.2622), (30, 2.0423), (31, 2.0395), (60, 2.0003), (120, 1.9799)],
)
def test_quantiles_of_students_t(freedom: int, quantile: float) -> None:
    assert student_t(freedom) == pytest.approx(quantile, abs=5e-5)
