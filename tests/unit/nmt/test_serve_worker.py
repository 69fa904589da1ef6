"""The thread that searches: company changes nothing, what is given up frees its place, what fails says so."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from bpe.errors import UserError
from nmt.folder.bundle import load_bundle
from nmt.search.request import Wanted
from nmt.serve.lane import Kind, SearchTask
from nmt.serve.live_lane import LiveLane
from nmt.serve.prepared import Prepared
from nmt.serve.worker import SHORT_PIECES, Worker, longest_of
from nmt.translate.searcher import Searcher
from tests.copy_model import copying, forgetting, inventing, make_folder
from tests.tiny_model import make_model_folder

SECONDS = 60


@pytest.fixture(scope="module")
def searcher(tmp_path_factory):
    bundle = load_bundle(make_model_folder(tmp_path_factory.mktemp("worker") / "model"), torch.device("cpu"))
    return Searcher.of([bundle], bundle.config.search)


@pytest.fixture
def worker(searcher):
    worker = Worker([partial(LiveLane, searcher)], 0.001)
    worker.start()
    yield worker
    worker.close()


def sources(num, seed=1, longest=9):
    draws = np.random.default_rng(seed)
    return [draws.integers(4, 40, draws.integers(1, longest + 1)) for _ in range(num)]


def pieces(found):
    return [[each.pieces for each in hypotheses] for hypotheses in found]


def test_company_changes_nothing(searcher, worker):
    given = [sources(5, seed) for seed in range(20)]
    kinds = [Kind(0, 1 + seed % 2, longest=SHORT_PIECES) for seed in range(20)]
    tasks = [SearchTask(kind, each) for kind, each in zip(kinds, given, strict=True)]
    for task in tasks:
        worker.submit(task)
    for kind, each, task in zip(kinds, given, tasks, strict=True):
        alone, _ = searcher.search(each, Wanted(num_best=kind.num_best, source_only=searcher.source_only))
        assert pieces(task.future.result(SECONDS)) == pieces(alone)


@pytest.mark.parametrize("change", [None, forgetting, inventing])
def test_placeholders_are_as_often_as_in_the_source(change, tmp_path):
    translator = copying(make_folder(tmp_path / "model"), change)
    texts = ["a {one} b {two}", "c", "https://example.org/ {one} d"]
    request = Prepared(translator, 0, texts, html=False, num_best=1)
    worker = Worker([partial(LiveLane, translator.searcher)], 0.001)
    worker.start()
    for task in request.tasks:
        worker.submit(task)
    found = request.texts([task.future.result(SECONDS) for task in request.tasks])
    worker.close()
    assert [best for (best,) in found] == translator.translate(texts)
    assert all(each in best for each in ("{one}", "{two}") for best in found[0])


def test_closing_finishes_what_was_submitted(searcher):
    worker = Worker([partial(LiveLane, searcher)], 0.0)
    worker.start()
    task = SearchTask(Kind(0, longest=SHORT_PIECES), sources(30))
    worker.submit(task)
    worker.close()
    assert len(task.future.result(0)) == 30


def lane_of(searcher, tokens):
    config = replace(searcher.config, batch_tokens=tokens, min_length=6, max_length=6)
    return LiveLane(replace(searcher, config=config), Kind(0, longest=SHORT_PIECES))


def test_a_short_text_is_not_held_up_by_a_book(searcher):
    lane = lane_of(searcher, tokens=40)
    book, short = (SearchTask(lane.kind, [np.full(3, 5 + number % 9) for number in range(size)]) for size in (200, 1))
    lane.add(book)
    lane.advance()
    lane.add(short)
    for _ in range(12):  # a translation has six pieces
        lane.advance()
    assert short.future.done()
    assert not book.future.done()
    assert book.at_work <= 5


def test_long_texts_keep_to_themselves():
    assert longest_of(1) == longest_of(SHORT_PIECES) == SHORT_PIECES
    assert longest_of(SHORT_PIECES + 1) > SHORT_PIECES


def test_what_is_given_up_leaves_at_the_next_step(searcher):
    lane = lane_of(searcher, tokens=20)
    first, second = SearchTask(lane.kind, sources(50)), SearchTask(lane.kind, sources(1))
    lane.add(first)
    lane.advance()
    assert lane.num_at_work
    first.future.cancel()
    lane.advance()
    assert not lane.busy
    lane.add(second)
    while lane.busy:
        lane.advance()
    assert second.future.done()


def test_an_error_is_every_tasks_and_the_next_ones_are_answered(searcher, worker, monkeypatch):
    def fail(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    kind = Kind(0, longest=SHORT_PIECES)
    with monkeypatch.context() as patched:
        patched.setattr("nmt.search.live.LiveSearch.step", fail)
        failing = [SearchTask(kind, sources(2)), SearchTask(kind, sources(3))]
        for task in failing:
            worker.submit(task)
        for task in failing:
            with pytest.raises(UserError, match="not enough memory to search"):
                task.future.result(SECONDS)
    task = SearchTask(kind, sources(2))
    worker.submit(task)
    assert len(task.future.result(SECONDS)) == 2


def test_it_searches_in_one_thread(searcher, worker):
    before = threading.active_count()
    tasks = [
        SearchTask(Kind(0, 1, attention, SHORT_PIECES), sources(4, seed)) for seed in range(6) for attention in (0, 1)
    ]
    for task in tasks:
        worker.submit(task)
    for task in tasks:
        task.future.result(SECONDS)
    assert threading.active_count() == before
