"""The feed: positions to continue from, whatever the blocks of an epoch; batches made ahead by a thread."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import nmt.data.order
from nmt.config import TrainingConfig
from nmt.data.batching import Batch
from nmt.data.corpus import ParallelIds
from nmt.data.feed import Feed
from nmt.data.position import Position
from nmt.data.prefetch import Copy, ahead, copied_ahead, prefetched
from nmt.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(both=("a", "b"), source_only=("c", "d"), target_only=("e",))
CPU = torch.device("cpu")


class Corpus:
    """Pairs of random pieces."""

    def split(self, name: str) -> ParallelIds:
        assert name == "train"
        random = np.random.default_rng(4)
        sides = []
        for _ in range(2):
            offsets = np.append(0, np.cumsum(random.integers(1, 12, 900)))
            sides += [random.integers(3, 5, offsets[-1]).astype(np.int32), offsets]
        return ParallelIds(*sides)


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    """Epochs of three blocks."""
    monkeypatch.setattr(nmt.data.order, "BLOCK_PAIRS", 300)
    settings = TrainingConfig(batch_tokens=100, max_length=50)
    views = VOCABULARY.source_view(True), VOCABULARY.target_view(True)
    return Feed(Corpus(), settings, views)  # type: ignore[arg-type]


def same(first: tuple[Position, Batch], second: tuple[Position, Batch]) -> bool:
    (position, batch), (other_position, other) = first, second
    tensors = batch.source.equal(other.source) and batch.target.equal(other.target)
    return position == other_position and batch.pairs == other.pairs and tensors


def test_the_stream_goes_on_from_any_position(feed: Feed) -> None:
    length = len(feed.plan.batches(0))
    whole = list(itertools.islice(feed.stream(Position(0, 0, 0)), length + 40))
    assert whole[length][0] == Position(1, 0, 0)
    assert sorted(row for _, batch in whole[:length] for row in batch.pairs) == list(range(900))
    for at in (0, 3, length // 3, length // 2, length - 1, length, length + 30):
        assert same(next(feed.stream(whole[at][0])), whole[at])
    past_the_end = replace(whole[length - 1][0], batch=length)  # what is saved after the last batch of an epoch
    assert same(next(feed.stream(past_the_end)), whole[length])


def test_the_largest_batch_is_one_of_the_first_epoch(feed: Feed) -> None:
    epoch = itertools.takewhile(lambda item: item[0].epoch == 0, feed.stream(Position(0, 0, 0)))
    areas = {batch.pairs: batch.source.numel() * batch.target.shape[1] for _, batch in epoch}
    assert areas[feed.largest().pairs] == max(areas.values())


def test_without_cuda_no_thread_is_started(feed: Feed) -> None:
    before = threading.active_count()
    prefetcher = prefetched(feed.stream(Position(0, 0, 0)), CPU)
    for wanted in itertools.islice(feed.stream(Position(0, 0, 0)), 30):
        assert same(next(prefetcher), wanted)
    assert threading.active_count() == before
    prefetcher.close()
    with pytest.raises(StopIteration):
        next(prefetcher)


@dataclass
class FakeCopies:
    """Copies in name alone; remembers which thread began and which finished them."""

    starters: set[int]
    finishers: set[int]

    def start(self, batch: Batch) -> Copy:
        self.starters.add(threading.get_ident())
        return Copy(batch, None)  # type: ignore[arg-type]

    def finish(self, copy: Copy) -> Batch:
        self.finishers.add(threading.get_ident())
        return copy.batch


def test_copies_begin_in_a_thread_and_end_in_order_here(feed: Feed) -> None:
    copies = FakeCopies(set(), set())
    made = copied_ahead(feed.stream(Position(0, 0, 5)), copies)  # type: ignore[arg-type]
    for wanted in itertools.islice(feed.stream(Position(0, 0, 5)), 60):
        assert same(next(made), wanted)
    made.close()
    assert copies.finishers == {threading.get_ident()}
    assert len(copies.starters) == 1
    assert not copies.starters & copies.finishers


def test_the_thread_stays_a_bounded_number_ahead_and_ends_when_closed() -> None:
    made: list[int] = []
    enough = threading.Event()

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            made.append(number)
            if number == 4:
                enough.set()
            yield number

    before = threading.active_count()
    items = ahead(numbers(), depth=3)
    assert next(items) == 0
    assert enough.wait(10)  # one was taken, three are ready, one waits for room
    assert made == [0, 1, 2, 3, 4]
    items.close()
    assert threading.active_count() == before
    assert len(made) <= 6


def test_items_end_and_an_exception_is_raised_here() -> None:
    assert list(ahead(iter(range(10)), depth=2)) == list(range(10))

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gets_the_same_batches(feed: Feed) -> None:
    device = torch.device("cuda")
    prefetcher = prefetched(feed.stream(Position(0, 0, 0)), device)
    for position, wanted in itertools.islice(feed.stream(Position(0, 0, 0)), 100):
        there, batch = next(prefetcher)
        assert there == position
        for name in ("source", "source_lengths", "target", "target_lengths"):
            assert getattr(batch, name).device.type == "cuda"
            assert getattr(batch, name).cpu().equal(getattr(wanted, name))
    prefetcher.close()
