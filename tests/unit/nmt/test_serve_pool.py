"""Workers side by side answer as one does; futures of other threads are awaited."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from functools import partial

import numpy as np
import pytest
import torch

from nmt.cli.serve import with_threads
from nmt.config import Config, RuntimeConfig, ServeConfig
from nmt.folder.bundle import load_bundle
from nmt.search.request import Wanted
from nmt.serve.awaiting import Awaiting
from nmt.serve.lane import Kind, SearchTask
from nmt.serve.live_lane import LiveLane
from nmt.serve.pool import Pool
from nmt.serve.worker import SHORT_PIECES, Worker
from nmt.translate.searcher import Searcher
from tests.tiny_model import make_model_folder

SECONDS = 60
KIND = Kind(0, 2, longest=SHORT_PIECES)


@pytest.fixture(scope="module")
def searcher(tmp_path_factory):
    bundle = load_bundle(make_model_folder(tmp_path_factory.mktemp("pool") / "model"), torch.device("cpu"))
    return Searcher.of([bundle], bundle.config.search)


@pytest.fixture
def pool(searcher):
    pool = Pool([partial(LiveLane, searcher)], 0.001, 3)
    pool.start()
    yield pool
    pool.close()


def sources(num, seed=1):
    draws = np.random.default_rng(seed)
    return [draws.integers(4, 40, draws.integers(1, 9)) for _ in range(num)]


@pytest.mark.parametrize("num", [1, 2, 20])
def test_sources_are_answered_in_their_order(searcher, pool, num):
    tasks = [SearchTask(KIND, sources(num, seed)) for seed in range(6)]
    for task in tasks:
        pool.submit(task)
    for task in tasks:
        alone, _ = searcher.search(task.sources, Wanted(num_best=2, source_only=searcher.source_only))
        found = task.future.result(SECONDS)
        assert [[each.pieces for each in best] for best in found] == [[each.pieces for each in best] for best in alone]
    pool.close()
    assert pool._loads == [0, 0, 0]


class Recorder(Worker):
    """Takes tasks and does nothing with them."""

    def __init__(self):
        self.tasks = []

    def submit(self, task):
        self.tasks.append(task)


@pytest.fixture
def recorded(searcher):
    pool = Pool([partial(LiveLane, searcher)], 0.0, 2)
    pool.workers = [Recorder(), Recorder()]
    return pool


def test_who_has_least_to_do_gets_the_next_source(recorded):
    long, short = np.full(9, 5), np.full(2, 5)
    recorded.submit(SearchTask(KIND, [short, long, short, short]))
    first, second = ([task.sources for task in worker.tasks] for worker in recorded.workers)
    assert [[len(source) for source in each] for each in first + second] == [[9], [2, 2, 2]]
    recorded.submit(SearchTask(KIND, [short]))
    assert [len(worker.tasks) for worker in recorded.workers] == [1, 2]


def test_what_is_given_up_is_given_up_everywhere(recorded):
    task = SearchTask(KIND, sources(4))
    recorded.submit(task)
    task.future.cancel()
    assert all(part.future.cancelled() for worker in recorded.workers for part in worker.tasks)
    assert recorded._loads == [0, 0]


def test_what_fails_in_one_fails_as_a_whole(recorded):
    task = SearchTask(KIND, sources(4))
    recorded.submit(task)
    [[first], [second]] = (worker.tasks for worker in recorded.workers)
    first.failed(ValueError("no memory"))
    with pytest.raises(ValueError, match="no memory"):
        task.future.result(0)
    assert second.future.cancelled()


def test_those_that_are_done_at_once_wake_the_loop_once():
    async def run():
        loop, woken = asyncio.get_running_loop(), []
        call = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *work: woken.append(work) or call(*work)
        awaiting, futures = Awaiting(loop), [Future() for _ in range(9)]
        awaited = [awaiting(future) for future in futures]

        def finish():
            for number, future in enumerate(futures):
                future.set_result(number)

        thread = threading.Thread(target=finish)
        thread.start()
        thread.join()
        assert await asyncio.gather(*awaited) == list(range(9))
        assert len(woken) == 1

    asyncio.run(run())


def test_errors_and_cancellation_reach_who_awaits():
    async def run():
        awaiting, failing, cancelled, left = Awaiting(asyncio.get_running_loop()), Future(), Future(), Future()
        first, second, third = map(awaiting, (failing, cancelled, left))
        failing.set_exception(ValueError("wrong"))
        cancelled.cancel()
        third.cancel()
        left.set_result(1)  # nobody waits any more
        with pytest.raises(ValueError, match="wrong"):
            await first
        with pytest.raises(asyncio.CancelledError):
            await second

    asyncio.run(run())


@pytest.mark.parametrize(
    ("threads", "searches", "device", "expected"),
    [
        (2, 2, "cpu", (2, 1)),
        (1, 2, "cpu", (1, 1)),
        (4, 2, "cpu", (2, 2)),
        (2, 1, "cpu", (1, 2)),
        (2, 2, "cuda", (1, 2)),
    ],
)
def test_threads_are_shared(threads, searches, device, expected, monkeypatch):
    counts = []
    monkeypatch.setattr("nmt.cli.serve.set_threads", lambda count: counts.append(count) or count)
    config = Config(runtime=RuntimeConfig(threads=threads), serve=ServeConfig(searches=searches))
    settings = with_threads(config, torch.device(device))
    assert (settings.searches, counts[-1]) == expected
