"""A run that is lost is told of once; noise, plateaus and short windows are not."""

from __future__ import annotations

import math
import random

from nmt.training.divergence import SPAN_UPDATES, DivergenceWatch

TOKENS = 1000


def told(means: list[float], updates: int = SPAN_UPDATES) -> list[int]:
    """Numbers of the progress lines at which the watch spoke."""
    watch = DivergenceWatch()
    return [n for n, mean in enumerate(means) if watch.look(mean * TOKENS, TOKENS, updates)]


def test_a_run_that_learns_is_left_alone() -> None:
    chance = random.Random(1)
    falling = [2.0 + 8.0 * math.exp(-n / 40) + chance.gauss(0, 0.15) for n in range(400)]
    assert told(falling) == []
    assert told([10.4] * 50) == []


def test_single_batches_that_vary_much_are_no_divergence() -> None:
    chance = random.Random(2)
    assert told([max(0.2, 2.5 + chance.gauss(0, 1.0)) for _ in range(5000)], updates=1) == []


def test_one_bad_span_is_no_divergence_and_two_are() -> None:
    assert told([5.0, 4.0, 6.0, 4.0, 6.0, 4.0]) == []
    assert told([5.0, 4.0, 6.0, 6.0]) == [3]


def test_it_is_told_once_until_it_is_over() -> None:
    assert told([4.0, 9.0, 9.0, 9.0, 9.0, 3.5, 3.5, 8.0, 8.0, 8.0]) == [2, 8]


def test_short_windows_are_joined() -> None:
    assert told([4.0] * 10 + [9.0] * 20, updates=10) == [19]


def test_no_number_at_all() -> None:
    watch = DivergenceWatch()
    lines = [watch.look(0.0, 0, SPAN_UPDATES) for _ in range(3)]
    assert [bool(line) for line in lines] == [False, True, False]
    assert lines[1].startswith("training diverges: cross entropy nan; stop it, lower training.learning_rate")


def test_an_infinite_mean_is_no_best() -> None:
    assert told([math.inf, math.inf, math.inf, 5.0, 4.0, math.inf, math.nan]) == [1, 6]


def test_it_says_what_it_saw_and_what_to_do() -> None:
    watch = DivergenceWatch()
    lines = [watch.look(mean * TOKENS, TOKENS, SPAN_UPDATES) for mean in (4.0, 9.0, 9.5)]
    assert lines[2].startswith("training diverges: cross entropy 9.50, after 4.00 at best; ")
    assert "lower training.learning_rate or raise training.warmup_updates" in lines[2]
