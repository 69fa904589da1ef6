"""Batches: padding, views, the budget, and an order that is a function of seed and epoch."""

from __future__ import annotations

import itertools

import numpy as np

from nmt.data.batching import BatchMaker, Budget, EpochPlan
from nmt.data.corpus import ParallelIds
from nmt.vocabulary import EOS, PAD, UNK, Vocabulary

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
