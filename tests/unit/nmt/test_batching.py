"""Batches: padding, views, the budget, and an order that is a function of seed and epoch."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import nmt.data.order
from nmt.data.batching import BatchMaker, Budget, EpochPlan
from nmt.data.corpus import ParallelIds
from nmt.text.vocabulary import EOS, PAD, UNK, Vocabulary

VOCABULARY = Vocabulary(both=("a", "b"), source_only=("c", "d"), target_only=("e",))  # ids 3 4 | 5 6 | 7


def ragged(lines: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, lines)])
    return np.array(list(itertools.chain(*lines)), dtype=np.int32), offsets.astype(np.int64)


def pairs(source: list[list[int]], target: list[list[int]]) -> ParallelIds:
    return ParallelIds(*ragged(source), *ragged(target))


def random_pairs(count: int, longest: int = 40) -> ParallelIds:
    random = np.random.default_rng(5)
    lengths = random.integers(1, longest, count)
    others = np.clip(lengths + random.integers(-3, 4, count), 1, None)
    return pairs([[3] * n for n in lengths], [[4] * n for n in others])


def of_lengths(source: np.ndarray, target: np.ndarray) -> ParallelIds:
    """Pairs of which only the lengths matter."""
    ids = np.empty(0, dtype=np.int32)
    return ParallelIds(ids, np.append(0, np.cumsum(source)), ids, np.append(0, np.cumsum(target)))


def like_text(count: int, *, median: float = 20, seed: int = 3) -> ParallelIds:
    """Lengths as text has them: few short, most like the median, some long, a target of about as many pieces."""
    random = np.random.default_rng(seed)
    source = median * np.exp(random.normal(0, 0.6, count))
    target = source * np.exp(random.normal(0, 0.2, count))
    return of_lengths(np.round(source).astype(np.int64), np.round(target).astype(np.int64))


class PlainPlan:
    """What an epoch of one block is, pair by pair."""

    def __init__(self, pairs: ParallelIds, budget: Budget, seed: int) -> None:
        self.budget, self.seed = budget, seed
        source, target = np.diff(pairs.source_offsets), np.diff(pairs.target_offsets)
        usable = (source <= budget.max_length) & (target <= budget.max_length) & (source > 0) & (target > 0)
        self.rows = np.flatnonzero(usable)
        self.source, self.target = source + 1, target + 1

    def batches(self, epoch: int, *part: int) -> list[list[int]]:
        random = np.random.Generator(np.random.PCG64([self.seed, epoch, *part]))
        drawn = self.rows[random.permutation(len(self.rows))].tolist()
        zigzag = np.where(self.target % 2 == 0, self.source, -self.source)
        groups = self._cut(sorted(drawn, key=lambda row: (self.target[row], zigzag[row])))
        return [groups[i] for i in random.permutation(len(groups))]

    def _cut(self, rows: list[int]) -> list[list[int]]:
        groups: list[list[int]] = []
        longest = 0
        for row in rows:
            longest = max(longest, self.source[row], self.target[row])
            count = len(groups[-1]) + 1 if groups else 0
            over_tokens = self.budget.tokens and longest * count > self.budget.tokens
            over_sentences = self.budget.sentences and count > self.budget.sentences
            if not groups or over_tokens or over_sentences:
                groups.append([])
                longest = max(self.source[row], self.target[row])
            groups[-1].append(row)
        return groups

    def area(self, batch: Sequence[int]) -> int:
        return int(len(batch) * self.source[batch].max() * self.target[batch].max())

    def padding(self, batches: Sequence[Sequence[int]]) -> float:
        sides = [side[batch] for batch in batches for side in (self.source, self.target)]
        return 1 - sum(int(side.sum()) for side in sides) / sum(len(side) * int(side.max()) for side in sides)


def lists(batches: Sequence[np.ndarray]) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


def test_a_batch_is_padded_ended_and_seen_through_the_views() -> None:
    data = pairs([[3, 5], [6], []], [[7], [7, 4, 3], [5]])
    maker = BatchMaker(data, VOCABULARY.source_view(False), VOCABULARY.target_view(False))
    batch = maker.make([1, 0, 2])
    assert batch.source.tolist() == [[6, EOS, PAD], [3, 5, EOS], [EOS, PAD, PAD]]
    assert batch.source_lengths.tolist() == [2, 3, 1]
    assert batch.target.tolist() == [[5, 4, 3, EOS], [5, EOS, PAD, PAD], [UNK, EOS, PAD, PAD]]
    assert batch.num_target_tokens == 8
    assert batch.target_labels().tolist() == [5, 5, UNK, 4, EOS, EOS, 3, EOS]
    shared = BatchMaker(data, VOCABULARY.source_view(True), VOCABULARY.target_view(True)).make([1])
    assert shared.target.tolist() == [[7, 4, 3, EOS]]


def test_an_epoch_holds_every_usable_pair_once_within_the_budget() -> None:
    data = random_pairs(500)
    plan = EpochPlan(data, Budget(tokens=200, sentences=20, max_length=30), seed=1)
    batches = plan.batches(0)
    usable = [i for i in range(500) if data.source_lengths[i] <= 30 and data.target_lengths[i] <= 30]
    assert sorted(np.concatenate(batches).tolist()) == usable
    assert plan.num_pairs == len(usable) < 500
    for batch in batches:
        longest = 1 + max(data.source_lengths[batch].max(), data.target_lengths[batch].max())
        assert len(batch) <= 20
        assert longest * len(batch) <= 200


def test_a_pair_over_the_budget_still_gets_a_batch_of_its_own() -> None:
    plan = EpochPlan(random_pairs(3), Budget(tokens=1, sentences=0, max_length=100), seed=1)
    assert [len(batch) for batch in plan.batches(0)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("pairs", "budget"),
    [
        (random_pairs(700), Budget(tokens=200, sentences=20, max_length=30)),
        (random_pairs(700), Budget(tokens=0, sentences=16, max_length=100)),
        (random_pairs(700), Budget(tokens=0, sentences=0, max_length=100)),
        (random_pairs(300), Budget(tokens=7, sentences=0, max_length=100)),
        (like_text(300, median=300), Budget(tokens=2000, sentences=0, max_length=5000)),
        (like_text(200, median=300), Budget(tokens=4096, sentences=0, max_length=1 << 30)),
        (like_text(50, median=1), Budget(tokens=10, sentences=0, max_length=2)),
        (like_text(40_000), Budget(tokens=2048, sentences=0, max_length=100)),
    ],
)
def test_batches_are_those_made_pair_by_pair(pairs: ParallelIds, budget: Budget) -> None:
    plan, plain = EpochPlan(pairs, budget, seed=3), PlainPlan(pairs, budget, seed=3)
    assert plan.rows.tolist() == plain.rows.tolist()
    for draws in ((0,), (4,), (1, 2)):
        batches, wanted = plan.batches(*draws), plain.batches(*draws)
        assert len(batches) == len(wanted)
        assert lists(batches) == wanted
    assert plan.padding() == plain.padding(plain.batches(0))
    assert plan.largest().tolist() == max(plain.batches(0), key=plain.area)
    by_length = np.argsort(np.maximum(plain.source, plain.target)[plain.rows], kind="stable")
    assert plan.lengths.longest(20).tolist() == plain.rows[by_length[-20:]].tolist()


def test_an_epoch_without_pairs_has_no_batches() -> None:
    for data in (pairs([], []), pairs([[3] * 9], [[4]])):
        plan = EpochPlan(data, Budget(tokens=100, sentences=0, max_length=5), seed=1)
        assert (plan.num_pairs, len(plan.batches(0)), plan.padding(), plan.rows.tolist()) == (0, 0, 0.0, [])


def test_batches_are_a_sequence() -> None:
    batches = EpochPlan(random_pairs(300), Budget(tokens=200, sentences=0, max_length=100), seed=1).batches(0)
    whole = lists(batches)
    assert lists(batches[3:7]) == whole[3:7]
    assert batches[-1].tolist() == whole[-1]
    with pytest.raises(IndexError):
        batches[len(batches)]


def test_order_is_a_function_of_seed_and_epoch() -> None:
    data, budget = random_pairs(300), Budget(tokens=200, sentences=0, max_length=100)

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(EpochPlan(data, budget, seed).batches(epoch)).tolist()

    assert order(1, 3) == order(1, 3)
    assert len({tuple(order(1, 0)), tuple(order(1, 1)), tuple(order(2, 0))}) == 3


def test_the_stream_goes_on_from_any_position() -> None:
    plan = EpochPlan(random_pairs(60), Budget(tokens=200, sentences=0, max_length=100), seed=1)
    whole = list(itertools.islice(plan.stream(0, 0), 30))
    epoch, index, _ = whole[17]
    again = list(itertools.islice(plan.stream(epoch, index), 13))
    assert [(e, i, rows.tolist()) for e, i, rows in whole[17:]] == [(e, i, rows.tolist()) for e, i, rows in again]


def test_sentences_of_like_length_share_a_batch() -> None:
    plan = EpochPlan(random_pairs(4000), Budget(tokens=1000, sentences=0, max_length=100), seed=1)
    assert plan.padding() < 0.05


def test_the_largest_batch_has_the_most_source_times_target_positions() -> None:
    plan = EpochPlan(pairs([[3], [3] * 9, [3] * 5], [[4] * 20, [4] * 9, [4] * 5]), Budget(1, 0, 100), seed=1)
    assert plan.largest().tolist() == [1]


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nmt.data.order, "BLOCK_PAIRS", 1_000)
    monkeypatch.setattr(nmt.data.order, "CHUNK_PAIRS", 900)


@pytest.mark.usefixtures("blocks")
def test_an_epoch_of_many_blocks_holds_every_usable_pair_once() -> None:
    data, budget = like_text(4_500), Budget(tokens=400, sentences=0, max_length=60)
    plan, plain = EpochPlan(data, budget, seed=1), PlainPlan(data, budget, seed=1)
    batches = plan.batches(1)
    assert sorted(np.concatenate(list(batches)).tolist()) == plan.rows.tolist() == plain.rows.tolist()
    for batch in batches:
        assert len(batch) * max(plain.source[batch].max(), plain.target[batch].max()) <= 400 or len(batch) == 1
    assert plan.padding(1) == plain.padding(lists(batches))
    assert plan.largest().tolist() == max(lists(plan.batches(0)), key=plain.area)
    by_length = np.argsort(np.maximum(plain.source, plain.target)[plain.rows], kind="stable")
    assert plan.lengths.longest(20).tolist() == plain.rows[by_length[-20:]].tolist()


@pytest.mark.usefixtures("blocks")
def test_the_stream_goes_on_from_any_position_in_any_block() -> None:
    plan = EpochPlan(like_text(3_500), Budget(tokens=1_000, sentences=0, max_length=100), seed=1)
    length = len(plan.batches(0))
    whole = [(e, i, rows.tolist()) for e, i, rows in itertools.islice(plan.stream(0, 0), 2 * length)]
    assert whole[length][:2] == (1, 0)
    for at in (1, length // 3, length // 2, length - 1, length, length + 5):
        epoch, index, rows = next(plan.stream(*whole[at][:2]))
        assert (epoch, index, rows.tolist()) == whole[at]
    assert next(plan.stream(0, length))[:2] == (1, 0)


def test_the_order_of_many_blocks_goes_by_their_size_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(block: int, chunk: int) -> list[list[int]]:
        monkeypatch.setattr(nmt.data.order, "BLOCK_PAIRS", block)
        monkeypatch.setattr(nmt.data.order, "CHUNK_PAIRS", chunk)
        return lists(EpochPlan(like_text(2_000), Budget(tokens=500, sentences=0, max_length=100), 1).batches(2))

    assert order(600, 5_000) == order(600, 301) == order(600, 1)
    assert order(600, 301) != order(700, 301)


def test_hundreds_of_thousands_of_pairs_take_two_bytes_each_and_hardly_any_padding(tmp_path: Path) -> None:
    count = 300_000
    data = like_text(count)
    files = [tmp_path / "source", tmp_path / "target"]
    for file, offsets in zip(files, (data.source_offsets, data.target_offsets), strict=True):
        offsets.tofile(file)
    source, target = (np.memmap(file, np.int64, "r") for file in files)
    mapped = ParallelIds(data.source_ids, source, data.target_ids, target)
    tracemalloc.start()
    plan = EpochPlan(mapped, Budget(tokens=2048, sentences=0, max_length=100), seed=1)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2.1 * count
    assert plan.padding() < 0.02
    batches = plan.batches(0)
    assert np.array_equal(np.sort(np.concatenate(list(batches))), plan.rows)
    assert batches[0].dtype == np.int32
