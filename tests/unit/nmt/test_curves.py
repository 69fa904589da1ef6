"""Learning curves where a validation was not finite, or had no BLEU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from nmt.reproduce.curves import has_curve, learning_curves
from nmt.reproduce.results import Results


def results(*curves: list[float | None]) -> Results:
    """One mode, a seed for each curve."""
    runs: list[Any] = [
        SimpleNamespace(
            curve=[{"target_tokens": 1e6 * n, "cross_entropy": value, "bleu": None} for n, value in enumerate(curve, 1)]
        )
        for curve in curves
    ]
    return cast(Results, SimpleNamespace(modes=[SimpleNamespace(tying="untied", total=10**6, runs=runs)]))


def test_a_curve_is_drawn_where_every_run_has_a_point() -> None:
    assert has_curve(results([5.0, None, 3.0], [None, 4.0]), "cross_entropy")
    assert not has_curve(results([5.0, 4.0]), "bleu")
    assert not has_curve(results([5.0, 4.0], [None, None]), "cross_entropy")
    assert not has_curve(cast(Results, SimpleNamespace(modes=[])), "bleu")


def test_a_value_that_is_missing_leaves_a_gap() -> None:
    pytest.importorskip("matplotlib")
    whole = learning_curves(results([5.0, 4.0, 3.0], [5.5, 4.5, 3.5]), "cross_entropy")
    gap = learning_curves(results([5.0, None, 3.0], [5.5, 4.5, 3.5]), "cross_entropy")
    assert whole != gap
    assert "nan" not in gap
