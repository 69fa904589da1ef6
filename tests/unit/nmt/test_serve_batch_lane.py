"""Batches that another program searches: small, in turns, and without what is given up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bpe.errors import UserError
from nmt.search.hypothesis import Hypothesis
from nmt.serve.batch_lane import BATCH_PIECES, BATCH_SENTENCES, BatchLane
from nmt.serve.lane import Kind, SearchTask

KIND = Kind(0, longest=64)


class Recorder:
    """Remembers the batches, and copies."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []
        self.quotas: list[list[object]] = []

    def __call__(self, sources: Any, quotas: Any, kind: Kind) -> list[list[Hypothesis]]:
        self.batches.append([tuple(source) for source in sources])
        self.quotas.append(list(quotas))
        return [[Hypothesis(pieces=tuple(source), log_prob=0.0, score=0.0)] for source in sources]


def task(*lengths: int, value: int = 1, **more: Any) -> SearchTask:
    return SearchTask(KIND, [np.full(length, value) for length in lengths], **more)


def test_batches_have_a_limit_and_everything_is_answered_in_its_place() -> None:
    search = Recorder()
    lane, tasks = BatchLane(search, KIND), [task(*range(1, 50)), task(*[60] * 30, value=2)]
    for one in tasks:
        lane.add(one)
    while lane.busy:
        lane.advance()
    for one in tasks:
        found = [best.pieces for (best,) in one.future.result(0)]
        assert found == [tuple(source) for source in one.sources]
    assert all(len(batch) <= BATCH_SENTENCES for batch in search.batches)
    assert all(len(batch) * (max(map(len, batch)) + 1) <= BATCH_PIECES for batch in search.batches)


def test_who_comes_later_is_in_the_next_batch() -> None:
    search = Recorder()
    lane = BatchLane(search, KIND)
    lane.add(task(*[9] * 500))
    lane.advance()
    short = task(3, value=2)
    lane.add(short)
    lane.advance()
    assert short.future.done()
    assert lane.busy


def test_one_that_is_too_long_for_a_batch_is_searched_alone() -> None:
    search = Recorder()
    lane = BatchLane(search, KIND)
    lane.add(task(2 * BATCH_PIECES, 1))
    while lane.busy:
        lane.advance()
    assert [len(batch) for batch in search.batches] == [1, 1]


def test_what_is_given_up_is_not_searched() -> None:
    search = Recorder()
    lane, gone, kept = BatchLane(search, KIND), task(5, 5), task(4)
    lane.add(gone)
    lane.add(kept)
    gone.future.cancel()
    lane.advance()
    assert search.batches == [[(1, 1, 1, 1)]]
    assert not lane.busy
    lane.add(gone)
    lane.advance()
    assert len(search.batches) == 1


def test_an_error_is_that_of_the_tasks_in_the_batch() -> None:
    def fail(*_: object) -> list[list[Hypothesis]]:
        raise RuntimeError("std::bad_alloc: can't allocate memory")

    lane, long, other = BatchLane(fail, KIND), task(*[9] * (2 * BATCH_SENTENCES)), task(*[9] * 2)
    lane.add(long)
    lane.advance()
    lane.add(other)
    assert isinstance(long.future.exception(0), UserError | RuntimeError)
    assert not long.future.cancelled()
    with pytest.raises((UserError, RuntimeError)):
        long.future.result(0)
    assert lane.busy
    assert lane.num_at_work == 0


def test_quotas_come_along() -> None:
    search = Recorder()
    lane = BatchLane(search, KIND)
    lane.add(task(2, 3, quotas=[{7: 1}, {}]))
    lane.add(task(1))
    while lane.busy:
        lane.advance()
    assert search.quotas == [[{}, None, {7: 1}]]
